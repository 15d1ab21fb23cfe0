//! The address of a key at a remote signer.

use core::fmt;
use core::str::FromStr;

use countersign_client::BaseUrl;

use super::error::PlaceError;

/// `https://HOST/PATH/`, or plain `http` to this very machine. Each key has its own; `docs/remote-signer.md` says
/// what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl(BaseUrl);

impl RemoteUrl {
    pub(super) const fn base(&self) -> &BaseUrl {
        &self.0
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RemoteUrl {
    type Err = PlaceError;

    /// # Errors
    /// `fetch-url-refused`, `fetch-tls-required`.
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        Ok(Self(text.parse().map_err(PlaceError::Url)?))
    }
}
