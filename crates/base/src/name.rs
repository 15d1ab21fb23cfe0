//! Names of products, versions, platforms, files, keys and people: parsed once, safe in paths and on terminals after.

use core::fmt;
use core::str::FromStr;

use crate::code::{self, Code, Explain};

/// Longest product, channel, repository, key or holder's name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest file name of a release, in bytes; leaves room for a digest in front of it.
pub const MAX_FILE_NAME_BYTES: usize = 128;
/// Longest version, in bytes.
pub const MAX_VERSION_BYTES: usize = 64;

/// A name that cannot be used; says which kind and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{}` cannot be used: {reason}", crate::text::escape(.text))]
pub struct NameError {
    kind: &'static str,
    text: String,
    reason: &'static str,
}

/// The text that was refused, shortened; without a password, where a URL was given for a name (attack D04).
fn shown(text: &str) -> String {
    // Before it is shortened, or the password's end could be cut off.
    crate::text::without_password(text).chars().take(80).collect()
}

impl Explain for NameError {
    fn code(&self) -> Code {
        code::NAME_INVALID
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(reason) => Err(NameError { kind: $kind, text: shown(text), reason }),
                }
            }
        }
    };
}

name!(
    /// A product: `[a-z0-9][a-z0-9._-]*`, also the name of its TUF role. Never a top-level role's name.
    ProductName,
    "product name",
    check_product
);
name!(
    /// A name that the user gives a repository: same characters as a product.
    RepoName,
    "repository name",
    check_simple
);
name!(
    /// A release channel such as `stable`: same characters as a product.
    Channel,
    "channel",
    check_simple
);
name!(
    /// A key in a keys directory, where it begins the names of files: same characters as a product.
    KeyName,
    "key name",
    check_simple
);
name!(
    /// A file of a release: one path component of printable ASCII without separators or spaces.
    FileName,
    "file name",
    check_file
);

fn check_simple(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > MAX_NAME_BYTES {
        return Err("it is longer than 64 characters");
    }
    if !text.as_bytes()[0].is_ascii_alphanumeric() {
        return Err("it must begin with a letter or digit");
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if !text.bytes().all(allowed) {
        return Err("only a-z, 0-9, `.`, `_` and `-` are allowed");
    }
    if text.contains("..") {
        return Err("it contains `..`");
    }
    Ok(())
}

/// Whether a text can name the holder of keys, a person or a machine: 1 to [`MAX_NAME_BYTES`] characters of printable
/// ASCII without spaces at its ends or two in a row, so that no two names look alike, and without commas, semicolons,
/// quotes and brackets, so that one name never looks like two in a list or like something said about it.
pub fn is_holder(text: &str) -> bool {
    let allowed = |byte: u8| byte == b' ' || (byte.is_ascii_graphic() && !b",;\"'`()[]{}<>".contains(&byte));
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(allowed)
        && text.trim() == text
        && !text.contains("  ")
}

fn check_product(text: &str) -> Result<(), &'static str> {
    check_simple(text)?;
    // A digit and a dot in front would make `N.<role>.json` ambiguous (attack M16).
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && text.as_bytes().get(digits) == Some(&b'.') {
        return Err("it begins with a number and a dot");
    }
    if matches!(text, "root" | "targets" | "snapshot" | "timestamp") {
        return Err("it is the name of a TUF top-level role");
    }
    Ok(())
}

fn check_file(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > MAX_FILE_NAME_BYTES {
        return Err("it is longer than 128 characters");
    }
    if text.starts_with(['.', '-']) {
        return Err("it begins with `.` or `-`");
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-+@=,~".contains(&b);
    if !text.bytes().all(allowed) {
        return Err("only ASCII letters, digits and ._-+@=,~ are allowed");
    }
    Ok(())
}

/// A semantic version, <https://semver.org>. Displays as it was written; orders by precedence.
///
/// Build metadata (`+...`) is refused: two versions that differ only by it would have equal precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(semver::Version);

impl Version {
    /// Whether it has a pre-release part such as `-rc.1`.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Version {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = |reason| NameError { kind: "version", text: shown(text), reason };
        if text.len() > MAX_VERSION_BYTES {
            return Err(error("it is longer than 64 characters"));
        }
        let version =
            semver::Version::parse(text).map_err(|_| error("it is not a semantic version such as 1.4.0"))?;
        if !version.build.is_empty() {
            return Err(error("build metadata after `+` has no place in the order of versions"));
        }
        Ok(Self(version))
    }
}

/// An operating system and architecture, `linux/amd64`; in paths `linux-amd64`.
///
/// Two or three parts of `[a-z0-9_]`, so that the path form reads back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform(String);

impl Platform {
    /// The form used as one path component: `linux-amd64`.
    pub fn path_component(&self) -> String {
        self.0.replace('/', "-")
    }

    /// Reads the path form.
    pub fn from_path_component(text: &str) -> Result<Self, NameError> {
        if text.contains('/') {
            return Err(Self::error(text));
        }
        text.replace('-', "/").parse()
    }

    fn error(text: &str) -> NameError {
        NameError { kind: "platform", text: shown(text), reason: "it must be OS/ARCH such as linux/amd64" }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Platform {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let parts = text.split('/').count();
        if text.len() > MAX_NAME_BYTES || !(2..=3).contains(&parts) || !text.split('/').all(part) {
            return Err(Self::error(text));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Where a release's file stands among a repository's targets.
///
/// `<product>/<version>/<platform>/<name>`, the TUF target path; on disk and on the wire the name has the
/// file's SHA-256 in front (consistent snapshots, TUF 1.0.34 section 6.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath {
    /// Product, first component.
    pub product: ProductName,
    /// Version, second component.
    pub version: Version,
    /// Platform, third component, with `-` for `/`.
    pub platform: Platform,
    /// File name, last component.
    pub name: FileName,
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.product, self.version, self.platform.path_component(), self.name)
    }
}

impl FromStr for TargetPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parts: Vec<&str> = text.split('/').collect();
        let [product, version, platform, name] = parts[..] else {
            return Err(NameError {
                kind: "target path",
                text: shown(text),
                reason: "it must be product/version/platform/name",
            });
        };
        let path = Self {
            product: product.parse()?,
            version: version.parse()?,
            platform: Platform::from_path_component(platform)?,
            name: name.parse()?,
        };
        debug_assert_eq!(path.to_string(), text);
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_have_names_that_do_not_look_alike() {
        for good in ["alice", "Bob Builder", "a@b.example", "x", &"x".repeat(64)] {
            assert!(is_holder(good), "{good}");
        }
        for bad in
            ["alice, bob", "alice; bob", "alice (signed)", "a\"b", "a'b", "a`b", "[a]", "{a}", "<a>", "a  b"]
        {
            assert!(!is_holder(bad), "{bad:?}");
        }
        for bad in ["", " ", " alice", "alice ", "al\u{430}ce", "a\nb", "a\u{1b}[31m", &"x".repeat(65)] {
            assert!(!is_holder(bad), "{bad:?}");
        }
    }

    #[test]
    fn target_paths_round_trip() {
        let text = "node/1.4.0-rc.1/linux-amd64/node.tar.gz";
        let path: TargetPath = text.parse().unwrap();
        assert_eq!(path.to_string(), text);
        assert_eq!(path.platform.to_string(), "linux/amd64");
        assert!(path.version.is_prerelease());
    }

    #[test]
    fn unsafe_names_are_refused() {
        for bad in ["", "..", "../x", "/x", "a/b", "a\\b", "a\0", "A", "1.root", "root", ".x", "a..b", "é"] {
            assert!(bad.parse::<ProductName>().is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "-x", "a/b", "a\\b", "a b", "a\n", "c:x", "é"] {
            assert!(bad.parse::<FileName>().is_err(), "{bad:?}");
        }
        for bad in ["1", "1.0", "v1.0.0", "1.0.0+b", "01.0.0", ""] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
        }
        for bad in ["linux", "linux/", "linux/AMD64", "a/b/c/d", "linux-amd64", "linux/x-y"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
        assert_eq!("7zip".parse::<ProductName>().unwrap().as_str(), "7zip");
    }

    #[test]
    fn a_url_that_is_no_name_is_told_without_its_password() {
        let long = "s3cret".repeat(40);
        for url in
            [format!("https://u:{long}@host/"), format!("https://{long}@host/"), format!("u:{long}@host")]
        {
            for told in [
                url.parse::<RepoName>().unwrap_err().to_string(),
                url.parse::<Version>().unwrap_err().to_string(),
                url.parse::<Platform>().unwrap_err().to_string(),
                url.parse::<TargetPath>().unwrap_err().to_string(),
            ] {
                assert!(!told.contains("s3cret"), "{told}");
            }
        }
        let told = "Acme".parse::<RepoName>().unwrap_err().to_string();
        assert!(told.contains("`Acme`"), "{told}");
    }

    #[test]
    fn versions_order_by_precedence() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("1.0.0-rc.2") < version("1.0.0-rc.10"));
        assert!(version("1.0.0-rc.10") < version("1.0.0"));
        assert!(version("1.9.0") < version("1.10.0"));
    }
}
