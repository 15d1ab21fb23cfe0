//! D01: what a server may send, and what is kept of it.

use countersign_base::code;

use super::*;

/// One program of 10,000 bytes, not installed anywhere.
fn program() -> (Release, Vec<u8>) {
    let content: Vec<u8> = (0..10_000_u32).map(|index| (index % 251) as u8).collect();
    (one("1.0.0", "node", FileMode::Executable, &content), content)
}

fn incoming<'i>(installer: &'i Installer, release: &Release) -> crate::Incoming<'i> {
    installer.receive_release(release).unwrap().expect("the store cannot hold it")
}

#[test]
fn d01_wrong_bytes_are_refused_and_nothing_of_them_is_kept() {
    let (release, content) = program();
    let mut flipped = content.clone();
    flipped[5_000] ^= 1;
    let cases = [
        ("bit flip", flipped, code::ARTIFACT_DIGEST_MISMATCH),
        ("truncated", content[..9_999].to_vec(), code::ARTIFACT_DIGEST_MISMATCH),
        ("empty", Vec::new(), code::ARTIFACT_DIGEST_MISMATCH),
        ("appended", [&content[..], b"x"].concat(), code::FETCH_TOO_LARGE),
    ];
    let place = place(&[]);
    let installer = Installer::open(&place.root).unwrap();
    for (case, sent, code) in cases {
        assert_code(take_in(&installer, &release, &sent), code);
        assert_eq!(fs::read_dir(place.join(".countersign/store")).unwrap().count(), 0, "{case}");
        // The honest twin, without cleaning up, from the start.
        assert!(take_in(&installer, &release, &content).unwrap(), "{case}");
        fs::remove_file(place.join(".countersign/store").join(format!("{}-x", release.sha256))).unwrap();
    }
}

#[test]
fn d01_an_endless_file_is_refused_at_the_first_byte_too_many() {
    let (release, content) = program();
    let place = place(&[]);
    let installer = Installer::open(&place.root).unwrap();
    let mut incoming = incoming(&installer, &release);
    incoming.write_all(&content).unwrap();
    assert!(incoming.write_all(b"x").is_err());
    assert!(incoming.write_all(b"x").is_err());
    // Dropped rather than finished: nothing is kept either.
    drop(incoming);
    assert_eq!(leftovers(&place.root), Vec::<PathBuf>::new());
}

#[test]
fn d01_an_interrupted_download_goes_on_where_it_stopped() {
    let (release, content) = program();
    let place = place(&[]);
    let installer = Installer::open(&place.root).unwrap();
    let mut first = incoming(&installer, &release);
    first.write_all(&content[..6_000]).unwrap();
    drop(first);
    drop(installer);
    let installer = Installer::open(&place.root).unwrap();
    let mut second = incoming(&installer, &release);
    assert_eq!((second.resumed_from(), second.written(), second.length()), (6_000, 6_000, 10_000));
    second.write_all(&content[6_000..]).unwrap();
    second.finish().unwrap();
    assert!(!take_in(&installer, &release, &[]).unwrap(), "now it is held");
    assert_eq!(leftovers(&place.root), Vec::<PathBuf>::new());
}

#[test]
fn d01_the_final_digest_decides_over_a_resumed_download() {
    let (release, content) = program();
    let place = place(&[]);
    let installer = Installer::open(&place.root).unwrap();
    let partial = place.join(".countersign/store").join(format!("{}.partial", release.sha256));
    // The part from before has other bytes: refused, removed, and the next time everything is sent again.
    fs::write(&partial, [b"y", &content[1..6_000]].concat()).unwrap();
    assert_code(take_in(&installer, &release, &content), code::ARTIFACT_DIGEST_MISMATCH);
    assert!(take_in(&installer, &release, &content).unwrap());
    fs::remove_file(place.join(".countersign/store").join(format!("{}-x", release.sha256))).unwrap();
    // Or at once, with `restart`.
    fs::write(&partial, [b"y", &content[1..6_000]].concat()).unwrap();
    let mut again = incoming(&installer, &release);
    assert_eq!(again.resumed_from(), 6_000);
    again.restart().unwrap();
    assert_eq!(again.resumed_from(), 0);
    again.write_all(&content).unwrap();
    again.finish().unwrap();
}

#[test]
fn d01_a_part_that_cannot_be_ours_is_not_resumed() {
    let (release, content) = program();
    let place = place(&[]);
    let installer = Installer::open(&place.root).unwrap();
    let store = place.join(".countersign/store");
    let partial = store.join(format!("{}.partial", release.sha256));
    let outside = place.join("outside");
    fs::write(&outside, &content[..100]).unwrap();
    let plants: [(&str, &dyn Fn()); 4] = [
        ("too long", &|| fs::write(&partial, vec![0; 10_001]).unwrap()),
        ("a link", &|| std::os::unix::fs::symlink(&outside, &partial).unwrap()),
        ("a second name", &|| fs::hard_link(&outside, &partial).unwrap()),
        ("a folder", &|| fs::create_dir(&partial).unwrap()),
    ];
    for (case, plant) in plants {
        plant();
        assert_eq!(incoming(&installer, &release).resumed_from(), 0, "{case}");
        assert!(take_in(&installer, &release, &content).unwrap(), "{case}");
        assert_eq!(fs::read(&outside).unwrap(), &content[..100], "{case}: nothing outside was written");
        fs::remove_file(store.join(format!("{}-x", release.sha256))).unwrap();
    }
}

#[test]
fn content_at_hand_is_not_sent_again_and_bad_content_is() {
    let place = place(&["1.0.0"]);
    let installer = Installer::open(&place.root).unwrap();
    let fixture = release("1.0.0");
    assert!(!take_in(&installer, &fixture.releases[0], &[]).unwrap());
    // Same length and mode, other bytes.
    let stored = place.join(".countersign/store").join(format!("{}-x", fixture.releases[0].sha256));
    fs::remove_file(&stored).unwrap();
    fs::write(&stored, vec![b'z'; fixture.contents[0].len()]).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&stored, fs::Permissions::from_mode(0o555)).unwrap();
    assert!(take_in(&installer, &fixture.releases[0], &fixture.contents[0]).unwrap());
    assert_eq!(fs::read(&stored).unwrap(), fixture.contents[0]);
}

#[test]
fn the_same_content_with_the_other_mode_is_copied_not_sent() {
    let place = place(&["1.0.0"]);
    let installer = Installer::open(&place.root).unwrap();
    let fixture = release("1.0.0");
    let mut plain = fixture.releases[0].clone();
    plain.mode = FileMode::Plain;
    assert!(!take_in(&installer, &plain, &[]).unwrap());
    assert_eq!(place.view().fsck_store().unwrap(), []);
    assert!(place.join(".countersign/store").join(plain.sha256.to_string()).exists());
}

#[test]
fn an_empty_file_can_be_released() {
    let place = place(&[]);
    let empty = files("1.0.0", vec![("node", FileMode::Plain, Vec::new())]);
    install_with(&mut Installer::open(&place.root).unwrap(), &empty, &request()).unwrap();
    assert_eq!(fs::read(place.join("node/current/node")).unwrap(), b"");
}
