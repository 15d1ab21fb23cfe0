//! Why a bucket is not opened. Once it is open, failures are those of every store.

use countersign_base::code::{Code, Explain, STORE_NOT_ATOMIC, STORE_SETTINGS_INVALID};
use countersign_store::StoreError;

/// A bucket that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// The URL is not `s3://BUCKET/PREFIX`.
    #[error("`{url}` is not the URL of a bucket: {why}")]
    Url {
        /// The URL, escaped for display.
        url: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The endpoint, the credentials or another setting is missing or cannot be used.
    #[error("`{name}` cannot be used: {why}")]
    Setting {
        /// The environment variable.
        name: &'static str,
        /// What is wrong with it; never its value.
        why: String,
    },
    /// The server breaks a promise that both contracts stand on.
    #[error("`{bucket}` is not safe to write to: {found}")]
    NotAtomic {
        /// The bucket's URL.
        bucket: String,
        /// What the probe saw.
        found: String,
    },
    /// The probe could not be finished, so nothing is known about the bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Explain for BucketError {
    fn code(&self) -> Code {
        match self {
            Self::Url { .. } | Self::Setting { .. } => STORE_SETTINGS_INVALID,
            Self::NotAtomic { .. } => STORE_NOT_ATOMIC,
            Self::Store(error) => error.code(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Url { .. } => Some("write `s3://BUCKET` or `s3://BUCKET/PREFIX`".to_owned()),
            Self::Setting { name, .. } => Some(format!("set `{name}` in the environment")),
            Self::NotAtomic { .. } => {
                Some("use a server whose conditional PUT is atomic, or a directory".to_owned())
            }
            Self::Store(error) => error.fix(),
        }
    }
}
