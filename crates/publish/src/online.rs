//! The roles whose keys are online: every publication has a new snapshot, and a new timestamp that points to it.

use countersign_base::code::{KEY_EXPIRED, KEY_REVOKED};
use countersign_base::{Anchor, Explain as _, Json, Timestamp};
use countersign_tuf::editor::{Draft, SnapshotEditor, TimestampEditor};
use countersign_tuf::metadata::{MetaFile, ROOT, SNAPSHOT, TIMESTAMP};
use countersign_tuf::{Role as _, Root, TufError, rotates_online_keys};
use countersign_verify::extension::REPOSITORY;
use countersign_verify::{EXTENSION, MAX_CLOCK_SKEW_SECONDS};

use crate::act::{Signed, Site};
use crate::current::Current;
use crate::error::PublishError;
use crate::keyring::{Keyring, as_dyn, listed};

/// A timestamp's number that no publisher comes to by publishing: one a second for 68 years.
const FAST_FORWARDED: u64 = i32::MAX as u64;

/// What the next snapshot and timestamp are made from.
#[derive(Clone, Copy)]
pub(crate) struct Online<'a> {
    /// Time and expiries.
    pub site: &'a Site,
    /// The root whose keys sign.
    pub root: &'a Root,
    /// What clients see; `None` for a repository that is being made.
    pub current: Option<&'a Current>,
    /// Which repository it is.
    pub anchor: Anchor,
}

impl<'a> Online<'a> {
    /// For the repository as it stands.
    pub(crate) fn of(site: &'a Site, current: &'a Current) -> Self {
        Self { site, root: current.root(), current: Some(current), anchor: current.anchor }
    }

    /// The same with the keys of another root, which takes the place of this one.
    pub(crate) const fn under(self, root: &'a Root) -> Self {
        Self { root, ..self }
    }

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
        editor.set_extension(EXTENSION, naming(self.anchor));
        self.sign(editor.finish()?, keyring)
    }

    /// A timestamp that points to `snapshot`, and when it expires.
    pub(crate) fn sign_timestamp(
        &self,
        snapshot: &MetaFile,
        keyring: &mut Keyring<'_>,
    ) -> Result<(Signed, Timestamp), PublishError> {
        let expires = self.site.now.plus_days(self.site.expiries.timestamp_days);
        self.check_clock(expires)?;
        let mut editor = match self.current.and_then(Current::timestamp) {
            Some(timestamp) => TimestampEditor::next(timestamp),
            None => TimestampEditor::new(expires, snapshot),
        };
        let driven_up = |held: &countersign_tuf::Timestamp| held.version() >= FAST_FORWARDED;
        if self.rotates() && self.current.and_then(Current::timestamp).is_some_and(driven_up) {
            // Any number will do. The snapshot's is one that the repository has come to by itself.
            editor.set_version(snapshot.version);
        }
        editor.set_expires(expires).set_snapshot(snapshot).set_extension(EXTENSION, naming(self.anchor));
        Ok((self.sign(editor.finish()?, keyring)?, expires))
    }

    /// Time goes forward: a timestamp that expires before the one in force was made by a clock that is behind, or the one
    /// in force by one that was ahead (ADR 0015). A rotation of the online keys ends what a thief has dated.
    fn check_clock(&self, expires: Timestamp) -> Result<(), PublishError> {
        let Some(present) =
            self.current.and_then(Current::timestamp).map(countersign_tuf::Timestamp::expires)
        else {
            return Ok(());
        };
        if self.site.clock_was_ahead
            || self.rotates()
            || present <= expires.plus_seconds(MAX_CLOCK_SKEW_SECONDS)
        {
            return Ok(());
        }
        Err(PublishError::ClockBehind { now: self.site.now, present, next: expires })
    }

    /// Whether clients drop the timestamp and snapshot that they hold, because a new root rotates the online keys: then
    /// lower numbers are not a rollback for them.
    pub(crate) fn rotates(&self) -> bool {
        self.before().is_some_and(|before| rotates_online_keys(before, self.root))
    }

    /// The root in force, if another takes its place.
    fn before(&self) -> Option<&'a Root> {
        self.current.map(Current::root).filter(|before| before.version() < self.root.version())
    }

    /// Signs for those who know the root, and as far as the keys are at hand also for those who know the one before:
    /// so that both accept it while the new root becomes visible.
    fn sign(&self, mut draft: Draft, keyring: &mut Keyring<'_>) -> Result<Signed, PublishError> {
        if let Some(before) = self.before() {
            let (keys, _) = keys_of(draft.role(), before)?;
            for key in keys.into_iter().chain(pairs_of(draft.role(), before)) {
                match keyring.signer_of(draft.role(), &key) {
                    Ok(Some(signer)) => draft.sign(&[&signer])?,
                    // It is being replaced, and it is not what makes the file good.
                    Ok(None) => {}
                    Err(error) if [KEY_EXPIRED, KEY_REVOKED].contains(&error.code()) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        sign(draft, self.root, keyring)
    }

    /// Refuses before anything is logged if the online keys are not at hand.
    pub(crate) fn check_keys(&self, keyring: &Keyring<'_>) -> Result<(), PublishError> {
        [SNAPSHOT, TIMESTAMP].iter().try_for_each(|role| check_keys(role, self.root, keyring))
    }
}

/// What a file without anything else of ours says in `x-countersign`: which repository it is of.
pub(crate) fn naming(anchor: Anchor) -> Json {
    Json::object([(REPOSITORY, Json::from(anchor.0.to_string()))])
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
    let mut signers = keyring.signers(draft.role(), &keys, threshold)?;
    for second in pairs_of(draft.role(), root) {
        signers.extend(keyring.signer_of(draft.role(), &second)?);
    }
    draft.sign(&as_dyn(&signers))?;
    Ok(Signed { role: draft.role().to_owned(), version: draft.version(), bytes: draft.to_bytes()? })
}

fn keys_of(role: &str, root: &Root) -> Result<(Vec<countersign_crypto::PublicKey>, u32), PublishError> {
    let keys = root.role_keys(role).ok_or_else(|| TufError::NotListed(role.to_owned()))?;
    Ok((listed(root.keys(), keys), keys.threshold))
}

/// The second keys of a role's holders, each of which must sign for its holder to count (ADR 0009).
fn pairs_of(role: &str, root: &Root) -> Vec<countersign_crypto::PublicKey> {
    let ids = root.role_keys(role).map_or(&[][..], |keys| &keys.keyids);
    let pairs = ids.iter().filter_map(|id| root.keys().get(id)?.pair());
    pairs.map(|pair| pair.key().clone()).collect()
}
