//! Witnesses that are asked at the same time, each by a thread of its own.
//!
//! So a publication takes as long as the slowest witness that it needs, and one that hangs holds up nobody: its thread waits
//! for it, and it is asked the newest question when it is done with the last. The threads end with the panel, but for
//! one that waits for a witness: that ends when it has its answer.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use countersign_tlog::witness::AddCheckpoint;

use crate::cosign::{Answered, CosignError, Cosigner, Round};
use crate::error::LogError;

/// An answer: who gave it, and to which request.
type Reply = (usize, u64, Answered);

/// The witnesses of a running log.
pub(super) struct Panel {
    seats: Vec<Seat>,
    replies: Receiver<Reply>,
}

/// One witness.
struct Seat {
    name: String,
    /// `None` when the thread is to end.
    requests: Option<Sender<(u64, AddCheckpoint)>>,
    thread: Option<JoinHandle<()>>,
    /// It is at a request.
    is_busy: bool,
    /// What it is asked when it is done.
    next: Option<AddCheckpoint>,
    /// Number of the newest request, the only one whose answer counts.
    newest: u64,
}

impl Panel {
    /// Starts the threads.
    pub(super) fn new(cosigners: Vec<Box<dyn Cosigner + Send>>) -> Result<Self, LogError> {
        let (replying, replies) = channel();
        let mut seats = Vec::with_capacity(cosigners.len());
        for (place, mut cosigner) in cosigners.into_iter().enumerate() {
            let name = cosigner.name().to_owned();
            let (requests, asked) = channel::<(u64, AddCheckpoint)>();
            let replying = replying.clone();
            let work = move || {
                for (number, request) in asked {
                    let mut reply = Replying { to: &replying, place, number, answer: None };
                    reply.answer = Some(cosigner.cosign(&request));
                }
            };
            let thread = thread::Builder::new()
                .name("log-witness".to_owned())
                .spawn(work)
                .map_err(LogError::thread)?;
            seats.push(Seat {
                name,
                requests: Some(requests),
                thread: Some(thread),
                is_busy: false,
                next: None,
                newest: 0,
            });
        }
        Ok(Self { seats, replies })
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        for (place, _, _) in self.replies.try_iter() {
            self.seats[place].is_busy = false;
        }
        for seat in &mut self.seats {
            seat.requests = None;
            if let Some(thread) = seat.thread.take().filter(|_| !seat.is_busy) {
                // One that panicked has said so.
                let _ = thread.join();
            }
        }
    }
}

/// Replies when it is dropped, also by a witness's code that panics.
struct Replying<'t> {
    to: &'t Sender<Reply>,
    place: usize,
    number: u64,
    answer: Option<Answered>,
}

impl Drop for Replying<'_> {
    fn drop(&mut self) {
        let failed = || Err(CosignError::Unavailable("asking it failed".to_owned()));
        // Without a panel nobody wants to know.
        let _ = self.to.send((self.place, self.number, self.answer.take().unwrap_or_else(failed)));
    }
}

impl Seat {
    fn go_on(&mut self) {
        if !self.is_busy
            && let Some(request) = self.next.take()
        {
            // A thread that has panicked has said so, and answers nothing more.
            let number = self.newest;
            self.is_busy =
                self.requests.as_ref().is_some_and(|requests| requests.send((number, request)).is_ok());
        }
    }
}

impl Round for Panel {
    fn names(&self) -> Vec<String> {
        self.seats.iter().map(|seat| seat.name.clone()).collect()
    }

    fn ask(&mut self, place: usize, request: AddCheckpoint) {
        let seat = &mut self.seats[place];
        seat.newest += 1;
        seat.next = Some(request);
        seat.go_on();
    }

    fn answer(&mut self, until: Instant) -> Option<(usize, Answered)> {
        loop {
            let time = until.saturating_duration_since(Instant::now());
            let (place, number, answer) = match self.replies.recv_timeout(time) {
                Ok(reply) => reply,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            };
            let seat = &mut self.seats[place];
            seat.is_busy = false;
            // What it was asked since then is of this round, and the answer is not.
            let is_old = seat.newest != number;
            seat.go_on();
            if !is_old {
                return Some((place, answer));
            }
        }
    }
}
