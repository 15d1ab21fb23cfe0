//! The repository as it stands: read, and verified under its own root before anything is built on it.
//!
//! Time is left out: metadata is read as of the Epoch, so that expired metadata can still be renewed. What has
//! expired and is not about to be renewed is refused by [`Current::check_fresh`].

use std::path::Path;

use countersign_base::{Anchor, Timestamp};
use countersign_crypto::sha256;
use countersign_store::durable;
use countersign_tlog::policy::Policy;
use countersign_tuf::limits::{
    MAX_ROOT_BYTES, MAX_ROOTS_PER_WALK, MAX_SNAPSHOT_BYTES, MAX_TARGETS_BYTES, MAX_TIMESTAMP_BYTES,
};
use countersign_tuf::metadata::{MetaFile, ROOT, SNAPSHOT, TARGETS};
use countersign_tuf::{Role as _, Root, Snapshot, Targets, TrustedSet, TufError};
use countersign_verify::root_policy;

use crate::act::Site;
use crate::error::PublishError;
use crate::layout::Layout;
use crate::proven::{self, Expected};

/// Verified metadata of a repository.
#[derive(Debug)]
pub(crate) struct Current {
    /// Which repository.
    pub anchor: Anchor,
    /// The transparency policy of the newest root.
    pub policy: Policy,
    set: TrustedSet,
}

impl Current {
    /// Reads root, timestamp, snapshot and targets, with their proofs.
    ///
    /// # Errors
    /// `publish-repo-missing` without a timestamp; `publish-repo-damaged` for anything that does not verify.
    pub(crate) fn read(site: &Site) -> Result<Self, PublishError> {
        let layout = &site.layout;
        if !layout.private().is_dir() || !layout.timestamp().is_file() {
            return Err(PublishError::RepoMissing { path: layout.root().to_owned() });
        }
        let path = layout.role_file(ROOT, 1);
        let first = required(&path, MAX_ROOT_BYTES)?;
        let set = TrustedSet::new(&first, Timestamp::EPOCH).map_err(damaged(&path))?;
        let policy = policy(layout, set.root())?;
        let mut current = Self { anchor: Anchor(sha256(&first)), policy, set };
        current.check_proof(site, &path, ROOT, 1, &first)?;
        for version in 2.. {
            let path = layout.role_file(ROOT, version);
            let Some(next) = durable::read(&path, MAX_ROOT_BYTES as u64)? else { break };
            // A root is a ceremony of people, so this is centuries. Never to go on from one that is not the newest.
            if version > MAX_ROOTS_PER_WALK as u64 {
                return Err(PublishError::Damaged { path, source: Some("it is one root too many".into()) });
            }
            current.set.update_root(&next).map_err(damaged(&path))?;
            // Under the policy of the root before.
            current.check_proof(site, &path, ROOT, version, &next)?;
            current.policy = self::policy(layout, current.set.root())?;
        }
        let path = layout.timestamp();
        current.set.update_timestamp(&required(&path, MAX_TIMESTAMP_BYTES)?).map_err(damaged(&path))?;
        let listed = current.listed_snapshot().map_or(0, |snapshot| snapshot.version);
        let path = layout.role_file(SNAPSHOT, listed);
        let bytes = required(&path, MAX_SNAPSHOT_BYTES)?;
        current.set.update_snapshot(&bytes).map_err(damaged(&path))?;
        current.check_proof(site, &path, SNAPSHOT, listed, &bytes)?;
        current.load(site, TARGETS, ROOT)?;
        Ok(current)
    }

    /// Reads a product's role, which targets delegates to.
    pub(crate) fn load_product(&mut self, site: &Site, product: &str) -> Result<(), PublishError> {
        self.load(site, product, TARGETS)
    }

    /// A product's role, once it is loaded.
    pub(crate) fn product(&self, product: &str) -> Result<&Targets, PublishError> {
        self.set.role(product).ok_or_else(|| PublishError::ProductUnknown { product: product.to_owned() })
    }

    /// The newest root.
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

    fn load(&mut self, site: &Site, role: &str, delegator: &str) -> Result<(), PublishError> {
        let version = self.version(role);
        let path = site.layout.role_file(role, version);
        let bytes = required(&path, MAX_TARGETS_BYTES)?;
        self.set.update_delegated(role, delegator, &bytes).map_err(damaged(&path))?;
        self.check_proof(site, &path, role, version, &bytes)
    }

    fn check_proof(
        &self,
        site: &Site,
        path: &Path,
        role: &str,
        version: u64,
        bytes: &[u8],
    ) -> Result<(), PublishError> {
        let expected = Expected { anchor: self.anchor, policy: &self.policy, now: site.now };
        proven::check(&expected, path, role, version, bytes)
    }
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
