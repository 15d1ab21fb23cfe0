//! What an operator is told while a log runs: who leads it, and whether what it takes becomes visible.

use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Duration;

use countersign_log::{CosignError, Cosigner, LogError, Publication};
use countersign_tlog::NoteSignature;
use countersign_tlog::witness::AddCheckpoint;

use super::Line;
use super::lead::Ending;

/// How often it is looked whether the log has failed, or is published again.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// A change.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogEvent<'a> {
    /// This process leads the log.
    Leads {
        /// The number of its term.
        epoch: u64,
        /// Entries that a leader before it had acknowledged and not signed; they are in the log now.
        recovered: usize,
    },
    /// Another process leads the log.
    Follows {
        /// The number of its term.
        epoch: u64,
        /// Where it takes submissions, if it does.
        url: Option<&'a str>,
    },
    /// An earlier run of this process leads as long as nobody knows that it is gone.
    Waits {
        /// The number of its term.
        epoch: u64,
    },
    /// Who leads cannot be read; it is tried again.
    Blind {
        /// Why not.
        error: &'a LogError,
    },
    /// Who leads can be read again.
    Sees,
    /// A witness gives no cosignature any more.
    WitnessFails {
        /// The name in its verifier key.
        name: &'a str,
        /// Why not.
        error: &'a CosignError,
    },
    /// A witness cosigns again.
    WitnessCosigns {
        /// The name in its verifier key.
        name: &'a str,
    },
    /// The newest tree cannot be published; it is tried again.
    Unpublished {
        /// What is missing.
        error: &'a LogError,
    },
    /// The newest tree is published again.
    Published {
        /// Its size.
        size: u64,
    },
}

/// Told each change, by the thread that saw it.
pub type Tell = Arc<dyn Fn(LogEvent<'_>) + Send + Sync>;

/// Tells how publication goes, until the log has failed or is to end.
pub(super) fn watch(line: &Line, ending: &Ending, tell: &Tell) {
    let mut failing = false;
    loop {
        let status = line.status();
        if status.failure.is_some() {
            return;
        }
        match &status.failing {
            Some(now) if !failing => tell(LogEvent::Unpublished { error: &now.error }),
            None if failing => tell(LogEvent::Published { size: status.published.unwrap_or(0) }),
            _ => {}
        }
        failing = status.failing.is_some();
        if ending.wait(WATCH_INTERVAL) {
            return;
        }
    }
}

/// The same publication, whose witnesses are heard of when they fail and when they are back.
pub(super) fn reporting(publication: Publication, tell: &Tell) -> Publication {
    match publication {
        Publication::Unwitnessed => Publication::Unwitnessed,
        Publication::Witnessed { policy, cosigners } => {
            let reporting = |inner| -> Box<dyn Cosigner + Send> {
                Box::new(Reporting { inner, failing: None, tell: Arc::clone(tell) })
            };
            Publication::Witnessed { policy, cosigners: cosigners.into_iter().map(reporting).collect() }
        }
    }
}

struct Reporting {
    inner: Box<dyn Cosigner + Send>,
    /// What it failed with.
    failing: Option<Discriminant<CosignError>>,
    tell: Tell,
}

impl Cosigner for Reporting {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn cosign(&mut self, request: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
        let outcome = self.inner.cosign(request);
        let name = self.inner.name();
        match &outcome {
            // It names the size that it wants to hear of; this is not the end of it.
            Err(CosignError::Conflict { size }) if *size <= request.signed().checkpoint().size() => {}
            Err(error) => {
                if self.failing.replace(discriminant(error)) != Some(discriminant(error)) {
                    (self.tell)(LogEvent::WitnessFails { name, error });
                }
            }
            Ok(_) => {
                if self.failing.take().is_some() {
                    (self.tell)(LogEvent::WitnessCosigns { name });
                }
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use countersign_base::Timestamp;
    use countersign_crypto::{Algorithm, SecretKey};
    use countersign_testkit::sim::log::{Named, SimLog};
    use countersign_tlog::SignedCheckpoint;

    use super::*;

    struct Scripted(VecDeque<Result<Vec<NoteSignature>, CosignError>>);

    impl Cosigner for Scripted {
        fn name(&self) -> &str {
            "w"
        }

        fn cosign(&mut self, _: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
            self.0.pop_front().unwrap()
        }
    }

    #[test]
    fn a_witness_is_told_of_when_it_changes() {
        let away = || Err(CosignError::Unavailable("connection refused".to_owned()));
        let script = [
            Ok(Vec::new()),
            away(),
            away(),
            Err(CosignError::Conflict { size: 1 }),
            away(),
            Err(CosignError::LogUnknown),
            Ok(Vec::new()),
            Err(CosignError::Conflict { size: 1 }),
            Ok(Vec::new()),
            // It says that it has seen more than there is.
            Err(CosignError::Conflict { size: 2 }),
            Ok(Vec::new()),
            away(),
        ];
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&told);
        let tell: Tell = Arc::new(move |event: LogEvent<'_>| {
            let line = match event {
                LogEvent::WitnessFails { name, error } => format!("{name}: {error}"),
                LogEvent::WitnessCosigns { name } => format!("{name} is back"),
                other => panic!("{other:?}"),
            };
            seen.lock().unwrap().push(line);
        });
        let key = SecretKey::from_seed(Algorithm::Ed25519, &[7; 32]).unwrap();
        let log = SimLog { origin: "log.example".to_owned(), entries: vec![b"x".to_vec()] };
        let now = Timestamp::from_unix(1_800_000_000).unwrap();
        let note = log.checkpoint(1, Named { name: "log.example", key: &key }, &[], now);
        let request = || {
            let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
            AddCheckpoint::new(0, Vec::new(), signed).unwrap()
        };
        let inner = Box::new(Scripted(script.clone().into()));
        let mut cosigner = Reporting { inner, failing: None, tell };
        for expected in script {
            assert_eq!(cosigner.cosign(&request()), expected, "it changes no answer");
        }
        let unknown = format!("w: {}", CosignError::LogUnknown);
        let ahead = format!("w: {}", CosignError::Conflict { size: 2 });
        let away = "w: connection refused";
        assert_eq!(*told.lock().unwrap(), [away, &unknown, "w is back", &ahead, "w is back", away]);
    }
}
