//! What a machine has for keys that are elsewhere.

use core::fmt;
use std::path::PathBuf;

use countersign_base::text::escape;

/// What a machine has for keys that are elsewhere. A program makes it of its environment, once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The PKCS#11 module, a shared library; a URI that a person wrote can name another.
    pub pkcs11_module: Option<PathBuf>,
    /// The socket of the SSH agent.
    pub agent_socket: Option<PathBuf>,
    /// The file with the bearer tokens for remote signers, one a line; `docs/remote-signer.md` says how.
    pub signer_token_file: Option<PathBuf>,
}

impl Settings {
    /// Names the PKCS#11 module.
    pub const PKCS11_MODULE: &str = "COUNTERSIGN_PKCS11_MODULE";
    /// Names the file of the bearer tokens.
    pub const SIGNER_TOKEN_FILE: &str = "COUNTERSIGN_SIGNER_TOKEN_FILE";
    /// Where every SSH program looks for the agent's socket.
    pub const AGENT_SOCKET: &str = "SSH_AUTH_SOCK";

    /// Reads the three environment variables that this type names; an empty one counts as absent.
    pub fn from_env() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            pkcs11_module: path(Self::PKCS11_MODULE),
            agent_socket: path(Self::AGENT_SOCKET),
            signer_token_file: path(Self::SIGNER_TOKEN_FILE),
        }
    }
}

/// What a token says of itself, for the person who is asked for its PIN. Displays as its label, escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLabel {
    /// Its label, without the blanks that PKCS#11 pads with. Text from outside: escape it before it is shown.
    pub label: String,
    /// Its serial number. Text from outside too.
    pub serial: String,
    /// A wrong PIN was given since the last right one.
    pub count_low: bool,
    /// The next wrong PIN locks the token. Whoever asks must say so.
    pub final_try: bool,
}

impl fmt::Display for TokenLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.label))
    }
}
