//! One signature on one new file, and the file it travels in.

use countersign_base::Sha256Digest;
use countersign_tuf::editor::Draft;
use serde::{Deserialize, Serialize};

use super::authority::Authority;
use super::statement::{read_canonical, write_canonical};
use super::text;

/// Version of the form of a signature's file.
const API_VERSION: &str = "0.0.1";
/// `kind` of a signature's file.
const KIND: &str = "approval";
/// Largest signature file, in bytes; ML-DSA-65 has 6,618 characters.
pub(super) const MAX_APPROVAL_BYTES: u64 = 16 * 1024;

/// A signature as its file has it. Nothing about it is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Approval {
    api_version: String,
    kind: String,
    /// The proposal that it is of.
    #[serde(with = "text")]
    proposal: Sha256Digest,
    /// The role whose new file it is on.
    pub(super) role: String,
    /// The key.
    pub(super) keyid: String,
    /// The signature, in hex.
    signature: String,
}

/// A signature that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadApproval {
    /// The role.
    pub role: String,
    /// The key that it claims to be of.
    pub keyid: String,
    /// Whose key it is, as the metadata says; else the first characters of the id.
    pub name: String,
    /// Why it does not count.
    pub reason: &'static str,
}

impl Approval {
    pub(super) fn new(proposal: Sha256Digest, role: &str, keyid: &str, signature: &[u8]) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            proposal,
            role: role.to_owned(),
            keyid: keyid.to_owned(),
            signature: hex::encode(signature),
        }
    }

    /// Reads the file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let approval: Self = read_canonical(bytes)?;
        if approval.api_version != API_VERSION || approval.kind != KIND {
            return Err("it is of another kind or version".to_owned());
        }
        Ok(approval)
    }

    /// The file.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        write_canonical(self)
    }

    /// Its name in the folder of signatures.
    pub(super) fn file_name(&self) -> String {
        format!("{}.{}.json", self.role, self.keyid)
    }

    /// The signature, if it is a good one by a key that has a say in its role.
    pub(super) fn check(
        &self,
        proposal: Sha256Digest,
        drafts: &[Draft],
        authority: &Authority<'_>,
    ) -> Result<Vec<u8>, BadApproval> {
        let bad = |reason| BadApproval {
            role: self.role.clone(),
            keyid: self.keyid.clone(),
            name: authority.name(&self.role, &self.keyid),
            reason,
        };
        if self.proposal != proposal {
            return Err(bad("it is of another proposal"));
        }
        let draft = drafts.iter().find(|draft| draft.role() == self.role);
        let draft = draft.ok_or_else(|| bad("the proposal does not change that role"))?;
        let key = authority.key(&self.role, &self.keyid).ok_or_else(|| bad("the key has no say"))?;
        let signature = hex::decode(&self.signature).map_err(|_| bad("it is not hex"))?;
        match key.verify(&draft.message_for(&key), &signature) {
            Ok(()) => Ok(signature),
            Err(_) => Err(bad("it does not verify")),
        }
    }
}
