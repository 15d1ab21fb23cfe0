//! The steps of the client workflow (specification 5.3 to 5.6).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::rotation::rotates_online_keys;
use super::signatures::{refuse, signed};
use super::{Delegator, Held, Loaded, Signers, TrustedSet, Update};
use crate::error::TufError;
use crate::metadata::{
    Envelope, MetaFile, ROOT, Role, RoleKeys, Root, SNAPSHOT, Snapshot, TARGETS, TIMESTAMP, Targets,
    Timestamp,
};

/// A listed file that is refused, and the file itself if it is an older one that is well signed.
struct Refused<T> {
    error: TufError,
    older: Option<Envelope<T>>,
}

impl<T> From<TufError> for Refused<T> {
    fn from(error: TufError) -> Self {
        Self { error, older: None }
    }
}

impl TrustedSet {
    /// Takes the next root: version N+1, signed by the thresholds of N and of N+1 (5.3.4, 5.3.5).
    ///
    /// Its expiry is not judged, since a newer one may follow. Targets must be loaded again under it.
    ///
    /// # Errors
    /// `tuf-root-chain` for another version, or if only the old or only the new keys signed; codes of
    /// [`Envelope::parse`] and of too few signatures.
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        let next = Envelope::<Root>::parse(ROOT, bytes)?;
        let want = self.root().version() + 1;
        let signers = self.verify_root(&next)?;
        if next.signed.version() != want {
            return Err(TufError::RootVersion { want, got: next.signed.version() });
        }
        let rotated = rotates_online_keys(self.root(), &next.signed);
        self.retired.add_root(&self.root.signed, &next.signed);
        self.root = Arc::new(next);
        self.signers.insert(ROOT.to_owned(), signers);
        self.targets.clear();
        if rotated {
            self.online_keys_since = want;
            self.timestamp = None;
            self.snapshot = None;
            self.snapshot_bytes = Arc::default();
            self.floors.clear();
        }
        Ok(())
    }

    /// Takes a timestamp that the client trusted before; it may have expired.
    ///
    /// # Errors
    /// As for a new one, without expiry. The client then goes on without it.
    pub fn restore_timestamp(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        if self.timestamp.is_some() {
            return Err(TufError::Order("a kept timestamp comes before any other"));
        }
        let file = Envelope::<Timestamp>::parse(TIMESTAMP, bytes)?;
        let signers = self.verify(TIMESTAMP, ROOT, &file)?;
        self.timestamp = Some(Arc::new(file));
        self.signers.insert(TIMESTAMP.to_owned(), signers);
        Ok(())
    }

    /// Takes a fetched timestamp (5.4). The walk of roots has ended, so root's expiry is judged too.
    ///
    /// # Errors
    /// `tuf-rollback`, `tuf-expired`, codes of [`Envelope::parse`] and of too few signatures.
    pub fn update_timestamp(&mut self, bytes: &[u8]) -> Result<Update, TufError> {
        self.check_fresh(ROOT, self.root())?;
        let file = Envelope::<Timestamp>::parse(TIMESTAMP, bytes)?;
        let signers = self.verify(TIMESTAMP, ROOT, &file)?;
        if let Some(held) = self.timestamp() {
            check_not_older(TIMESTAMP, held.version(), file.signed.version())?;
            if held.version() == file.signed.version() {
                self.check_fresh(TIMESTAMP, held)?;
                return Ok(Update::Unchanged);
            }
            check_not_older(SNAPSHOT, held.snapshot().version, file.signed.snapshot().version)?;
        }
        self.check_fresh(TIMESTAMP, &file.signed)?;
        if let Some(listed) = self.timestamp().map(|held| held.snapshot().version) {
            self.raise_floor(SNAPSHOT, listed);
        }
        self.timestamp = Some(Arc::new(file));
        self.signers.insert(TIMESTAMP.to_owned(), signers);
        if !self.snapshot_is_current() {
            self.targets.clear();
        }
        Ok(Update::New)
    }

    /// Takes a snapshot that the client trusted before. It guards against rollback even if it has expired or is not the
    /// one that the timestamp lists.
    ///
    /// # Errors
    /// Codes of [`Envelope::parse`] and of too few signatures. The client then goes on without it.
    pub fn restore_snapshot(&mut self, bytes: &[u8]) -> Result<Held, TufError> {
        if self.snapshot.is_some() {
            return Err(TufError::Order("a kept snapshot comes before any other"));
        }
        let file = Envelope::<Snapshot>::parse(SNAPSHOT, bytes)?;
        let signers = self.verify(SNAPSHOT, ROOT, &file)?;
        self.raise_floor(SNAPSHOT, file.signed.version());
        self.snapshot = Some(Arc::new(file));
        self.snapshot_bytes = bytes.into();
        self.signers.insert(SNAPSHOT.to_owned(), signers);
        Ok(if self.snapshot_is_current() { Held::Current } else { Held::Outdated })
    }

    /// Takes a fetched snapshot (5.5).
    ///
    /// # Errors
    /// `tuf-meta-mismatch` if it is not the listed one or drops a role, `tuf-rollback`, `tuf-expired`, codes of
    /// [`Envelope::parse`] and of too few signatures.
    pub fn update_snapshot(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        self.check_fresh(ROOT, self.root())?;
        let timestamp = self.timestamp().ok_or(TufError::Order("the snapshot comes after the timestamp"))?;
        self.check_fresh(TIMESTAMP, timestamp)?;
        let listed = timestamp.snapshot().clone();
        let (file, signers): (Envelope<Snapshot>, _) =
            self.open_listed(SNAPSHOT, ROOT, &listed, bytes).map_err(|refused| refused.error)?;
        if let Some(held) = self.snapshot() {
            check_not_older(SNAPSHOT, held.version(), file.signed.version())?;
            for (role, old) in held.files() {
                let new = file.signed.file(role).ok_or_else(|| TufError::Dropped(role.to_owned()))?;
                check_not_older(role, old.version, new.version)?;
            }
        }
        self.check_fresh(SNAPSHOT, &file.signed)?;
        self.raise_floor(SNAPSHOT, file.signed.version());
        let before: Vec<(String, u64)> = self.snapshot().map_or_else(Vec::new, |held| {
            held.files().map(|(role, listed)| (role.to_owned(), listed.version)).collect()
        });
        for (role, version) in before {
            self.raise_floor(&role, version);
        }
        self.snapshot = Some(Arc::new(file));
        self.snapshot_bytes = bytes.into();
        self.signers.insert(SNAPSHOT.to_owned(), signers);
        self.targets.clear();
        Ok(())
    }

    /// Takes the top-level targets, kept or fetched (5.6).
    ///
    /// # Errors
    /// As [`TrustedSet::update_delegated`].
    pub fn update_targets(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        self.update_delegated(TARGETS, ROOT, bytes)
    }

    /// Takes the targets metadata of `role`, kept or fetched, under the keys that `delegator` lists for it.
    ///
    /// # Errors
    /// `tuf-meta-mismatch` if it is not the listed one or not listed at all, `tuf-rollback` for one older than was
    /// trusted before, `tuf-expired`, codes of [`Envelope::parse`] and of too few signatures.
    pub fn update_delegated(&mut self, role: &str, delegator: &str, bytes: &[u8]) -> Result<(), TufError> {
        self.check_fresh(ROOT, self.root())?;
        match self.timestamp() {
            Some(timestamp) => self.check_fresh(TIMESTAMP, timestamp)?,
            None => return Err(TufError::Order("targets come after the timestamp")),
        }
        let snapshot = match self.snapshot() {
            Some(snapshot) if self.snapshot_is_current() => snapshot,
            _ => return Err(TufError::Order("targets come after the snapshot that the timestamp lists")),
        };
        self.check_fresh(SNAPSHOT, snapshot)?;
        if self.delegator(delegator, role).is_none() {
            return Err(TufError::Order("a delegated role comes after the role that delegates to it"));
        }
        let listed = snapshot.file(role).ok_or_else(|| TufError::NotListed(role.to_owned()))?.clone();
        let (file, signers): (Envelope<Targets>, _) = match self.open_listed(role, delegator, &listed, bytes)
        {
            Ok(opened) => opened,
            Err(Refused { error, older }) => {
                if let Some(older) = older {
                    self.remember(role, &older.signed);
                }
                return Err(error);
            }
        };
        self.check_fresh(role, &file.signed)?;
        self.check_key_ids(role, &file.signed)?;
        self.raise_floor(role, file.signed.version());
        let mut delegators = BTreeSet::from([delegator.to_owned()]);
        match self.targets.remove(role) {
            // The snapshot lists one file a role, so this is the same file asked for by another delegator.
            Some(loaded) => delegators.extend(loaded.delegators),
            None => _ = self.signers.insert(role.to_owned(), signers),
        }
        self.targets.insert(role.to_owned(), Loaded { file: Arc::new(file), delegators });
        Ok(())
    }

    /// Opens a file that a trusted parent lists: bytes, then shape, then signatures, then version.
    fn open_listed<T: Role>(
        &self,
        role: &str,
        delegator: &str,
        listed: &MetaFile,
        bytes: &[u8],
    ) -> Result<(Envelope<T>, Signers), Refused<T>> {
        if let Some(what) = listed.mismatch(bytes) {
            let error = TufError::ListedBytes { role: role.to_owned(), what };
            // Only to name the refusal: an older file that was once good is a rollback, anything else a mix-up.
            let file = Envelope::<T>::parse(role, bytes).ok();
            let signed = file.filter(|file| self.verify(role, delegator, file).is_ok());
            return Err(self.not_listed(role, listed, signed, error));
        }
        let file = Envelope::<T>::parse(role, bytes)?;
        let signers = self.verify(role, delegator, &file)?;
        let got = file.signed.version();
        if got == listed.version {
            return Ok((file, signers));
        }
        let error = TufError::ListedVersion { role: role.to_owned(), listed: listed.version, got };
        Err(self.not_listed(role, listed, Some(file), error))
    }

    /// What to call a file that is not the listed one: rollback if a newer one was seen before, `error` otherwise.
    fn not_listed<T: Role>(
        &self,
        role: &str,
        listed: &MetaFile,
        signed: Option<Envelope<T>>,
        error: TufError,
    ) -> Refused<T> {
        let older = signed.filter(|file| file.signed.version() < listed.version);
        let got = older.as_ref().map(|file| file.signed.version());
        match (got, self.floors.get(role)) {
            (Some(got), Some(&held)) if got < held => {
                Refused { error: TufError::Rollback { role: role.to_owned(), held, got }, older: None }
            }
            _ => Refused { error, older },
        }
    }

    /// Keeps in mind a well-signed older targets file: what is older still is a rollback, and keys that it delegated to
    /// and that its successor does not are former keys.
    fn remember(&mut self, role: &str, older: &Targets) {
        self.raise_floor(role, older.version());
        if let Some(delegations) = older.delegations() {
            self.retired.add_delegations(delegations);
        }
    }

    /// Checks a root against the trusted one and itself, and says which side is short, or which of its own keys signed.
    fn verify_root(&self, next: &Envelope<Root>) -> Result<Signers, TufError> {
        let old = Delegator { table: self.root().keys(), keys: root_keys(self.root())? };
        let new = Delegator { table: next.signed.keys(), keys: root_keys(&next.signed)? };
        new.keys.check_reachable(ROOT, new.table)?;
        let message = next.message();
        let signed = signed(next, &message);
        let (by_old, by_new) = (old.count(ROOT, signed)?, new.count(ROOT, signed)?);
        let version = next.signed.version();
        match (by_old.missing(), by_new.missing()) {
            (0, 0) => Ok(by_new),
            (0, _) => {
                Err(by_new.downgrade(ROOT).unwrap_or(TufError::RootChain { version, by: "of its own" }))
            }
            (_, 0) => {
                let error = TufError::RootChain { version, by: "of the previous root's" };
                Err(by_old.downgrade(ROOT).unwrap_or(error))
            }
            _ => Err(refuse(ROOT, &by_old, signed, &self.retired, self.known_roles())),
        }
    }

    /// One id stands for one key across all trusted files (4.3).
    fn check_key_ids(&self, role: &str, file: &Targets) -> Result<(), TufError> {
        let Some(delegations) = file.delegations() else {
            return Ok(());
        };
        let delegated =
            self.roles().filter(|(name, _)| *name != role).filter_map(|(_, file)| file.delegations());
        let tables =
            std::iter::once(self.root().keys()).chain(delegated.map(|delegations| delegations.keys()));
        for table in tables {
            for (keyid, key) in delegations.keys() {
                if table.get(keyid).is_some_and(|other| !other.same_as(key)) {
                    return Err(TufError::KeyIdReused(keyid.clone()));
                }
            }
        }
        Ok(())
    }
}

fn check_not_older(role: &str, held: u64, got: u64) -> Result<(), TufError> {
    if got < held { Err(TufError::Rollback { role: role.to_owned(), held, got }) } else { Ok(()) }
}

fn root_keys(root: &Root) -> Result<&RoleKeys, TufError> {
    root.role_keys(ROOT).ok_or(TufError::RoleMissing(ROOT))
}
