//! The log of key usage: which key signed what, for which role, why and when, written before a signature leaves.
//!
//! It is a C2SP tlog of its own (`log::Sequencer`) in `KEYS/usage`: an entry for each use ([`Use`]), a Merkle tree
//! over them, a checkpoint that a key of this folder signs. What that proves, and what it cannot, is in ADR 0013:
//! damage and edits show by themselves; that the whole log was replaced shows to whoever kept a [`Head`] of it.
//!
//! One process has it open at a time. [`UsageLog::record`] is one write and one fsync for any number of uses ([`recent`]);
//! tiles and the checkpoint follow when somebody asks for the head, or when many have come together.

mod audit;
mod entry;
mod recent;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use countersign_base::code::{Class, Explain as _};
use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::{Algorithm, PublicKey, Signer, SignerError, sha256};
use countersign_log::{LogError, LogKey, Sequencer};
use countersign_store::{Dir, Disk, Lock, Objects as _, StoreError, durable};
use countersign_tlog::tile::{BundleId, TileId};

use crate::dir::KeyDir;
use crate::error::KeysError;
use crate::info::{KeyInfo, NewKey, Stage};
use crate::passphrase::Protection;

use recent::{Recent, Unusable};

pub use audit::{Audit, audit};
pub use entry::{Head, MAX_ROLE_BYTES, MAX_USE_BYTES, MAX_WHY_BYTES, Purpose, Use};

/// Entries above which an audit is refused: it holds what it needs of each in memory.
pub const MAX_USES: u64 = 4_000_000;

/// The key that signs the log's checkpoints.
const KEY: &str = "usage";
/// The log's private and public folder.
const PRIVATE: &str = "private";
const PUBLIC: &str = "public";
const TILES: &str = "tile";
/// Held while the log is open.
const LOCK: &str = "lock";
/// Bytes of recent uses above which opening puts them into the tree: some hundreds.
const MAX_RECENT_BYTES: usize = 256 * 1024;
/// Entries that are put into the tree at a time.
const BATCH: usize = 4096;
/// How long another process is waited for; a signature takes far less, and a person who types may take more.
const WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(25);

/// The log of key usage, open for writing. Shared by the signers that it records.
#[derive(Debug)]
pub struct UsageLog {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    recent: Mutex<Recent>,
    /// Of signatures that have not left yet.
    noted: Mutex<Vec<Use>>,
    /// When its checkpoint is signed.
    opened: Timestamp,
    _lock: Lock,
}

impl UsageLog {
    /// Opens the log in `dir` (`KEYS/usage`), made if it is not there. Its tree is read and proven when it grows.
    ///
    /// Another process that has it open is waited for, up to ten seconds.
    ///
    /// # Errors
    /// `key-usage-damaged` if it is not what it was; `log-writer-conflict`; `log-storage-failed`,
    /// `key-storage-failed`.
    pub fn open(dir: &Path, disk: Arc<dyn Disk>, now: Timestamp) -> Result<Self, KeysError> {
        if !dir.is_dir() {
            durable::create_dir_all(&*disk, dir)?;
        }
        let lock = lock(dir)?;
        let recent = Recent::open(Arc::clone(&disk), dir).map_err(|unusable| match unusable {
            Unusable::Store(source) => storage(source),
            Unusable::Damaged(what) => KeysError::UsageDamaged { dir: dir.to_owned(), what: what.to_owned() },
        })?;
        let is_long = recent.len() > MAX_RECENT_BYTES;
        let (recent, noted) = (Mutex::new(recent), Mutex::default());
        let log = Self { dir: dir.to_owned(), disk, recent, noted, opened: now, _lock: lock };
        if is_long {
            log.grow()?;
        }
        Ok(log)
    }

    /// Records uses, durable when this returns. One that was recorded before, to the second, is not written again.
    ///
    /// # Errors
    /// `log-storage-failed`: nothing may be signed, now or later, until the log is opened again.
    pub fn record(&self, uses: &[Use]) -> Result<(), KeysError> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = recent.record(uses.iter().map(Use::encode).collect());
        recorded.map_err(|source| KeysError::Usage { source: Box::new(source) })
    }

    /// Takes a use that is recorded with the next [`UsageLog::settle`]: of a signature that stays in memory until then.
    pub fn note(&self, used: Use) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).push(used);
    }

    /// Records what was noted, durable when this returns: the signatures may leave.
    ///
    /// # Errors
    /// As [`UsageLog::record`].
    pub fn settle(&self) -> Result<(), KeysError> {
        let noted = core::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        if noted.is_empty() { Ok(()) } else { self.record(&noted) }
    }

    /// Puts what was recorded under a signed checkpoint and gives its head, for keeping elsewhere.
    ///
    /// # Errors
    /// `log-storage-failed`, `key-usage-damaged`.
    pub fn finish(&self) -> Result<Head, KeysError> {
        self.settle()?;
        Ok(head(&self.grow()?))
    }

    /// Puts what is recent into the tree, all of which is read and proven.
    fn grow(&self) -> Result<Sequencer, KeysError> {
        let dir = &self.dir;
        let fault = |error| fault(dir, error);
        let keys = log_key(dir, &self.disk, self.opened)?;
        let signer = keys.signer(&keys.find(KEY)?, &mut nobody, self.opened)?;
        let key = LogKey::new(&origin(signer.public_key()), signer).map_err(fault)?;
        let (private, public) = (dir.join(PRIVATE), dir.join(PUBLIC));
        let disk = Arc::clone(&self.disk);
        let mut log = Sequencer::open_on(disk, &private, &public, key, self.opened).map_err(fault)?;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that a run before has put there, and died, are found there and not put again.
        for entries in recent.entries().chunks(BATCH) {
            log.append(entries, self.opened).map_err(fault)?;
        }
        log.integrate(self.opened).map_err(fault)?;
        recent.clear().map_err(storage)?;
        self.prune(&log)?;
        Ok(log)
    }

    /// Takes away partial tiles that larger ones have replaced: nobody else reads them, and they would be many.
    fn prune(&self, log: &Sequencer) -> Result<(), KeysError> {
        let size = log.signed().checkpoint().size();
        let public = Dir::open_on(Arc::clone(&self.disk), &self.dir.join(PUBLIC), 0o644)?;
        for name in public.list(TILES)? {
            let stale = match (name.parse::<BundleId>(), name.parse::<TileId>()) {
                (Ok(id), _) => BundleId::at(id.index(), size).is_some_and(|full| id.width() < full.width()),
                (_, Ok(id)) => {
                    TileId::at(id.level(), id.index(), size).is_some_and(|full| id.width() < full.width())
                }
                _ => false,
            };
            if stale {
                // Not synced: one that comes back is taken away next time.
                let _ = public.disk().remove_file(&public.path(&name)?);
            }
        }
        Ok(())
    }
}

fn head(log: &Sequencer) -> Head {
    let checkpoint = log.signed().checkpoint();
    Head { size: checkpoint.size(), root: *checkpoint.root() }
}

/// Waits for another process that has it open.
fn lock(dir: &Path) -> Result<Lock, KeysError> {
    let mut waited = Duration::ZERO;
    loop {
        match Lock::try_acquire(&dir.join(LOCK)) {
            Err(StoreError::Locked { .. }) if waited < WAIT => {
                thread::sleep(POLL);
                waited += POLL;
            }
            outcome => return outcome.map_err(storage),
        }
    }
}

fn storage(source: StoreError) -> KeysError {
    KeysError::Usage { source: Box::new(LogError::from(source)) }
}

/// A signer that signs nothing which is not in the log of key usage first; or which is only noted there
/// ([`UsageLog::note`]), if whoever has the signatures settles them before they leave.
pub struct Recorded {
    signer: Box<dyn Signer>,
    log: Arc<UsageLog>,
    key: KeyInfo,
    purpose: Purpose,
    now: Timestamp,
    is_noted: bool,
}

impl Recorded {
    /// `signer`, which is of the key `key`, for one purpose.
    pub fn new(
        signer: Box<dyn Signer>,
        log: Arc<UsageLog>,
        key: KeyInfo,
        purpose: Purpose,
        now: Timestamp,
    ) -> Self {
        Self { signer, log, key, purpose, now, is_noted: false }
    }

    /// The same for signatures that stay in memory until [`UsageLog::settle`]: one write for all of them.
    #[must_use]
    pub fn noted(self) -> Self {
        Self { is_noted: true, ..self }
    }
}

impl Signer for Recorded {
    fn public_key(&self) -> &PublicKey {
        self.signer.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let entry = Use::new(&self.key, &self.purpose, sha256(message), self.now);
        if self.is_noted {
            self.log.note(entry);
        } else {
            self.log.record(&[entry]).map_err(|error| SignerError::external(&error))?;
        }
        self.signer.sign(message)
    }
}

impl core::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Recorded")
            .field("key", &self.key.name)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// The folder with the key that signs the checkpoints, drawn if the log is new.
fn log_key(dir: &Path, disk: &Arc<dyn Disk>, now: Timestamp) -> Result<KeyDir, KeysError> {
    let keys = KeyDir::open_or_create_on(Arc::clone(disk), dir)?;
    let new = NewKey {
        name: KEY,
        stage: Stage::Log,
        product: None,
        holder: "log of key usage",
        algorithm: Algorithm::Ed25519,
        expires: None,
        cadence_days: None,
    };
    let there = |found: Result<KeyInfo, KeysError>| match found {
        Ok(_) => Ok(true),
        Err(KeysError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    };
    if there(keys.find(KEY))? {
        return Ok(keys);
    }
    keys.create(&new, now, Protection::Unencrypted).map_err(|error| match error {
        KeysError::Exists { .. } => KeysError::UsageDamaged {
            dir: dir.to_owned(),
            what: "the key of its checkpoints is lost".to_owned(),
        },
        error => error,
    })?;
    Ok(keys)
}

/// Names one log: a log that was begun anew is another one.
fn origin(key: &PublicKey) -> String {
    let digest = sha256(key.to_string().as_bytes()).to_string();
    format!("key-usage/{}", digest.get(..16).unwrap_or(&digest))
}

fn nobody(key: &KeyInfo) -> Result<crate::passphrase::Passphrase, KeysError> {
    let reason = "the log of key usage opens without one".to_owned();
    Err(KeysError::PassphraseMissing { key: key.name.to_string(), reason })
}

/// What the log's own error means here.
fn fault(dir: &Path, source: LogError) -> KeysError {
    if source.class() != Class::Refused {
        return KeysError::Usage { source: Box::new(source) };
    }
    let mut what = source.to_string();
    let mut cause = std::error::Error::source(&source);
    while let Some(error) = cause {
        what = format!("{what}: {error}");
        cause = error.source();
    }
    KeysError::UsageDamaged { dir: dir.to_owned(), what }
}

/// What one signature is known by, in public and here.
pub type Signed = (PublicKey, Sha256Digest);
