//! Metadata of the type `timestamp`: what parses is the same when it is written in canonical form and read again.
#![no_main]

use countersign_base::canonical::rfc8785;
use countersign_tuf::{Envelope, Role as _, Timestamp};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(file) = Envelope::<Timestamp>::parse("timestamp", data) else { return };
    let written = [br#"{"signatures":[],"signed":"#, &*rfc8785(file.signed.signed()), b"}"].concat();
    let again = Envelope::<Timestamp>::parse("timestamp", &written).expect("its canonical form parses");
    assert_eq!((again.message(), again.signed), (file.message(), file.signed));
});
