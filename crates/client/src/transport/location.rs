//! Where a repository is: a directory of this machine, or a URL.

use std::ffi::OsString;
use std::fmt;
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use countersign_base::loopback::is_loopback;
use countersign_base::text::{percent_decode, without_password};

use super::FetchError;

/// Longest URL that is read, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// A place that a repository can be fetched from. Displays as it is stored and as it parses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// An absolute directory, given as a path or as `file://` URL.
    Directory(PathBuf),
    /// A server.
    Http(BaseUrl),
}

/// `https://HOST[:PORT]/PATH/`, or plain `http` on this very machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// Scheme, host and port in lower case, without a slash at the end.
    origin: String,
    /// Begins and ends with `/`, percent-encoded.
    path: String,
    tls: bool,
}

impl BaseUrl {
    /// The URL of a file below; `relative` is percent-encoded already.
    pub(super) fn join(&self, relative: &str) -> String {
        format!("{}{}{relative}", self.origin, self.path)
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it is `https`.
    pub(super) const fn is_tls(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(root) => f.write_str("file://").and_then(|()| encode_path(root, f)),
            Self::Http(url) => url.fmt(f),
        }
    }
}

impl FromStr for Location {
    type Err = FetchError;

    fn from_str(text: &str) -> Result<Self, FetchError> {
        let refused = |reason| refused(text, reason);
        if text.len() > MAX_URL_BYTES {
            return Err(refused("it is too long"));
        }
        if text.chars().any(|c| c.is_control()) {
            return Err(refused("it has a control character"));
        }
        if text.starts_with('/') {
            return Ok(Self::Directory(PathBuf::from(text)));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(refused("it is neither a URL nor an absolute directory"));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => parse_file_url(rest).map(Self::Directory).map_err(refused),
            "https" => parse_http(text, "https", rest).map(Self::Http),
            "http" => parse_http(text, "http", rest).map(Self::Http),
            _ => Err(refused("only https, http on this machine, and file are fetched from")),
        }
    }
}

impl FromStr for BaseUrl {
    type Err = FetchError;

    fn from_str(text: &str) -> Result<Self, FetchError> {
        match text.parse()? {
            Location::Http(url) => Ok(url),
            Location::Directory(_) => Err(refused(text, "it is not an http or https URL")),
        }
    }
}

fn refused(url: &str, reason: &'static str) -> FetchError {
    // Whatever it is, it may hold a password.
    let url = without_password(url);
    FetchError::UrlRefused { url: url.chars().take(200).collect(), reason }
}

fn parse_http(text: &str, scheme: &str, rest: &str) -> Result<BaseUrl, FetchError> {
    let refused = |reason| refused(text, reason);
    if !rest.is_ascii() || rest.contains([' ', '\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
        return Err(refused("it has a character that must be percent-encoded"));
    }
    if rest.contains(['?', '#']) {
        return Err(refused("it has a query or fragment"));
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(refused("it has a user name or password"));
    }
    let (host, port) = split_port(authority).ok_or_else(|| refused("its host or port is malformed"))?;
    let tls = scheme == "https";
    if !tls && !is_loopback(host) {
        return Err(FetchError::TlsRequired { url: text.to_owned() });
    }
    let decoded = percent_decode(path).ok_or_else(|| refused("its path has a bad percent-encoding"))?;
    if decoded.split(|&byte| byte == b'/').any(|component| component == b"." || component == b"..") {
        return Err(refused("its path has `.` or `..`"));
    }
    let origin = format!("{scheme}://{}{port}", host.to_ascii_lowercase());
    let path = format!("{}/", path.trim_end_matches('/'));
    Ok(BaseUrl { origin, path, tls })
}

/// Host, and `:PORT` or nothing.
fn split_port(authority: &str) -> Option<(&str, &str)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(end);
    let host_is_good = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            !host.is_empty()
                && host.len() <= 253
                && host.bytes().all(allowed)
                && !host.starts_with(['.', '-'])
        }
    };
    let port_is_good = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => {
            digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0)
        }
    };
    (host_is_good && port_is_good).then_some((host, port))
}

/// The path of `file://[localhost]/DIR`, RFC 8089.
fn parse_file_url(rest: &str) -> Result<PathBuf, &'static str> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err("a file URL is file:///DIR, of this machine");
    }
    if path.contains(['?', '#']) {
        return Err("it has a query or fragment");
    }
    let bytes = percent_decode(path).ok_or("it has a bad percent-encoding")?;
    if bytes.contains(&0) {
        return Err("it has a zero byte");
    }
    Ok(OsString::from_vec(bytes).into())
}

/// Percent-encodes all but RFC 3986's unreserved characters and `/`.
///
/// A `%` of the file's name is encoded too: the file `1.a%2fb.json` is fetched as `1.a%252fb.json` (M16).
/// `+` is as well, since some object stores read it as a space.
pub(super) fn percent_encode(bytes: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.write_char(char::from(byte))?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}

fn encode_path(path: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    percent_encode(path.as_os_str().as_encoded_bytes(), f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_base::{Explain, code};

    #[test]
    fn places_to_fetch_from_round_trip() {
        for (text, shown) in [
            ("/srv/repo", "file:///srv/repo"),
            ("file:///srv/my%20repo", "file:///srv/my%20repo"),
            ("file://localhost/srv", "file:///srv"),
            ("https://example.org", "https://example.org/"),
            ("HTTPS://Example.org:8443/a/b", "https://example.org:8443/a/b/"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("http://127.8.9.1/x//", "http://127.8.9.1/x/"),
            ("http://[::1]:80/", "http://[::1]:80/"),
            ("http://localhost:1/", "http://localhost:1/"),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), shown);
            assert_eq!(shown.parse::<Location>().unwrap(), location);
        }
    }

    #[test]
    fn d02_urls_that_are_never_fetched() {
        for bad in [
            "ftp://example.org/",
            "gopher://127.0.0.1/",
            "https://user:pass@example.org/",
            "https://user@example.org/",
            "https://example.org/?q",
            "https://example.org/#f",
            "https:///x",
            "https://exa mple.org/",
            "https://example.org:0/",
            "https://example.org:99999/",
            "https://example.org:80:80/",
            "https://[::1/",
            "https://[zz]/",
            "https://example.org/a/%2e%2e/b",
            "https://example.org/../b",
            "https://example.org/%zz",
            "https://example.org\\@127.0.0.1/",
            "file://example.org/x",
            "file:///x%00",
            "repo",
            "./repo",
            "",
            "https://exämple.org/",
            "https://example.org/\u{202e}",
            "https://example.org/\n",
        ] {
            let error = bad.parse::<Location>().unwrap_err();
            assert_eq!(error.code(), code::FETCH_URL_REFUSED, "{bad}");
            assert!(!error.to_string().contains("user:pass"), "{error}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for bad in [
            "http://example.org/",
            "http://10.0.0.1/",
            "http://169.254.169.254/latest",
            "http://127.1/",
            "http://0x7f.0.0.1/",
            "http://localhost.example.org/",
            "http://127.0.0.1.example.org/",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
        ] {
            let error = bad.parse::<Location>().unwrap_err();
            assert_eq!(error.code(), code::FETCH_TLS_REQUIRED, "{bad}");
        }
    }
}
