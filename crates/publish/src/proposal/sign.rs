//! Signing a proposal, and taking over what others signed on copies of it.

use std::sync::Arc;

use countersign_base::text::escape;
use countersign_crypto::{PublicKey, Signer, SignerError};
use countersign_keys::OpenedKey;
use countersign_keys::usage::{Purpose, Recorded, UsageLog};
use countersign_store::durable;

use super::Proposal;
use super::approval::Approval;
use super::authority::Authority;
use super::folder::{MODE, malformed};
use crate::error::PublishError;
use crate::keyring::Shared;

/// Gives a signer for a role.
pub type SignerOf<'a, 's> = dyn FnMut(&str) -> Result<Box<dyn Signer + 's>, PublishError> + 'a;

/// A signer that somebody else keeps.
struct Borrowed<'a>(&'a dyn Signer);

impl Signer for Borrowed<'_> {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.sign(message)
    }
}

impl Proposal {
    /// Signs every new file in which `signer`'s key has a say, and writes the signatures beside it. Returns the roles.
    ///
    /// # Errors
    /// `approval-invalid` for a key that has a say in none of them; `proposal-expired`; codes of the signer.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<Vec<String>, PublishError> {
        let key = signer.public_key().clone();
        self.sign_each(&key, &mut |_| Ok(Box::new(Borrowed(signer))))
    }

    /// As [`Proposal::sign`], with a key of a keys directory: each signature is in the directory's log of key usage
    /// before it is in the proposal.
    ///
    /// # Errors
    /// As [`Proposal::sign`]; codes of the log of key usage.
    pub fn sign_with(&mut self, key: OpenedKey) -> Result<Vec<String>, PublishError> {
        let OpenedKey { info, signer, usage_dir } = key;
        let (public, shared) = (signer.public_key().clone(), Shared::from(signer));
        let Some((info, dir)) = info.zip(usage_dir) else { return self.sign(&shared) };
        let usage = Arc::new(UsageLog::open(&dir, Arc::clone(&self.disk), self.now)?);
        let why = format!("proposal {}: {}", self.digest, self.intent().describe());
        let now = self.now;
        self.sign_each(&public, &mut |role| {
            let purpose = Purpose { role: role.to_owned(), why: why.clone() };
            let (signer, usage) = (Box::new(shared.clone()), Arc::clone(&usage));
            Ok(Box::new(Recorded::new(signer, usage, info.clone(), purpose, now)))
        })
    }

    /// As [`Proposal::sign`], with a signer that is asked for anew for each role: a log of key usage wants to know it.
    ///
    /// # Errors
    /// As [`Proposal::sign`]; what `signer` says.
    pub fn sign_each<'s>(
        &mut self,
        key: &PublicKey,
        signer: &mut SignerOf<'_, 's>,
    ) -> Result<Vec<String>, PublishError> {
        self.check_time(self.now)?;
        let authority = Authority::new(&self.old, &self.drafts)?;
        let mut made = Vec::new();
        for draft in &self.drafts {
            let role = draft.role();
            let Some(keyid) = authority.keyid(role, key) else { continue };
            let signer = signer(role)?;
            if signer.public_key() != key {
                return Err(signer_fault(format!("the signer has another key than {key}")));
            }
            let mut signed = draft.clone();
            signed.sign_as(&keyid, &*signer)?;
            let signature = signed.signatures().find(|(id, _)| *id == keyid).map(|(_, bytes)| bytes.to_vec());
            let signature =
                signature.ok_or_else(|| signer_fault("the signer made no signature".to_owned()))?;
            made.push(Approval::new(self.digest, role, &keyid, &signature));
        }
        if made.is_empty() {
            return Err(authority.no_say(key, &self.drafts));
        }
        drop(authority);
        let roles = made.iter().map(|approval| approval.role.clone()).collect();
        self.keep(made)?;
        Ok(roles)
    }

    /// Takes over the good signatures of a copy that it has not.
    ///
    /// # Errors
    /// `approval-invalid` if it is another proposal.
    pub fn merge(&mut self, other: &Self) -> Result<usize, PublishError> {
        if other.digest != self.digest {
            let shown = |one: &Self| escape(&one.path().to_string_lossy());
            let what = format!("{} is another proposal than {}", shown(other), shown(self));
            let fix =
                "merge copies of one proposal; what is signed is its digest, which `proposal show` prints";
            return Err(PublishError::ApprovalInvalid { what, fix });
        }
        let authority = Authority::new(&self.old, &self.drafts)?;
        let good = |approval: &&Approval| approval.check(self.digest, &self.drafts, &authority).is_ok();
        let held: Vec<String> = self.approvals.iter().filter(good).map(Approval::file_name).collect();
        let new: Vec<Approval> = other
            .approvals
            .iter()
            .filter(good)
            .filter(|approval| !held.contains(&approval.file_name()))
            .cloned()
            .collect();
        drop(authority);
        let count = new.len();
        self.keep(new)?;
        Ok(count)
    }

    /// Writes signatures, and counts them.
    fn keep(&mut self, new: Vec<Approval>) -> Result<(), PublishError> {
        for approval in new {
            let path = self.folder.signature(&approval.role, &approval.keyid);
            let bytes = approval.to_bytes().ok_or_else(|| malformed(&path, "it cannot be written"))?;
            durable::write_atomic(&*self.disk, &path, &bytes, MODE)?;
            self.approvals.retain(|held| held.file_name() != approval.file_name());
            self.approvals.push(approval);
        }
        self.count()?;
        self.write_summary()
    }
}

/// A signer that does not do what it should.
fn signer_fault(what: String) -> PublishError {
    PublishError::ApprovalInvalid {
        what,
        fix: "check which key the token, the agent or the key service holds",
    }
}
