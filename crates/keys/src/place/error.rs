//! What can go wrong with a key that is elsewhere. No variant ever holds a PIN or a bearer token.

use std::path::PathBuf;

use countersign_base::code::{self, Class, Code, Explain};
use countersign_base::text::{escape, without_password};
use countersign_client::FetchError;
use countersign_crypto::{Algorithm, KeyError, PublicKey};

/// Why a key that is elsewhere could not be opened, made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Text that names no place.
    #[error("`{}` does not say where a key is: {reason}", escape(.text))]
    Invalid {
        /// The text, shortened.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A remote signer's address that is never used.
    #[error(transparent)]
    Url(FetchError),
    /// No PKCS#11 module is configured.
    #[error("there is no PKCS#11 module to reach a token with")]
    ModuleUnknown,
    /// The PKCS#11 module does not load or start.
    #[error("the PKCS#11 module `{}` cannot be used: {}", escape(&.path.to_string_lossy()), escape(.reason))]
    Module {
        /// The shared library.
        path: PathBuf,
        /// What the system or the module says.
        reason: String,
    },
    /// No token that fits is plugged in.
    #[error("no token fits `{}`", escape(.place))]
    TokenAbsent {
        /// The place.
        place: String,
    },
    /// The token was there and is not any more.
    #[error("the token of `{}` was lost: {}", escape(.place), escape(.reason))]
    TokenLost {
        /// The place.
        place: String,
        /// What the module says.
        reason: String,
    },
    /// More than one token fits.
    #[error("{} tokens fit `{}`: serial numbers {}", .serials.len(), escape(.place), escape(&.serials.join(", ")))]
    TokenAmbiguous {
        /// The place.
        place: String,
        /// Their serial numbers.
        serials: Vec<String>,
    },
    /// The token does what was asked of it in no way that is understood here.
    #[error("the token of `{}` failed to {operation}: {}", escape(.place), escape(.reason))]
    Token {
        /// The place.
        place: String,
        /// What was tried, such as "sign".
        operation: &'static str,
        /// What the module says.
        reason: String,
    },
    /// The token refused the PIN.
    #[error("the token `{}` refused the PIN", escape(.token))]
    PinRefused {
        /// The token's label.
        token: String,
        /// Whether the next wrong PIN locks it.
        final_try: bool,
    },
    /// The PIN is one that this token has refused before, so it was not sent again.
    #[error("the token `{}` has refused this PIN before: it was not sent again", escape(.token))]
    PinRefusedBefore {
        /// The token's label.
        token: String,
    },
    /// Too many wrong PINs.
    #[error("the token `{}` is locked: it was given too many wrong PINs", escape(.token))]
    PinLocked {
        /// The token's label.
        token: String,
    },
    /// One try is left, and the PIN would come from a file.
    #[error("the token `{}` has one try left: a PIN from a file is not tried", escape(.token))]
    PinFinalTry {
        /// The token's label.
        token: String,
    },
    /// The file that the PIN is to come from cannot be used.
    #[error("the PIN file `{}` cannot be used: {reason}", escape(&.path.to_string_lossy()))]
    PinFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The token has no PIN yet.
    #[error("the token `{}` has no user PIN yet", escape(.token))]
    PinNotSet {
        /// The token's label.
        token: String,
    },
    /// No such key there.
    #[error("there is no key `{}`", escape(.place))]
    KeyMissing {
        /// The place.
        place: String,
    },
    /// More than one key fits.
    #[error("more than one key fits `{}`", escape(.place))]
    KeyAmbiguous {
        /// The place.
        place: String,
    },
    /// A key with that label or id is there already.
    #[error("there is a key `{}` already", escape(.place))]
    KeyExists {
        /// The place.
        place: String,
    },
    /// Another key than the expected one.
    #[error("`{}` is another key: {found} instead of {expected}", escape(.place))]
    KeyMismatch {
        /// The place.
        place: String,
        /// What it should be.
        expected: PublicKey,
        /// What it is.
        found: PublicKey,
    },
    /// The place shows no public key, and none is known.
    #[error("`{}` does not show its public key", escape(.place))]
    PublicUnknown {
        /// The place.
        place: String,
    },
    /// A key of a kind that is not signed with here.
    #[error("`{}` is a key of another kind than can sign here: {}", escape(.place), escape(.reason))]
    KeyUnsuitable {
        /// The place.
        place: String,
        /// What kind, or what is odd about it.
        reason: String,
    },
    /// The token wants the PIN again for every signature (`CKA_ALWAYS_AUTHENTICATE`).
    #[error("the token of `{}` wants the PIN again for each signature, which is not supported", escape(.place))]
    PinEachTime {
        /// The place.
        place: String,
    },
    /// A public key that is not one.
    #[error("the public key of `{}` cannot be used", escape(.place))]
    Public {
        /// The place.
        place: String,
        /// Why.
        source: KeyError,
    },
    /// Keys of this kind are not made there.
    #[error("`{}` makes no {algorithm} keys", escape(.place))]
    CannotMake {
        /// The place.
        place: String,
        /// The scheme.
        algorithm: Algorithm,
    },
    /// What came back is not a signature by the key.
    #[error("`{}` returned something that is not a signature by its key: it was not used", escape(.place))]
    BadSignature {
        /// The place.
        place: String,
    },
    /// No agent is known.
    #[error("there is no SSH agent to ask")]
    AgentUnknown,
    /// The agent does not answer, or not as agents do.
    #[error("the SSH agent at `{}` cannot be used: {}", escape(&.socket.to_string_lossy()), escape(.reason))]
    Agent {
        /// Its socket.
        socket: PathBuf,
        /// What happened.
        reason: String,
    },
    /// Whoever guards the key said no.
    #[error("`{}` refused to sign: {}", escape(.place), escape(.reason))]
    Refused {
        /// The place.
        place: String,
        /// Its words, or what is known.
        reason: String,
    },
    /// The file with the remote signer's bearer token cannot be used.
    ///
    /// Its name is not said: a variable that should have it may have the token itself.
    #[error("the file of the bearer tokens cannot be used: {reason}")]
    TokenFile {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The remote signer was not reached.
    #[error("the remote signer `{}` could not be asked", escape(.place))]
    Unreachable {
        /// The place.
        place: String,
        /// Why.
        source: FetchError,
    },
    /// The remote signer answered, but neither with yes nor with no.
    #[error("the remote signer `{}` gave no answer that can be used: {}", escape(.place), escape(.reason))]
    RemoteAnswer {
        /// The place.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More than a signer is sent.
    #[error("`{}` is not sent more than {limit} bytes to sign", escape(.place))]
    MessageTooLong {
        /// The place.
        place: String,
        /// The limit.
        limit: usize,
    },
}

impl PlaceError {
    /// Text that names no place, shortened, without what may be a PIN or password in it.
    pub(super) fn invalid(text: &str, reason: &'static str) -> Self {
        let shown = match text.split_once(':') {
            Some(("ssh-agent", _)) => text.to_owned(),
            Some(("pkcs11", _)) => {
                let pin = text.to_ascii_lowercase().find("pin-").unwrap_or(text.len());
                let query = text.find('?').unwrap_or(text.len());
                text.get(..pin.min(query)).unwrap_or_default().to_owned()
            }
            _ => without_password(text),
        };
        let text = shown.chars().take(200).collect();
        Self::Invalid { text, reason }
    }
}

impl Explain for PlaceError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => code::KEY_PLACE_INVALID,
            Self::Url(source) => source.code(),
            Self::ModuleUnknown
            | Self::Module { .. }
            | Self::Token { .. }
            | Self::CannotMake { .. }
            | Self::PinEachTime { .. }
            | Self::AgentUnknown
            | Self::Agent { .. }
            | Self::TokenFile { .. }
            | Self::PinFile { .. }
            | Self::Unreachable { .. }
            | Self::RemoteAnswer { .. } => code::SIGNER_UNAVAILABLE,
            Self::TokenAbsent { .. } | Self::TokenLost { .. } => code::SIGNER_TOKEN_LOST,
            Self::PinRefused { .. }
            | Self::PinRefusedBefore { .. }
            | Self::PinLocked { .. }
            | Self::PinFinalTry { .. }
            | Self::PinNotSet { .. } => code::SIGNER_PIN_REFUSED,
            Self::TokenAmbiguous { .. }
            | Self::KeyAmbiguous { .. }
            | Self::KeyMismatch { .. }
            | Self::BadSignature { .. } => code::SIGNER_KEY_MISMATCH,
            Self::KeyMissing { .. } => code::KEY_NOT_FOUND,
            Self::KeyExists { .. } => code::KEY_EXISTS,
            Self::KeyUnsuitable { .. } | Self::PublicUnknown { .. } => code::KEY_MALFORMED,
            Self::Public { source, .. } => source.code(),
            Self::Refused { .. } => code::SIGNER_REFUSED,
            Self::MessageTooLong { .. } => code::LIMIT_EXCEEDED,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Url(source) => source.class(),
            _ => self.code().class(),
        }
    }

    fn fix(&self) -> Option<String> {
        let fix = match self {
            Self::ModuleUnknown => {
                "set COUNTERSIGN_PKCS11_MODULE to the token maker's shared library, such as \
                 /usr/lib/softhsm/libsofthsm2.so, or write ?module-path= into the URI"
            }
            Self::Module { .. } => "name the shared library that came with the token, by its whole path",
            Self::TokenAbsent { .. } | Self::TokenLost { .. } => {
                "plug in the token, then run the command again"
            }
            Self::TokenAmbiguous { .. } => "add serial= with the number of the one you mean",
            Self::PinRefused { final_try: true, .. } => {
                "the next wrong PIN locks the token: be sure of it before you run the command again"
            }
            Self::PinRefused { .. } => {
                "run the command again and give the right PIN; tokens count wrong ones"
            }
            Self::PinRefusedBefore { .. } => "give another PIN",
            Self::PinLocked { .. } => "unlock it with its PUK or SO PIN, by its maker's tool",
            Self::PinFinalTry { .. } => "run the command on a terminal, without a PIN file, and type the PIN",
            Self::PinNotSet { .. } => "set its user PIN by its maker's tool",
            Self::KeyAmbiguous { .. } => "name it by id= (token) or by its fingerprint (agent)",
            Self::KeyMismatch { .. } => "find out why before you go on: another key answers under this name",
            Self::PinEachTime { .. } => {
                "use a key without CKA_ALWAYS_AUTHENTICATE, such as PIV slot 9a instead of 9c"
            }
            Self::PublicUnknown { .. } => "put the public key on the token beside the private one",
            Self::BadSignature { .. } => "do not use this token or signer until you know why",
            Self::AgentUnknown => "start ssh-agent, so that SSH_AUTH_SOCK is set, and `ssh-add` the key",
            Self::Agent { .. } => "check with `ssh-add -l` that the agent runs",
            Self::TokenFile { .. } => {
                "let COUNTERSIGN_SIGNER_TOKEN_FILE name a file of mode 0600, with an address, a space and a \
                 token on each line"
            }
            Self::Unreachable { source, .. } => return source.fix(),
            Self::Public { source, .. } => return source.fix(),
            Self::Url(source) => return source.fix(),
            _ => return None,
        };
        Some(fix.to_owned())
    }
}
