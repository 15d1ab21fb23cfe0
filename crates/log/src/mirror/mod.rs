//! Copies and verifies another log: a mirror that serves the same files, and can be asked in its place.
//!
//! Specs: <https://c2sp.org/tlog-tiles> for the files, <https://c2sp.org/tlog-checkpoint> for the checkpoint.
//!
//! The folder has the public files of any log, so whatever serves a log serves its mirror, and beside them
//!
//! ```text
//! DIR/.countersign/lock        held while one process mirrors
//! DIR/.countersign/mirror      that this is a mirror, and of which log
//! DIR/.countersign/pending     the checkpoint that is being copied, while it is
//! DIR/.countersign/evidence/   checkpoints that cannot both be right (`evidence`)
//! ```
//!
//! [`Mirror::update`] goes through these steps; after each comes what a crash there leaves behind:
//!
//! 1. The source's checkpoint is verified: the log's signature, the policy, and that its tree begins with
//!    every tree that was seen before, by the tiles that prove it. *A crash:* nothing has changed.
//! 2. It is kept as `pending`, durable. From now on no later run takes a tree that is not one history with
//!    it, also if nothing of it was copied.
//! 3. Tiles are read from the root down and every entry bundle is hashed before it is put, by several threads
//!    (`copy`). No file is ever replaced. *A crash in between:* files of no published tree lie there, each
//!    whole and right; the next run reads them again, hashes them, and fetches what is missing.
//! 4. When all of the tree is durable, the public checkpoint is replaced. *A crash before:* readers see the
//!    checkpoint before, whose files are all there. *After:* `pending` names what is public, and is taken
//!    away by the next run.
//! 5. Partial tiles and bundles of earlier trees are removed where the tree has the full ones (`partial`),
//!    and `pending` last. *A crash:* some partial ones are left; the next run finds `pending` and removes all
//!    that there are.
//!
//! Not here: HTTP (`client` has a [`Source`] for it), and when to look again.

mod copy;
pub(crate) mod descent;
mod error;
mod evidence;
pub(crate) mod source;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::sha256;
use countersign_store::{Dir, Disk, Lock, Objects as _, RealDisk, durable};
use countersign_tlog::merkle::Hash;
use countersign_tlog::{Checkpoint, CheckpointError, NoteError, SignedCheckpoint, VerifierKey};

use crate::partial;
use crate::tree::{CHECKPOINT, TILES};
use crate::trust::{Trust, Trusted};
use copy::Copying;
pub use copy::MAX_PARALLEL;

pub use error::MirrorError;
pub use evidence::{Claim, Evidence, EvidenceError, MAX_EVIDENCE_BYTES, Shown};
pub use source::{Source, SourceError};
pub use walk::{Proven, range_at, walk};

/// The private folder in a mirror's folder.
const PRIVATE: &str = ".countersign";
const LOCK: &str = "lock";
const MARK: &str = "mirror";
const PENDING: &str = "pending";
const EVIDENCE: &str = "evidence";

/// A mirror, open for copying. There is one at a time.
#[derive(Debug)]
pub struct Mirror {
    public: Dir,
    private: Dir,
    /// What readers see.
    published: Option<SignedCheckpoint>,
    /// What was seen and not wholly copied.
    pending: Option<SignedCheckpoint>,
    _lock: Lock,
}

/// What one [`Mirror::update`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The log.
    pub origin: String,
    /// The size that the mirror had.
    pub from: u64,
    /// The size that it has.
    pub size: u64,
    /// The root of that tree.
    pub root: Hash,
    /// Witnesses whose cosignatures count, with a policy.
    pub witnesses: Vec<String>,
    /// Bytes of entry bundles and tiles that were fetched.
    pub bytes: u64,
    /// Entry bundles that an interrupted run had fetched.
    pub resumed: u64,
    /// Partial tiles and bundles of earlier trees that were removed, as the full ones are there now.
    pub removed: u64,
    /// Where the threads' time went.
    pub spent: Spent,
}

/// Time that all threads together waited or worked, by what for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Waiting for the source.
    pub source: Duration,
    /// Hashing.
    pub hashing: Duration,
    /// Waiting for the mirror's disk.
    pub disk: Duration,
}

impl Mirror {
    /// Opens the mirror in `dir`, or makes one where nothing is.
    ///
    /// # Errors
    /// `log-writer-conflict`: another process mirrors there. `usage`: the folder holds something else.
    /// `log-storage-failed`, `log-storage-corrupt`.
    pub fn open(dir: &Path) -> Result<Self, MirrorError> {
        Self::open_on(Arc::new(RealDisk), dir)
    }

    /// As [`Mirror::open`], on a given disk.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, MirrorError> {
        let public = Dir::open_on(Arc::clone(&disk), dir, 0o644)?;
        let private = Dir::open_on(disk, &dir.join(PRIVATE), 0o600)?;
        let lock = Lock::try_acquire(&private.root().join(LOCK))?;
        public.remove_stale()?;
        let marked = private.get(MARK)?.is_some();
        let published = public.get(CHECKPOINT)?;
        if !marked && (published.is_some() || !public.list(TILES)?.is_empty()) {
            return Err(MirrorError::NotAMirror { path: dir.to_owned(), what: "it holds another log" });
        }
        if !marked && private.list("")?.iter().any(|name| name != LOCK) {
            return Err(MirrorError::NotAMirror {
                path: dir.to_owned(),
                what: "a log is written there, whose private folder it has",
            });
        }
        let parse = |place: &str, bytes: Option<Vec<u8>>| {
            let parse = |bytes: Vec<u8>| SignedCheckpoint::parse(&bytes);
            bytes.map(parse).transpose().map_err(|error| MirrorError::Damaged(format!("`{place}`: {error}")))
        };
        let published = parse(CHECKPOINT, published)?;
        let pending = parse(PENDING, private.get(PENDING)?)?;
        Ok(Self { public, private, published, pending, _lock: lock })
    }

    /// The checkpoint that readers see; `None` before the first [`Mirror::update`] has ended.
    pub const fn published(&self) -> Option<&SignedCheckpoint> {
        self.published.as_ref()
    }

    /// Brings the mirror to what `source` shows now, with up to `parallel` threads (at most
    /// [`MAX_PARALLEL`]).
    ///
    /// # Errors
    /// `log-rollback`, `log-split-view`: both checkpoints are kept as evidence. Codes of the checkpoint and
    /// policy, of tiles and bundles (the wrong file is named), of the source, of the disk. What readers see
    /// is unchanged.
    pub fn update(
        &mut self,
        source: &dyn Source,
        trust: Trust<'_>,
        parallel: usize,
    ) -> Result<Update, MirrorError> {
        let bytes = source::checkpoint(source)?;
        let Trusted { signed, witnesses, .. } = trust.open(&bytes)?;
        let new = signed.checkpoint();
        self.check_held(trust)?;
        self.extends_all(source, &signed, &bytes)?;
        let from = self.published.as_ref().map_or(0, |held| held.checkpoint().size());
        let mut update = Update {
            origin: new.origin().to_owned(),
            from,
            size: new.size(),
            root: *new.root(),
            witnesses,
            bytes: 0,
            resumed: 0,
            removed: 0,
            spent: Spent::default(),
        };
        // An interrupted run may have left partial files of a tree that was never published.
        let interrupted = self.pending.is_some();
        if self.published.as_ref().is_some_and(|held| is_as_good(held, &signed)) {
            update.removed = self.conclude(interrupted, from)?;
            return Ok(update);
        }
        if self.private.get(MARK)?.is_none() {
            self.private.replace(MARK, format!("{}\n", new.origin()).as_bytes())?;
        }
        if new.size() > from {
            self.private.replace(PENDING, &bytes)?;
            self.pending = Some(signed.clone());
            let copied = Copying::new(&self.public, source, parallel).tree(from, new)?;
            (update.bytes, update.resumed, update.spent) = (copied.bytes, copied.resumed, copied.spent);
        }
        self.public.replace(CHECKPOINT, &bytes)?;
        self.published = Some(signed);
        update.removed = self.conclude(interrupted, from)?;
        Ok(update)
    }

    /// Removes what the published tree has no more use for, and `pending` after it.
    fn conclude(&mut self, interrupted: bool, from: u64) -> Result<u64, MirrorError> {
        if self.pending.is_none() {
            return Ok(0);
        }
        // Who replaced the public checkpoint may have died before that was durable.
        durable::sync_dir(&**self.public.disk(), self.public.root())?;
        let size = self.published.as_ref().map_or(0, |held| held.checkpoint().size());
        let removed = match interrupted {
            true => partial::remove_all(&self.public, size)?,
            false => partial::remove_between(&self.public, from, size)?,
        };
        durable::remove(&**self.private.disk(), &self.private.path(PENDING)?)?;
        self.pending = None;
        Ok(removed)
    }

    /// That what lies here is the log's own word: a bit that flipped in it must not accuse the log.
    fn check_held(&self, trust: Trust<'_>) -> Result<(), MirrorError> {
        let keys: Vec<VerifierKey> = match trust {
            Trust::Keys(keys) => keys.to_vec(),
            Trust::Policy(policy, _) => policy.logs().iter().map(|log| log.key.clone()).collect(),
        };
        for (place, held) in [(CHECKPOINT, &self.published), (PENDING, &self.pending)] {
            let Some(held) = held else { continue };
            match held.verify(held.checkpoint().origin(), &keys) {
                // A key that is no longer trusted may have signed it.
                Ok(()) | Err(CheckpointError::Note(NoteError::NoKnownKey)) => {}
                Err(error) => return Err(MirrorError::Damaged(format!("`{place}`: {error}"))),
            }
        }
        Ok(())
    }

    /// That the new tree begins with every tree that was seen.
    fn extends_all(
        &self,
        source: &dyn Source,
        signed: &SignedCheckpoint,
        bytes: &[u8],
    ) -> Result<(), MirrorError> {
        for held in self.pending.iter().chain(&self.published) {
            let (old, new) = (held.checkpoint(), signed.checkpoint());
            if old.origin() != new.origin() {
                let (want, got) = (old.origin().to_owned(), new.origin().to_owned());
                let source = CheckpointError::OriginMismatch { want, got };
                return Err(MirrorError::Checkpoint { place: CHECKPOINT.to_owned(), source });
            }
            let second = if old.size() <= new.size() { bytes } else { &held.encode() };
            let first = if old.size() <= new.size() { &held.encode() } else { bytes };
            let claim = match self.contradiction(source, old, new)? {
                None => continue,
                Some(claim) => claim,
            };
            let evidence = Evidence { first: first.to_vec(), second: second.to_vec(), claim };
            let kept = Some(self.keep_evidence(&evidence)?);
            let origin = new.origin().to_owned();
            return Err(match evidence.claim {
                Claim::WentBack => {
                    MirrorError::Rollback { origin, held: old.size(), got: new.size(), evidence: kept }
                }
                _ => {
                    let sizes = (old.size().min(new.size()), old.size().max(new.size()));
                    MirrorError::SplitView { origin, sizes, evidence: kept }
                }
            });
        }
        Ok(())
    }

    /// How two checkpoints of the log contradict each other; `None` if the new one goes on from the old.
    fn contradiction(
        &self,
        source: &dyn Source,
        old: &Checkpoint,
        new: &Checkpoint,
    ) -> Result<Option<Claim>, MirrorError> {
        if old.size() == new.size() {
            return Ok((old.root() != new.root()).then_some(Claim::TwoRoots));
        }
        if old.size() < new.size() {
            return prefix_of(source, new, old);
        }
        // Our own tiles say how the larger tree begins; those of one that was not wholly copied may not.
        let split = match prefix_of(&self.public, old, new) {
            Ok(split) => split,
            Err(MirrorError::Missing { .. }) => None,
            Err(MirrorError::Tile(error)) => return Err(MirrorError::Damaged(error.to_string())),
            Err(error) => return Err(error),
        };
        Ok(Some(split.unwrap_or(Claim::WentBack)))
    }

    fn keep_evidence(&self, evidence: &Evidence) -> Result<PathBuf, MirrorError> {
        let bytes = evidence.encode();
        let name = format!("{EVIDENCE}/{}.json", sha256(&bytes));
        self.private.put_if_absent(&name, &bytes)?;
        Ok(self.private.path(&name)?)
    }
}

/// Whether `held` need not give way to a note on the same tree: it is the same, or nobody new signed that.
fn is_as_good(held: &SignedCheckpoint, other: &SignedCheckpoint) -> bool {
    let signatures = |signed: &SignedCheckpoint| signed.note().signatures().len();
    held == other || (held.checkpoint() == other.checkpoint() && signatures(held) > signatures(other))
}

/// What shows that the larger tree, whose files `source` has, does not begin with the smaller one.
fn prefix_of(
    source: &dyn Source,
    larger: &Checkpoint,
    smaller: &Checkpoint,
) -> Result<Option<Claim>, MirrorError> {
    if smaller.size() == 0 {
        return Ok(None);
    }
    let tiles = walk::tiles_for(source, larger, smaller.size())?;
    let root = tiles.root_at(smaller.size())?;
    if root == *smaller.root() {
        return Ok(None);
    }
    let consistency = tiles.consistency_proof(smaller.size(), larger.size())?;
    Ok(Some(Claim::NotAPrefix { root, consistency }))
}

/// The checkpoint that a source shows, if it is trusted.
///
/// # Errors
/// `log-tile-missing` if there is none; codes of its parser, of the keys or of the policy; the source's.
pub fn trusted_checkpoint(source: &dyn Source, trust: Trust<'_>) -> Result<SignedCheckpoint, MirrorError> {
    Ok(trust.open(&source::checkpoint(source)?)?.signed)
}
