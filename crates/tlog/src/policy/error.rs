//! What can be wrong with a policy, and with a checkpoint under it.

use countersign_base::Timestamp;
use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;

use super::{MAX_GROUPS, MAX_LOGS, MAX_POLICY_BYTES, MAX_WITNESSES, PolicyName};
use crate::checkpoint::CheckpointError;
use crate::note::VkeyError;

/// A rule of the file format that a policy breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyProblem {
    /// Over [`MAX_POLICY_BYTES`].
    #[error("it is longer than {MAX_POLICY_BYTES} bytes")]
    TooLarge,
    /// An octet outside tab, newline, 0x20 to 0x7e and 0x80 to 0xff.
    #[error("the octet {octet:#04x} is not allowed")]
    Octet {
        /// The octet.
        octet: u8,
    },
    /// The last line is cut.
    #[error("the last line does not end in a newline")]
    Unterminated,
    /// A line of another kind.
    #[error("`{keyword}` is none of log, witness, group and quorum")]
    Keyword {
        /// The first item of the line.
        keyword: PolicyName,
    },
    /// Too few or too many items.
    #[error("a line of this kind has the form `{form}`")]
    Form {
        /// What it should look like.
        form: &'static str,
    },
    /// A key that cannot be read.
    #[error(transparent)]
    Key(#[from] VkeyError),
    /// A vkey that is not UTF-8.
    #[error("a verifier key must be UTF-8")]
    KeyText,
    /// A key of a type that logs do not sign with.
    #[error("the key of log `{name}` is not of a type for logs (0x01 or 0x06)")]
    LogKeyType {
        /// The key's name, escaped.
        name: String,
    },
    /// A key of a type that witnesses do not cosign with.
    #[error("the key of witness `{name}` is not of a type for witnesses (0x04 or 0x06)")]
    WitnessKeyType {
        /// The witness.
        name: PolicyName,
    },
    /// One public key twice among the logs.
    #[error("log `{name}` has the public key of another log")]
    DuplicateLog {
        /// The second one's key name, escaped.
        name: String,
    },
    /// One public key twice among the witnesses.
    #[error("witness `{name}` has the public key of another witness")]
    DuplicateWitness {
        /// The second one.
        name: PolicyName,
    },
    /// Two keys that signature lines cannot tell apart.
    #[error("two keys have the name `{name}` and the same key id")]
    DuplicateKeyId {
        /// The keys' name, escaped.
        name: String,
    },
    /// A name that is taken.
    #[error("the name `{name}` is defined twice")]
    DuplicateName {
        /// The name.
        name: PolicyName,
    },
    /// `none` as the name of a witness or group, or as a member.
    #[error("`none` cannot be defined or be a member of a group")]
    NoneReserved,
    /// An item that cannot be a name or URL.
    #[error("a name or URL is empty, too long or has spaces")]
    NameInvalid,
    /// A name that no line before defines.
    #[error("the name `{name}` is not defined before")]
    Undefined {
        /// The name.
        name: PolicyName,
    },
    /// A name that is listed as a member for the second time.
    #[error("`{name}` is a member of a group already")]
    AlreadyMember {
        /// The name.
        name: PolicyName,
    },
    /// Not `all`, `any` or a number from 1 to the number of members.
    #[error("a group's threshold is `all`, `any` or a number from 1 to its {members} members")]
    Threshold {
        /// Number of members.
        members: usize,
    },
    /// No quorum line.
    #[error("it has no quorum line")]
    QuorumMissing,
    /// A second quorum line.
    #[error("it has two quorum lines")]
    QuorumTwice,
    /// Over [`MAX_LOGS`], [`MAX_WITNESSES`] or [`MAX_GROUPS`].
    #[error("it has more than {MAX_LOGS} logs, {MAX_WITNESSES} witnesses or {MAX_GROUPS} groups")]
    TooMany,
}

/// Why a policy cannot be used, or why a checkpoint does not meet it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text breaks a rule.
    #[error("the transparency policy is not valid{}: {problem}", at(.line))]
    Invalid {
        /// 1-based line, if it is about one.
        line: Option<usize>,
        /// The rule.
        problem: PolicyProblem,
    },
    /// `quorum none`.
    #[error("the transparency policy asks for no witness (`quorum none`)")]
    NoQuorum,
    /// No log line.
    #[error("the transparency policy names no log")]
    NoLogs,
    /// One public key for a log and a witness, under whatever names: the log would give its own word twice.
    #[error("witness `{name}` has the public key of a log, and nobody is a witness of itself")]
    LogIsWitness {
        /// The witness.
        name: PolicyName,
    },
    /// The checkpoint is not well-formed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of a log that the policy does not name.
    #[error("the checkpoint is of the log `{}`, which the policy does not name", escape(.origin))]
    Origin {
        /// The checkpoint's origin.
        origin: String,
    },
    /// No key that the policy has for this log signed.
    #[error("no known key of the log `{}` signed the checkpoint", escape(.origin))]
    LogKeyUnknown {
        /// The checkpoint's origin.
        origin: String,
    },
    /// A signature under the name and id of a known witness that this witness did not make.
    #[error("the cosignature of witness `{name}` does not belong to this checkpoint")]
    Cosignature {
        /// The witness.
        name: PolicyName,
    },
    /// Quorum is met only by counting cosignatures that state no time.
    #[error("a cosignature without a time does not count, and without {} the quorum is not met", quoted(.names))]
    CosignatureUndated {
        /// The witnesses whose cosignatures do not count.
        names: Vec<PolicyName>,
    },
    /// Quorum is met only by counting cosignatures whose time cannot be right.
    #[error(
        "cosignatures dated in the future of {now} or too long before do not count, and without {} the quorum is not met",
        quoted(.names)
    )]
    CosignatureTime {
        /// The witnesses whose cosignatures do not count.
        names: Vec<PolicyName>,
        /// The time that they were compared with.
        now: Timestamp,
    },
    /// Too few witnesses.
    #[error("too few witnesses cosigned the checkpoint: {rule} must, and {} did not", quoted(.missing))]
    Quorum {
        /// The quorum in words.
        rule: String,
        /// Who cosigned.
        have: Vec<PolicyName>,
        /// Who could have and did not.
        missing: Vec<PolicyName>,
    },
}

impl Explain for PolicyError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } | Self::NoQuorum | Self::NoLogs | Self::LogIsWitness { .. } => {
                code::LOG_POLICY_INVALID
            }
            Self::Checkpoint(error) => error.code(),
            Self::Origin { .. } => code::LOG_ORIGIN_MISMATCH,
            Self::LogKeyUnknown { .. } => code::LOG_KEY_UNKNOWN,
            Self::Cosignature { .. } | Self::CosignatureUndated { .. } => code::LOG_COSIGNATURE_INVALID,
            Self::CosignatureTime { .. } => code::LOG_COSIGNATURE_TIME,
            Self::Quorum { .. } => code::LOG_QUORUM_NOT_MET,
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::CosignatureTime { .. } => Some("check this machine's clock".to_owned()),
            Self::NoQuorum => Some("name a witness or a group of witnesses in the quorum line".to_owned()),
            Self::LogIsWitness { name } => Some(format!(
                "give the witness `{name}` a key of its own, kept by somebody else, or leave it out"
            )),
            _ => None,
        }
    }
}

fn at(line: &Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

fn quoted(names: &[PolicyName]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
