//! Error codes: stable, kebab-case, one page each in `docs/errors/`, never renamed or reused.
//!
//! The table here is the only place where a code is made. `xtask tidy` compares it with the pages.

use core::fmt;

/// What a failure says about trust, and so how a command exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Evidence, content or local state is not trustworthy. Exit status 1.
    Refused,
    /// Usage, policy or trust configuration. Exit status 2.
    Usage,
    /// Outage, timeout, lock, disk or token: says nothing about trust. Exit status 3.
    Unavailable,
    /// A bug in us. Exit status 70.
    Internal,
}

impl Class {
    /// The exit status of a command that fails so.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
            Self::Internal => 70,
        }
    }
}

/// One error code. Compare with the constants of this module.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    name: &'static str,
    class: Class,
    summary: &'static str,
}

impl Code {
    /// The kebab-case name that people and scripts see.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// What it says about trust.
    pub const fn class(self) -> Class {
        self.class
    }

    /// What happened, in one line, without the particulars.
    pub const fn summary(self) -> &'static str {
        self.summary
    }

    /// The code of this name.
    pub fn find(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|code| code.name == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// An error that a person can act on and a script can branch on.
///
/// `Display` says what happened in one line, `source` why, [`Explain::fix`] what to do.
pub trait Explain: std::error::Error {
    /// The stable code.
    fn code(&self) -> Code;

    /// What it says about trust here; the code's own class unless the place makes a difference.
    fn class(&self) -> Class {
        self.code().class()
    }

    /// What to do about this very case; `None` where the code's page says all there is.
    fn fix(&self) -> Option<String> {
        None
    }
}

macro_rules! codes {
    ($($constant:ident = $name:literal, $class:ident, $summary:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $summary)]
            pub const $constant: Code = Code { name: $name, class: Class::$class, summary: $summary };
        )*
        /// Every code, in the order of the table.
        pub const ALL: &[Code] = &[$($constant),*];
    };
}

codes! {
    // Trust anchors.
    TRUST_ANCHOR_MALFORMED = "trust-anchor-malformed", Usage, "the trust anchor has a typo or is not one";
    TRUST_ANCHOR_MISSING = "trust-anchor-missing", Usage, "no trust anchor is known for this repository";
    TRUST_ANCHOR_UNTRUSTED = "trust-anchor-untrusted", Refused, "the root metadata is not the one that the trust anchor names";
    TRUST_REPO_UNKNOWN = "trust-repo-unknown", Usage, "no repository of that name is trusted";
    TRUST_REPOS_DISAGREE = "trust-repos-disagree", Refused, "too few of the repositories that must agree list the same file";
    TRUST_REPOS_UNHEARD = "trust-repos-unheard", Unavailable, "repositories that must agree on a file could not be reached";
    TRUST_MAP_INVALID = "trust-map-invalid", Usage, "the map of which repositories must agree cannot be used";
    TRUST_REPO_EXISTS = "trust-repo-exists", Usage, "a repository of that name is trusted already";

    // TUF metadata.
    TUF_ROLLBACK = "tuf-rollback", Refused, "metadata is older than what was trusted before";
    TUF_EXPIRED = "tuf-expired", Refused, "metadata has expired";
    TUF_META_MISMATCH = "tuf-meta-mismatch", Refused, "metadata is not the one that its parent lists";
    TUF_ROOT_CHAIN = "tuf-root-chain", Refused, "a root version does not follow from the one before";
    TUF_THRESHOLD = "tuf-threshold", Refused, "metadata is signed by too few of the keys that its role requires";
    TUF_THRESHOLD_INVALID = "tuf-threshold-invalid", Refused, "a role's threshold is not a number from 1 to its number of keys";
    TUF_KEY_INVALID = "tuf-key-invalid", Refused, "a key in metadata is malformed, unknown or of the wrong kind";
    TUF_KEY_DUPLICATE = "tuf-key-duplicate", Refused, "one public key is listed under two key ids";
    TUF_KEY_REVOKED = "tuf-key-revoked", Refused, "metadata is signed by a key that has been removed";
    TUF_ROLE_CONFUSION = "tuf-role-confusion", Refused, "metadata of one role was offered or signed as another";
    TUF_DELEGATION_LIMIT = "tuf-delegation-limit", Refused, "the search through delegations reached its limit";
    TUF_DELEGATION_PATH = "tuf-delegation-path", Refused, "a role lists a target that it has no say over";
    TUF_TARGET_NOT_FOUND = "tuf-target-not-found", Refused, "no trusted role lists that target";
    TUF_TARGET_MISMATCH = "tuf-target-mismatch", Refused, "a target's entry is incomplete or its bytes are not the listed ones";
    TUF_NAME_UNSAFE = "tuf-name-unsafe", Refused, "a name in metadata cannot be used as a file name";
    TUF_MALFORMED = "tuf-malformed", Refused, "metadata is not well-formed";
    TUF_SPEC_UNSUPPORTED = "tuf-spec-unsupported", Refused, "metadata follows another major version of the TUF specification";
    TUF_NONCANONICAL = "tuf-noncanonical", Refused, "metadata has more than one reading";
    TUF_OTHER_REPOSITORY = "tuf-other-repository", Refused, "metadata was signed for another repository";

    // The log, witnesses, proofs.
    LOG_QUORUM_NOT_MET = "log-quorum-not-met", Refused, "too few independent witnesses cosigned the checkpoint";
    LOG_SPLIT_VIEW = "log-split-view", Refused, "the log showed two different trees";
    LOG_ROLLBACK = "log-rollback", Refused, "the log's checkpoint is older than one already accepted";
    LOG_CONSISTENCY_INVALID = "log-consistency-invalid", Refused, "a checkpoint does not extend the one before";
    LOG_ORIGIN_MISMATCH = "log-origin-mismatch", Refused, "the checkpoint belongs to another log";
    LOG_KEY_UNKNOWN = "log-key-unknown", Refused, "no known log key signed the checkpoint";
    LOG_SIGNATURE_INVALID = "log-signature-invalid", Refused, "a signature by a known key on a checkpoint is broken";
    LOG_POLICY_INVALID = "log-policy-invalid", Usage, "the transparency policy is missing or not valid";
    LOG_COSIGNATURE_INVALID = "log-cosignature-invalid", Refused, "a witness cosignature does not fit the checkpoint";
    LOG_COSIGNATURE_TIME = "log-cosignature-time", Refused, "a witness cosignature's time cannot be right";
    LOG_INCLUSION_INVALID = "log-inclusion-invalid", Refused, "the proof does not show the entry in the log";
    LOG_PROOF_MALFORMED = "log-proof-malformed", Refused, "a proof or checkpoint is not well-formed";
    LOG_PROOF_MISSING = "log-proof-missing", Refused, "signed metadata has no proof that it was logged";
    LOG_TILE_MISMATCH = "log-tile-mismatch", Refused, "a tile or entry bundle does not hash to what the checkpoint says";
    LOG_TILE_MISSING = "log-tile-missing", Refused, "a tile or entry bundle that the checkpoint requires is absent";
    LOG_DUPLICATE_VERSION = "log-duplicate-version", Refused, "another file of the same role and version is in the log";
    LOG_ENTRY_TOO_LARGE = "log-entry-too-large", Refused, "an entry is larger than the log takes";
    LOG_ENTRY_MALFORMED = "log-entry-malformed", Refused, "an entry is not well-formed";
    LOG_ENTRY_UNAUTHORISED = "log-entry-unauthorised", Refused, "the log does not admit metadata that its keys do not vouch for";
    LOG_BUSY = "log-busy", Unavailable, "the log takes no more entries for the moment";
    LOG_RECOVERED = "log-recovered", Unavailable, "the log was interrupted and has recovered";
    LOG_STORAGE_FAILED = "log-storage-failed", Unavailable, "the log's storage failed; nothing was acknowledged";
    LOG_STORAGE_ROLLBACK = "log-storage-rollback", Refused, "the log's storage is older than what the log has signed";
    LOG_STORAGE_CORRUPT = "log-storage-corrupt", Refused, "the log's storage does not hash to its checkpoint";
    LOG_WRITER_CONFLICT = "log-writer-conflict", Unavailable, "another process writes to this log";
    LOG_INDEX_MISMATCH = "log-index-mismatch", Refused, "an index does not say what its log does";
    LOG_INDEX_UNAVAILABLE = "log-index-unavailable", Unavailable, "the database of a log's index cannot be used";
    WITNESS_CONFLICT = "witness-conflict", Refused, "the witness has seen another size of this log";
    WITNESS_INCONSISTENT = "witness-inconsistent", Refused, "the witness refuses: the checkpoint does not extend what it has seen";
    WITNESS_LOG_UNKNOWN = "witness-log-unknown", Unavailable, "the witness does not know this log";
    WITNESS_UNAVAILABLE = "witness-unavailable", Unavailable, "a witness could not be reached";
    LIMIT_EXCEEDED = "limit-exceeded", Refused, "an input is larger than any honest one";
    CLOCK_BEHIND_EVIDENCE = "clock-behind-evidence", Refused, "this machine's clock is behind a time that witnesses have proven";

    // Fetching.
    FETCH_TOO_LARGE = "fetch-too-large", Refused, "a server sent more than was listed or allowed";
    FETCH_TOO_SLOW = "fetch-too-slow", Unavailable, "a server sent too slowly";
    FETCH_FAILED = "fetch-failed", Unavailable, "a file could not be fetched";
    FETCH_NOT_FOUND = "fetch-not-found", Unavailable, "a file that the repository should have is not there";
    FETCH_URL_REFUSED = "fetch-url-refused", Usage, "that URL cannot be used for a repository";
    FETCH_TLS_REQUIRED = "fetch-tls-required", Usage, "a repository that is not on this machine must use https";
    ARTIFACT_DIGEST_MISMATCH = "artifact-digest-mismatch", Refused, "a downloaded file is not the one that was released";

    // Verifying and installing.
    VERIFY_UNKNOWN_FILE = "verify-unknown-file", Refused, "no trusted repository lists this file";
    INSTALL_PRODUCT_UNKNOWN = "install-product-unknown", Refused, "no trusted repository has that product";
    INSTALL_VERSION_UNKNOWN = "install-version-unknown", Refused, "the product has no such version for this platform";
    INSTALL_AMBIGUOUS = "install-ambiguous", Usage, "more than one trusted repository has a product of that name";
    INSTALL_NOT_INSTALLED = "install-not-installed", Usage, "the product is not installed here";
    INSTALL_NO_PREVIOUS = "install-no-previous", Usage, "there is no earlier generation to go back to";
    INSTALL_BELOW_FLOOR = "install-below-floor", Refused, "the version is older than what may be installed";
    INSTALL_DOWNGRADE = "install-downgrade", Refused, "the version is older than the active one";
    INSTALL_YANKED = "install-yanked", Refused, "the publisher has taken this version back";
    INSTALL_STATE_DAMAGED = "install-state-damaged", Refused, "the record of what is installed is damaged";
    INSTALL_CONTENT_CHANGED = "install-content-changed", Refused, "an installed file is not what was verified";
    INSTALL_RECOVERED = "install-recovered", Unavailable, "an interrupted installation was completed or undone";
    INSTALL_STORAGE_FAILED = "install-storage-failed", Unavailable, "the disk refused; the active version is unchanged";
    INSTALL_LOCKED = "install-locked", Unavailable, "another installation is under way";

    // Publishing.
    PUBLISH_REPO_EXISTS = "publish-repo-exists", Usage, "there is a repository already";
    PUBLISH_DIR_NOT_EMPTY = "publish-dir-not-empty", Usage, "the directory for something new holds something else";
    PUBLISH_REPO_MISSING = "publish-repo-missing", Usage, "there is no repository";
    PUBLISH_REPO_DAMAGED = "publish-repo-damaged", Refused, "the repository's files are damaged";
    PUBLISH_LOCKED = "publish-locked", Unavailable, "another publication is under way";
    PUBLISH_PRODUCT_EXISTS = "publish-product-exists", Usage, "the product exists already";
    PUBLISH_PRODUCT_UNKNOWN = "publish-product-unknown", Usage, "the repository has no such product";
    PUBLISH_VERSION_EXISTS = "publish-version-exists", Usage, "that version is released already";
    PUBLISH_VERSION_UNKNOWN = "publish-version-unknown", Usage, "that version is not released";
    PUBLISH_THRESHOLD_NOT_MET = "publish-threshold-not-met", Usage, "too few have signed this, or too few keys are at hand to sign it";
    PROPOSAL_STALE = "proposal-stale", Refused, "the proposal builds on metadata that is no longer the newest";
    PROPOSAL_EXPIRED = "proposal-expired", Refused, "the proposal has expired";
    PROPOSAL_MALFORMED = "proposal-malformed", Refused, "a proposal is incomplete or not well-formed";
    APPROVAL_INVALID = "approval-invalid", Refused, "a proposal or an approval of it was changed, or is not of someone who has a say";
    APPROVAL_SELF = "approval-self", Refused, "nobody but its proposer has approved a change that needs two people";
    PUBLISH_RENEWAL_DUE = "publish-renewal-due", Refused, "something of the repository expires soon and has to be renewed";
    PUBLISH_BLOCKED = "publish-blocked", Unavailable, "the release was not published: evidence that clients require could not be obtained";
    PUBLISH_UNFINISHED = "publish-unfinished", Unavailable, "a change of root was interrupted and must be completed first";
    PUBLISH_STORAGE_FAILED = "publish-storage-failed", Unavailable, "the repository could not be written";

    // Keys.
    KEY_NOT_FOUND = "key-not-found", Usage, "a key that is needed is not where it was looked for";
    KEY_MALFORMED = "key-malformed", Usage, "a key file is damaged or not a key";
    KEY_PASSPHRASE_WRONG = "key-passphrase-wrong", Usage, "the passphrase does not open the key";
    KEY_PASSPHRASE_MISSING = "key-passphrase-missing", Usage, "a passphrase is needed and none can be asked for";
    KEY_EXISTS = "key-exists", Usage, "a key of that name exists already";
    KEY_STORAGE_FAILED = "key-storage-failed", Unavailable, "a key could not be read or written";
    KEY_WEAK = "key-weak", Refused, "a key or algorithm is too weak to be used";
    KEY_EXPIRED = "key-expired", Refused, "a key has expired and signs nothing more";
    KEY_REVOKED = "key-revoked", Refused, "a key has been revoked or retired and signs nothing more";
    KEY_SHARE_INVALID = "key-share-invalid", Refused, "a share of a key is damaged, tampered with or of another set";
    KEY_SHARE_THRESHOLD = "key-share-threshold", Refused, "there are fewer shares than recover the key";
    KEY_USAGE_DAMAGED = "key-usage-damaged", Refused, "the log of key usage is damaged, cut or changed";
    KEY_USAGE_MISSING = "key-usage-missing", Refused, "a signature is not in the log of key usage";
    KEY_PLACE_INVALID = "key-place-invalid", Usage, "the text does not say where a key is";
    SIGNER_TOKEN_LOST = "signer-token-lost", Unavailable, "the token that holds a key is not there, or went away";
    SIGNER_PIN_REFUSED = "signer-pin-refused", Refused, "a token refused the PIN";
    SIGNER_KEY_MISMATCH = "signer-key-mismatch", Refused, "a token or signer holds another key than the expected one";
    SIGNER_UNAVAILABLE = "signer-unavailable", Unavailable, "what holds a key could not be asked";
    SIGNER_REFUSED = "signer-refused", Refused, "whoever guards a key refused to sign";
    SIGNATURE_INVALID = "signature-invalid", Refused, "a signature is not valid";
    SIGNATURE_ALGORITHM_DOWNGRADE = "signature-algorithm-downgrade", Refused, "one of the two signatures that a holder of two keys owes is missing or cannot be checked";

    // Everything else.
    NAME_INVALID = "name-invalid", Usage, "a name has characters that are not allowed";
    USAGE = "usage", Usage, "the command was not understood";
    FILE_NOT_FOUND = "file-not-found", Usage, "a file does not exist";
    FILE_NOT_REGULAR = "file-not-regular", Usage, "only regular files can be released";
    FILE_UNREADABLE = "file-unreadable", Unavailable, "a file cannot be read";
    STORAGE_FAILED = "storage-failed", Unavailable, "a file cannot be written";
    STORE_NOT_ATOMIC = "store-not-atomic", Refused, "a bucket lets two writers win where one must";
    STORE_SETTINGS_INVALID = "store-settings-invalid", Usage, "a bucket's URL, endpoint or credentials cannot be used";
    STATE_DAMAGED = "state-damaged", Refused, "this machine's record of a repository is damaged";
    SERVER_LIMIT = "server-limit", Unavailable, "a server has more to do than it takes on at once";
    SERVE_FAILED = "serve-failed", Unavailable, "the server could not start or go on";
    QUICKSTART_EXISTS = "quickstart-exists", Usage, "the quickstart has run in this directory before";
    EXPLAIN_UNKNOWN = "explain-unknown", Usage, "there is no such error code";
    INTERNAL_ERROR = "internal-error", Internal, "a bug in countersign";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_kebab_case() {
        for (index, code) in ALL.iter().enumerate() {
            assert!(code.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
            assert!(ALL[..index].iter().all(|other| other.name != code.name), "{code} twice");
        }
    }
}
