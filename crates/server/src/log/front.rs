//! What a process does with submissions while another one leads the log: it passes them on, once.
//!
//! Who leads, and where that takes submissions, is said by the log's storage. A request that was passed on is marked
//! with what only the log's processes know, and whoever gets it without leading refuses it: so none goes in circles,
//! and while nobody leads all are told at once to come back.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::Request;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use countersign_client::transport::Answer;
use countersign_client::{BaseUrl, FetchError, HttpTransport};
use countersign_crypto::sha256;
use countersign_log::Seen;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;
use super::told::{LogEvent, Tell};
use crate::body::Held;
use crate::repository::fresh;

/// Submissions passed on at once; others are told to come back.
pub(super) const MAX_FORWARDS: usize = 64;
/// Largest answer of a leader, in bytes: an entry in base64 and its proof.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;
/// Header of a submission that was passed on. Its value is the secret of the log's processes, so that strangers are
/// counted as such.
const MARK: &str = "countersign-forwarded";
/// What a log's server answers to a submission.
const STATUSES: [u16; 10] = [200, 201, 400, 403, 408, 409, 413, 429, 500, 503];

/// What this process knows of the one that leads.
pub(super) struct Front {
    /// Where this process itself is.
    url: Option<String>,
    /// What all processes of this log know.
    secret: String,
    known: Mutex<Known>,
    turns: Arc<Semaphore>,
    epoch: AtomicU64,
    handovers: AtomicU64,
    forwarded: AtomicU64,
}

#[derive(Debug, Clone, Default)]
enum Known {
    #[default]
    Nothing,
    Nobody,
    Led {
        epoch: u64,
        /// `None` if it takes no submissions of others.
        leader: Option<Arc<Leader>>,
    },
}

/// Where the leader is, and connections to it.
#[derive(Debug)]
pub(super) struct Leader {
    base: BaseUrl,
    /// As many as were ever used at once.
    idle: Mutex<Vec<HttpTransport>>,
}

/// A leader, and the right to ask it something now.
pub(super) struct Turn {
    leader: Arc<Leader>,
    _turn: OwnedSemaphorePermit,
}

impl Front {
    /// Of the process that is at `url`, among those that know this.
    pub(super) fn new(url: Option<String>, secret: String) -> Self {
        Self {
            url,
            secret,
            known: Mutex::default(),
            turns: Arc::new(Semaphore::new(MAX_FORWARDS)),
            epoch: AtomicU64::new(0),
            handovers: AtomicU64::new(0),
            forwarded: AtomicU64::new(0),
        }
    }

    /// Whether a process of this log has passed this on, which has counted it for the address that it came from.
    pub(super) fn has_passed_on(&self, request: &Request) -> bool {
        // By their digests: how long that takes says nothing of the secret.
        let is_ours = |value: &HeaderValue| sha256(value.as_bytes()) == sha256(self.secret.as_bytes());
        request.headers().get(MARK).is_some_and(is_ours)
    }

    /// Takes in what the storage says, and tells the operator of a change.
    pub(super) fn see(&self, seen: &Seen, tell: &Tell) {
        let mut known = self.known();
        let Seen::Led { epoch, url } = seen else {
            *known = Known::Nobody;
            return;
        };
        if matches!(&*known, Known::Led { epoch: before, .. } if before == epoch) {
            return;
        }
        // At its own address it finds nobody but itself: an earlier run of it has led, and did not give the lead back.
        let itself = url.is_some() && *url == self.url;
        let leader = url.as_ref().filter(|_| !itself).and_then(|url| {
            let base = url.parse().ok()?;
            Some(Arc::new(Leader { base, idle: Mutex::default() }))
        });
        *known = Known::Led { epoch: *epoch, leader };
        drop(known);
        self.note(*epoch);
        match itself {
            true => tell(LogEvent::Waits { epoch: *epoch }),
            false => tell(LogEvent::Follows { epoch: *epoch, url: url.as_deref() }),
        }
    }

    /// This process leads from now on.
    pub(super) fn lead(&self, epoch: u64) {
        *self.known() = Known::Nobody;
        self.note(epoch);
    }

    fn note(&self, epoch: u64) {
        let before = self.epoch.swap(epoch, Relaxed);
        if before != 0 && before != epoch {
            self.handovers.fetch_add(1, Relaxed);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the leader's term; 0 before one was seen.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Relaxed)
    }

    /// How often another process, or this one, took over since the start.
    pub(super) fn handovers(&self) -> u64 {
        self.handovers.load(Relaxed)
    }

    /// Submissions passed on since the start.
    pub(super) fn forwarded(&self) -> u64 {
        self.forwarded.load(Relaxed)
    }

    /// Who is to be asked, if there is somebody.
    pub(super) fn leader(&self) -> Result<Arc<Leader>, Refusal> {
        match &*self.known() {
            Known::Led { leader: Some(leader), .. } => Ok(Arc::clone(leader)),
            _ => Err(Refusal::leaderless()),
        }
    }

    /// The right to ask now.
    pub(super) fn turn(&self) -> Result<Turn, Refusal> {
        let leader = self.leader()?;
        let turn = Arc::clone(&self.turns).try_acquire_owned().map_err(|_| Refusal::busy())?;
        Ok(Turn { leader, _turn: turn })
    }

    /// What the leader answers. Nothing is judged here: it is the leader's to do.
    pub(super) async fn forward(&self, turn: Turn, path: String, body: Held) -> Result<Response, Refusal> {
        self.forwarded.fetch_add(1, Relaxed);
        let task = tokio::task::spawn_blocking({
            let secret = self.secret.clone();
            move || turn.leader.ask(&path, &secret, &body.bytes)
        });
        match task.await.map_err(|_| Refusal::stopped())? {
            Ok(answer) => given(answer),
            Err(FetchError::PathUnsafe { .. }) => Err(Refusal::nameless()),
            Err(_) => Err(Refusal::unanswered()),
        }
    }
}

impl Leader {
    fn idle(&self) -> MutexGuard<'_, Vec<HttpTransport>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, path: &str, secret: &str, body: &[u8]) -> Result<Answer, FetchError> {
        let kept = self.idle().pop();
        let transport = kept.unwrap_or_else(|| HttpTransport::new(&self.base));
        let answer = transport.post_marked(path, Some((MARK, secret)), body, MAX_ANSWER_BYTES)?;
        self.idle().push(transport);
        Ok(answer)
    }
}

/// A leader's answer as it goes on to who asked.
fn given(answer: Answer) -> Result<Response, Refusal> {
    let status = StatusCode::from_u16(answer.status).ok().filter(|_| STATUSES.contains(&answer.status));
    let status = status.ok_or_else(Refusal::unanswered)?;
    let content_type = match answer.content_type.as_str() {
        "application/json" => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    let mut response = fresh(status, content_type, answer.body);
    if let Some(seconds) = answer.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(response)
}
