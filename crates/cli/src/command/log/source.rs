//! Where a log is read from: a URL, a folder, or a bucket.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use countersign_base::{Code, Explain, code};
use countersign_bucket::Bucket;
use countersign_client::{Location, LogSource};
use countersign_log::{Source, SourceError};
use countersign_store::{Objects as _, StoreError};

use super::shared::{bucket_url, settings};
use crate::error::CliError;

/// The public files of the log that `text` names: a URL, `s3://BUCKET/PREFIX`, or a folder named in any way.
///
/// A bucket is asked with the credentials of the environment; nothing is written there.
pub(super) fn source(text: &str) -> Result<Box<dyn Source>, CliError> {
    let path = Path::new(text);
    if let Some(url) = bucket_url(path)? {
        return Ok(Box::new(InBucket(Bucket::open_for_reading(&url, &settings()?)?)));
    }
    let location = if is_url(text) {
        text.parse::<Location>()?
    } else {
        Location::Directory(std::path::absolute(path).map_err(|error| CliError::reading(path, &error))?)
    };
    Ok(Box::new(LogSource::new(&location)))
}

/// Whether a log is named by a URL, and not by a folder.
pub(super) fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// A log's files in a bucket, which may be open to everybody or to few.
struct InBucket(Bucket);

impl Source for InBucket {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        match self.0.get(path) {
            Ok(Some(bytes)) if bytes.len() as u64 > limit => {
                let path = Path::new(&self.0.url().to_string()).join(path);
                Err(SourceError::new(&StoreError::TooLarge { path, limit }))
            }
            Ok(found) => Ok(found),
            Err(error) => Err(SourceError::new(&Unread(error))),
        }
    }
}

/// What a bucket says to a reader: what helps a folder does not help it.
#[derive(Debug)]
struct Unread(StoreError);

impl Unread {
    /// What helps where the bucket refuses, which trying again does not.
    fn remedy(&self) -> Option<&'static str> {
        let StoreError::Io { source, .. } = &self.0 else { return None };
        match source.kind() {
            ErrorKind::NotFound => Some(
                "see whether the bucket is there, and AWS_ENDPOINT_URL and AWS_REGION are those of its server",
            ),
            ErrorKind::PermissionDenied => {
                Some("see whether the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY may get")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Unread {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl Explain for Unread {
    fn code(&self) -> Code {
        if self.remedy().is_some() { code::STORE_SETTINGS_INVALID } else { self.0.code() }
    }

    fn fix(&self) -> Option<String> {
        self.remedy().map(str::to_owned).or_else(|| self.0.fix())
    }
}
