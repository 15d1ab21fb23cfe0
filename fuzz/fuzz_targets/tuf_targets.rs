//! Metadata of the type `targets`: what parses is the same when it is written in canonical form and read again.
#![no_main]

use countersign_base::canonical::rfc8785;
use countersign_tuf::{Envelope, Role as _, Targets};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(file) = Envelope::<Targets>::parse("targets", data) else { return };
    let written = [br#"{"signatures":[],"signed":"#, &*rfc8785(file.signed.signed()), b"}"].concat();
    let again = Envelope::<Targets>::parse("targets", &written).expect("its canonical form parses");
    assert_eq!((again.message(), again.signed), (file.message(), file.signed));
});
