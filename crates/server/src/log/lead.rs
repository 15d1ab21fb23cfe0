//! The thread of a process that may lead a log on shared storage: it looks who leads, and leads when it can.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use countersign_base::code::{self, Explain as _};
use countersign_log::{Admission, Candidate, Log, LogError, Seen, Sequencer, Turn};
use countersign_store::Objects;

use super::parts::{Admits, LogService, ServeLogError};
use super::proofs::Proofs;
use super::told::{self, LogEvent};
use super::{Line, Site};
use crate::ServeError;
use crate::listen::StopHandle;

/// How long a process that is being stopped waits for the end of taking over the lead. Without it another one has to
/// wait until the lease has run out.
const GRACE: Duration = Duration::from_secs(5);

/// That a server is to end.
#[derive(Debug, Default)]
pub(super) struct Ending(Mutex<bool>, Condvar);

impl Ending {
    /// Ends all waits.
    pub(super) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    /// Waits so long, or until the end; says whether that has come.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.1.wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What the thread begins with.
pub(super) struct Start {
    pub(super) candidate: Candidate,
    pub(super) look: Duration,
    pub(super) public: Arc<dyn Objects>,
    pub(super) service: LogService,
}

/// The running thread.
pub(super) struct Leading {
    ending: Arc<Ending>,
    outcome: Receiver<Result<(), LogError>>,
}

/// Starts it. It stops the server when it ends, for whatever reason.
pub(super) fn start(start: Start, site: &Arc<Site>, failed: StopHandle) -> Result<Leading, ServeError> {
    let ending = Arc::new(Ending::default());
    let (sender, outcome) = sync_channel(1);
    let (site, until) = (Arc::clone(site), Arc::clone(&ending));
    let work = move || {
        // Nobody waits any more: the process is ending.
        let _ = sender.send(run(start, &site, &until));
        failed.stop();
    };
    std::thread::Builder::new().name("log-lead".to_owned()).spawn(work).map_err(ServeError::System)?;
    Ok(Leading { ending, outcome })
}

impl Leading {
    /// Ends the thread, and the log if this process leads it: what was acknowledged is signed, and the lease given
    /// back.
    pub(super) fn end(self, site: &Site) -> Result<(), ServeLogError> {
        self.ending.end();
        let outcome = match self.outcome.recv_timeout(GRACE) {
            Ok(outcome) => outcome,
            // A large log is being proven by who wanted to lead it. Nothing was promised.
            Err(RecvTimeoutError::Timeout) => Ok(()),
            // It panicked.
            Err(RecvTimeoutError::Disconnected) => Err(LogError::Stopped),
        };
        if let Some(failure) = site.line.get().and_then(Line::stop) {
            return Err(ServeLogError::Log(failure));
        }
        Ok(outcome?)
    }
}

fn run(start: Start, site: &Site, ending: &Ending) -> Result<(), LogError> {
    let Start { mut candidate, look, public, service } = start;
    let (front, tell) = (site.front.as_ref(), Arc::clone(&service.tell));
    let mut blind = false;
    loop {
        match candidate.look(Instant::now()) {
            Ok(seen) => {
                if core::mem::take(&mut blind) {
                    tell(LogEvent::Sees);
                }
                if let Some(front) = front {
                    front.see(&seen, &tell);
                }
                if matches!(seen, Seen::Free) {
                    match candidate.lead((service.clock)())? {
                        Turn::Ours(sequencer) => return serve(*sequencer, public, service, site, ending),
                        Turn::Theirs(back) => candidate = *back,
                    }
                }
            }
            // Nothing was written: a store that is away now may be back soon.
            Err(error) if error.code() == code::LOG_STORAGE_FAILED => {
                if !core::mem::replace(&mut blind, true) {
                    tell(LogEvent::Blind { error: &error });
                }
            }
            Err(error) => return Err(error),
        }
        if ending.wait(look) {
            return Ok(());
        }
    }
}

/// Takes submissions until the log fails or is to end.
fn serve(
    sequencer: Sequencer,
    public: Arc<dyn Objects>,
    service: LogService,
    site: &Site,
    ending: &Ending,
) -> Result<(), LogError> {
    let LogService { admits, publication, settings, clock, tell, .. } = service;
    let (epoch, recovered) = (sequencer.epoch().unwrap_or(0), sequencer.recovered());
    let admission = match admits {
        Admits::Metadata => Some(Admission::open_shared(&sequencer, clock())?),
        Admits::Rekor | Admits::Anything => None,
    };
    let publication = told::reporting(publication, &tell);
    let log = Arc::new(Log::start(sequencer, publication, settings, Arc::clone(&clock))?);
    let line = Line::new(log, admission, Proofs::new(public), clock);
    if let Some(front) = &site.front {
        front.lead(epoch);
    }
    // Nobody else sets it.
    let line = site.line.get_or_init(|| line);
    tell(LogEvent::Leads { epoch, recovered });
    told::watch(line, ending, &tell);
    Ok(())
}
