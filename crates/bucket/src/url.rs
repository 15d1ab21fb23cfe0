//! `s3://BUCKET/PREFIX`.

use core::fmt;
use core::str::FromStr;

use countersign_base::text;
use countersign_store::name;

use crate::error::BucketError;

/// Longest prefix, in bytes: with the longest name below it and percent-encoding it stays below S3's 1,024.
const MAX_PREFIX_BYTES: usize = 512;

/// Where a store is: a bucket, and a folder in it (which may be the whole bucket).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BucketUrl {
    bucket: String,
    prefix: String,
}

impl BucketUrl {
    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The folder in it without slashes around it; empty for the whole bucket.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of an object below the prefix, unencoded.
    pub(crate) fn key(&self, name: &str) -> String {
        match (self.prefix.as_str(), name) {
            ("", name) => name.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, name) => format!("{prefix}/{name}"),
        }
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

impl FromStr for BucketUrl {
    type Err = BucketError;

    fn from_str(url: &str) -> Result<Self, BucketError> {
        let refused =
            |why| BucketError::Url { url: text::escape(&url.chars().take(200).collect::<String>()), why };
        let rest = url.strip_prefix("s3://").ok_or_else(|| refused("it does not begin with `s3://`"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket_name(bucket) {
            return Err(refused("a bucket's name is 3 to 63 of a-z, 0-9, `.` and `-`"));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let good = prefix.is_empty() || prefix.len() <= MAX_PREFIX_BYTES && name::check(prefix).is_ok();
        if !good {
            return Err(refused("its prefix is not a plain path"));
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

/// The rules of the Amazon S3 User Guide, "General purpose bucket naming rules", without those that only Amazon needs.
fn is_bucket_name(name: &str) -> bool {
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(byte))
        && edge(bytes.first())
        && edge(bytes.last())
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_bucket_and_prefix() {
        for (url, bucket, prefix) in [
            ("s3://log-1", "log-1", ""),
            ("s3://log-1/", "log-1", ""),
            ("s3://my.log/a", "my.log", "a"),
            ("s3://my.log/a/b c/", "my.log", "a/b c"),
        ] {
            let parsed: BucketUrl = url.parse().unwrap();
            assert_eq!((parsed.bucket(), parsed.prefix()), (bucket, prefix), "{url}");
            assert_eq!(parsed.to_string().parse::<BucketUrl>().unwrap(), parsed);
        }
        assert_eq!("s3://log/a/b".parse::<BucketUrl>().unwrap().key("tile/0"), "a/b/tile/0");
        assert_eq!("s3://log".parse::<BucketUrl>().unwrap().key("tile/0"), "tile/0");
    }

    #[test]
    fn what_could_mean_another_place_is_refused() {
        let long = format!("s3://log/{}", "a/".repeat(300));
        for url in [
            "",
            "log",
            "https://log",
            "s3:/log",
            "s3://",
            "s3:///a",
            "s3://lo",
            "s3://LOG",
            "s3://-log",
            "s3://log-",
            "s3://l..og",
            "s3://user@log",
            "s3://log:80",
            "s3://log/../other",
            "s3://log//a",
            "s3://log/a//",
            "s3://log/a\nb",
            "s3://log?x",
            &long,
        ] {
            assert!(url.parse::<BucketUrl>().is_err(), "{url}");
        }
    }
}
