//! Where a secret key is, and signing with one that is not a file: on a PKCS#11 token, in an SSH agent, at a remote
//! signer.
//!
//! A [`Place`] is text in a `.pub` file and on the command line; [`open`] makes a [`Signer`] of it. Three things hold
//! for every place:
//! - the public key is read from there and compared with the one that is expected;
//! - every signature is verified with that key before it is handed out, so a bad one is never used;
//! - nothing is tried twice: a refused PIN least of all, since tokens count.
//!
//! What a machine has (module, agent, token files) comes as [`Settings`], from the environment or a test, never from
//! a `.pub` file: a file that came with a repository must not name code to load.

mod agent;
mod agent_key;
mod checked;
mod ecdsa;
mod error;
mod line_file;
mod pkcs11;
mod remote;
mod remote_url;
mod settings;
mod uri;

use core::fmt;
use core::str::FromStr;

use countersign_crypto::{Algorithm, PublicKey, Signer};

use crate::ask::Asker;
use crate::error::KeysError;

pub use agent::MAX_AGENT_MESSAGE_BYTES;
#[cfg(feature = "fuzzing")]
pub use agent::read_answers;
pub use agent_key::AgentKey;
pub use error::PlaceError;
pub use remote::MAX_REMOTE_MESSAGE_BYTES;
pub use remote_url::RemoteUrl;
pub use settings::{Settings, TokenLabel};
pub use uri::{MAX_ID_BYTES, MAX_OBJECT_BYTES, MAX_PLACE_BYTES, Pkcs11Uri};

/// Opens the key at `place`, which is not [`Place::File`], for signing.
///
/// The signer's public key is `expected`, if that is given: without it, whichever key the place has is taken.
///
/// # Errors
/// `signer-unavailable`, `signer-token-lost`, `signer-pin-refused`, `signer-key-mismatch`, `signer-refused`,
/// `key-not-found`, and what `ask` returns.
pub fn open(
    place: &Place,
    expected: Option<&PublicKey>,
    ask: &mut dyn Asker,
) -> Result<Box<dyn Signer>, KeysError> {
    match place {
        Place::File => Err(PlaceError::invalid("file", "a key file is opened by its path").into()),
        Place::Pkcs11(uri) => pkcs11::open(uri, expected, ask),
        Place::SshAgent(key) => Ok(agent::open(key, expected, &ask.settings())?),
        Place::Remote(url) => Ok(remote::open(url, expected, &ask.settings())?),
    }
}

/// Makes a key on the token that `uri` names, labelled as its `object` says, and gives its public half.
///
/// The secret half never leaves the token: it is made not extractable.
///
/// # Errors
/// As [`open`]; `key-exists` if a key of that label is there.
pub fn create_on_token(
    uri: &Pkcs11Uri,
    algorithm: Algorithm,
    ask: &mut dyn Asker,
) -> Result<PublicKey, KeysError> {
    pkcs11::create(uri, algorithm, ask)
}

/// Where a secret key is.
///
/// Displays as it parses: `file`, `pkcs11:token=alice;object=release`, `ssh-agent:SHA256:...`,
/// `https://host/keys/1/`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// `NAME.key` beside its `.pub`.
    File,
    /// A PKCS#11 token.
    Pkcs11(Pkcs11Uri),
    /// A running SSH agent.
    SshAgent(AgentKey),
    /// A remote signer.
    Remote(RemoteUrl),
}

impl Place {
    /// Whether `text` is a place by its first characters, so that it is not the path of a key file.
    pub fn is_named_by(text: &str) -> bool {
        [uri::SCHEME, agent_key::SCHEME, "https://", "http://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Reads the place that a `.pub` file has: without what only a person may say, the module and the PIN's file.
    ///
    /// # Errors
    /// `key-place-invalid`.
    pub fn from_stored(text: &str) -> Result<Self, PlaceError> {
        let place: Self = text.parse()?;
        if place != place.stored() {
            return Err(PlaceError::invalid(text, "a key's file must not name a module or a PIN's file"));
        }
        Ok(place)
    }

    /// What a `.pub` file has of it.
    #[must_use]
    pub fn stored(&self) -> Self {
        match self {
            Self::Pkcs11(uri) => Self::Pkcs11(uri.without_query()),
            other => other.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Pkcs11(uri) => uri.fmt(f),
            Self::SshAgent(key) => key.fmt(f),
            Self::Remote(url) => url.fmt(f),
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    /// # Errors
    /// `key-place-invalid`; `fetch-tls-required` for plain http to another machine.
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if text == "file" {
            return Ok(Self::File);
        }
        if text.starts_with(uri::SCHEME) {
            return text.parse().map(Self::Pkcs11);
        }
        if text.starts_with(agent_key::SCHEME) {
            return text.parse().map(Self::SshAgent);
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return text.parse().map(Self::Remote);
        }
        Err(PlaceError::invalid(text, "it is none of `pkcs11:`, `ssh-agent:` and `https://`"))
    }
}
