//! Trust policies: which logs and witnesses are known, and which witnesses are enough.
//!
//! Spec: <https://c2sp.org/tlog-policy>.
//! `parse`: the file format and its rules; `rule`: groups and quorum; `check`: a checkpoint against the policy; `edit`: one
//! member changed.
//! `quorum none` is legal text and parses; nothing is ever accepted under it ([`Policy::require_witnesses`]).
//! Not here: where a policy comes from (a repository's root metadata, or a file).

mod check;
mod edit;
mod error;
mod name;
mod parse;
mod rule;

pub use check::{Cosigner, MAX_FUTURE_SECONDS, VerifiedCheckpoint};
pub use edit::WitnessNeeded;
pub use error::{PolicyError, PolicyProblem};
pub use name::PolicyName;
pub use rule::{Group, Member};

use core::fmt;

use crate::note::VerifierKey;

/// Longest policy that is read: as many ML-DSA-44 keys as are allowed, and as much again for comments.
pub const MAX_POLICY_BYTES: usize = 512 * 1024;

/// Most logs in a policy; the specification asks for at least 32.
pub const MAX_LOGS: usize = 64;

/// Most witnesses in a policy; the specification asks for at least 32.
pub const MAX_WITNESSES: usize = 64;

/// Most groups in a policy; the specification asks for at least 32.
pub const MAX_GROUPS: usize = 64;

/// A policy that follows all rules of the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// `None` is `quorum none`.
    quorum: Option<Member>,
}

/// A known log. Its key's name is its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLog {
    /// Key that signs its checkpoints.
    pub key: VerifierKey,
    /// Where it is served; means nothing for verifying.
    pub url: Option<PolicyName>,
}

/// A known witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWitness {
    /// Name within the policy.
    pub name: PolicyName,
    /// Key that makes its cosignatures.
    pub key: VerifierKey,
    /// Where it takes checkpoints; means nothing for verifying.
    pub url: Option<PolicyName>,
}

impl Policy {
    /// A policy that asks for any `threshold` of these witnesses, in one group named `witnesses` (which no witness can be
    /// called).
    ///
    /// # Errors
    /// What [`Policy::parse`] would say of the text, and [`Policy::require_witnesses`] of the policy; names and URLs cannot
    /// have spaces.
    pub fn k_of_n(
        logs: Vec<PolicyLog>,
        witnesses: Vec<PolicyWitness>,
        threshold: usize,
    ) -> Result<Self, PolicyError> {
        let mut builder = parse::Builder::default();
        let build = || {
            for log in logs {
                builder.log(log)?;
            }
            let members: Vec<PolicyName> = witnesses.iter().map(|witness| witness.name.clone()).collect();
            for witness in witnesses {
                builder.witness(witness)?;
            }
            let group = PolicyName::new(b"witnesses").ok_or(PolicyProblem::NameInvalid)?;
            builder.group(group.clone(), threshold, &members)?;
            builder.quorum(&group)
        };
        build().map_err(|problem| PolicyError::Invalid { line: None, problem })?;
        let policy = builder.finish()?;
        policy.require_witnesses()?;
        Ok(policy)
    }

    /// Known logs, in the order of the text.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// Known witnesses, in the order of the text.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Groups, each after its members.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The witness or group that must have witnessed a checkpoint; `None` for `quorum none`.
    pub const fn quorum(&self) -> Option<Member> {
        self.quorum
    }

    /// Refuses a policy under which no witness or no log is asked for, or a log is its own witness. Every check begins with
    /// this.
    ///
    /// The text of such policies is legal, and others read it; the rules of the text compare logs with logs and witnesses
    /// with witnesses alone.
    ///
    /// # Errors
    /// `log-policy-invalid`.
    pub fn require_witnesses(&self) -> Result<(), PolicyError> {
        if self.quorum.is_none() {
            return Err(PolicyError::NoQuorum);
        }
        if self.logs.is_empty() {
            return Err(PolicyError::NoLogs);
        }
        // Names and key ids differ with the kind of signature; whose word it is does not.
        let is_of_log = |key| self.logs.iter().any(|log| log.key.public_key() == key);
        match self.witnesses.iter().find(|witness| is_of_log(witness.key.public_key())) {
            Some(witness) => Err(PolicyError::LogIsWitness { name: witness.name.clone() }),
            None => Ok(()),
        }
    }

    /// The text of the policy without comments; `parse` of it gives the same policy.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for log in &self.logs {
            let key = log.key.to_string();
            line(&mut out, &[b"log", key.as_bytes()], log.url.as_ref());
        }
        for PolicyWitness { name, key, url } in &self.witnesses {
            line(&mut out, &[b"witness", name.as_bytes(), key.to_string().as_bytes()], url.as_ref());
        }
        for group in &self.groups {
            let threshold = if group.threshold() == group.members().len() {
                "all".to_owned()
            } else {
                group.threshold().to_string()
            };
            let mut fields: Vec<&[u8]> = vec![b"group", group.name().as_bytes(), threshold.as_bytes()];
            fields.extend(group.members().iter().map(|member| self.name_of(*member).as_bytes()));
            line(&mut out, &fields, None);
        }
        let quorum = self.quorum.map_or(&b"none"[..], |member| self.name_of(member).as_bytes());
        line(&mut out, &[b"quorum", quorum], None);
        out
    }
}

impl fmt::Display for Policy {
    /// [`Policy::encode`] as text; octets that are not UTF-8 show as `\u{fffd}`, and only such text does not read
    /// back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.encode()))
    }
}

fn line(out: &mut Vec<u8>, fields: &[&[u8]], url: Option<&PolicyName>) {
    out.extend(fields.join(&b' '));
    if let Some(url) = url {
        out.push(b' ');
        out.extend_from_slice(url.as_bytes());
    }
    out.push(b'\n');
}
