//! The writers. Each offers entries, and offers the next when it has the indices of all of them.
//!
//! They are not threads: two threads play all of them, as a server plays its connections. Hundreds of threads
//! that are woken for every entry would measure the scheduler.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use countersign_log::{Log, LogError};
use countersign_testkit::entries::entry;

/// Threads that play the writers.
const PLAYERS: u64 = 2;
/// How long a writer waits when the log is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// What is offered.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) writers: u64,
    pub(crate) time: Duration,
    /// Ends after so many entries, if that is sooner.
    pub(crate) entries: Option<u64>,
    /// Bytes of an entry.
    pub(crate) bytes: usize,
    /// Entries that a writer offers at once; it waits for the indices of all of them.
    pub(crate) at_once: u64,
    /// Entries a second of all writers; as fast as they can if `None`.
    pub(crate) rate: Option<f64>,
    /// Of a hundred entries, so many were offered before.
    pub(crate) duplicates: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How long each offer waited for its indices, in microseconds.
    pub(crate) waits: Vec<u32>,
    /// How many were refused because the log was busy.
    pub(crate) busy: u64,
}

/// Plays all writers to the end. Entries of a log that has grown differ from those before.
pub(crate) fn play(log: &Log, load: &Load) -> Result<Tally, &'static str> {
    let run = log.status().acknowledged;
    let start = Instant::now();
    let played: Vec<_> = thread::scope(|scope| {
        let players: Vec<_> = (0..PLAYERS)
            .map(|player| scope.spawn(move || Player::new(log, load, run, start, player).play()))
            .collect();
        players.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut all = Tally::default();
    for tally in played {
        let tally = tally.map_err(|_| "a writer failed")?;
        all.waits.extend(tally.waits);
        all.busy += tally.busy;
    }
    Ok(all)
}

/// A thread with its writers.
struct Player<'l> {
    log: &'l Log,
    load: &'l Load,
    run: u64,
    start: Instant,
    /// When a writer offers next, and which.
    next: BinaryHeap<Reverse<(Instant, u64)>>,
    /// How often each writer was answered, by its place in this thread.
    rounds: Vec<u64>,
    /// Offers without an answer.
    pending: u64,
    tally: Tally,
    told: Sender<Told>,
    answers: Receiver<Told>,
}

/// An answer: which writer, when its offer was due, and whether it has its indices.
struct Told {
    writer: u64,
    due: Instant,
    taken: bool,
}

impl<'l> Player<'l> {
    fn new(log: &'l Log, load: &'l Load, run: u64, start: Instant, player: u64) -> Self {
        let (told, answers) = channel();
        let mut this = Self {
            log,
            load,
            run,
            start,
            next: BinaryHeap::new(),
            rounds: vec![0; (load.writers / PLAYERS + 1) as usize],
            pending: 0,
            tally: Tally::default(),
            told,
            answers,
        };
        for writer in (player..load.writers).step_by(PLAYERS as usize) {
            this.schedule(writer);
        }
        this
    }

    fn play(mut self) -> Tally {
        loop {
            self.offer_due();
            if self.pending == 0 && self.next.is_empty() {
                return self.tally;
            }
            let next = self.next.peek().map(|Reverse((due, _))| *due);
            let mut answer = match next {
                None => self.answers.recv().ok(),
                // A time without an answer is no failure.
                Some(due) => self.answers.recv_timeout(due.saturating_duration_since(Instant::now())).ok(),
            };
            while let Some(told) = answer {
                self.hear(&told);
                answer = self.answers.try_recv().ok();
            }
        }
    }

    /// Puts the writer's next offer into the plan, unless it has done enough.
    fn schedule(&mut self, writer: u64) {
        let round = self.rounds[(writer / PLAYERS) as usize];
        let load = self.load;
        let together = load.writers * load.at_once;
        let due = match load.rate {
            None => Instant::now(),
            Some(rate) => {
                let every = Duration::from_secs_f64(together as f64 / rate);
                // Writers that keep a rate do not all begin at once.
                self.start + every.mul_f64(round as f64 + writer as f64 / load.writers as f64)
            }
        };
        let enough = load.entries.is_some_and(|entries| round >= entries.div_ceil(together));
        if !enough && due < self.start + load.time {
            self.next.push(Reverse((due, writer)));
        }
    }

    fn offer_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, writer))) =
            self.next.peek().copied().filter(|Reverse((due, _))| *due <= now)
        {
            self.next.pop();
            let told = self.told.clone();
            let entries = (0..self.load.at_once).map(|place| self.entry(writer, place)).collect();
            // Nobody listens only when this thread is gone.
            let answer = move |taken| drop(told.send(Told { writer, due, taken }));
            match self.log.submit_all(entries, move |outcome| answer(outcome.is_ok())) {
                Ok(()) => self.pending += 1,
                Err(LogError::Busy) => {
                    self.tally.busy += 1;
                    self.next.push(Reverse((now + BUSY_PAUSE, writer)));
                }
                // It has stopped: the writer is done.
                Err(_) => {}
            }
        }
    }

    fn hear(&mut self, told: &Told) {
        self.pending -= 1;
        if told.taken {
            self.tally.waits.push(u32::try_from(told.due.elapsed().as_micros()).unwrap_or(u32::MAX));
            self.rounds[(told.writer / PLAYERS) as usize] += 1;
            self.schedule(told.writer);
        }
    }

    fn entry(&self, writer: u64, place: u64) -> Vec<u8> {
        let number = self.rounds[(writer / PLAYERS) as usize] * self.load.at_once + place;
        let number = if number % 100 < self.load.duplicates { number / 2 } else { number };
        entry(&[self.run, writer, number], (self.run << 20) ^ (writer << 40) ^ number, self.load.bytes)
    }
}
