//! Changes of the transparency policy: its log's keys, its witnesses, its quorum.

use countersign_crypto::PublicKey;
use countersign_tlog::VerifierKey;
use countersign_tlog::policy::{
    Member, Policy, PolicyError, PolicyLog, PolicyName, PolicyProblem, PolicyWitness,
};

use super::swap::Swap;
use crate::error::PublishError;
use crate::witnesses::{self, WitnessSpec};

/// The member of `x-countersign` in root that has the policy's lines.
pub(super) const MEMBER: &str = "policy";

/// What a new policy has more or less than the present one.
#[derive(Debug, Clone, Default)]
pub struct PolicyEdit {
    /// Further keys of the log.
    pub add_log_keys: Vec<PublicKey>,
    /// Keys of the log that go.
    pub remove_log_keys: Vec<PublicKey>,
    /// Further witnesses; one whose name is there already takes that one's place.
    pub add_witnesses: Vec<WitnessSpec>,
    /// Names, in the policy, of witnesses that go.
    pub remove_witnesses: Vec<String>,
    /// How many witnesses must cosign; by default as many as before or, if witnesses come or go, all of one or two and a
    /// majority of more, where that is more.
    pub quorum: Option<usize>,
}

impl PolicyEdit {
    /// The lines of the changed policy, for [`crate::RootChange`].
    ///
    /// # Errors
    /// `usage` for a policy with groups of its own, names that it does not have, or fewer witnesses left than must
    /// cosign; `log-policy-invalid`.
    pub fn apply(&self, present: &Policy) -> Result<Vec<String>, PublishError> {
        let usage = |reason| PublishError::ProposalUsage { reason };
        let flat = present.groups().first().filter(|group| {
            present.groups().len() == 1
                && group.members().len() == present.witnesses().len()
                && present.quorum() == Some(Member::Group(0))
        });
        let flat = flat.ok_or(usage("this policy has groups of its own: give the whole new policy"))?;
        let mut logs = present.logs().to_vec();
        for key in &self.remove_log_keys {
            remove(&mut logs, |log| log.key.public_key() == key).ok_or(usage("the log has no such key"))?;
        }
        for key in &self.add_log_keys {
            logs.push(PolicyLog { key: VerifierKey::for_log(origin(present)?, key)?, url: None });
        }
        let mut witnesses = present.witnesses().to_vec();
        for name in &self.remove_witnesses {
            remove(&mut witnesses, |witness| witness.name.as_str() == Some(name))
                .ok_or(usage("the policy has no witness of that name"))?;
        }
        for spec in &self.add_witnesses {
            let added = named(spec.key.clone(), Some(&spec.url))?;
            match witnesses.iter_mut().find(|witness| witness.name == added.name) {
                Some(present) => *present = added,
                None => witnesses.push(added),
            }
        }
        let changed = witnesses.len() != present.witnesses().len();
        // More witnesses never make the policy content with fewer of them.
        let default = match changed {
            true => witnesses::quorum(witnesses.len()).max(flat.threshold()),
            false => flat.threshold(),
        };
        if self.quorum.is_none() && default > witnesses.len() {
            return Err(usage("fewer witnesses are left than must cosign: say how many of them must"));
        }
        let policy = Policy::k_of_n(logs, witnesses, self.quorum.unwrap_or(default))?;
        lines(&policy)
    }
}

/// The policy's lines after a swap; `None` if the key is not in it.
///
/// # Errors
/// [`PublishError::KeyNeeded`] if the log has no other key or the quorum can no longer be met.
pub(super) fn swapped(policy: &Policy, swap: Swap<'_>) -> Result<Option<Vec<String>>, PublishError> {
    let log = policy.logs().iter().position(|log| log.key.public_key() == swap.from);
    let witness = policy.witnesses().iter().position(|witness| witness.key.public_key() == swap.from);
    if log.is_none() && witness.is_none() {
        return Ok(None);
    }
    let changed = match (log, witness) {
        (Some(at), _) => swap_log(policy, at, swap)?,
        (None, Some(at)) => swap_witness(policy, at, swap)?,
        (None, None) => return Ok(None),
    };
    changed.require_witnesses()?;
    lines(&changed).map(Some)
}

/// Lines that are a policy, in the form that a root carries.
///
/// # Errors
/// `log-policy-invalid`.
pub(super) fn checked_lines(given: &[String]) -> Result<Vec<String>, PublishError> {
    lines(&parsed(given)?)
}

/// The policy of these lines, which must ask for a witness.
///
/// # Errors
/// `log-policy-invalid`.
pub(super) fn parsed(given: &[String]) -> Result<Policy, PublishError> {
    let mut text = String::new();
    for line in given {
        text.push_str(line);
        text.push('\n');
    }
    let policy = Policy::parse(text.as_bytes())?;
    policy.require_witnesses()?;
    Ok(policy)
}

fn lines(policy: &Policy) -> Result<Vec<String>, PublishError> {
    let invalid = PolicyError::Invalid { line: None, problem: PolicyProblem::KeyText };
    let text = String::from_utf8(policy.encode()).map_err(|_| invalid)?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn swap_log(policy: &Policy, at: usize, swap: Swap<'_>) -> Result<Policy, PublishError> {
    let name = policy.logs()[at].key.name();
    match swap.to {
        Some(to) => Ok(policy.with_log_key(at, VerifierKey::for_log(name, &to.key)?)?),
        None => policy.without_log(at).map_err(|_| PublishError::KeyNeeded {
            role: format!("log {name}"),
            threshold: 1,
            keys: 0,
        }),
    }
}

fn swap_witness(policy: &Policy, at: usize, swap: Swap<'_>) -> Result<Policy, PublishError> {
    let Some(to) = swap.to else {
        return policy.without_witness(at).map_err(|needed| PublishError::KeyNeeded {
            role: format!("quorum of {}", policy.logs().first().map_or("the log", |log| log.key.name())),
            threshold: u32::try_from(needed.threshold).unwrap_or(u32::MAX),
            keys: needed.left,
        });
    };
    let witness = &policy.witnesses()[at];
    // The local witness is named after its key.
    let is_local = witness.url.is_none() && witness.key.name() == witnesses::local_name(swap.from);
    let name = if is_local { witnesses::local_name(&to.key) } else { witness.key.name().to_owned() };
    let mut next = PolicyWitness { key: VerifierKey::for_witness(&name, &to.key)?, ..witness.clone() };
    if is_local && witness.name.as_str() == Some(witness.key.name()) {
        next.name = policy_name(&name)?;
    }
    Ok(policy.with_witness(at, next)?)
}

/// A witness under the name of its key.
fn named(key: VerifierKey, url: Option<&str>) -> Result<PolicyWitness, PublishError> {
    let (name, url) = (policy_name(key.name())?, url.map(policy_name).transpose()?);
    Ok(PolicyWitness { name, key, url })
}

fn policy_name(text: &str) -> Result<PolicyName, PolicyError> {
    let invalid = PolicyError::Invalid { line: None, problem: PolicyProblem::NameInvalid };
    PolicyName::new(text.as_bytes()).ok_or(invalid)
}

fn origin(policy: &Policy) -> Result<&str, PublishError> {
    Ok(policy.logs().first().map(|log| log.key.name()).ok_or(PolicyError::NoLogs)?)
}

/// Takes out the one for which `is` holds; `None` if there is none.
fn remove<T>(list: &mut Vec<T>, is: impl Fn(&T) -> bool) -> Option<T> {
    let at = list.iter().position(is)?;
    Some(list.remove(at))
}
