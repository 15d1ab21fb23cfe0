//! Logging documents, having the tree cosigned, and making proofs: steps 5 and 6 of an act.

use countersign_log::{Admitted, Cosigner, LogError, Submission};
use countersign_tlog::policy::Policy;
use countersign_tlog::{TlogProof, VerifierKey};

use super::{Act, Signed, log_signer};
use crate::current::Current;
use crate::error::PublishError;
use crate::keyring::Keyring;
use crate::online::Online;
use crate::seen;
use crate::trust::Handover;
use crate::witnesses::{self, Connect};

/// Proofs of new metadata and of what is there, and who cosigned the tree in them.
pub(super) struct Proven {
    pub(super) documents: Vec<(Signed, Vec<u8>)>,
    pub(super) reproofs: Vec<(String, u64, Vec<u8>)>,
    pub(super) tree_size: Option<u64>,
    pub(super) cosigners: Vec<String>,
}

impl Act<'_> {
    /// Steps 5 and 6.
    pub(super) fn log_and_prove(
        &mut self,
        documents: Vec<Signed>,
        handover: Option<&Handover>,
        online: &Online<'_>,
        keyring: &mut Keyring<'_>,
        connect: &mut Connect<'_>,
    ) -> Result<(Vec<Admitted>, Proven), PublishError> {
        let again = self.to_prove_again(&documents, handover, online)?;
        if documents.is_empty() && again.is_empty() {
            let (documents, reproofs, cosigners) = (Vec::new(), Vec::new(), Vec::new());
            return Ok((Vec::new(), Proven { documents, reproofs, tree_size: None, cosigners }));
        }
        // The first is the one that is in force from now on.
        let mut policies = Vec::from_iter(handover.map(|handover| handover.policy.clone()));
        policies.push(self.policy.clone());
        policies.append(&mut self.older);
        policies.dedup();
        for policy in &policies {
            self.log.add_key(Box::new(log_signer(policy, keyring)?.1), self.site.now)?;
        }
        let policies: Vec<&Policy> = policies.iter().collect();
        // Opened before anything is logged: a wrong passphrase of the witness's key costs no number.
        let keys = self.log.key().verifiers().to_vec();
        let mut cosigners = witnesses::cosigners(self.site, &policies, &keys, keyring, connect)?;
        if let Some(handover) = handover.filter(|handover| handover.policy != self.policy) {
            self.rehearse(&handover.policy, keyring, connect)?;
        }
        let admitted = self.admit(&documents)?;
        let proven = self.prove(documents, &admitted, &again, &policies, &mut cosigners)?;
        Ok((admitted, proven))
    }

    /// What is in force, stays so, and needs a new proof.
    fn to_prove_again(
        &self,
        documents: &[Signed],
        handover: Option<&Handover>,
        online: &Online<'_>,
    ) -> Result<Vec<Admitted>, PublishError> {
        let mut files = self.mending.clone();
        if handover.is_some_and(|handover| handover.policy != self.policy) && files.is_empty() {
            files.extend(online.current.map(Current::files).unwrap_or_default());
        }
        let new =
            |role: &str, version| documents.iter().any(|new| new.role == role && new.version == version);
        let mut found = Vec::with_capacity(files.len());
        for (role, version) in files.into_iter().filter(|(role, version)| !new(role, *version)) {
            let entry = self.admission.find(&self.log, &role, version)?;
            let path = self.site.layout.role_file(&role, version);
            let source = Some("it is not in the repository's log".into());
            found.push(entry.ok_or(PublishError::Damaged { path, source })?);
        }
        Ok(found)
    }

    /// Asks the witnesses of a policy that is to be put in force whether they would cosign under it, while there is a
    /// way back: with the signature of its own log key alone.
    fn rehearse(
        &self,
        policy: &Policy,
        keyring: &mut Keyring<'_>,
        connect: &mut Connect<'_>,
    ) -> Result<(), PublishError> {
        let (key, _) = log_signer(policy, keyring)?;
        let keys = core::slice::from_ref(&key);
        let mut cosigners = witnesses::cosigners(self.site, &[policy], keys, keyring, connect)?;
        let rehearsed = self.log.rehearse(&key, &mut cosigners, policy, self.site.now);
        rehearsed.map_err(|error| blocked(error, &key))
    }

    /// Logs the documents: step 5.
    fn admit(&mut self, documents: &[Signed]) -> Result<Vec<Admitted>, PublishError> {
        let submission =
            |document: &Signed| Submission { role: document.role.clone(), bytes: document.bytes.clone() };
        let submissions: Vec<_> = documents.iter().map(submission).collect();
        if submissions.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.admission.admit(&mut self.log, &submissions, self.site.now)?)
    }

    /// Has the log's tree cosigned and makes the proofs of new documents and of those that are proven `again`: step 6.
    fn prove(
        &mut self,
        documents: Vec<Signed>,
        admitted: &[Admitted],
        again: &[Admitted],
        policies: &[&Policy],
        cosigners: &mut [Box<dyn Cosigner>],
    ) -> Result<Proven, PublishError> {
        let now = self.site.now;
        let published = self.log.publish_under(cosigners, policies, now);
        let checkpoint = published.map_err(|error| blocked(error, self.log.key().verifier()))?;
        let policy = policies.first().copied().unwrap_or(&self.policy);
        let verified = policy.check_checkpoint(&checkpoint, now)?;
        let size = verified.checkpoint().size();
        seen::remember(self.site, policy, verified.checkpoint(), &checkpoint)?;
        let proof = |entry: &Admitted| -> Result<Vec<u8>, PublishError> {
            let hashes = self.log.proof(entry.index, size)?;
            let (extra, checkpoint) = (Some(entry.leaf.clone()), checkpoint.clone());
            Ok(TlogProof { extra, index: entry.index, hashes, checkpoint }.encode())
        };
        let proofs = admitted.iter().map(proof).collect::<Result<Vec<_>, _>>()?;
        let mut reproofs = Vec::with_capacity(again.len());
        for entry in again {
            reproofs.push((entry.role.clone(), entry.version, proof(entry)?));
        }
        let names = verified.cosigners().iter().map(|cosigner| cosigner.name.to_string());
        Ok(Proven {
            documents: documents.into_iter().zip(proofs).collect(),
            reproofs,
            tree_size: Some(size),
            cosigners: names.collect(),
        })
    }
}

fn blocked(source: LogError, log: &VerifierKey) -> PublishError {
    match source {
        LogError::Quorum { .. } => PublishError::Blocked { log: Box::new(log.clone()), source },
        other => other.into(),
    }
}
