//! Names in metadata as file names and URL paths.
//!
//! Role names are free text (specification 4.5); as python-tuf's client does, all but the unreserved characters of
//! RFC 3986 are percent-encoded, `/` too, so that no name leaves its folder (attack M16).

use crate::error::TufError;
use crate::limits::{MAX_PATH_BYTES, MAX_ROLE_NAME_BYTES};
use crate::metadata::TOP_LEVEL;

/// The file of `role` below the metadata folder: `7.node.json`, or `node.json` without a version.
///
/// # Errors
/// `tuf-name-unsafe` for a name that [`check_role`] refuses.
pub fn file_name(role: &str, version: Option<u64>) -> Result<String, TufError> {
    if !TOP_LEVEL.contains(&role) {
        check_role(role)?;
    }
    let name = encode(role);
    Ok(version.map_or_else(|| format!("{name}.json"), |version| format!("{version}.{name}.json")))
}

/// Refuses a delegated role's name that could be confused with another file, on any file system.
///
/// # Errors
/// `tuf-role-confusion` for a top-level role's name in any case, `tuf-name-unsafe` for an empty or overlong name,
/// control characters, or a number and a dot in front (`1.root` would be read as root's version 1).
pub fn check_role(name: &str) -> Result<(), TufError> {
    let unsafe_name = |reason| Err(TufError::UnsafeName { name: name.chars().take(80).collect(), reason });
    if TOP_LEVEL.iter().any(|role| role.eq_ignore_ascii_case(name)) {
        return Err(TufError::ReservedName(name.to_owned()));
    }
    if name.is_empty() {
        return unsafe_name("it is empty");
    }
    if name.len() > MAX_ROLE_NAME_BYTES || encode(name).len() > MAX_ROLE_NAME_BYTES {
        return unsafe_name("it is too long for a file name");
    }
    if name.chars().any(char::is_control) {
        return unsafe_name("it has control characters");
    }
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && name.as_bytes().get(digits) == Some(&b'.') {
        return unsafe_name("it begins with a number and a dot");
    }
    Ok(())
}

/// Where the bytes of a target are below the targets folder, percent-encoded for a URL.
///
/// With consistent snapshots (specification 6.2) the file name has one of the target's digests in front, in hex; see
/// [`crate::TrustedSet::wanted_target`].
///
/// # Errors
/// `tuf-name-unsafe` for a path that [`check_target`] refuses.
pub fn target_url_path(path: &str, digest: Option<&str>) -> Result<String, TufError> {
    check_target(path)?;
    let (folder, name) = path.rsplit_once('/').map_or((None, path), |(folder, name)| (Some(folder), name));
    let mut out = String::new();
    for part in folder.iter().flat_map(|folder| folder.split('/')) {
        out.push_str(&encode(part));
        out.push('/');
    }
    if let Some(digest) = digest {
        out.push_str(&format!("{digest}."));
    }
    out.push_str(&encode(name));
    Ok(out)
}

/// Refuses a target path that could name a file elsewhere: absolute, with `.`, `..` or empty parts, backslashes,
/// drive letters or control characters.
///
/// # Errors
/// `tuf-name-unsafe`.
pub fn check_target(path: &str) -> Result<(), TufError> {
    let unsafe_name = |reason| Err(TufError::UnsafeName { name: path.chars().take(80).collect(), reason });
    if path.len() > MAX_PATH_BYTES {
        return unsafe_name("it is too long");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return unsafe_name("it has backslashes or control characters");
    }
    if path.as_bytes().get(1) == Some(&b':') {
        return unsafe_name("it begins with a drive letter");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return unsafe_name("it is absolute or has empty, `.` or `..` parts");
    }
    Ok(())
}

/// Percent-encodes all but RFC 3986's unreserved characters, as Python's `quote(name, safe="")`.
fn encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_encoded_as_python_does() {
        for (name, file) in [
            ("node", "3.node.json"),
            ("?", "3.%3F.json"),
            ("#", "3.%23.json"),
            ("/delegatedrole", "3.%2Fdelegatedrole.json"),
            ("../delegatedrole", "3...%2Fdelegatedrole.json"),
            ("a\\b", "3.a%5Cb.json"),
            ("c:x", "3.c%3Ax.json"),
            ("..%2f", "3...%252f.json"),
            ("é~", "3.%C3%A9~.json"),
        ] {
            assert_eq!(file_name(name, Some(3)).as_deref(), Ok(file));
        }
        assert_eq!(file_name("root", Some(1)).as_deref(), Ok("1.root.json"));
        assert_eq!(file_name("timestamp", None).as_deref(), Ok("timestamp.json"));
    }

    #[test]
    fn confusable_role_names_are_refused() {
        for name in ["", "1.root", "12.x", "a\0b", "a\n", &"x".repeat(161), &"é".repeat(60)] {
            assert!(matches!(check_role(name), Err(TufError::UnsafeName { .. })), "{name:?}");
        }
        for name in ["root", "Targets", "SNAPSHOT", "timestamp"] {
            assert!(matches!(check_role(name), Err(TufError::ReservedName(_))), "{name}");
        }
        for name in ["1root", "v1.2", "7zip", "a.1.b"] {
            assert_eq!(check_role(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn target_paths_stay_below_their_folder() {
        let path = target_url_path("node/1.0.0/a b", Some("abab")).unwrap();
        assert_eq!(path, "node/1.0.0/abab.a%20b");
        assert_eq!(target_url_path("x", None).as_deref(), Ok("x"));
        for bad in ["", "/x", "x/", "a//b", "../x", "a/../b", "a/./b", "a\\b", "a\0", "c:x", "a\n"] {
            assert!(target_url_path(bad, None).is_err(), "{bad:?}");
        }
    }
}
