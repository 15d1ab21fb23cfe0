//! Places of keys, `pkcs11:` and the others: what parses is the same when it is written and read again.
#![no_main]

use countersign_keys::Place;
use countersign_keys::place::Pkcs11Uri;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(uri) = text.parse::<Pkcs11Uri>() {
        assert_eq!(uri.to_string().parse::<Pkcs11Uri>().ok().as_ref(), Some(&uri));
    }
    if let Ok(place) = text.parse::<Place>() {
        assert_eq!(place.to_string().parse::<Place>().ok().as_ref(), Some(&place));
        // What a `.pub` file has of it names neither code nor a file with a secret.
        if let Place::Pkcs11(uri) = place.stored() {
            assert_eq!((uri.module_path, uri.pin_source), (None, None));
        }
    }
});
