//! The few file operations that keys need: bounded reads, and writes that survive power loss and replace nothing.
//!
//! A file is written under a temporary name in the same folder (`O_EXCL`), synced, given its name only if that is
//! free (`RENAME_NOREPLACE`, or a hard link where the file system lacks it), and the folder is synced. A crash leaves
//! either nothing but a temporary file, or the whole file. The `store` crate does this for everything else; it comes
//! after this one in the order of crates, so it cannot be used here.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::KeysError;

/// Largest key file that is read, in bytes; one with an ML-DSA-65 key has about 4.5 KiB.
pub const MAX_KEY_FILE_BYTES: usize = 16 * 1024;

/// Names of unfinished files begin so; no key name does.
const TEMP_PREFIX: &str = ".tmp-";
const DIR_MODE: u32 = 0o700;
/// The bits that let anyone but the owner in.
const OTHERS: u32 = 0o077;

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner: mode 0600.
    Owner,
    /// Everyone: mode 0644, less what the umask takes.
    Everyone,
}

/// Creates the file, whole and durable. `false` if the name is taken; what is there is left alone.
pub(crate) fn create(path: &Path, bytes: &[u8], access: Access) -> Result<bool, KeysError> {
    let folder = folder_of(path);
    let mode = if access == Access::Owner { 0o600 } else { 0o644 };
    let mut file = tempfile::Builder::new()
        .prefix(TEMP_PREFIX)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)
        .map_err(KeysError::storage("write to", folder))?;
    file.write_all(bytes).map_err(KeysError::storage("write", path))?;
    file.as_file().sync_all().map_err(KeysError::storage("sync", path))?;
    match file.persist_noclobber(path) {
        Ok(_) => sync_folder(folder).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(KeysError::storage("create", path)(error.error)),
    }
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

/// Whether there is anything of that name, also a broken link.
pub(crate) fn exists(path: &Path) -> Result<bool, KeysError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(KeysError::storage("read", path)(error)),
    }
}

/// The folder, made with mode 0700 and durable, with its parents, unless it is there.
pub(crate) fn create_folder(path: &Path) -> Result<(), KeysError> {
    if path.exists() && !path.is_dir() {
        return Err(KeysError::storage("create", path)(io::ErrorKind::NotADirectory.into()));
    }
    let mut missing: Vec<&Path> = Vec::new();
    let mut at = path;
    // An empty path has no folder to go on with; creating it gives the system's error.
    while !at.exists() && !missing.contains(&at) {
        missing.push(at);
        at = folder_of(at);
    }
    for folder in missing.into_iter().rev() {
        match fs::DirBuilder::new().mode(DIR_MODE).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(KeysError::storage("create", folder)(error));
            }
            _ => sync_folder(folder_of(folder))?,
        }
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

fn sync_folder(path: &Path) -> Result<(), KeysError> {
    let file = File::open(path).map_err(KeysError::storage("open", path))?;
    file.sync_all().map_err(KeysError::storage("sync", path))
}

/// A file of the directory, by key name.
pub(crate) fn path_in(folder: &Path, name: &str, suffix: &str) -> PathBuf {
    folder.join(format!("{name}{suffix}"))
}
