//! A repository in a directory, and what an attacker may plant there.

use std::fs;
use std::os::unix::fs::symlink;

use countersign_base::{Explain, code};
use countersign_client::{FileTransport, Transport};

fn repository() -> (tempfile::TempDir, FileTransport) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    fs::create_dir_all(root.join("metadata")).unwrap();
    fs::create_dir_all(root.join(".countersign")).unwrap();
    fs::write(root.join("metadata/1.root.json"), "hello").unwrap();
    fs::write(root.join(".countersign/secret"), "secret").unwrap();
    fs::write(folder.path().join("outside"), "secret").unwrap();
    let transport = FileTransport::new(root);
    (folder, transport)
}

#[test]
fn files_are_read_whole_or_from_an_offset() {
    let (_folder, transport) = repository();
    assert_eq!(transport.get("metadata/1.root.json", 5).unwrap(), b"hello");
    let mut sink = b"he".to_vec();
    let mut seen = 0;
    transport.download("metadata/1.root.json", 5, 2, &mut sink, &mut |done| seen = done).unwrap();
    assert_eq!((sink.as_slice(), seen), (&b"hello"[..], 5));
}

#[test]
fn lengths_are_held_to() {
    let (_folder, transport) = repository();
    let path = "metadata/1.root.json";
    assert_eq!(transport.get(path, 4).unwrap_err().code(), code::FETCH_TOO_LARGE);
    let download = |length| transport.download(path, length, 0, &mut Vec::new(), &mut |_| ());
    assert_eq!(download(4).unwrap_err().code(), code::FETCH_TOO_LARGE);
    assert_eq!(download(6).unwrap_err().code(), code::ARTIFACT_DIGEST_MISMATCH);
    assert_eq!(transport.get("metadata/2.root.json", 5).unwrap_err().code(), code::FETCH_NOT_FOUND);
    assert_eq!(transport.get("metadata/1.root.json/x", 5).unwrap_err().code(), code::FETCH_NOT_FOUND);
    assert_eq!(FileTransport::new("/nonexistent").get("x", 5).unwrap_err().code(), code::FETCH_FAILED);
}

#[test]
fn m16_links_that_lead_out_and_hidden_folders_are_refused() {
    let (folder, transport) = repository();
    let metadata = folder.path().join("repo/metadata");
    symlink("../../outside", metadata.join("out")).unwrap();
    symlink("../.countersign/secret", metadata.join("hidden")).unwrap();
    symlink("..", metadata.join("up")).unwrap();
    symlink("1.root.json", metadata.join("inside")).unwrap();
    assert_eq!(transport.get("metadata/inside", 5).unwrap(), b"hello");
    for bad in [
        "metadata/out",
        "metadata/hidden",
        "metadata/up/.countersign/secret",
        ".countersign/secret",
        "../outside",
        "metadata/../../outside",
    ] {
        assert_eq!(transport.get(bad, 100).unwrap_err().code(), code::TUF_NAME_UNSAFE, "{bad}");
    }
}

#[test]
fn m17_a_fifo_or_folder_is_not_read() {
    let (folder, transport) = repository();
    let fifo = folder.path().join("repo/metadata/fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(transport.get("metadata/fifo", 5).unwrap_err().code(), code::FETCH_FAILED);
    assert_eq!(transport.get("metadata", 5).unwrap_err().code(), code::FETCH_FAILED);
}
