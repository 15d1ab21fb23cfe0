//! How places are written.

use countersign_base::Explain as _;
use countersign_base::code;
use countersign_keys::Place;
use countersign_keys::place::{MAX_PLACE_BYTES, Pkcs11Uri, PlaceError};

#[test]
fn places_read_and_show_in_one_form() {
    for (text, shown) in [
        ("file", "file"),
        ("pkcs11:token=alice;object=release", "pkcs11:token=alice;object=release"),
        ("pkcs11:object=release;token=alice;type=private", "pkcs11:token=alice;object=release"),
        ("pkcs11:object=my%20key", "pkcs11:object=my%20key"),
        ("pkcs11:id=%01%aB;serial=0123", "pkcs11:serial=0123;id=%01%AB"),
        ("pkcs11:id=abc", "pkcs11:id=%61%62%63"),
        ("pkcs11:slot-id=7;object=a", "pkcs11:object=a;slot-id=7"),
        (
            "pkcs11:object=a;manufacturer=Yubico%20(www);model=YubiKey%205",
            "pkcs11:manufacturer=Yubico%20%28www%29;model=YubiKey%205;object=a",
        ),
        (
            "pkcs11:object=a?pin-source=file:///run/pin&module-path=/usr/lib/m.so",
            "pkcs11:object=a?module-path=/usr/lib/m.so&pin-source=file:/run/pin",
        ),
        ("pkcs11:object=a?pin-source=file:////run//pin", "pkcs11:object=a?pin-source=file:/run//pin"),
        (
            "ssh-agent:SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "ssh-agent:SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ),
        ("ssh-agent:alice@example.org", "ssh-agent:alice@example.org"),
        ("https://kms.example.org/keys/1", "https://kms.example.org/keys/1/"),
        ("http://127.0.0.1:8080/key/", "http://127.0.0.1:8080/key/"),
    ] {
        let place: Place = text.parse().unwrap_or_else(|error: PlaceError| panic!("{text}: {error}"));
        assert_eq!(place.to_string(), shown);
        assert_eq!(shown.parse::<Place>().unwrap(), place);
        assert!(Place::is_named_by(text) || text == "file");
    }
}

#[test]
fn text_that_names_no_place_is_refused() {
    let long = format!("pkcs11:object={}", "a".repeat(MAX_PLACE_BYTES));
    let label = format!("pkcs11:object=a;token={}", "a".repeat(33));
    // Short enough as it is, and not as it would be written down.
    let grows = format!("pkcs11:object=a?module-path=/{}", "=".repeat(MAX_PLACE_BYTES / 2));
    for bad in [
        "",
        "keys/release.key",
        "pkcs11:",
        "pkcs11:token=alice",
        "pkcs11:object",
        "pkcs11:object=",
        "pkcs11:object=a;object=b",
        "pkcs11:object=a;type=private;type=private",
        "pkcs11:object=a;type=cert",
        "pkcs11:object=a;;token=b",
        "pkcs11:object=a;colour=red",
        "pkcs11:object=a;library-manufacturer=x",
        "pkcs11:object=a?pin-value=1234",
        "pkcs11:object=a?module-name=softhsm2",
        "pkcs11:object=a?pin-source=|cat%20/run/pin",
        "pkcs11:object=a?pin-source=file:pin",
        "pkcs11:object=a?module-path=m.so",
        "pkcs11:object=a?",
        "pkcs11:object=a b",
        "pkcs11:object=a%2",
        "pkcs11:object=%ff",
        "pkcs11:object=a%0a",
        "pkcs11:object=a;slot-id=01",
        "pkcs11:object=a;slot-id=-1",
        "PKCS11:object=a",
        "ssh-agent:",
        "ssh-agent:SHA256:abc",
        "ssh-agent:SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "ssh-agent: alice",
        "ssh-agent:a\u{202e}b",
        "ftp://kms.example.org/",
        &long,
        &label,
        &grows,
    ] {
        let error = bad.parse::<Place>().unwrap_err();
        assert_eq!(error.code(), code::KEY_PLACE_INVALID, "{bad}: {error}");
        assert!(!error.to_string().contains("1234"), "{error}");
    }
}

#[test]
fn a_remote_signer_on_another_machine_needs_tls() {
    let error = "http://kms.example.org/".parse::<Place>().unwrap_err();
    assert_eq!(error.code(), code::FETCH_TLS_REQUIRED);
    for bad in ["https://user:secret@kms.example.org/", "https://kms.example.org/?key=1"] {
        let error = bad.parse::<Place>().unwrap_err();
        assert_eq!(error.code(), code::FETCH_URL_REFUSED, "{bad}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn a_keys_file_names_no_code_and_no_pin() {
    let plain = "pkcs11:token=alice;object=a";
    assert_eq!(Place::from_stored(plain).unwrap().to_string(), plain);
    for query in ["?module-path=/tmp/evil.so", "?pin-source=file:/run/pin"] {
        let full = format!("{plain}{query}");
        assert_eq!(Place::from_stored(&full).unwrap_err().code(), code::KEY_PLACE_INVALID, "{full}");
        assert_eq!(full.parse::<Place>().unwrap().stored().to_string(), plain);
    }
}

proptest::proptest! {
    #[test]
    fn any_label_survives_its_uri(token in "\\PC{1,8}", object in "\\PC{1,32}", id: [u8; 8]) {
        let uri = Pkcs11Uri {
            token: Some(token),
            object: Some(object),
            id: Some(id.to_vec()),
            module_path: Some("/opt/with space/&?;=%.so".into()),
            ..Pkcs11Uri::default()
        };
        assert_eq!(uri.to_string().parse::<Pkcs11Uri>().unwrap(), uri);
    }

    #[test]
    fn no_text_panics(text in "(pkcs11:|ssh-agent:|https://)?\\PC{0,64}") {
        if let Ok(place) = text.parse::<Place>() {
            assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        }
    }
}
