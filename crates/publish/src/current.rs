//! The repository as it stands: read, and verified under its own root before anything is built on it.
//!
//! Time is left out: metadata is read as of the Epoch, so that expired metadata can still be renewed. What has
//! expired and is not about to be renewed is refused by [`Current::check_fresh`].
//!
//! Two things a renewal mends, and nothing else is built on them: proofs that the policy refuses, and a change of root
//! that was interrupted after the new root became visible and before the timestamp did (`act.rs`). Then the files in
//! force are still those of the root before.

use std::collections::BTreeMap;
use std::path::Path;

use countersign_base::{Anchor, Sha256Digest, Timestamp};
use countersign_crypto::sha256;
use countersign_store::durable;
use countersign_tlog::policy::{Policy, PolicyError};
use countersign_tuf::limits::{
    MAX_ROOT_BYTES, MAX_ROOTS_PER_WALK, MAX_SNAPSHOT_BYTES, MAX_TARGETS_BYTES, MAX_TIMESTAMP_BYTES,
};
use countersign_tuf::metadata::{MetaFile, ROOT, SNAPSHOT, TARGETS};
use countersign_tuf::{Role as _, Root, Signers, Snapshot, Targets, TrustedSet, TufError};
use countersign_verify::root_policy;

use crate::act::Site;
use crate::error::PublishError;
use crate::layout::Layout;
use crate::proven::{self, Expected};

/// Verified metadata of a repository.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    /// Which repository.
    pub anchor: Anchor,
    /// The transparency policy of the root in force.
    pub policy: Policy,
    set: TrustedSet,
    digests: BTreeMap<String, Sha256Digest>,
    /// What of it is to be mended.
    mending: Mending,
    /// Proofs that the policy refuses, if this is read to be mended.
    refused: Vec<Refused>,
}

/// A file whose proof is of it and does not meet the policy.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// Its role.
    pub role: String,
    /// Its version.
    pub version: u64,
    /// The policy that its proof must meet: for a root, that of the root before.
    pub policy: Policy,
}

/// Which refused proofs are taken for mending.
///
/// One whose cosignatures lie in the future says that this clock is behind or was ahead, and nothing here can tell which:
/// to make it anew with the time of a clock that is behind would date back what witnesses have proven. A person looks
/// at the clock and says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mending {
    Nothing,
    /// All but those from the future.
    Proofs,
    AllProofs,
}

impl Mending {
    fn covers(self, refusal: &PolicyError) -> bool {
        match self {
            Self::Nothing => false,
            Self::Proofs => !matches!(refusal, PolicyError::CosignatureTime { .. }),
            Self::AllProofs => true,
        }
    }
}

impl Current {
    /// Reads root, timestamp, snapshot and targets, with their proofs.
    ///
    /// # Errors
    /// `publish-repo-missing` without a timestamp; `publish-repo-damaged` for anything that does not verify;
    /// `publish-unfinished` for an interrupted change of root; the code of a proof that the policy refuses.
    pub(crate) fn read(site: &Site) -> Result<Self, PublishError> {
        check_there(&site.layout)?;
        Self::read_public(&site.layout, site.now)
    }

    /// As [`Current::read`], from a folder that has the public files only.
    pub(crate) fn read_public(layout: &Layout, now: Timestamp) -> Result<Self, PublishError> {
        Self::read_as(layout, now, Mending::Nothing)
    }

    /// As [`Current::read`], for a renewal, which mends refused proofs and interrupted changes of root.
    ///
    /// # Errors
    /// `publish-repo-missing`, `publish-repo-damaged`; `log-cosignature-time` for proofs from the future, unless the clock
    /// is said to have been ahead.
    pub(crate) fn read_to_mend(site: &Site) -> Result<Self, PublishError> {
        check_there(&site.layout)?;
        let mending = if site.clock_was_ahead { Mending::AllProofs } else { Mending::Proofs };
        Self::read_as(&site.layout, site.now, mending)
    }

    fn read_as(layout: &Layout, now: Timestamp, mending: Mending) -> Result<Self, PublishError> {
        let (mut newest, before) = Self::walk_roots(layout, now, mending)?;
        let error = match newest.read_online(layout, now) {
            Ok(()) => {
                newest.check_products(layout, now)?;
                return Ok(newest);
            }
            Err(error) => error,
        };
        let Some(mut before) = before else { return Err(error) };
        match before.read_online(layout, now) {
            // Its completion proves everything anew.
            Ok(()) if mending != Mending::Nothing => Ok(before),
            Ok(()) => Err(PublishError::Unfinished { version: newest.root().version() }),
            // Not what an interruption leaves: the newest root says best what is wrong.
            Err(_) => Err(error),
        }
    }

    /// Under the newest root, and under the one before.
    fn walk_roots(
        layout: &Layout,
        now: Timestamp,
        mending: Mending,
    ) -> Result<(Self, Option<Self>), PublishError> {
        let path = layout.role_file(ROOT, 1);
        let first = required(&path, MAX_ROOT_BYTES)?;
        let set = TrustedSet::new(&first, Timestamp::EPOCH).map_err(damaged(&path))?;
        let policy = policy(layout, set.root())?;
        let (anchor, digests, refused) = (Anchor(sha256(&first)), BTreeMap::new(), Vec::new());
        let mut current = Self { anchor, policy, set, digests, mending, refused };
        let mut before = None;
        current.check_proof(now, &path, ROOT, 1, &first)?;
        for version in 2.. {
            let path = layout.role_file(ROOT, version);
            let Some(next) = durable::read(&path, MAX_ROOT_BYTES as u64)? else { break };
            // A root is a ceremony of people, so this is centuries. Never to go on from one that is not the newest.
            if version > MAX_ROOTS_PER_WALK as u64 {
                return Err(PublishError::Damaged { path, source: Some("it is one root too many".into()) });
            }
            let held = current.clone();
            current.set.update_root(&next).map_err(damaged(&path))?;
            // Under the policy of the root before.
            current.check_proof(now, &path, ROOT, version, &next)?;
            current.policy = self::policy(layout, current.set.root())?;
            before = Some(held);
        }
        Ok((current, before))
    }

    /// Looks at the proofs of products, if this is read to be mended. What else is wrong with one is its own affair.
    fn check_products(&mut self, layout: &Layout, now: Timestamp) -> Result<(), PublishError> {
        let top = |role: &str| [SNAPSHOT, TARGETS].contains(&role);
        let files = if self.mending == Mending::Nothing { Vec::new() } else { self.files() };
        for (role, version) in files.into_iter().filter(|(role, _)| !top(role)) {
            let path = layout.role_file(&role, version);
            if let Some(bytes) = durable::read(&path, MAX_TARGETS_BYTES as u64)? {
                match self.check_proof(now, &path, &role, version, &bytes) {
                    Ok(()) | Err(PublishError::Damaged { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(())
    }

    /// Timestamp, snapshot and targets under the root that was reached.
    fn read_online(&mut self, layout: &Layout, now: Timestamp) -> Result<(), PublishError> {
        let path = layout.timestamp();
        self.set.update_timestamp(&required(&path, MAX_TIMESTAMP_BYTES)?).map_err(damaged(&path))?;
        let listed = self.listed_snapshot().map_or(0, |snapshot| snapshot.version);
        let path = layout.role_file(SNAPSHOT, listed);
        let bytes = required(&path, MAX_SNAPSHOT_BYTES)?;
        self.set.update_snapshot(&bytes).map_err(damaged(&path))?;
        self.check_proof(now, &path, SNAPSHOT, listed, &bytes)?;
        self.load(layout, now, TARGETS, ROOT)
    }

    /// Reads a product's role, which targets delegates to.
    pub(crate) fn load_product(&mut self, site: &Site, product: &str) -> Result<(), PublishError> {
        self.load_public(&site.layout, site.now, product)
    }

    /// As [`Current::load_product`], from a folder that has the public files only.
    pub(crate) fn load_public(
        &mut self,
        layout: &Layout,
        now: Timestamp,
        product: &str,
    ) -> Result<(), PublishError> {
        self.load(layout, now, product, TARGETS)
    }

    /// A product's role, once it is loaded.
    pub(crate) fn product(&self, product: &str) -> Result<&Targets, PublishError> {
        self.set.role(product).ok_or_else(|| PublishError::ProductUnknown { product: product.to_owned() })
    }

    /// The root in force: the newest, unless its publication was interrupted.
    pub(crate) fn root(&self) -> &Root {
        self.set.root()
    }

    /// The snapshot.
    pub(crate) fn snapshot(&self) -> Result<&Snapshot, PublishError> {
        self.set.snapshot().ok_or_else(|| incomplete(SNAPSHOT))
    }

    /// The top-level targets.
    pub(crate) fn targets(&self) -> Result<&Targets, PublishError> {
        self.set.targets().ok_or_else(|| incomplete(TARGETS))
    }

    /// The timestamp.
    pub(crate) fn timestamp(&self) -> Option<&countersign_tuf::Timestamp> {
        self.set.timestamp()
    }

    /// What the timestamp lists.
    pub(crate) fn listed_snapshot(&self) -> Option<&MetaFile> {
        self.set.timestamp().map(|timestamp| timestamp.snapshot())
    }

    /// The version of `role` that clients see; 0 if they see none.
    pub(crate) fn version(&self, role: &str) -> u64 {
        match role {
            ROOT => self.root().version(),
            SNAPSHOT => self.set.snapshot().map_or(0, |snapshot| snapshot.version()),
            _ => self.set.snapshot().and_then(|snapshot| snapshot.file(role)).map_or(0, |file| file.version),
        }
    }

    /// The files that clients check under the root in force, but roots: role and version.
    pub(crate) fn files(&self) -> Vec<(String, u64)> {
        let Some(snapshot) = self.set.snapshot() else { return Vec::new() };
        let listed = snapshot.files().map(|(role, file)| (role.to_owned(), file.version));
        core::iter::once((SNAPSHOT.to_owned(), snapshot.version())).chain(listed).collect()
    }

    /// Files whose proofs the policy refuses. Products count once they are loaded.
    pub(crate) fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Version and expiry of a role that was read.
    pub(crate) fn version_and_expiry(&self, role: &str) -> Option<(u64, Timestamp)> {
        self.set.version_and_expiry(role)
    }

    /// Who signed the file of a role that was read.
    pub(crate) fn signers(&self, role: &str) -> Option<&Signers> {
        self.set.signers(role)
    }

    /// Whether targets delegates to `product`.
    pub(crate) fn has_product(&self, product: &str) -> bool {
        self.set.targets().is_some_and(|targets| targets.role_keys(product).is_some())
    }

    /// Refuses to publish on top of metadata that clients refuse for its age.
    ///
    /// # Errors
    /// `tuf-expired`.
    pub(crate) fn check_fresh(&self, roles: &[&str], now: Timestamp) -> Result<(), PublishError> {
        for role in roles {
            if let Some((_, expires)) =
                self.set.version_and_expiry(role).filter(|(_, expires)| *expires <= now)
            {
                return Err(TufError::Expired { role: (*role).to_owned(), expires, now }.into());
            }
        }
        Ok(())
    }

    /// SHA-256 of the file of a role that was read.
    pub(crate) fn digest(&self, role: &str) -> Option<Sha256Digest> {
        self.digests.get(role).copied()
    }

    fn load(
        &mut self,
        layout: &Layout,
        now: Timestamp,
        role: &str,
        delegator: &str,
    ) -> Result<(), PublishError> {
        let version = self.version(role);
        let path = layout.role_file(role, version);
        let bytes = required(&path, MAX_TARGETS_BYTES)?;
        self.set.update_delegated(role, delegator, &bytes).map_err(damaged(&path))?;
        self.check_proof(now, &path, role, version, &bytes)
    }

    fn check_proof(
        &mut self,
        now: Timestamp,
        path: &Path,
        role: &str,
        version: u64,
        bytes: &[u8],
    ) -> Result<(), PublishError> {
        let expected = Expected { anchor: self.anchor, policy: &self.policy, now };
        match proven::check(&expected, path, role, version, bytes) {
            Err(PublishError::ProofRefused { source, .. }) if self.mending.covers(&source) => {
                let policy = self.policy.clone();
                self.refused.push(Refused { role: role.to_owned(), version, policy });
            }
            other => other?,
        }
        self.digests.insert(role.to_owned(), sha256(bytes));
        Ok(())
    }
}

fn check_there(layout: &Layout) -> Result<(), PublishError> {
    if layout.private().is_dir() && layout.timestamp().is_file() {
        return Ok(());
    }
    Err(PublishError::RepoMissing { path: layout.root().to_owned() })
}

fn policy(layout: &Layout, root: &Root) -> Result<Policy, PublishError> {
    root_policy(root).map_err(|source| PublishError::Damaged {
        path: layout.role_file(ROOT, root.version()),
        source: Some(Box::new(source)),
    })
}

/// A file that a repository cannot be without.
fn required(path: &Path, limit: usize) -> Result<Vec<u8>, PublishError> {
    durable::read(path, limit as u64)?
        .ok_or_else(|| PublishError::Damaged { path: path.to_owned(), source: None })
}

fn damaged(path: &Path) -> impl FnOnce(TufError) -> PublishError {
    move |source| PublishError::Damaged { path: path.to_owned(), source: Some(Box::new(source)) }
}

/// [`Current::read`] loads all top-level roles; without one there is no `Current`.
fn incomplete(role: &'static str) -> PublishError {
    PublishError::Incomplete { role }
}
