//! D15: several processes on one root.

use std::sync::atomic::{AtomicBool, Ordering};

use countersign_base::code;

use super::*;
use crate::Look;

#[test]
fn d15_one_changes_while_others_look() {
    let place = place(&["1.0.0"]);
    let first = Installer::open(&place.root).unwrap();
    assert_code(Installer::open(&place.root), code::INSTALL_LOCKED);
    assert_active(&place.root, "1.0.0");
    assert_eq!(place.view().fsck(&product()).unwrap(), []);
    drop(first);
    Installer::open(&place.root).unwrap();
}

#[test]
fn d15_losers_are_told_and_the_order_is_one() {
    let place = place(&["1.0.0"]);
    let done: Vec<_> = std::thread::scope(|scope| {
        let one = |index: u32| {
            let root = &place.root;
            scope.spawn(move || install(root, &format!("1.{index}.0")))
        };
        let threads: Vec<_> = (1..20).map(one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let expected = [code::INSTALL_LOCKED, code::INSTALL_DOWNGRADE];
    for error in done.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(expected.contains(&error.code()), "{error}");
    }
    let newest = done.iter().flatten().map(|done| done.generation.version.clone()).max();
    let active = place.view().status(&product(), Look::Files).unwrap().active.version;
    assert_eq!(active, newest.unwrap_or(version("1.0.0")));
    assert_eq!(place.view().fsck(&product()).unwrap(), []);
}

#[test]
fn d15_whoever_looks_sees_one_whole_generation_at_any_time() {
    let place = place(&["1.0.0", "1.1.0"]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let open = place.view().open_verified(&product(), "node").unwrap();
                    let wanted = release(&open.generation.version.to_string());
                    assert_eq!(open.entry.sha256, wanted.releases[0].sha256);
                    place.view().status(&product(), Look::Records).unwrap();
                }
            });
        }
        let work = || -> Result<(), InstallError> {
            for index in 2..12 {
                install(&place.root, &format!("1.{index}.0"))?;
                rollback(&place.root)?;
                Installer::open(&place.root)?.gc(1)?;
            }
            Ok(())
        };
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done.unwrap();
    });
    assert_eq!(place.view().fsck(&product()).unwrap(), []);
}
