//! The transparency policy of a new repository, and whom a publication asks for cosignatures.

use std::path::PathBuf;
use std::sync::Arc;

use countersign_crypto::{PublicKey, Signer};
use countersign_log::witness::last_seen;
use countersign_log::{Cosigner, LocalCosigner, LogList, Witness};
use countersign_tlog::policy::{Policy, PolicyError, PolicyLog, PolicyName, PolicyProblem, PolicyWitness};
use countersign_tlog::{SignedCheckpoint, VerifierKey};

use crate::act::Site;
use crate::error::PublishError;
use crate::keyring::Keyring;

/// Name of the folder in the keys directory with the state of the local witness. Losing it means a new witness key.
pub const LOCAL_WITNESS_DIR: &str = "witness";

/// A witness that someone else runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessSpec {
    /// Its verifier key, as its operator gives it out.
    pub key: VerifierKey,
    /// Its submission prefix: `add-checkpoint` is below it (C2SP tlog-witness).
    pub url: String,
}

/// Makes the HTTP client for a witness of the policy that has a URL.
pub type Connect<'a> = dyn FnMut(&PolicyWitness) -> Box<dyn Cosigner> + 'a;

/// How many of `witnesses` must cosign: all of one or two, else a majority.
///
/// With three or more, any two quorums share a witness, and one that is down does not stop publishing.
pub(crate) const fn quorum(witnesses: usize) -> usize {
    if witnesses <= 2 { witnesses } else { witnesses / 2 + 1 }
}

/// A policy of this log and these witnesses; a witness without URL is the local one.
///
/// # Errors
/// `log-policy-invalid`: no witness, two of one name or key, a URL with spaces.
pub(crate) fn make_policy(
    log: VerifierKey,
    witnesses: &[(VerifierKey, Option<String>)],
) -> Result<Policy, PublishError> {
    let invalid = || PolicyError::Invalid { line: None, problem: PolicyProblem::NameInvalid };
    let mut listed = Vec::with_capacity(witnesses.len());
    for (key, url) in witnesses {
        let name = PolicyName::new(key.name().as_bytes()).ok_or_else(invalid)?;
        let url = match url {
            Some(url) => Some(PolicyName::new(url.as_bytes()).ok_or_else(invalid)?),
            None => None,
        };
        listed.push(PolicyWitness { name, key: key.clone(), url });
    }
    let threshold = quorum(listed.len());
    Ok(Policy::k_of_n(vec![PolicyLog { key: log, url: None }], listed, threshold)?)
}

/// The name of the local witness: it says what it is, and differs from repository to repository.
pub(crate) fn local_name(key: &PublicKey) -> String {
    format!("witness.countersign.local/{}", short(key))
}

/// The first 8 hex digits of a key.
pub(crate) fn short(key: &PublicKey) -> String {
    key.as_raw().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Everyone in the policies who can be asked: those with a URL, and the local witness if its key is at hand. Who is in
/// several is asked once. `logs` are the keys that sign the checkpoint.
pub(crate) fn cosigners(
    site: &Site,
    policies: &[&Policy],
    logs: &[VerifierKey],
    keyring: &mut Keyring<'_>,
    connect: &mut Connect<'_>,
) -> Result<Vec<Box<dyn Cosigner>>, PublishError> {
    let mut found: Vec<Box<dyn Cosigner>> = Vec::new();
    let mut asked: Vec<&PolicyWitness> = Vec::new();
    for witness in policies.iter().flat_map(|policy| policy.witnesses()) {
        // One name at one place is one witness, also while its key changes: it answers with the keys it has.
        let same = |other: &&PolicyWitness| {
            other.key == witness.key
                || (witness.url.is_some()
                    && (other.key.name(), &other.url) == (witness.key.name(), &witness.url))
        };
        if asked.iter().any(same) {
            continue;
        }
        asked.push(witness);
        if witness.url.is_some() {
            found.push(connect(witness));
        } else if let Some(signer) = keyring.signer(witness.key.public_key())? {
            let Some(origin) = logs.first().map(VerifierKey::name) else { continue };
            let state = local_state(site, &witness.key, origin)?;
            let logs = LogList::new(logs.iter().cloned());
            let signers: Vec<Box<dyn Signer>> = vec![Box::new(signer)];
            let witness =
                Witness::shared_on(Arc::clone(&site.disk), &state, witness.key.name(), signers, logs)?;
            found.push(Box::new(LocalCosigner::new(Arc::new(witness), site.now)));
        }
    }
    Ok(found)
}

/// The folder with the state of a local witness. One with another key than the first has a folder of its own, so that
/// neither finds what it did not sign.
pub(crate) fn local_state(site: &Site, key: &VerifierKey, origin: &str) -> Result<PathBuf, PublishError> {
    let first = site.keys.join(LOCAL_WITNESS_DIR);
    let Some(seen) = last_seen(&first, origin)? else { return Ok(first) };
    // State that does not read is the witness's to refuse.
    let of_another = SignedCheckpoint::parse(&seen)
        .is_ok_and(|seen| !seen.note().signatures().iter().any(|signature| signature.name() == key.name()));
    Ok(if of_another {
        first.with_file_name(format!("{LOCAL_WITNESS_DIR}-{}", short(key.public_key())))
    } else {
        first
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_quorums_share_a_witness() {
        for witnesses in 1..40 {
            assert!(2 * quorum(witnesses) > witnesses, "{witnesses}");
            assert!(quorum(witnesses) <= witnesses);
        }
        assert_eq!((quorum(1), quorum(2), quorum(3), quorum(4), quorum(5)), (1, 2, 2, 3, 3));
    }
}
