//! A log on storage that several machines share: who leads, how the lead changes hands, and why no two can
//! write.
//!
//! Any number of processes are [`Candidate`]s; one leads, which is to have the [`crate::Sequencer`]. The
//! storage is asked for no more than both contracts of `countersign-store`: objects that are put if absent,
//! and cells that are replaced by compare-and-swap. Nothing is removed. Below the log's prefix are, beside
//! what readers fetch,
//!
//! - `.countersign/leader`, a cell ([`leader`]): the epoch and who leads in it, the epoch whose journal goes
//!   on from the signed tree, a count of its changes, and the signed checkpoint;
//! - `.countersign/wal/<epoch>/<first index>`, objects ([`journal`]): the batches of an epoch, each one named
//!   by where the one before ends. The chain of an epoch has one writer, the process that leads in it, and a
//!   hole in it is not taken for its end;
//! - `.countersign/documents/`, objects: see [`crate::admission`].
//!
//! # What keeps the log one
//!
//! A process can be stopped between any two of its steps, for any time, and go on: it may hold itself for the
//! leader long after another took over. So no step rests on a clock; clocks say only when it is worth while
//! to take over.
//!
//! 1. *An epoch has one leader.* It begins with a compare-and-swap from the epoch before, and no value of the
//!    cell ever comes back: each change counts up, and the owner is drawn at random for each try.
//! 2. *A batch is settled when it was in the journal that the cell names and after that the cell was seen to
//!    be still of the same epoch.* Only then is it acknowledged, and only then a tile is written for it. The
//!    leader after this one changes the cell after it was so seen, and reads the journal after that: it finds
//!    every settled batch. (Put, cell seen, cell changed, journal read: each after the one before.)
//! 3. *Signing replaces the cell itself.* So each signed tree extends the one before, whoever signed that,
//!    and who no longer leads signs nothing.
//! 4. *A new leader acknowledges nothing before it has signed once in its own epoch.* With that signature the
//!    cell names the new epoch's journal. Before, it names the old one, and who takes over from a leader that
//!    came no further reads the same old journal again.
//!
//! So what a leader of the past can still do when it goes on is: put one batch into the journal of its epoch,
//! which is either adopted or never read, and was never acknowledged; write tiles of settled batches, whose
//! bytes are those that every leader makes; ask witnesses for a cosignature of a tree that is a part of every
//! later one, and publish it if nobody has published since; fail to replace a cell. Then it knows, and
//! everything ends with `log-writer-conflict`.
//!
//! Rule 2 holds for a leader's reading of the old journal, too: a batch that it has found there is settled by
//! looking at the cell once more. Otherwise, with three leaders: the second is stopped before it reads; the
//! third finds the chain's end, signs and goes on from there; the first puts a late batch at that end; and
//! the second, going on, would write tiles with it.
//!
//! # What a crash leaves behind
//!
//! 1. The journal's put. *Before it:* nothing. *After it, or when its answer is lost:* a batch that nobody
//!    was told of. The next leader adopts it if it is there when it reads; once that one has signed, nobody
//!    does.
//! 2. The look at the cell. *After it:* the batch is settled; the next leader makes its tiles.
//! 3. Bundles and tiles. *In between:* some are there for which no checkpoint was signed; the next leader
//!    makes the same bytes.
//! 4. The signature, in the cell. *Its answer is lost:* the process ends, and the next leader goes on from
//!    whichever it was.
//! 5. Cosignatures and the public checkpoint, a cell as well. *Before:* readers see an older tree; the next
//!    leader publishes. A value is replaced only by who put it there, or who led still after reading it: so
//!    who leads no more does not put an older tree in front of a newer.
//! 6. Taking over. *The cell was changed, and no more:* nobody beats for this epoch, and the next one follows
//!    after the same wait. *Anywhere in the reading of the old journal:* as in 3, and the old journal is
//!    still the one that counts.
//!
//! An answer that is lost for good (`log-storage-failed`) is the end of the process as a failed fsync is with
//! a folder: what is stored is known only to who reads it anew.
//!
//! On this machine there is only a cache with the index of duplicates, in a folder of its own for each log
//! and process. It may be lost.

mod candidate;
mod heart;
mod journal;
mod leader;

use std::path::PathBuf;
use std::sync::Arc;

use countersign_store::{Cell, Objects};

pub use candidate::{Candidate, MAX_TAKEOVER, MIN_TAKEOVER, Seen, Turn};
pub(crate) use heart::{Lease, Tenure};
pub(crate) use journal::{ObjectJournal, follow};
pub(crate) use leader::Leader;

/// The folder of journals.
pub(crate) const JOURNALS: &str = ".countersign/wal";

/// A log's place that several machines share.
#[derive(Debug, Clone)]
pub struct SharedPlace {
    /// All of the log's objects, public and private.
    pub objects: Arc<dyn Objects>,
    /// The cell [`SharedPlace::LEADER`] of the same store.
    pub leader: Arc<dyn Cell>,
    /// The cell [`SharedPlace::CHECKPOINT`] of the same store.
    pub checkpoint: Arc<dyn Cell>,
    /// A folder of this machine for what can be made again. It can be shared by all processes and logs here.
    pub cache: PathBuf,
}

impl SharedPlace {
    /// Name of the cell that says who leads.
    pub const LEADER: &str = ".countersign/leader";
    /// Name of the public checkpoint.
    pub const CHECKPOINT: &str = crate::tree::CHECKPOINT;
}
