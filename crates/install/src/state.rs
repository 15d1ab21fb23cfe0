//! What is known about one installed product: its generations, how each came to be active, and its floor.
//!
//! Values only; [`crate::record`] writes them down. The last [`Event`] is the intent and the link `current` is the
//! fact: an event is written uncommitted, the link is replaced, the event is committed. So after a crash the two
//! say together whether the old or the new generation is active, and a link that was changed by anyone else is
//! told apart from a crash.

use countersign_base::name::{Channel, FileName, Platform, ProductName, RepoName, Version};
use countersign_base::{Anchor, Sha256Digest, Timestamp};
use countersign_verify::FileMode;

use crate::layout::Link;

/// Most events kept; older ones are dropped.
pub const MAX_EVENTS: usize = 1_000;
/// Most files of one release for one platform.
pub const MAX_FILES: usize = 1_024;

/// One version of a product as it was put on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Counts from 1 and is never used twice.
    pub number: u64,
    /// The version.
    pub version: Version,
    /// The platform.
    pub platform: Platform,
    /// The channel it was released to.
    pub channel: Channel,
    /// The repository it comes from.
    pub repository: Anchor,
    /// What the user calls that repository.
    pub repository_name: RepoName,
    /// When it was installed.
    pub installed_at: Timestamp,
    /// The generation that was active before, to which `rollback` goes.
    pub previous: Option<u64>,
    /// Its files, by name.
    pub files: Vec<InstalledFile>,
}

/// One file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstalledFile {
    /// Name in the generation's folder.
    pub name: FileName,
    /// SHA-256 of the content.
    pub sha256: Sha256Digest,
    /// Length in bytes.
    pub length: u64,
    /// Whether it is a program.
    pub mode: FileMode,
}

/// A generation became active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub kind: EventKind,
    /// Which one.
    pub generation: u64,
    /// Its version, which outlives the generation.
    pub version: Version,
    /// Whether `current` is known to have said so.
    pub committed: bool,
}

/// How a generation became active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was installed.
    Install,
    /// The user went back to it.
    Rollback,
}

impl EventKind {
    /// As written in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Rollback => "rollback",
        }
    }
}

/// All that is known about one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) product: ProductName,
    /// Grows by one with each writing.
    pub(crate) serial: u64,
    /// The number of the next generation.
    pub(crate) next: u64,
    /// The lowest version allowed. Only rises.
    pub(crate) floor: Option<Version>,
    /// By number.
    pub(crate) generations: Vec<Generation>,
    /// Oldest first; only the last can be uncommitted.
    pub(crate) events: Vec<Event>,
}

/// What the last event and the link say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// They agree.
    Settled,
    /// The link was replaced and the event is still to be committed.
    Complete,
    /// The link was not replaced: the event is to be forgotten.
    Undo,
    /// The link is not what any crash of ours leaves.
    Tampered,
}

impl State {
    pub(crate) fn new(product: ProductName) -> Self {
        Self { product, serial: 0, next: 1, floor: None, generations: Vec::new(), events: Vec::new() }
    }

    pub(crate) fn generation(&self, number: u64) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.number == number)
    }

    /// The generation that the record says is active: that of the last committed event.
    pub(crate) fn active(&self) -> Option<&Generation> {
        self.generation(self.events.iter().rev().find(|event| event.committed)?.generation)
    }

    pub(crate) fn standing(&self, link: Link) -> Standing {
        let says = |event: &Event| link == Link::Generation(event.generation);
        match self.events.last() {
            None if link == Link::Absent => Standing::Settled,
            None => Standing::Tampered,
            Some(last) if last.committed => {
                if says(last) {
                    Standing::Settled
                } else {
                    Standing::Tampered
                }
            }
            Some(last) => {
                if says(last) {
                    Standing::Complete
                } else {
                    Standing::Undo
                }
            }
        }
    }

    /// The generation that is active in fact.
    pub(crate) fn active_by(&self, link: Link) -> Result<Option<&Generation>, Tampered> {
        let mut settled = self.clone();
        settled.settle(link);
        match (settled.standing(link), link) {
            (Standing::Settled, Link::Generation(number)) => Ok(self.generation(number)),
            (Standing::Settled, _) => Ok(None),
            _ => Err(Tampered { recorded: settled.active().map(|generation| generation.number) }),
        }
    }

    /// Brings the last event in line with the link. Returns what was done, if anything.
    pub(crate) fn settle(&mut self, link: Link) -> Option<(Standing, u64)> {
        let standing = self.standing(link);
        match standing {
            Standing::Settled | Standing::Tampered => None,
            Standing::Complete => {
                let last = self.events.last_mut()?;
                last.committed = true;
                Some((standing, last.generation))
            }
            Standing::Undo => {
                let last = self.events.pop()?;
                if last.kind == EventKind::Install {
                    self.generations.retain(|generation| generation.number != last.generation);
                }
                Some((standing, last.generation))
            }
        }
    }

    /// Adds the intent to make a generation active.
    pub(crate) fn intend(&mut self, kind: EventKind, generation: u64, version: Version, at: Timestamp) {
        if self.events.len() >= MAX_EVENTS {
            self.events.drain(..=self.events.len() - MAX_EVENTS);
        }
        self.events.push(Event { at, kind, generation, version, committed: false });
    }

    /// The last event has happened.
    pub(crate) fn commit(&mut self) {
        if let Some(last) = self.events.last_mut() {
            last.committed = true;
        }
    }

    /// Raises the floor; a lower one changes nothing. Returns whether it rose.
    pub(crate) fn raise_floor(&mut self, floor: Option<&Version>) -> bool {
        let rises = floor > self.floor.as_ref();
        if rises {
            self.floor = floor.cloned();
        }
        rises
    }
}

/// `current` does not name the generation that the record says is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tampered {
    pub(crate) recorded: Option<u64>,
}
