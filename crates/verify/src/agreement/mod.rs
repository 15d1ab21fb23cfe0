//! Several repositories must agree on a file: whether they do.
//!
//! Spec: TUF's TAP 4, "Multiple repository consensus on entrusted targets". A [`RepositoryMap`] says which ones are
//! asked. What they have is asked through a callback, so that this file decides and nothing else. Each repository is
//! believed in its own right only: its answer is taken from verified metadata. One repository under two names counts
//! once. What is not known counts for nothing.

mod error;
mod map;

use std::collections::BTreeSet;

use countersign_base::name::{RepoName, TargetPath};
use countersign_base::text::escape;
use countersign_base::{Anchor, Explain as _, Sha256Digest, Sha512Digest};

use crate::error::VerifyError;
use crate::release::Release;
use crate::transparent::TransparentSet;
use crate::verified::Verified;

pub use error::AgreementError;
pub use map::{MAX_MAP_BYTES, Mapping, RepositoryMap, Unmapped};

/// A file that one repository lists, or that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its target path.
    pub path: TargetPath,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of the content.
    pub sha256: Sha256Digest,
    /// SHA-512, where it is known.
    pub sha512: Option<Sha512Digest>,
}

impl Claim {
    /// Of a release.
    pub fn of(release: &Release) -> Self {
        let Release { path, length, sha256, sha512, .. } = release;
        Self { path: path.clone(), length: *length, sha256: *sha256, sha512: *sha512 }
    }

    /// Same length and digests. A digest that only one of them has is no contradiction.
    fn same_content(&self, other: &Self) -> bool {
        let sha512 = self.sha512.zip(other.sha512);
        self.length == other.length && self.sha256 == other.sha256 && sha512.is_none_or(|(a, b)| a == b)
    }
}

/// What one repository has to say about a target path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its verified metadata lists this.
    Lists {
        /// Who says so, by whatever name.
        anchor: Anchor,
        /// What it lists.
        claim: Box<Claim>,
    },
    /// Its verified metadata does not list the path.
    Nothing,
    /// It could not be reached; says nothing about trust.
    Unreachable(String),
    /// It is not trusted on this machine, or its metadata was refused: says why.
    Refused(String),
}

impl TransparentSet {
    /// What this repository has to say about `path`.
    pub fn answer(&self, path: &TargetPath) -> Answer {
        match self.all(&path.product) {
            Ok(releases) => {
                let mut listed = releases.iter().map(Verified::value);
                match listed.find(|release| release.path == *path) {
                    None => Answer::Nothing,
                    // It stays listed, so that its reason can be told; the repository vouches for it no more.
                    Some(Release { yanked: Some(reason), .. }) => {
                        Answer::Refused(format!("has taken it back: {}", escape(reason)))
                    }
                    Some(release) => {
                        Answer::Lists { anchor: self.anchor(), claim: Box::new(Claim::of(release)) }
                    }
                }
            }
            Err(VerifyError::ProductUnknown { .. }) => Answer::Nothing,
            Err(error) => Answer::Refused(format!("{error} ({})", error.code())),
        }
    }
}

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreed {
    /// No mapping covers the path, and the map leaves it to the repository that the user names.
    NotMapped,
    /// These repositories list the same file, and they are enough.
    By(Vec<RepoName>),
}

impl RepositoryMap {
    /// TAP 4's search: whether enough repositories list what is claimed. `ask` is asked at most once for each
    /// repository of a mapping, and not further once enough of them agree.
    ///
    /// # Errors
    /// `trust-repos-disagree`; `trust-repos-unheard` if those that could not be reached might make up what is missing.
    pub fn decide(
        &self,
        claim: &Claim,
        ask: &mut dyn FnMut(&RepoName) -> Answer,
    ) -> Result<Agreed, AgreementError> {
        let mut refusal = None;
        for mapping in self.covering(&claim.path) {
            match mapping.decide(claim, ask) {
                Ok(names) => return Ok(Agreed::By(names)),
                // The first mapping's reason: what comes after it was only asked because of it.
                Err(error) => refusal = refusal.or(Some(error)),
            }
            if mapping.terminating {
                break;
            }
        }
        match (refusal, self.unmapped) {
            (Some(error), _) => Err(error),
            (None, Unmapped::Named) => Ok(Agreed::NotMapped),
            (None, Unmapped::Refused) => Err(AgreementError::NotMapped { path: claim.path.to_string() }),
        }
    }
}

impl Mapping {
    fn decide(
        &self,
        claim: &Claim,
        ask: &mut dyn FnMut(&RepoName) -> Answer,
    ) -> Result<Vec<RepoName>, AgreementError> {
        let mut agree = Vec::new();
        let mut heard = BTreeSet::new();
        let mut unreachable = 0;
        let mut others = Vec::new();
        for name in &self.repositories {
            let other = match ask(name) {
                Answer::Lists { claim: listed, .. } if listed.path != claim.path => {
                    "lists nothing".to_owned()
                }
                Answer::Lists { claim: listed, .. } if !listed.same_content(claim) => {
                    format!("lists another file, {} bytes, SHA-256 {}", listed.length, listed.sha256)
                }
                Answer::Lists { anchor, .. } if !heard.insert(anchor) => {
                    "is the same repository under another name".to_owned()
                }
                Answer::Lists { .. } => {
                    agree.push(name.clone());
                    if agree.len() >= self.threshold {
                        return Ok(agree);
                    }
                    continue;
                }
                Answer::Nothing => "lists nothing there".to_owned(),
                Answer::Unreachable(why) => {
                    unreachable += 1;
                    why
                }
                Answer::Refused(why) => why,
            };
            others.push(format!("`{name}`: {other}"));
        }
        let (path, threshold, answers) = (claim.path.to_string(), self.threshold, others.join("; "));
        let agree = agree.len();
        if agree + unreachable >= threshold {
            return Err(AgreementError::Unheard { path, agree, threshold, answers });
        }
        Err(AgreementError::Disagree { path, agree, threshold, answers })
    }
}
