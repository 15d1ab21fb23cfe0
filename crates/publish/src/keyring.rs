//! The secret keys at hand: which of a role's keys can sign here, opened once a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_base::name::ProductName;
use countersign_crypto::{Algorithm, PublicKey, Signer, SignerError};
use countersign_keys::usage::{Purpose, Recorded, UsageLog};
use countersign_keys::{Asker, KeyDir, KeyInfo, KeysError, NewKey, Protection, Stage};
use countersign_store::RealDisk;
use countersign_tuf::metadata::{Key, KeyTable, RoleKeys};
use countersign_verify::extension::is_holder;

use crate::act::Site;
use crate::error::PublishError;

/// Refuses to make keys in the repository's directory: all of that is copied to servers and mirrors, and what lies in
/// `targets` is served.
pub(crate) fn check_place(site: &Site) -> Result<(), PublishError> {
    if resolved(&site.keys).starts_with(resolved(site.layout.root())) {
        return Err(PublishError::KeysInside { path: site.keys.clone() });
    }
    Ok(())
}

/// The path without links, as far as it exists.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for existing in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(existing), path.strip_prefix(existing)) {
            return real.join(rest);
        }
    }
    path
}

/// A keys directory with the keys of it that were opened.
pub(crate) struct Keyring<'a> {
    dir: KeyDir,
    infos: Vec<KeyInfo>,
    ask: &'a mut (dyn Asker + 'a),
    now: Timestamp,
    /// Why its keys sign, for the log of key usage.
    why: String,
    opened: BTreeMap<PublicKey, Shared>,
    usage: Option<Arc<UsageLog>>,
    found: Vec<String>,
}

/// An opened key that several owners sign with.
#[derive(Clone)]
pub(crate) struct Shared(Arc<dyn Signer>);

impl From<Box<dyn Signer>> for Shared {
    fn from(signer: Box<dyn Signer>) -> Self {
        Self(signer.into())
    }
}

impl Signer for Shared {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.sign(message)
    }
}

impl<'a> Keyring<'a> {
    /// The keys of an existing directory.
    pub(crate) fn open(
        path: &Path,
        ask: &'a mut (dyn Asker + 'a),
        now: Timestamp,
    ) -> Result<Self, PublishError> {
        Self::of(KeyDir::open(path)?, ask, now)
    }

    /// The keys of a directory, made if it is not there.
    pub(crate) fn open_or_create(
        path: &Path,
        ask: &'a mut (dyn Asker + 'a),
        now: Timestamp,
    ) -> Result<Self, PublishError> {
        Self::of(KeyDir::open_or_create(path)?, ask, now)
    }

    fn of(dir: KeyDir, ask: &'a mut (dyn Asker + 'a), now: Timestamp) -> Result<Self, PublishError> {
        let infos = dir.list()?;
        let (why, opened, found) = ("publication".to_owned(), BTreeMap::new(), Vec::new());
        Ok(Self { dir, infos, ask, now, why, opened, usage: None, found })
    }

    /// The key of that name, which must be for that stage; made if it is not there.
    pub(crate) fn ensure(
        &mut self,
        name: &str,
        stage: Stage,
        product: Option<&ProductName>,
        now: Timestamp,
        protection: Protection<'_>,
    ) -> Result<PublicKey, PublishError> {
        if let Some(info) = self.infos.iter().find(|info| info.name.as_str() == name) {
            if info.stage == stage && info.product.as_ref() == product {
                self.dir.check_signs(info, now)?;
                self.found.push(name.to_owned());
                return Ok(info.public.clone());
            }
            return Err(KeysError::Exists { name: info.name.clone(), dir: self.dir.path().to_owned() }.into());
        }
        let algorithm = Algorithm::Ed25519;
        let new = NewKey { name, stage, product, holder: name, algorithm, expires: None, cadence_days: None };
        let info = self.dir.create(&new, now, protection)?;
        let public = info.public.clone();
        self.infos.push(info);
        Ok(public)
    }

    /// Names of the keys that [`Keyring::ensure`] did not have to make.
    pub(crate) fn found(&self) -> &[String] {
        &self.found
    }

    /// Whether the secret key is here.
    pub(crate) fn has(&self, public: &PublicKey) -> bool {
        self.infos.iter().any(|info| info.public == *public)
    }

    /// Refuses a key that this directory says was retired or revoked.
    ///
    /// # Errors
    /// `key-revoked`.
    pub(crate) fn check_unmarked(&self, public: &PublicKey) -> Result<(), PublishError> {
        Ok(self.dir.check_unmarked(public)?)
    }

    /// Whose key it is, if it is here and the name can stand in metadata.
    pub(crate) fn holder(&self, public: &PublicKey) -> Option<String> {
        let info = self.infos.iter().find(|info| info.public == *public)?;
        is_holder(&info.holder).then(|| info.holder.clone())
    }

    /// Says why its keys sign from here on, for the log of key usage.
    #[must_use]
    pub(crate) fn because(mut self, why: &str) -> Self {
        why.clone_into(&mut self.why);
        self
    }

    /// Opens a key for what its stage says that it is for, a log's or witness's; `None` if it is not here. Each signature
    /// is in the log of key usage before it is anywhere else.
    pub(crate) fn signer(&mut self, public: &PublicKey) -> Result<Option<Shared>, PublishError> {
        let stage = self.infos.iter().find(|info| info.public == *public).map(|info| info.stage.to_string());
        let Some(recorded) = stage.map_or(Ok(None), |stage| self.recorded(&stage, public))? else {
            return Ok(None);
        };
        Ok(Some(Shared(Arc::new(recorded))))
    }

    /// Opens a key to sign metadata of `role`; `None` if it is not here. The signatures are for memory alone until
    /// [`Keyring::settle`]: an act makes several, and has them recorded together.
    pub(crate) fn signer_of(
        &mut self,
        role: &str,
        public: &PublicKey,
    ) -> Result<Option<Shared>, PublishError> {
        Ok(self.recorded(role, public)?.map(|recorded| Shared(Arc::new(recorded.noted()))))
    }

    /// Records the signatures on metadata that were made so far. They may leave when this returns.
    ///
    /// # Errors
    /// `log-storage-failed`.
    pub(crate) fn settle(&self) -> Result<(), PublishError> {
        Ok(self.usage.as_ref().map_or(Ok(()), |usage| usage.settle())?)
    }

    fn recorded(&mut self, role: &str, public: &PublicKey) -> Result<Option<Recorded>, PublishError> {
        let Some(info) = self.infos.iter().find(|info| info.public == *public) else {
            return Ok(None);
        };
        let opened = match self.opened.get(public) {
            Some(opened) => opened.clone(),
            None => {
                let opened = Shared::from(self.dir.signer(info, self.ask, self.now)?);
                self.opened.insert(public.clone(), opened.clone());
                opened
            }
        };
        let usage = match &self.usage {
            Some(usage) => Arc::clone(usage),
            None => Arc::new(UsageLog::open(&self.dir.usage_path(), Arc::new(RealDisk), self.now)?),
        };
        self.usage = Some(Arc::clone(&usage));
        let purpose = Purpose { role: role.to_owned(), why: self.why.clone() };
        Ok(Some(Recorded::new(Box::new(opened), usage, info.clone(), purpose, self.now)))
    }

    /// Refuses a role that too few keys are here for, before anyone is asked for a passphrase.
    ///
    /// # Errors
    /// `publish-threshold-not-met`, with the keys that are missing.
    pub(crate) fn check_enough(
        &self,
        role: &str,
        keys: &[PublicKey],
        threshold: u32,
    ) -> Result<(), PublishError> {
        let (here, missing): (Vec<_>, Vec<_>) = keys.iter().partition(|key| self.has(key));
        if here.len() >= threshold as usize {
            return Ok(());
        }
        Err(PublishError::ThresholdNotMet {
            role: role.to_owned(),
            have: here.len(),
            need: threshold,
            missing: missing.iter().map(|key| key.to_string()).collect(),
        })
    }

    /// Opens all of these keys that are here, at least `threshold`.
    pub(crate) fn signers(
        &mut self,
        role: &str,
        keys: &[PublicKey],
        threshold: u32,
    ) -> Result<Vec<Shared>, PublishError> {
        self.check_enough(role, keys, threshold)?;
        keys.iter().filter_map(|key| self.signer_of(role, key).transpose()).collect()
    }
}

/// The public keys that a role lists and that can be used.
pub(crate) fn listed(table: &KeyTable, keys: &RoleKeys) -> Vec<PublicKey> {
    keys.keyids.iter().filter_map(|id| table.get(id).and_then(Key::usable)).cloned().collect()
}

/// As the trait objects that drafts sign with.
pub(crate) fn as_dyn(signers: &[Shared]) -> Vec<&dyn Signer> {
    signers.iter().map(|signer| signer as &dyn Signer).collect()
}
