//! `proposal.json`: what is proposed, by whom, on top of what, until when.
//!
//! The proposal's digest is the SHA-256 of this file, and every new metadata file carries it where signatures are on
//! it. So whoever signs a file signs this statement too: its intent, its reason, its expiry, its repository.

use std::collections::BTreeMap;

use countersign_base::canonical::rfc8785;
use countersign_base::{Anchor, Sha256Digest, Timestamp, json};
use countersign_crypto::sha256;
use countersign_verify::extension::is_holder;
use serde::{Deserialize, Serialize};

use super::holders::NAMING;
use super::intent::Intent;
use super::text;
use crate::error::PublishError;

/// Version of the form of a proposal's files.
const API_VERSION: &str = "0.0.1";
/// `kind` of the statement.
const KIND: &str = "proposal";
/// Largest `proposal.json`, in bytes: 1024 files of a release fit.
pub(super) const MAX_STATEMENT_BYTES: u64 = 1024 * 1024;
/// Longest reason, in bytes.
pub const MAX_WHY_BYTES: usize = 1000;
/// Days for which a proposal can be signed and published, if nothing else is said.
pub const DEFAULT_VALID_DAYS: u32 = 14;
/// Most days for which a proposal can be valid.
pub const MAX_VALID_DAYS: u32 = 90;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Statement {
    api_version: String,
    kind: String,
    /// The repository.
    #[serde(with = "text")]
    pub repository: Anchor,
    /// When it was made; expiries of the new metadata count from here.
    #[serde(with = "text")]
    pub created: Timestamp,
    /// When it can no longer be signed or published.
    #[serde(with = "text")]
    pub expires: Timestamp,
    /// Who proposes it.
    pub proposer: String,
    /// Why.
    pub why: String,
    /// What it is for.
    pub intent: Intent,
    /// The metadata that it builds on, by role; a role that is new is not here.
    pub base: BTreeMap<String, Base>,
    /// The version of each new metadata file, by role.
    pub versions: BTreeMap<String, u64>,
}

/// A metadata file that a proposal builds on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Base {
    /// Its version.
    pub version: u64,
    /// Its SHA-256.
    #[serde(with = "text")]
    pub sha256: Sha256Digest,
}

/// Who proposes a change, why, and for how long it can be approved.
#[derive(Debug, Clone)]
pub struct ProposedBy<'a> {
    /// The holder who proposes it.
    pub proposer: &'a str,
    /// Whether that name is only what the machine calls its user: under the rule of separation it is taken for nobody,
    /// unless a signer has it. Somebody who proposes as `asmith` and signs as `alice` would count as two people.
    pub is_assumed: bool,
    /// Why, for those who sign.
    pub why: &'a str,
    /// Days until it expires, at most [`MAX_VALID_DAYS`].
    pub valid_days: u32,
}

impl<'a> ProposedBy<'a> {
    /// For [`DEFAULT_VALID_DAYS`].
    pub const fn new(proposer: &'a str, why: &'a str) -> Self {
        Self { proposer, is_assumed: false, why, valid_days: DEFAULT_VALID_DAYS }
    }

    /// Refuses what no proposal can say.
    ///
    /// # Errors
    /// `usage` for a proposer that is no holder's name, a reason that is too long, or more days than there may be.
    pub(super) fn check(&self) -> Result<(), PublishError> {
        let days = (1..=MAX_VALID_DAYS).contains(&self.valid_days);
        match fault(self.proposer, self.why, days) {
            None => Ok(()),
            Some(reason) => Err(PublishError::ProposalUsage { reason }),
        }
    }
}

fn fault(proposer: &str, why: &str, days: bool) -> Option<&'static str> {
    if !is_holder(proposer) {
        return Some(NAMING);
    }
    if why.len() > MAX_WHY_BYTES {
        return Some("the reason is longer than 1000 bytes");
    }
    (!days).then_some("a proposal is valid for 1 to 90 days")
}

impl Statement {
    /// A statement, made at `now`, that has no base and no versions yet.
    ///
    /// # Errors
    /// As [`ProposedBy::check`].
    pub(crate) fn new(
        repository: Anchor,
        by: &ProposedBy<'_>,
        intent: &Intent,
        now: Timestamp,
    ) -> Result<Self, PublishError> {
        by.check()?;
        Ok(Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            repository,
            created: now,
            expires: now.plus_days(u64::from(by.valid_days)),
            proposer: by.proposer.to_owned(),
            why: by.why.to_owned(),
            intent: intent.clone(),
            base: BTreeMap::new(),
            versions: BTreeMap::new(),
        })
    }

    /// Reads the file. Only its canonical form is taken, so that a statement has one digest.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let statement: Self = read_canonical(bytes)?;
        if statement.api_version != API_VERSION || statement.kind != KIND {
            return Err("it is of another kind or version".to_owned());
        }
        let longest = statement.created.plus_days(u64::from(MAX_VALID_DAYS));
        let days = statement.created < statement.expires && statement.expires <= longest;
        match fault(&statement.proposer, &statement.why, days) {
            None => Ok(statement),
            Some(reason) => Err(reason.to_owned()),
        }
    }

    /// The file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, PublishError> {
        write_canonical(self).ok_or(PublishError::ProposalUsage { reason: "it cannot be written as JSON" })
    }

    /// SHA-256 of the file: which proposal this is.
    pub(crate) fn digest(&self) -> Result<Sha256Digest, PublishError> {
        Ok(sha256(&self.to_bytes()?))
    }
}

/// Reads canonical JSON (RFC 8785) into a type.
pub(super) fn read_canonical<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let value = json::parse(bytes).map_err(|error| error.to_string())?;
    if rfc8785(&value) != bytes {
        return Err("it is not canonical JSON".to_owned());
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// Writes a type as canonical JSON (RFC 8785).
pub(super) fn write_canonical<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    let text = serde_json::to_vec(value).ok()?;
    Some(rfc8785(&json::parse(&text).ok()?))
}
