//! The log of key usage: which key signed what, for which role, why and when, written before a signature leaves.
//!
//! It is a C2SP tlog of its own (`log::Sequencer`) in `KEYS/usage`: an entry for each use ([`Use`]), a Merkle tree
//! over them, a checkpoint that a key of this folder signs. What that proves, and what it cannot, is in ADR 0013:
//! damage and edits show by themselves; that the whole log was replaced shows to whoever kept a [`Head`] of it.
//!
//! One process has it open at a time. [`UsageLog::record`] is one write and one fsync for any number of uses; tiles
//! and the checkpoint follow when the log is closed, or opened next.

mod audit;
mod entry;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use countersign_base::code::{self, Class, Explain as _};
use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::{Algorithm, PublicKey, Signer, SignerError, sha256};
use countersign_log::{LogError, LogKey, Sequencer};
use countersign_store::{Dir, Disk, Lock, Objects as _};
use countersign_tlog::tile::{BundleId, TileId};

use crate::dir::KeyDir;
use crate::error::KeysError;
use crate::info::{KeyInfo, NewKey, Stage};
use crate::passphrase::Protection;

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
/// Held while the key is made.
const LOCK: &str = "lock";
/// How long another process is waited for; a signature takes far less, and a person who types may take more.
const WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(25);

/// The log of key usage, open for writing. Shared by the signers that it records.
#[derive(Debug)]
pub struct UsageLog {
    dir: PathBuf,
    log: Mutex<Sequencer>,
    /// Closing signs a checkpoint; there is no later time to give it.
    opened: Timestamp,
}

impl UsageLog {
    /// Opens the log in `dir` (`KEYS/usage`), made if it is not there. All of it is read and proven.
    ///
    /// Another process that has it open is waited for, up to ten seconds.
    ///
    /// # Errors
    /// `key-usage-damaged` if it is not what it was; `log-writer-conflict`; `log-storage-failed`,
    /// `key-storage-failed`.
    pub fn open(dir: &Path, disk: Arc<dyn Disk>, now: Timestamp) -> Result<Self, KeysError> {
        let key = log_key(dir, &disk, now)?;
        let mut waited = Duration::ZERO;
        let log = loop {
            let (private, public) = (dir.join(PRIVATE), dir.join(PUBLIC));
            // Made anew each time: opening consumes it.
            let signer = key.signer(&key.find(KEY)?, &mut nobody, now)?;
            let key = LogKey::new(&origin(signer.public_key()), signer).map_err(|error| fault(dir, error))?;
            match Sequencer::open_on(Arc::clone(&disk), &private, &public, key, now) {
                Err(error) if error.code() == code::LOG_WRITER_CONFLICT && waited < WAIT => {
                    thread::sleep(POLL);
                    waited += POLL;
                }
                outcome => break outcome.map_err(|error| fault(dir, error))?,
            }
        };
        let opened = Self { dir: dir.to_owned(), log: Mutex::new(log), opened: now };
        opened.prune(disk)?;
        Ok(opened)
    }

    /// Records uses, durable when this returns. One that is recorded already, to the second, is not written again.
    ///
    /// # Errors
    /// `log-storage-failed`: nothing may be signed, now or later, until the log is opened again.
    pub fn record(&self, uses: &[Use]) -> Result<(), KeysError> {
        let entries: Vec<Vec<u8>> = uses.iter().map(Use::encode).collect();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(&entries, self.opened).map_err(|source| KeysError::Usage { source: Box::new(source) })?;
        Ok(())
    }

    /// Puts what was recorded under a signed checkpoint and gives its head, for keeping elsewhere.
    ///
    /// # Errors
    /// `log-storage-failed`, `key-usage-damaged`.
    pub fn finish(&self) -> Result<Head, KeysError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = log.integrate(self.opened).map_err(|error| fault(&self.dir, error))?;
        let checkpoint = signed.checkpoint();
        Ok(Head { size: checkpoint.size(), root: *checkpoint.root() })
    }

    /// Takes away partial tiles that larger ones have replaced: nobody else reads them, and they would be many.
    fn prune(&self, disk: Arc<dyn Disk>) -> Result<(), KeysError> {
        let size = self.log.lock().unwrap_or_else(PoisonError::into_inner).signed().checkpoint().size();
        let public = Dir::open_on(disk, &self.dir.join(PUBLIC), 0o644)?;
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

impl Drop for UsageLog {
    fn drop(&mut self) {
        // What was recorded is durable; if this fails, the next opening does it.
        let _ = self.finish();
    }
}

/// A signer that signs nothing which is not in the log of key usage first.
pub struct Recorded {
    signer: Box<dyn Signer>,
    log: Arc<UsageLog>,
    key: KeyInfo,
    purpose: Purpose,
    now: Timestamp,
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
        Self { signer, log, key, purpose, now }
    }
}

impl Signer for Recorded {
    fn public_key(&self) -> &PublicKey {
        self.signer.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let entry = Use::new(&self.key, &self.purpose, sha256(message), self.now);
        self.log.record(&[entry]).map_err(|error| SignerError::external(&error))?;
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
    // Two processes that begin the log at once must not see each other's half of the key.
    let _lock = Lock::acquire(&dir.join(LOCK))?;
    if !there(keys.find(KEY))? {
        keys.create(&new, now, Protection::Unencrypted).map_err(|error| match error {
            KeysError::Exists { .. } => KeysError::UsageDamaged {
                dir: dir.to_owned(),
                what: "the key of its checkpoints is lost".to_owned(),
            },
            error => error,
        })?;
    }
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
