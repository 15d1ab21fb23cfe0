//! A process that may lead.

use std::time::{Duration, Instant};

use countersign_base::Timestamp;
use countersign_store::{Held, StoreError};
use countersign_tlog::Checkpoint;
use countersign_tlog::merkle::EMPTY_ROOT;

use super::heart::{self, Tenure};
use super::leader::{Leader, refused_url};
use super::{JOURNALS, SharedPlace};
use crate::error::LogError;
use crate::sequencer::{LogKey, Sequencer};
use crate::tree::TILES;

/// Shortest time after which a silent leader can be replaced.
pub const MIN_TAKEOVER: Duration = Duration::from_millis(100);
/// Longest such time.
pub const MAX_TAKEOVER: Duration = Duration::from_secs(24 * 60 * 60);

/// One process that may lead a log on shared storage; it looks on until it can.
#[derive(Debug)]
pub struct Candidate {
    place: SharedPlace,
    key: LogKey,
    url: Option<String>,
    takeover: Duration,
    sight: Sight,
}

/// What was seen last.
#[derive(Debug)]
enum Sight {
    Unknown,
    /// There is no log.
    Absent,
    There {
        held: Held,
        leader: Leader,
        /// Since when it is known to be the same: the beginning of the first look after the one that found
        /// it.
        since: Option<Instant>,
        free: bool,
    },
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The log is not there yet, was given back, or its leader has been silent for the takeover time: it can
    /// be taken.
    Free,
    /// Somebody.
    Led {
        /// In this epoch.
        epoch: u64,
        /// Where the leader takes submissions.
        url: Option<String>,
    },
}

/// How a try to lead ended.
#[derive(Debug)]
pub enum Turn {
    /// This process leads.
    Ours(Box<Sequencer>),
    /// Another one was first; look on.
    Theirs(Box<Candidate>),
}

impl Candidate {
    /// With the log's key, the URL at which others are told to submit while this process leads, and how long
    /// a leader must be silent before it is replaced. That time is to be the same in all processes: a leader
    /// changes its cell three times in it.
    ///
    /// # Errors
    /// `usage` for a URL that is none, or a time out of [`MIN_TAKEOVER`] `..=` [`MAX_TAKEOVER`].
    pub fn new(
        place: SharedPlace,
        key: LogKey,
        url: Option<String>,
        takeover: Duration,
    ) -> Result<Self, LogError> {
        if let Some(why) = url.as_deref().and_then(refused_url) {
            return Err(LogError::Setting(why));
        }
        if !(MIN_TAKEOVER..=MAX_TAKEOVER).contains(&takeover) {
            return Err(LogError::Setting("the takeover time is under 0.1 s or over a day"));
        }
        Ok(Self { place, key, url, takeover, sight: Sight::Unknown })
    }

    /// Looks who leads. `now` is this machine's monotonic clock, read before the call; look ten times in the
    /// takeover time or so.
    ///
    /// # Errors
    /// `log-storage-failed`, `log-storage-corrupt`.
    pub fn look(&mut self, now: Instant) -> Result<Seen, LogError> {
        let before = core::mem::replace(&mut self.sight, Sight::Unknown);
        let Some(held) = self.place.leader.load()? else {
            self.sight = Sight::Absent;
            return Ok(Seen::Free);
        };
        let leader = Leader::parse(held.bytes())?;
        // Only from here on it was seen not to change: when the first look was answered nobody knows.
        let since = match before {
            Sight::There { leader: same, since, .. } if same == leader => Some(since.unwrap_or(now)),
            _ => None,
        };
        let silent = since.is_some_and(|since| now.saturating_duration_since(since) >= self.takeover);
        let free = leader.released || silent;
        let led = Seen::Led { epoch: leader.epoch, url: leader.url.clone() };
        self.sight = Sight::There { held, leader, since, free };
        Ok(if free { Seen::Free } else { led })
    }

    /// Takes the lead, if the last look found it free, and finishes what the leader before has left.
    ///
    /// # Errors
    /// As [`Sequencer::open`]. `log-writer-conflict`: another one took over while this one was getting ready.
    /// `log-storage-failed`: whether this process leads is not known.
    pub fn lead(mut self, now: Timestamp) -> Result<Turn, LogError> {
        let (next, written) = match core::mem::replace(&mut self.sight, Sight::Unknown) {
            Sight::There { held, leader, free: true, .. } => {
                self.key.open(SharedPlace::LEADER, &leader.note)?;
                let next = leader.successor(self.url.clone())?;
                let written = heart::replace(&*self.place.leader, held, &next.encode());
                (next, written)
            }
            Sight::Absent => {
                if !self.is_new()? {
                    return Ok(Turn::Theirs(Box::new(self)));
                }
                let empty = Checkpoint::new(self.key.origin(), 0, EMPTY_ROOT)
                    .map_err(|source| self.key.not_ours("new checkpoint", source))?;
                let first = Leader::first(self.url.clone(), self.key.sign(empty, now)?.encode())?;
                let written = self.create(&first.encode());
                (first, written)
            }
            other => {
                self.sight = other;
                return Ok(Turn::Theirs(Box::new(self)));
            }
        };
        let held = match written {
            Ok(held) => held,
            Err(StoreError::Conflict { .. }) => return Ok(Turn::Theirs(Box::new(self))),
            Err(error) => return Err(error.into()),
        };
        let tenure = Tenure::begin(self.place.leader.clone(), held, next.clone(), self.takeover)?;
        Sequencer::open_shared(&self.place, self.key, tenure, &next, now).map(|log| Turn::Ours(Box::new(log)))
    }

    fn create(&self, first: &[u8]) -> Result<Held, StoreError> {
        match self.place.leader.create(first) {
            Err(conflict @ StoreError::Conflict { .. }) => {
                self.place.leader.load()?.filter(|found| found.bytes() == first).ok_or(conflict)
            }
            other => other,
        }
    }

    /// Refuses to begin a log where there is one whose cell is lost; false if another process has begun it
    /// meanwhile.
    fn is_new(&self) -> Result<bool, LogError> {
        let objects = &*self.place.objects;
        let empty = self.place.checkpoint.load()?.is_none()
            && objects.list(TILES)?.is_empty()
            && objects.list(JOURNALS)?.is_empty();
        if empty {
            return Ok(true);
        }
        match self.place.leader.load()? {
            Some(_) => Ok(false),
            None => Err(LogError::StorageRollback(format!(
                "there is a log whose `{}` is lost",
                SharedPlace::LEADER
            ))),
        }
    }
}
