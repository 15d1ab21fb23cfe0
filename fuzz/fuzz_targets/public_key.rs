//! Public keys: text, PEM, DER and vkey agree on which key it is.
#![no_main]

use countersign_crypto::PublicKey;
use countersign_tlog::VerifierKey;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(key) = PublicKey::from_spki_der(data) {
        assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()).as_ref(), Ok(&key));
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(key) = PublicKey::from_spki_pem(text).or_else(|_| text.parse()) {
        assert_eq!(PublicKey::from_spki_pem(&key.to_spki_pem()).as_ref(), Ok(&key));
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
});
