//! SoftHSM2: keys are made there, sign, and are told apart.

use std::os::unix::fs::PermissionsExt as _;

use countersign_base::Explain as _;
use countersign_base::code;
use countersign_crypto::{Algorithm, PublicKey, SecretKey};
use countersign_keys::place::{self, Pkcs11Uri, Settings};
use countersign_testkit::tokens::{PIN, SoftHsm, with_softhsm};

use super::{MESSAGE, Person, refusal, signs};

const CURVES: [Algorithm; 3] = [Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha384, Algorithm::Ed25519];

fn person(hsm: &SoftHsm) -> Person {
    Person::with(Settings { pkcs11_module: Some(hsm.module().to_owned()), ..Settings::default() })
}

fn make(uri: &str, algorithm: Algorithm, person: &mut Person) -> PublicKey {
    let uri: Pkcs11Uri = uri.parse().unwrap();
    place::create_on_token(&uri, algorithm, person).unwrap_or_else(|error| panic!("{uri}: {error}"))
}

fn another_key() -> PublicKey {
    SecretKey::from_seed(Algorithm::EcdsaP256Sha256, &[9; 32]).unwrap().public_key().clone()
}

#[test]
fn keys_of_every_curve_are_made_and_sign() {
    with_softhsm("place::pkcs11::keys_of_every_curve_are_made_and_sign", |hsm| {
        hsm.token("alice");
        let mut person = person(hsm);
        for algorithm in CURVES {
            let uri = format!("pkcs11:token=alice;object=key-{algorithm}");
            let public = make(&uri, algorithm, &mut person);
            assert_eq!(public.algorithm(), algorithm);
            for expected in [None, Some(&public)] {
                assert_eq!(*signs(&uri, expected, &mut person).public_key(), public);
            }
        }
        // A signature is as good as any other: of an empty message and of a long one.
        let signer = signs("pkcs11:object=key-ed25519", None, &mut person);
        for message in [&[][..], &[7; 100_000]] {
            signer.public_key().verify(message, &signer.sign(message).unwrap()).unwrap();
        }
    });
}

#[test]
fn the_pin_is_asked_for_once_a_token() {
    with_softhsm("place::pkcs11::the_pin_is_asked_for_once_a_token", |hsm| {
        let token = hsm.token("alice");
        let mut person = person(hsm);
        make("pkcs11:object=a", Algorithm::EcdsaP256Sha256, &mut person);
        assert_eq!(person.asked.len(), 1);
        assert_eq!(person.asked[0].label, "alice");
        assert_eq!(person.asked[0].serial, token.serial);
        person.asked.clear();
        let first = signs("pkcs11:object=a", None, &mut person);
        let second = signs("pkcs11:object=a", None, &mut person);
        assert_eq!(person.asked.len(), 1, "the first of the two logged in");
        drop((first, second));
    });
}

#[test]
fn a_wrong_pin_is_sent_once() {
    with_softhsm("place::pkcs11::a_wrong_pin_is_sent_once", |hsm| {
        hsm.token("alice");
        let Some(shim) = hsm.shim() else { return };
        let mut person =
            Person::with(Settings { pkcs11_module: Some(shim.module().into()), ..Settings::default() });
        let public = make("pkcs11:object=a", Algorithm::EcdsaP256Sha256, &mut person);
        let before = shim.logins();
        person.pin = "000000";
        assert_eq!(refusal("pkcs11:object=a", Some(&public), &mut person), code::SIGNER_PIN_REFUSED);
        assert_eq!(shim.logins(), before + 1);
        // The same wrong PIN, from a file or a careless caller, does not even reach the token.
        assert_eq!(refusal("pkcs11:object=a", Some(&public), &mut person), code::SIGNER_PIN_REFUSED);
        assert_eq!(shim.logins(), before + 1);
        assert!(person.asked.last().unwrap().count_low, "the token says that one try is gone");
        person.pin = PIN;
        signs("pkcs11:object=a", Some(&public), &mut person);
        assert_eq!(shim.logins(), before + 2);
    });
}

#[test]
fn the_pin_can_come_from_a_file() {
    with_softhsm("place::pkcs11::the_pin_can_come_from_a_file", |hsm| {
        hsm.token("alice");
        let mut person = person(hsm);
        let public = make("pkcs11:object=a", Algorithm::EcdsaP256Sha256, &mut person);
        person.asked.clear();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{PIN}\nsecond line\n")).unwrap();
        let uri = format!("pkcs11:object=a?pin-source=file:{}", file.path().display());
        signs(&uri, Some(&public), &mut person);
        assert!(person.asked.is_empty());

        let open_to_all = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(file.path(), open_to_all).unwrap();
        assert_eq!(refusal(&uri, Some(&public), &mut person), code::SIGNER_UNAVAILABLE);
    });
}

#[test]
fn modules_that_are_none_are_told_apart_from_tokens_that_are_absent() {
    with_softhsm("place::pkcs11::modules_that_are_none_are_told_apart_from_tokens_that_are_absent", |hsm| {
        let mut nobody = Person::with(Settings::default());
        let error = place::open(&super::place("pkcs11:object=a"), None, &mut nobody).err().unwrap();
        assert_eq!(error.code(), code::SIGNER_UNAVAILABLE);
        assert!(error.fix().unwrap().contains("COUNTERSIGN_PKCS11_MODULE"));
        for module in ["/nonexistent/module.so", "/etc/hostname", "libsofthsm2.so"] {
            nobody.settings.pkcs11_module = Some(module.into());
            assert_eq!(refusal("pkcs11:object=a", None, &mut nobody), code::SIGNER_UNAVAILABLE, "{module}");
        }

        hsm.token("alice");
        let mut person = person(hsm);
        assert_eq!(refusal("pkcs11:token=bob;object=a", None, &mut person), code::SIGNER_TOKEN_LOST);
        assert_eq!(refusal("pkcs11:token=alice;object=a", None, &mut person), code::KEY_NOT_FOUND);
        let uri = format!("pkcs11:token=alice;object=a?module-path={}", hsm.module().display());
        make(&uri, Algorithm::EcdsaP256Sha256, &mut nobody);
        signs(&uri, None, &mut nobody);
    });
}

#[test]
fn d29_another_token_under_the_same_label_is_not_used() {
    with_softhsm("place::pkcs11::d29_another_token_under_the_same_label_is_not_used", |hsm| {
        let uri = "pkcs11:token=alice;object=release";
        let tokens = [hsm.token("alice"), hsm.token("alice")];
        let [on_first, on_second] = tokens.map(|token| format!("{uri};serial={}", token.serial));
        let mut person = person(hsm);
        let public = make(&on_first, Algorithm::EcdsaP256Sha256, &mut person);
        let other = make(&on_second, Algorithm::EcdsaP256Sha256, &mut person);
        assert_ne!(public, other);

        // The label does not say which, the serial number does.
        assert_eq!(refusal(uri, Some(&public), &mut person), code::SIGNER_KEY_MISMATCH);
        signs(&on_first, Some(&public), &mut person);

        // The key of the second under the label of the first: refused before any PIN is asked for.
        person.asked.clear();
        assert_eq!(refusal(&on_second, Some(&public), &mut person), code::SIGNER_KEY_MISMATCH);
        assert!(person.asked.is_empty());
        signs(&on_second, Some(&other), &mut person);
    });
}

#[test]
fn d29_a_token_that_was_pulled_out_is_lost() {
    with_softhsm("place::pkcs11::d29_a_token_that_was_pulled_out_is_lost", |hsm| {
        let token = hsm.token("alice");
        let mut person = person(hsm);
        let public = make("pkcs11:token=alice;object=a", Algorithm::EcdsaP256Sha256, &mut person);
        let signer = signs("pkcs11:token=alice;object=a", Some(&public), &mut person);
        hsm.pull_out(&token);
        assert_eq!(signer.sign(MESSAGE).unwrap_err().code(), code::SIGNER_TOKEN_LOST);
    });
}

#[test]
fn a_label_that_two_keys_share_says_nothing() {
    with_softhsm("place::pkcs11::a_label_that_two_keys_share_says_nothing", |hsm| {
        hsm.token("alice");
        let mut person = person(hsm);
        let public = make("pkcs11:object=a;id=%01", Algorithm::EcdsaP256Sha256, &mut person);
        for taken in ["pkcs11:object=a", "pkcs11:object=b;id=%01"] {
            let uri: Pkcs11Uri = taken.parse().unwrap();
            let error = place::create_on_token(&uri, Algorithm::Ed25519, &mut person).unwrap_err();
            assert_eq!(error.code(), code::KEY_EXISTS, "{taken}");
        }
        make("pkcs11:object=b;id=%02", Algorithm::EcdsaP256Sha256, &mut person);
        signs("pkcs11:id=%01", Some(&public), &mut person);
        assert_eq!(refusal("pkcs11:object=a;id=%02", None, &mut person), code::KEY_NOT_FOUND);
        assert_eq!(refusal("pkcs11:object=b", Some(&public), &mut person), code::SIGNER_KEY_MISMATCH);
        assert_eq!(refusal("pkcs11:object=b", Some(&another_key()), &mut person), code::SIGNER_KEY_MISMATCH);
    });
}

#[test]
fn keys_that_a_token_cannot_make_are_refused() {
    with_softhsm("place::pkcs11::keys_that_a_token_cannot_make_are_refused", |hsm| {
        hsm.token("alice");
        let mut person = person(hsm);
        for algorithm in [Algorithm::MlDsa44, Algorithm::RsaPssSha256] {
            let uri: Pkcs11Uri = "pkcs11:object=a".parse().unwrap();
            let error = place::create_on_token(&uri, algorithm, &mut person).unwrap_err();
            assert_eq!(error.code(), code::SIGNER_UNAVAILABLE, "{algorithm}");
        }
        assert!(person.asked.is_empty());
        let nameless: Pkcs11Uri = "pkcs11:id=%01".parse().unwrap();
        let error = place::create_on_token(&nameless, Algorithm::Ed25519, &mut person).unwrap_err();
        assert_eq!(error.code(), code::KEY_PLACE_INVALID);
    });
}

#[test]
fn keys_that_another_tool_made_sign() {
    with_softhsm("place::pkcs11::keys_that_another_tool_made_sign", |hsm| {
        hsm.token("alice");
        for (id, kind) in [("01", "EC:prime256v1"), ("02", "EC:secp384r1"), ("03", "EC:edwards25519")] {
            let arguments = ["--keypairgen", "--key-type", kind, "--label", kind, "--id", id];
            if hsm.tool(&arguments).is_none() {
                return;
            }
        }
        let mut person = person(hsm);
        for (id, kind) in [("%01", "EC:prime256v1"), ("%02", "EC:secp384r1"), ("%03", "EC:edwards25519")] {
            let by_label = signs(&format!("pkcs11:object={kind}"), None, &mut person);
            signs(&format!("pkcs11:id={id}"), Some(by_label.public_key()), &mut person);
        }
    });
}

#[test]
fn a_token_without_the_public_half_is_held_to_the_expected_key() {
    with_softhsm("place::pkcs11::a_token_without_the_public_half_is_held_to_the_expected_key", |hsm| {
        hsm.token("alice");
        let mut person = person(hsm);
        let uri = "pkcs11:object=a;id=%01";
        let public = make(uri, Algorithm::EcdsaP256Sha256, &mut person);
        if hsm.tool(&["--delete-object", "--type", "pubkey", "--id", "01"]).is_none() {
            return;
        }
        signs(uri, Some(&public), &mut person);
        assert_eq!(refusal(uri, None, &mut person), code::KEY_MALFORMED);
        let signer = place::open(&super::place(uri), Some(&another_key()), &mut person).unwrap();
        assert_eq!(signer.sign(MESSAGE).unwrap_err().code(), code::SIGNER_KEY_MISMATCH);
    });
}

#[test]
fn keys_that_do_not_sign_here_are_refused() {
    with_softhsm("place::pkcs11::keys_that_do_not_sign_here_are_refused", |hsm| {
        hsm.token("alice");
        for (label, kind) in [("rsa", "rsa:2048"), ("bitcoin", "EC:secp256k1")] {
            if hsm.tool(&["--keypairgen", "--key-type", kind, "--label", label]).is_none() {
                return;
            }
        }
        let mut person = person(hsm);
        for label in ["rsa", "bitcoin"] {
            let uri = format!("pkcs11:object={label}");
            assert_eq!(refusal(&uri, None, &mut person), code::KEY_MALFORMED, "{label}");
        }
        assert!(person.asked.is_empty());
    });
}
