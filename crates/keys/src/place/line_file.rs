//! Files that hold a secret a line: a PIN, bearer tokens.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

/// Largest such file, in bytes.
pub(super) const MAX_BYTES: usize = 8 * 1024;
/// The bits that let users other than owner and group in.
const OTHERS: u32 = 0o007;

/// The first line, without its line break.
///
/// # Errors
/// What is wrong, never a part of the content.
pub(super) fn first_line(path: &Path) -> Result<Zeroizing<String>, &'static str> {
    match text(path)?.lines().next() {
        None | Some("") => Err("its first line is empty"),
        Some(line) => Ok(Zeroizing::new(line.to_owned())),
    }
}

/// The whole text. The bytes are counted as they are read: a pipe or a device does not say how many it has.
///
/// # Errors
/// As [`first_line`].
pub(super) fn text(path: &Path) -> Result<Zeroizing<String>, &'static str> {
    let file = File::open(path).map_err(|_| "it cannot be opened")?;
    let info = file.metadata().map_err(|_| "it cannot be looked at")?;
    if info.is_dir() {
        return Err("it is a directory");
    }
    if info.permissions().mode() & OTHERS != 0 {
        return Err("every user of this machine can get at it");
    }
    // All of its room at once: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES + 1));
    file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(|_| "it cannot be read as text")?;
    if text.len() > MAX_BYTES { Err("it is too long") } else { Ok(text) }
}
