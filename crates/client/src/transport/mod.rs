//! Bringing a repository's files here: from a directory, or from a server over HTTP.
//!
//! A transport trusts nothing and verifies nothing. It promises bounds: never more bytes than asked for,
//! never slower than [`MIN_BYTES_PER_SECOND`], never from anywhere but the place the user named.

mod file;
mod http;
mod location;
mod meter;

use std::io::{self, Write};

use countersign_base::code::{self, Class, Code, Explain};
use countersign_base::text::escape;

pub use file::FileTransport;
pub use http::{Answer, HttpTransport};
pub use location::{BaseUrl, Location};
pub use meter::{MIN_BYTES_PER_SECOND, STALL_SECONDS};

/// Fetches files of one repository.
///
/// `path` is the file's path inside the repository as it is on the publisher's disk, `/` between components:
/// `metadata/2.root.json`. A transport encodes it as its medium needs.
pub trait Transport {
    /// The whole file, which has at most `limit` bytes.
    ///
    /// # Errors
    /// [`FetchError::NotFound`] if there is no such file; otherwise what went wrong.
    fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>, FetchError>;

    /// Writes bytes `offset..length` of a file of exactly `length` bytes to `sink`.
    ///
    /// `progress` is called with the number of bytes of the file that the sink has by then, `offset`
    /// included. The caller checks the digest of the whole; after a mismatch of a resumed download the
    /// honest next step is one more from offset 0.
    ///
    /// # Errors
    /// A longer file is [`FetchError::TooLarge`], a shorter one [`FetchError::WrongLength`]; a download that
    /// breaks off is [`FetchError::Failed`] and can be resumed.
    fn download(
        &self,
        path: &str,
        length: u64,
        offset: u64,
        sink: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError>;

    /// What came from here cannot be used, for this reason: whether there is another place, from which everything is
    /// fetched from now on.
    fn turn_away(&self, _code: Code, _why: &str) -> bool {
        false
    }
}

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The repository has no such file.
    #[error("{} does not exist", escape(.what))]
    NotFound {
        /// URL or path.
        what: String,
    },
    /// More bytes than allowed; reading stopped there.
    #[error("{} is larger than {limit} bytes", escape(.what))]
    TooLarge {
        /// URL or path.
        what: String,
        /// The most it could have had.
        limit: u64,
    },
    /// Compressed although that was not asked for: its size cannot be bounded before it is unpacked.
    #[error("{} was sent with content-encoding `{}`, which was not asked for", escape(.what), escape(.encoding))]
    Encoded {
        /// URL.
        what: String,
        /// Value of the header.
        encoding: String,
    },
    /// A complete file, but not of the length that was released.
    #[error("{} has {got} bytes instead of {want}", escape(.what))]
    WrongLength {
        /// URL or path.
        what: String,
        /// The length that signed metadata lists.
        want: u64,
        /// The length at hand.
        got: u64,
    },
    /// The server stalls or trickles.
    #[error("{} comes too slowly: {reason}", escape(.what))]
    TooSlow {
        /// URL.
        what: String,
        /// Which bound was hit.
        reason: &'static str,
    },
    /// No connection, a connection that broke, a server's error, an unreadable file.
    #[error("{} could not be fetched: {}", escape(.what), escape(.reason))]
    Failed {
        /// URL or path.
        what: String,
        /// The system's or server's words.
        reason: String,
    },
    /// A URL that is never used: another scheme, credentials, a query.
    #[error("`{}` cannot be used: {reason}", escape(.url))]
    UrlRefused {
        /// The URL.
        url: String,
        /// Why not.
        reason: &'static str,
    },
    /// A server that sends its readers to another place.
    #[error("{} redirects to another place, `{}`", escape(.what), escape(.target))]
    RedirectRefused {
        /// URL.
        what: String,
        /// Where to.
        target: String,
    },
    /// A server that sends its readers on and on.
    #[error("{} redirects more than {} times", escape(.what), http::MAX_REDIRECTS)]
    ManyRedirects {
        /// The last URL.
        what: String,
    },
    /// Plain HTTP to another machine.
    #[error("`{}` is plain http to another machine", escape(.url))]
    TlsRequired {
        /// The URL.
        url: String,
    },
    /// A path in the repository that no honest repository has.
    #[error("`{}` is not a path inside a repository", escape(.path))]
    PathUnsafe {
        /// The path.
        path: String,
    },
    /// What was fetched could not be written.
    #[error("a fetched file could not be written")]
    Sink(#[source] io::Error),
}

impl Explain for FetchError {
    fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => code::FETCH_NOT_FOUND,
            Self::TooLarge { .. } | Self::Encoded { .. } => code::FETCH_TOO_LARGE,
            Self::WrongLength { .. } => code::ARTIFACT_DIGEST_MISMATCH,
            Self::TooSlow { .. } => code::FETCH_TOO_SLOW,
            Self::Failed { .. } => code::FETCH_FAILED,
            Self::UrlRefused { .. } | Self::RedirectRefused { .. } | Self::ManyRedirects { .. } => {
                code::FETCH_URL_REFUSED
            }
            Self::TlsRequired { .. } => code::FETCH_TLS_REQUIRED,
            Self::PathUnsafe { .. } => code::TUF_NAME_UNSAFE,
            Self::Sink(_) => code::STORAGE_FAILED,
        }
    }

    fn class(&self) -> Class {
        match self {
            // The user named the first URL; where a redirect leads is the server's doing.
            Self::RedirectRefused { .. } | Self::ManyRedirects { .. } => Class::Refused,
            _ => self.code().class(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::TlsRequired { .. } => Some("use the https:// address of the repository".to_owned()),
            Self::NotFound { .. } => Some(
                "the URL must be that of the folder with metadata/, targets/ and log/, all of them"
                    .to_owned(),
            ),
            Self::TooSlow { .. } | Self::Failed { .. } => {
                Some("check that the repository is up and reachable, then try again".to_owned())
            }
            Self::UrlRefused { .. } => Some(
                "a repository is at https://HOST/PATH, http://127.0.0.1:PORT, file:///DIR or /DIR".to_owned(),
            ),
            _ => None,
        }
    }
}

/// Opens the transport that fits `location`. Reads, connects and initialises nothing yet.
pub fn open(location: &Location) -> Box<dyn Transport + Send + Sync> {
    match location {
        Location::Directory(root) => Box::new(FileTransport::new(root)),
        Location::Http(url) => Box::new(HttpTransport::new(url)),
    }
}

/// The components of a repository path; refuses what could lead out of the repository or to hidden files.
fn components(path: &str) -> Result<impl Iterator<Item = &str>, FetchError> {
    let unsafe_component = |component: &str| {
        component.is_empty()
            || component.starts_with('.')
            || component.contains(['\\', '\0'])
            || component.chars().any(char::is_control)
    };
    if path.len() > MAX_PATH_BYTES || path.split('/').any(unsafe_component) {
        return Err(FetchError::PathUnsafe { path: path.chars().take(200).collect() });
    }
    Ok(path.split('/'))
}

/// Longest path of a file inside a repository, in bytes.
pub const MAX_PATH_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for good in ["metadata/1.root.json", "log/tile/0/x001/067.p/12", "a/%2e%2e%2fx.json", "a..b/c d"] {
            assert!(components(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "a/./b",
            ".countersign/x",
            "a/.b",
            "a\\b",
            "a\0b",
            "a\nb",
        ] {
            assert!(components(bad).is_err(), "{bad:?}");
        }
        assert!(components(&"a".repeat(MAX_PATH_BYTES + 1)).is_err());
    }
}
