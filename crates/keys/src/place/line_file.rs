//! A secret that is the first line of a file: a PIN, a bearer token.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

/// Largest such file, in bytes.
pub(super) const MAX_BYTES: usize = 8 * 1024;
/// The bits that let users other than owner and group in.
const OTHERS: u32 = 0o007;

/// The first line, without its line break. The bytes are counted as they are read: a pipe or a device does not say how
/// many it has.
///
/// # Errors
/// What is wrong, never a part of the content.
pub(super) fn first_line(path: &Path) -> Result<Zeroizing<String>, &'static str> {
    let file = File::open(path).map_err(|_| "it cannot be opened")?;
    let info = file.metadata().map_err(|_| "it cannot be looked at")?;
    if info.is_dir() {
        return Err("it is a directory");
    }
    if info.permissions().mode() & OTHERS != 0 {
        return Err("every user of this machine can get at it");
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|_| "it cannot be read")?;
    if bytes.len() > MAX_BYTES {
        return Err("it is too long");
    }
    let text = core::str::from_utf8(&bytes).map_err(|_| "it is not text")?;
    match text.lines().next() {
        None | Some("") => Err("its first line is empty"),
        Some(line) => Ok(Zeroizing::new(line.to_owned())),
    }
}
