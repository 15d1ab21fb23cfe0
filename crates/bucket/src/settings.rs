//! Who we are to the bucket's server and where that server is.

use core::fmt;
use std::time::Duration;

use countersign_base::loopback::is_loopback;
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, parse_pem};
use zeroize::Zeroizing;

use crate::error::BucketError;

/// Longest time that an operation may be given, see [`Settings::with_patience`].
pub const MAX_PATIENCE: Duration = Duration::from_secs(600);
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);
const DEFAULT_ATTEMPT: Duration = Duration::from_secs(10);
const DEFAULT_REGION: &str = "us-east-1";
/// Longest value of a setting, in bytes. Session tokens are the longest, with about 2,000.
const MAX_VALUE_BYTES: usize = 16 * 1024;
/// Longest file of root certificates, in bytes.
const MAX_ROOTS_BYTES: usize = 4 * 1024 * 1024;

const KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
const ENDPOINT_S3: &str = "AWS_ENDPOINT_URL_S3";
const REGION: &str = "AWS_REGION";
const DEFAULT_REGION_NAME: &str = "AWS_DEFAULT_REGION";
const ROOTS: &str = "AWS_CA_BUNDLE";

/// Credentials, endpoint and patience. The secret is wiped from memory with this value and shown nowhere.
#[derive(Clone)]
pub struct Settings {
    pub(crate) key: String,
    pub(crate) secret: Zeroizing<String>,
    pub(crate) token: Option<Zeroizing<String>>,
    pub(crate) region: String,
    /// `None` is Amazon's own of the region.
    pub(crate) endpoint: Option<Endpoint>,
    /// Instead of the Mozilla root certificates.
    pub(crate) roots: Option<Vec<Certificate<'static>>>,
    pub(crate) patience: Duration,
    pub(crate) attempt: Duration,
}

/// The server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) tls: bool,
}

impl Settings {
    /// With these credentials, Amazon's endpoint of `us-east-1`, and 30 s for an operation.
    ///
    /// # Errors
    /// [`BucketError::Setting`] for an empty key or secret, or one that is no text of printable ASCII.
    pub fn new(access_key: &str, secret_key: &str) -> Result<Self, BucketError> {
        Ok(Self {
            key: checked(KEY, access_key)?.to_owned(),
            secret: Zeroizing::new(checked(SECRET, secret_key)?.to_owned()),
            token: None,
            region: DEFAULT_REGION.to_owned(),
            endpoint: None,
            roots: None,
            patience: DEFAULT_PATIENCE,
            attempt: DEFAULT_ATTEMPT,
        })
    }

    /// Reads the variables that other S3 tools read: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
    /// `AWS_REGION` (or `AWS_DEFAULT_REGION`), `AWS_ENDPOINT_URL_S3` (or `AWS_ENDPOINT_URL`) and `AWS_CA_BUNDLE`, a
    /// file that `read` is asked for. `lookup` is the environment; an empty value is an absent one.
    ///
    /// # Errors
    /// [`BucketError::Setting`] naming the variable.
    pub fn from_environment(
        lookup: impl Fn(&str) -> Option<String>,
        read: impl FnOnce(&str) -> std::io::Result<Vec<u8>>,
    ) -> Result<Self, BucketError> {
        let value = |name| lookup(name).filter(|value| !value.is_empty());
        let missing = |name| BucketError::Setting { name, why: "it is not set".to_owned() };
        let secret = Zeroizing::new(value(SECRET).ok_or_else(|| missing(SECRET))?);
        let mut settings = Self::new(&value(KEY).ok_or_else(|| missing(KEY))?, &secret)?;
        if let Some(token) = value(TOKEN).map(Zeroizing::new) {
            settings.token = Some(Zeroizing::new(checked(TOKEN, &token)?.to_owned()));
        }
        if let Some(region) = value(REGION).or_else(|| value(DEFAULT_REGION_NAME)) {
            settings = settings.with_region(&region)?;
        }
        if let Some(endpoint) = value(ENDPOINT_S3).or_else(|| value(ENDPOINT)) {
            settings = settings.with_endpoint(&endpoint)?;
        }
        if let Some(path) = value(ROOTS) {
            let pem = read(&path)
                .map_err(|error| BucketError::Setting { name: ROOTS, why: format!("`{path}`: {error}") })?;
            settings = settings.with_roots(&pem)?;
        }
        Ok(settings)
    }

    /// Uses another server than Amazon's: `https://HOST[:PORT]`, or `http://` to this very machine.
    ///
    /// # Errors
    /// [`BucketError::Setting`] for any other URL.
    pub fn with_endpoint(mut self, url: &str) -> Result<Self, BucketError> {
        let refused = |why: &str| BucketError::Setting { name: ENDPOINT, why: why.to_owned() };
        let url = checked(ENDPOINT, url)?.trim_end_matches('/');
        let uri: Uri = url.parse().map_err(|_| refused("it is not a URL"))?;
        let host = uri.host().unwrap_or_default();
        let plain = uri.path() == "/" && uri.query().is_none() && !url.contains(['@', '#']);
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(host) => false,
            Some("http") => return Err(refused("a server that is not on this machine must use https")),
            _ => return Err(refused("it is not `https://HOST`")),
        };
        if host.is_empty() || !plain {
            return Err(refused("it is not `https://HOST[:PORT]`"));
        }
        self.endpoint = Some(Endpoint { url: url.to_owned(), tls });
        Ok(self)
    }

    /// Uses another region than `us-east-1`. Servers that are not Amazon's mostly take any.
    ///
    /// # Errors
    /// [`BucketError::Setting`] if it is none.
    pub fn with_region(mut self, region: &str) -> Result<Self, BucketError> {
        let good =
            region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && region.len() <= 64;
        if !good || region.is_empty() {
            return Err(BucketError::Setting {
                name: REGION,
                why: "it is not the name of a region".to_owned(),
            });
        }
        region.clone_into(&mut self.region);
        Ok(self)
    }

    /// Trusts these root certificates (PEM) instead of Mozilla's: for a server with a private authority.
    ///
    /// # Errors
    /// [`BucketError::Setting`] if there is none in it.
    pub fn with_roots(mut self, pem: &[u8]) -> Result<Self, BucketError> {
        let refused = |why: &str| BucketError::Setting { name: ROOTS, why: why.to_owned() };
        if pem.len() > MAX_ROOTS_BYTES {
            return Err(refused("the file is too large"));
        }
        let mut roots = Vec::new();
        for item in parse_pem(pem) {
            match item.map_err(|_| refused("the file is not PEM"))? {
                PemItem::Certificate(certificate) => roots.push(certificate),
                _ => return Err(refused("the file holds something else than certificates")),
            }
        }
        if roots.is_empty() {
            return Err(refused("the file holds no certificate"));
        }
        self.roots = Some(roots);
        Ok(self)
    }

    /// How long an operation is tried before it fails, and how long one request may take. At most [`MAX_PATIENCE`].
    #[must_use]
    pub fn with_patience(mut self, operation: Duration, request: Duration) -> Self {
        self.patience = operation.min(MAX_PATIENCE);
        self.attempt = request.min(self.patience);
        self
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.as_ref().map(|endpoint| &endpoint.url);
        f.debug_struct("Settings")
            .field("endpoint", &endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Printable ASCII, not empty: what can stand in a header.
fn checked<'a>(name: &'static str, value: &'a str) -> Result<&'a str, BucketError> {
    let why = match value.len() {
        0 => "it is empty",
        MAX_VALUE_BYTES.. => "it is too long",
        _ if !value.bytes().all(|byte| byte.is_ascii_graphic()) => "it has characters that no such value has",
        _ => return Ok(value),
    };
    Err(BucketError::Setting { name, why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_base::code::{Explain as _, STORE_SETTINGS_INVALID};

    fn from(environment: &[(&str, &str)]) -> Result<Settings, BucketError> {
        let lookup = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::from_environment(lookup, |_| Ok(b"no certificate".to_vec()))
    }

    #[test]
    fn the_environment_says_who_and_where() {
        let full = [
            (KEY, "AKIA"),
            (SECRET, "hush-hush"),
            (TOKEN, "ticket"),
            (REGION, "eu-west-1"),
            (ENDPOINT, "https://s3.example.org/"),
        ];
        let settings = from(&full).unwrap();
        assert_eq!(settings.region, "eu-west-1");
        assert_eq!(settings.endpoint.as_ref().unwrap().url, "https://s3.example.org");
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hush") && !shown.contains("ticket"), "{shown}");
        for left_out in [0, 1] {
            let mut less = full;
            less[left_out].1 = "";
            let error = from(&less).unwrap_err();
            assert_eq!(error.code(), STORE_SETTINGS_INVALID);
            assert!(error.to_string().contains(full[left_out].0), "{error}");
        }
        let error = from(&[(KEY, "k"), (SECRET, "a\nb")]).unwrap_err().to_string();
        assert!(!error.contains("a\nb"), "a secret is not printed: {error}");
        assert!(from(&[(KEY, "k"), (SECRET, "s"), (ROOTS, "roots.pem")]).is_err());
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        let settings = || Settings::new("k", "s").unwrap();
        for url in
            ["http://127.0.0.1:7070", "http://localhost:1", "http://[::1]:9", "https://s3.example.org:444"]
        {
            settings().with_endpoint(url).unwrap();
        }
        for url in [
            "",
            "ftp://localhost",
            "http://example.org",
            "http://127.0.0.1.example.org",
            "https://",
            "localhost:80",
            "https://h/path",
            "https://h?x=1",
            "https://user@h",
            "http://10.0.0.1",
            "https://h/#",
        ] {
            assert!(settings().with_endpoint(url).is_err(), "{url}");
        }
    }
}
