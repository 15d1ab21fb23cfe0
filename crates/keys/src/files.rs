//! Key files: bounded reads that judge permissions, and writes through `store` that replace nothing.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use countersign_store::durable::{self, Staged};
use countersign_store::{Disk, StoreError};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::KeysError;

/// Largest key file that is read, in bytes; one with an ML-DSA-65 key has about 4.5 KiB.
pub const MAX_KEY_FILE_BYTES: usize = 16 * 1024;

const DIR_MODE: u32 = 0o700;
/// The bits that let anyone but the owner in.
const OTHERS: u32 = 0o077;
/// The bits that let anyone but the owner change it.
const CHANGE: u32 = 0o022;
/// In a directory: only a file's owner removes or replaces it.
const STICKY: u32 = 0o1000;

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner: mode 0600.
    Owner,
    /// Everyone: mode 0644, less what the umask takes.
    Everyone,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everyone => 0o644,
        }
    }
}

/// The bytes of a document's file at `path`: JSON for people, with a line end.
pub(crate) fn json(document: &impl Serialize, path: &Path) -> Result<Vec<u8>, KeysError> {
    let malformed = |_| KeysError::Malformed { path: path.to_owned(), reason: "it has no JSON form" };
    let mut bytes = serde_json::to_vec_pretty(document).map_err(malformed)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Creates the file, whole and durable. `false` if the name is taken; what is there is left alone.
pub(crate) fn create(disk: &dyn Disk, path: &Path, bytes: &[u8], access: Access) -> Result<bool, KeysError> {
    let mut staged = Staged::create(disk, folder_of(path), access.mode())?;
    staged.write_bytes(bytes)?;
    Ok(staged.create_at(path)?)
}

/// Creates the file or replaces it, whole and durable.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8], access: Access) -> Result<(), KeysError> {
    Ok(durable::write_atomic(disk, path, bytes, access.mode())?)
}

/// The content of a regular file, `None` if it is not there.
///
/// # Errors
/// `key-malformed` above [`MAX_KEY_FILE_BYTES`] or if it is no regular file; for [`Access::Owner`] `key-storage-failed`
/// if anyone but its owner can get at it.
pub(crate) fn read(path: &Path, access: Access) -> Result<Option<Zeroizing<Vec<u8>>>, KeysError> {
    let malformed = |reason| KeysError::Malformed { path: path.to_owned(), reason };
    // Looked at before it is opened, because opening a FIFO would wait for ever.
    match fs::metadata(path) {
        Ok(info) if !info.is_file() => return Err(malformed("it is not a regular file")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeysError::storage("read", path)(error)),
    }
    let file = File::open(path).map_err(KeysError::storage("open", path))?;
    // Looked at again, because only now is it certain to be the file that is read.
    let info = file.metadata().map_err(KeysError::storage("read", path))?;
    let mode = info.permissions().mode() & 0o7777;
    if access == Access::Owner && mode & OTHERS != 0 {
        return Err(KeysError::Exposed { path: path.to_owned(), mode });
    }
    if info.len() > MAX_KEY_FILE_BYTES as u64 {
        return Err(malformed("it is larger than any key file"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE_BYTES + 1));
    file.take(MAX_KEY_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(KeysError::storage("read", path))?;
    if bytes.len() > MAX_KEY_FILE_BYTES {
        return Err(malformed("it is larger than any key file"));
    }
    Ok(Some(bytes))
}

/// Refuses what users other than its owner can change. A directory with the sticky bit is fine: in it they can add
/// files and neither remove nor replace those of others.
///
/// # Errors
/// `key-storage-failed`.
pub(crate) fn check_unchangeable(path: &Path) -> Result<(), KeysError> {
    let info = fs::metadata(path).map_err(KeysError::storage("read", path))?;
    let mode = info.permissions().mode() & 0o7777;
    if mode & CHANGE == 0 || (info.is_dir() && mode & STICKY != 0) {
        return Ok(());
    }
    Err(KeysError::Changeable { path: path.to_owned(), mode })
}

/// Whether there is anything of that name, also a broken link.
pub(crate) fn exists(path: &Path) -> Result<bool, KeysError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(KeysError::storage("read", path)(error)),
    }
}

/// The folder, made durable with mode 0700 unless it is there, with its parents.
pub(crate) fn create_folder(disk: &dyn Disk, path: &Path) -> Result<(), KeysError> {
    let there = path.is_dir();
    durable::create_dir_all(disk, path)?;
    if !there {
        // It is empty still, so nobody has seen a key in it.
        let closed = fs::set_permissions(path, Permissions::from_mode(DIR_MODE));
        closed.map_err(StoreError::io("set the mode of", path))?;
    }
    Ok(())
}

/// The names in a folder that end with `suffix`, without it, sorted; at most `limit`. Hidden files are left out.
pub(crate) fn stems(folder: &Path, suffix: &str, limit: usize) -> Result<Vec<String>, KeysError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(KeysError::storage("read", folder))? {
        let name = entry.map_err(KeysError::storage("read", folder))?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(suffix));
        let Some(stem) = stem.filter(|stem| !stem.is_empty() && !stem.starts_with('.')) else { continue };
        if found.len() == limit {
            return Err(KeysError::TooMany { path: folder.to_owned(), limit });
        }
        found.push(stem.to_owned());
    }
    found.sort();
    Ok(found)
}

/// The folder that a path's last component is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// A file of the directory, by key name.
pub(crate) fn path_in(folder: &Path, name: &str, suffix: &str) -> PathBuf {
    folder.join(format!("{name}{suffix}"))
}
