//! Words and advice that several errors share.

use std::path::Path;

use countersign_base::code::{self, Code, Explain as _};
use countersign_base::text::escape;
use countersign_log::LogError;
use countersign_tlog::VerifierKey;
use countersign_tlog::policy::PolicyError;
use countersign_tuf::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};

use crate::trust::ROTATED;

/// What to do where this machine's clock and what is published do not agree.
pub(super) const CLOCK_FIX: &str = "set this machine's clock right if it is behind; only if it is right, and was ahead when this was published, run \
     `countersign renew --clock-was-ahead`";

/// Witnesses that cannot be had are an outage: evidence is missing, not bad. What a witness says keeps its code.
pub(super) fn blocked_code(source: &LogError) -> Code {
    match source.code() {
        code::LOG_QUORUM_NOT_MET | code::WITNESS_UNAVAILABLE => code::PUBLISH_BLOCKED,
        other => other,
    }
}

pub(super) fn blocked_fix(log: &VerifierKey, source: &LogError) -> Option<String> {
    if source.code() == code::WITNESS_LOG_UNKNOWN {
        return Some(format!(
            "give the witness's operator this line, and run the command again once the log is known there: {log}"
        ));
    }
    let fix = match source.code() {
        code::WITNESS_INCONSISTENT | code::WITNESS_CONFLICT => {
            "if the repository was restored from a copy, restore the newest one; if not, somebody else has signed \
             with the log's key"
        }
        _ => "run the command again once the witnesses can be reached",
    };
    let fix = source.fix().unwrap_or_else(|| fix.to_owned());
    if blocked_code(source) != code::PUBLISH_BLOCKED {
        return Some(fix);
    }
    // Not every witness says that it does not know a log, and before the first publication none does.
    Some(format!("{fix}\nthe operator of a witness that does not know this log yet needs its key: {log}"))
}

pub(super) fn refused_fix(source: &PolicyError) -> String {
    let renew = "run `countersign renew`, which has the proofs of all current metadata made anew";
    match source.code() {
        code::LOG_COSIGNATURE_TIME => CLOCK_FIX.to_owned(),
        _ => renew.to_owned(),
    }
}

/// Names of people, for a line of text.
pub(super) fn people(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { escape(&names.join(", ")) }
}

/// Whose signatures, where that must be said.
pub(super) fn of_whom(whose: &str) -> String {
    if whose.is_empty() { String::new() } else { format!(" of {whose}") }
}

/// A path as it can be shown to a person.
pub(super) fn shown(path: &Path) -> String {
    format!("`{}`", escape(&path.to_string_lossy()))
}

/// How many have signed, and who.
pub(super) fn counted(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { format!("{}: {}", names.len(), people(names)) }
}

/// Who must still sign a role: `targets: 2 more of root-1, root-2`.
pub(crate) fn short_of(role: &str, by: &str, lacks: usize, missing: &[String]) -> String {
    format!("{}{}: {lacks} more of {}", escape(role), of_whom(by), people(missing))
}

/// A number of keys, in a sentence.
pub(super) fn keys_in_words(number: usize) -> String {
    if number == 1 { "1 key".to_owned() } else { format!("{number} keys") }
}

/// How a key ended, in a sentence.
pub(super) fn ended(why: &str) -> String {
    if why == ROTATED { "replaced by another".to_owned() } else { format!("revoked ({})", escape(why)) }
}

/// A role, the log or the quorum, in a sentence.
pub(super) fn needing(role: &str) -> String {
    match role {
        ROOT | TARGETS | SNAPSHOT | TIMESTAMP => format!("the {role} role"),
        // No product has a space in its name.
        other if other.contains(' ') => format!("the {}", escape(other)),
        product => format!("the product {}", escape(product)),
    }
}
