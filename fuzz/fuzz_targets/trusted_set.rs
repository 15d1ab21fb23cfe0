//! A client's trusted set, fed files in any order: whatever happens, versions never go down.
//!
//! The input is records: one byte for the step, three for the length (big-endian), then the file. The first
//! record is the first root.
#![no_main]

use countersign_base::Timestamp;
use countersign_tuf::TrustedSet;

const ROLES: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

fn record<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let ([step, length @ ..], after) = rest.split_first_chunk::<4>()?;
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (file, after) = after.split_at(length.min(after.len()));
    *rest = after;
    Some((*step, file))
}

fn versions(set: &TrustedSet) -> [u64; 4] {
    ROLES.map(|role| set.version_and_expiry(role).map_or(0, |(version, _)| version))
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let Some((_, first)) = record(&mut rest) else { return };
    // In the time of the oldest seeds, so that some of them have expired and some have not.
    let Some(now) = Timestamp::from_unix(1_400_000_000) else { return };
    let Ok(mut set) = TrustedSet::new(first, now) else { return };
    while let Some((step, file)) = record(&mut rest) {
        let (before, since) = (versions(&set), set.online_keys_since());
        let taken = match step % 6 {
            0 => set.update_root(file).is_ok(),
            1 => set.update_timestamp(file).is_ok(),
            2 => set.update_snapshot(file).is_ok(),
            3 => set.update_targets(file).is_ok(),
            4 => set.restore_timestamp(file).is_ok(),
            _ => set.restore_snapshot(file).is_ok(),
        };
        let after = versions(&set);
        assert!(taken || before == after, "a refused file changed what is trusted");
        // A root that rotates the online keys begins anew; targets are dropped whenever their parents change.
        let kept = ROLES.iter().zip(before).zip(after).filter(|((role, _), _)| **role != "targets");
        for ((role, before), after) in kept {
            assert!(after >= before || set.online_keys_since() > since, "{role} went back");
        }
    }
});
