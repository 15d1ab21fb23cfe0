//! Signed notes: what parses is written the same way.
#![no_main]

use countersign_tlog::Note;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(note) = Note::parse(data) else { return };
    assert_eq!(Note::parse(&note.encode()), Ok(note));
});
