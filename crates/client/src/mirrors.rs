//! Several places for one repository, or for one log: one of them that is honest suffices.
//!
//! The first place is asked for everything until something that came from it cannot be used: it does not answer, or
//! what it sent does not verify. Then the next place is asked, from the beginning of what was being done, since two
//! places need not have the same version. What is fetched is verified as if there were one place, so a further mirror
//! adds no trust, only a way to go on.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use countersign_base::code::{Class, Code, Explain};
use countersign_log::{Source, SourceError};

use crate::transport::{self, FetchError, Location, Transport};

/// Most places of one repository.
pub const MAX_PLACES: usize = 16;
/// Connections to a log that are kept open; one file at a time goes over each.
const MAX_KEPT_CONNECTIONS: usize = 64;

/// The places of a repository, asked one at a time. Nothing is opened or connected before the first request.
#[derive(Debug)]
pub struct Mirrors {
    places: Vec<Place>,
    current: AtomicUsize,
    turned_away: Mutex<Vec<TurnedAway>>,
}

struct Place {
    location: Location,
    transport: Box<dyn Transport + Send + Sync>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.location, f)
    }
}

/// A place that was not good enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnedAway {
    /// Where it is.
    pub place: String,
    /// The code of what was wrong.
    pub code: Code,
    /// What was wrong.
    pub message: String,
}

impl Mirrors {
    /// Asks these places, in this order. There should be at least one; of none nothing can be fetched.
    pub fn new(locations: &[Location]) -> Self {
        let place =
            |location: &Location| Place { location: location.clone(), transport: transport::open(location) };
        Self {
            places: locations.iter().take(MAX_PLACES).map(place).collect(),
            current: AtomicUsize::new(0),
            turned_away: Mutex::default(),
        }
    }

    /// The places that were turned away so far, and why.
    pub fn turned_away(&self) -> Vec<TurnedAway> {
        self.turned_away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn current(&self) -> Result<&Place, FetchError> {
        let none = || FetchError::Failed {
            what: "the repository".to_owned(),
            reason: "no place of it is known".to_owned(),
        };
        self.places.get(self.current.load(Ordering::Relaxed)).ok_or_else(none)
    }
}

impl Transport for Mirrors {
    fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        self.current()?.transport.get(path, limit)
    }

    fn download(
        &self,
        path: &str,
        length: u64,
        offset: u64,
        sink: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        self.current()?.transport.download(path, length, offset, sink, progress)
    }

    fn turn_away(&self, code: Code, why: &str) -> bool {
        let current = self.current.load(Ordering::Relaxed);
        let Some(place) = self.places.get(current).filter(|_| current + 1 < self.places.len()) else {
            return false;
        };
        self.turned_away.lock().unwrap_or_else(PoisonError::into_inner).push(TurnedAway {
            place: place.location.to_string(),
            code,
            message: why.to_owned(),
        });
        self.current.store(current + 1, Ordering::Relaxed);
        true
    }
}

/// What failed, as far as it matters for whether another place is asked.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The code.
    pub code: Code,
    /// What it says about trust.
    pub class: Class,
    /// What happened.
    pub message: String,
    /// Whether another place might do better.
    pub of_the_place: bool,
}

impl Trouble {
    /// Of an error.
    pub fn new(error: &dyn Explain, of_the_place: bool) -> Self {
        Self { code: error.code(), class: error.class(), message: error.to_string(), of_the_place }
    }
}

/// Runs `attempt` until it succeeds or there is no other place to run it on.
///
/// # Errors
/// The first refusal of all places, since that says more than an outage; the first error where nobody refused.
pub fn in_turn<T, E>(
    transport: &dyn Transport,
    judge: impl Fn(&E) -> Trouble,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut first: Option<E> = None;
    loop {
        let error = match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let trouble = judge(&error);
        let again = trouble.of_the_place && transport.turn_away(trouble.code, &trouble.message);
        let worst = match first.take() {
            Some(held) if judge(&held).class == Class::Refused || trouble.class != Class::Refused => held,
            _ => error,
        };
        if !again {
            return Err(worst);
        }
        first = Some(worst);
    }
}

/// A log at a place, for many threads: each request has a connection of its own.
pub struct LogSource {
    location: Location,
    idle: Mutex<Vec<Box<dyn Transport + Send + Sync>>>,
}

impl fmt::Debug for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogSource({})", self.location)
    }
}

impl LogSource {
    /// The log whose public files are below `location`.
    pub fn new(location: &Location) -> Self {
        Self { location: location.clone(), idle: Mutex::default() }
    }
}

impl Source for LogSource {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.unwrap_or_else(|| transport::open(&self.location));
        let fetched = match connection.get(path, limit) {
            // A connection may break; a file that cannot be had a second time cannot be had.
            Err(FetchError::Failed { .. }) => connection.get(path, limit),
            other => other,
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_KEPT_CONNECTIONS {
            idle.push(connection);
        }
        match fetched {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FetchError::NotFound { .. }) => Ok(None),
            Err(error) => Err(SourceError::new(&error)),
        }
    }
}
