//! Which file a request means, and how its answer may be cached. Pure.
//!
//! Layout of a repository: design section 2. Tiles: <https://c2sp.org/tlog-tiles>, whose content types and
//! caching these are.

use countersign_base::text::percent_decode;

/// Longest request path.
const MAX_PATH_BYTES: usize = 2048;

/// Folders that are served; all else in a repository's directory is the publisher's own.
const PUBLIC_FOLDERS: [&str; 4] = ["metadata", "targets", "attestations", "log"];

/// `Cache-Control` of what never changes.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const LINES: &str = "application/jsonl; charset=utf-8";
const BINARY: &str = "application/octet-stream";

/// A file of a repository, by its path below the repository's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Checked components: none is empty, hidden, `.` or `..`, or has a separator.
    pub(crate) components: Vec<String>,
    pub(crate) content_type: &'static str,
    /// Whether the bytes at this path never change.
    pub(crate) immutable: bool,
    /// The SHA-256 that the name of a target begins with.
    pub(crate) digest: Option<String>,
}

impl Resource {
    /// From a request's path as it is on the wire; `None` for what no repository serves.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        if path.len() > MAX_PATH_BYTES {
            return None;
        }
        let mut components = Vec::new();
        for component in path.strip_prefix('/')?.split('/') {
            // Decoded once, after splitting: `%2f` and `%2e%2e` are characters of a name that has no place here.
            let component = String::from_utf8(percent_decode(component)?).ok()?;
            let hidden = component.is_empty() || component.starts_with('.');
            if hidden || component.contains(['/', '\\']) || component.chars().any(char::is_control) {
                return None;
            }
            components.push(component);
        }
        let (folder, name) = (components.first()?.as_str(), components.last()?.as_str());
        if components.len() < 2 || !PUBLIC_FOLDERS.contains(&folder) {
            return None;
        }
        let digest = (folder == "targets").then(|| digest_prefix(name)).flatten();
        let (content_type, immutable) = match folder {
            // Proofs are written anew when the policy changes; attestations can arrive at any time.
            "metadata" if name.ends_with(".tlog-proof") => (TEXT, false),
            "metadata" => (JSON, begins_with_version(name)),
            "attestations" => (LINES, false),
            "log" if components[1] == "tile" => (BINARY, true),
            "log" => (TEXT, false),
            _ => (BINARY, digest.is_some()),
        };
        Some(Self { components, content_type, immutable, digest })
    }

    /// Value of `Cache-Control`.
    pub(crate) const fn cache_control(&self) -> &'static str {
        if self.immutable { IMMUTABLE } else { "no-cache" }
    }
}

/// `12.snapshot.json`: consistent snapshots put the version in front (TUF 1.0.34 section 6.2).
fn begins_with_version(name: &str) -> bool {
    name.split_once('.')
        .is_some_and(|(digits, _)| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// `<sha256>.<name>`.
fn digest_prefix(name: &str) -> Option<String> {
    let (digest, _) = name.split_once('.')?;
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (digest.len() == 64 && digest.bytes().all(is_hex)).then(|| digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_and_how_long_it_may_be_cached() {
        let digest = "ab".repeat(32);
        for (path, content_type, immutable) in [
            ("/metadata/1.root.json", JSON, true),
            ("/metadata/12.7zip.json", JSON, true),
            ("/metadata/timestamp.json", JSON, false),
            ("/metadata/1.root.json.tlog-proof", TEXT, false),
            ("/log/checkpoint", TEXT, false),
            ("/log/tile/0/x001/067.p/12", BINARY, true),
            ("/log/tile/entries/000", BINARY, true),
            ("/attestations/sha256/ab.jsonl", LINES, false),
            ("/targets/node/1.0.0/linux-amd64/plain", BINARY, false),
            (&format!("/targets/node/1.0.0/linux-amd64/{digest}.node"), BINARY, true),
        ] {
            let resource = Resource::parse(path).unwrap();
            assert_eq!((resource.content_type, resource.immutable), (content_type, immutable), "{path}");
        }
        let resource = Resource::parse("/metadata/1.%252e%252e%252fx.json").unwrap();
        assert_eq!(resource.components, ["metadata", "1.%2e%2e%2fx.json"], "decoded once, a plain name");
    }

    #[test]
    fn what_is_not_served() {
        for path in [
            "",
            "/",
            "/metadata",
            "/metadata/",
            "/keys/root.key",
            "/.countersign/log/state",
            "/log/.countersign/x",
            "/metadata/../.countersign/x",
            "/metadata/%2e%2e/.countersign/x",
            "/metadata/%2E./x",
            "/metadata/..%2f.countersign",
            "/metadata/a%2fb",
            "/metadata/a%5cb",
            "/metadata/a\\b",
            "/metadata//x",
            "//metadata/x",
            "/metadata/x%00",
            "/metadata/%zz",
            "/metadata/%4",
            "/metadata/%ff",
            "/metadata/.hidden",
            "metadata/x",
            "/Metadata/x",
        ] {
            assert_eq!(Resource::parse(path), None, "{path}");
        }
        assert_eq!(Resource::parse(&format!("/metadata/{}", "x".repeat(MAX_PATH_BYTES))), None);
    }
}
