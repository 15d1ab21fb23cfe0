//! A token that fails in each way that D29 knows, through a module in front of SoftHSM2.

use countersign_base::Explain as _;
use countersign_base::code;
use countersign_crypto::{Algorithm, PublicKey};
use countersign_keys::place::{self, Pkcs11Uri, Settings};
use countersign_testkit::tokens::{Fault, Shim, SoftHsm, with_softhsm};

use super::{MESSAGE, Person, refusal, signs};

const URI: &str = "pkcs11:token=alice;object=a";

/// A token with one key behind a shim; `None` without a C compiler.
fn faulty(hsm: &SoftHsm) -> Option<(Shim, Person, PublicKey)> {
    hsm.token("alice");
    let shim = hsm.shim()?;
    let settings = Settings { pkcs11_module: Some(shim.module().into()), ..Settings::default() };
    let mut person = Person::with(settings);
    let uri: Pkcs11Uri = URI.parse().unwrap();
    let public = place::create_on_token(&uri, Algorithm::EcdsaP256Sha256, &mut person).unwrap();
    person.asked.clear();
    Some((shim, person, public))
}

#[test]
fn d29_each_failure_while_signing_has_its_code() {
    with_softhsm("place::faulty_token::d29_each_failure_while_signing_has_its_code", |hsm| {
        let Some((shim, mut person, public)) = faulty(hsm) else { return };
        let signer = signs(URI, Some(&public), &mut person);
        let logins = shim.logins();
        for (fault, code) in [
            (Fault::Removed, code::SIGNER_TOKEN_LOST),
            (Fault::SessionLost, code::SIGNER_TOKEN_LOST),
            (Fault::Vanished, code::SIGNER_TOKEN_LOST),
            (Fault::Broken, code::SIGNER_UNAVAILABLE),
            (Fault::BadSignature, code::SIGNER_KEY_MISMATCH),
        ] {
            shim.set(fault);
            assert_eq!(signer.sign(MESSAGE).unwrap_err().code(), code, "{fault:?}");
        }
        shim.set(Fault::None);
        signer.public_key().verify(MESSAGE, &signer.sign(MESSAGE).unwrap()).unwrap();
        assert_eq!(shim.logins(), logins, "no failure makes a login");
    });
}

#[test]
fn a_locked_token_is_sent_no_pin() {
    with_softhsm("place::faulty_token::a_locked_token_is_sent_no_pin", |hsm| {
        let Some((shim, mut person, public)) = faulty(hsm) else { return };
        let logins = shim.logins();
        shim.set(Fault::Locked);
        assert_eq!(refusal(URI, Some(&public), &mut person), code::SIGNER_PIN_REFUSED);
        assert!(person.asked.is_empty());
        assert_eq!(shim.logins(), logins);
        shim.set(Fault::LocksNow);
        let error = place::open(&super::place(URI), Some(&public), &mut person).err().unwrap();
        assert_eq!(error.code(), code::SIGNER_PIN_REFUSED);
        assert!(error.to_string().contains("locked"), "{error}");
        assert_eq!(shim.logins(), logins + 1);
    });
}

#[test]
fn the_last_try_is_for_a_person_who_knows() {
    with_softhsm("place::faulty_token::the_last_try_is_for_a_person_who_knows", |hsm| {
        let Some((shim, mut person, public)) = faulty(hsm) else { return };
        let logins = shim.logins();
        shim.set(Fault::FinalTry);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), countersign_testkit::tokens::PIN).unwrap();
        let uri = format!("{URI}?pin-source=file:{}", file.path().display());
        assert_eq!(refusal(&uri, Some(&public), &mut person), code::SIGNER_PIN_REFUSED);
        assert_eq!(shim.logins(), logins, "a file's PIN is not tried");
        signs(URI, Some(&public), &mut person);
        assert!(person.asked[0].final_try);
    });
}

#[test]
fn a_point_without_its_der_is_the_same_key() {
    with_softhsm("place::faulty_token::a_point_without_its_der_is_the_same_key", |hsm| {
        let Some((shim, mut person, public)) = faulty(hsm) else { return };
        shim.set(Fault::RawPoint);
        signs(URI, Some(&public), &mut person);
    });
}

#[test]
fn a_key_that_wants_the_pin_each_time_is_refused_before_it_signs() {
    with_softhsm(
        "place::faulty_token::a_key_that_wants_the_pin_each_time_is_refused_before_it_signs",
        |hsm| {
            let Some((shim, mut person, public)) = faulty(hsm) else { return };
            shim.set(Fault::AlwaysAuthenticates);
            assert_eq!(refusal(URI, Some(&public), &mut person), code::SIGNER_UNAVAILABLE);
        },
    );
}
