//! Metadata of the type `snapshot`: what parses is the same when it is written in canonical form and read again.
#![no_main]

use countersign_base::canonical::rfc8785;
use countersign_tuf::{Envelope, Role as _, Snapshot};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(file) = Envelope::<Snapshot>::parse("snapshot", data) else { return };
    let written = [br#"{"signatures":[],"signed":"#, &*rfc8785(file.signed.signed()), b"}"].concat();
    let again = Envelope::<Snapshot>::parse("snapshot", &written).expect("its canonical form parses");
    assert_eq!((again.message(), again.signed), (file.message(), file.signed));
});
