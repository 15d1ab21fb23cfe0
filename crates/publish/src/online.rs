//! The roles whose keys are online: every publication has a new snapshot, and a new timestamp that points to it.

use countersign_base::Timestamp;
use countersign_tuf::Root;
use countersign_tuf::TufError;
use countersign_tuf::editor::{Draft, SnapshotEditor, TimestampEditor};
use countersign_tuf::metadata::{MetaFile, ROOT, SNAPSHOT, TIMESTAMP};

use crate::act::{Signed, Site};
use crate::current::Current;
use crate::error::PublishError;
use crate::keyring::{Keyring, as_dyn, listed};

/// What the next snapshot and timestamp are made from.
pub(crate) struct Online<'a> {
    /// Time and expiries.
    pub site: &'a Site,
    /// The root whose keys sign.
    pub root: &'a Root,
    /// What clients see; `None` for a repository that is being made.
    pub current: Option<&'a Current>,
}

impl Online<'_> {
    /// What the timestamp lists now.
    pub(crate) fn listed_snapshot(&self) -> Option<MetaFile> {
        self.current.and_then(Current::listed_snapshot).cloned()
    }

    /// Version of the snapshot that clients see; 0 if they see none.
    pub(crate) fn snapshot_version(&self) -> u64 {
        self.current.map_or(0, |current| current.version(SNAPSHOT))
    }

    /// A snapshot that lists `documents` beside, or in place of, what it lists now.
    pub(crate) fn sign_snapshot(
        &self,
        version: u64,
        documents: &[Signed],
        keyring: &mut Keyring<'_>,
    ) -> Result<Signed, PublishError> {
        let expires = self.site.now.plus_days(self.site.expiries.snapshot_days);
        let mut editor = match self.current {
            Some(current) => SnapshotEditor::next(current.snapshot()?),
            None => SnapshotEditor::new(expires),
        };
        editor.set_version(version).set_expires(expires);
        // Root is not listed: clients find it by its number (TUF 1.0.34 section 4.4).
        for document in documents.iter().filter(|document| document.role != ROOT) {
            editor.set_meta(&document.role, &MetaFile::describe(document.version, &document.bytes));
        }
        sign(editor.finish()?, self.root, keyring)
    }

    /// A timestamp that points to `snapshot`, and when it expires.
    pub(crate) fn sign_timestamp(
        &self,
        snapshot: &MetaFile,
        keyring: &mut Keyring<'_>,
    ) -> Result<(Signed, Timestamp), PublishError> {
        let expires = self.site.now.plus_days(self.site.expiries.timestamp_days);
        let mut editor = match self.current.and_then(Current::timestamp) {
            Some(timestamp) => TimestampEditor::next(timestamp),
            None => TimestampEditor::new(expires, snapshot),
        };
        editor.set_expires(expires).set_snapshot(snapshot);
        Ok((sign(editor.finish()?, self.root, keyring)?, expires))
    }

    /// Refuses before anything is logged if the online keys are not at hand.
    pub(crate) fn check_keys(&self, keyring: &Keyring<'_>) -> Result<(), PublishError> {
        [SNAPSHOT, TIMESTAMP].iter().try_for_each(|role| check_keys(role, self.root, keyring))
    }
}

/// Refuses a top-level role that too few keys are at hand for.
pub(crate) fn check_keys(role: &str, root: &Root, keyring: &Keyring<'_>) -> Result<(), PublishError> {
    let (keys, threshold) = keys_of(role, root)?;
    keyring.check_enough(role, &keys, threshold)
}

/// Opens the keys of a top-level role that are at hand, so that whoever cannot is told before anything is made.
pub(crate) fn open_keys(role: &str, root: &Root, keyring: &mut Keyring<'_>) -> Result<(), PublishError> {
    let (keys, threshold) = keys_of(role, root)?;
    keyring.signers(role, &keys, threshold).map(drop)
}

/// Signs a top-level role's draft with all keys that `root` lists for it and that are at hand.
pub(crate) fn sign(mut draft: Draft, root: &Root, keyring: &mut Keyring<'_>) -> Result<Signed, PublishError> {
    let (keys, threshold) = keys_of(draft.role(), root)?;
    let signers = keyring.signers(draft.role(), &keys, threshold)?;
    draft.sign(&as_dyn(&signers))?;
    Ok(Signed { role: draft.role().to_owned(), version: draft.version(), bytes: draft.to_bytes()? })
}

fn keys_of(role: &str, root: &Root) -> Result<(Vec<countersign_crypto::PublicKey>, u32), PublishError> {
    let keys = root.role_keys(role).ok_or_else(|| TufError::NotListed(role.to_owned()))?;
    Ok((listed(root.keys(), keys), keys.threshold))
}
