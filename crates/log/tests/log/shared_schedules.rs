//! L19: several processes on one storage, whose operations are done in an order that a seed says, some of
//! them wrongly.
//!
//! One process runs at a time, from one operation to the next, so a seed is the whole schedule. The seed of a
//! failure is in its message; `COUNTERSIGN_SEED` plays that one alone.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use countersign_base::code::{self, Explain as _};
use countersign_log::{LogError, Seen, Sequencer, Turn};
use countersign_testkit::shared_store::{Fate, Hooks, Step};

use crate::pipeline_crashes::Random;
use crate::shared_stage::{LONG, Stage};
use crate::support::now;

const SEEDS: u64 = 400;
const PROCESSES: usize = 3;

/// Whose turn it is.
#[derive(Debug)]
struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    random: Random,
    /// Who may do the next operation.
    turn: usize,
    /// How many it may do before another has the turn.
    left: u64,
    /// Operations in all.
    budget: u64,
    ended: [bool; PROCESSES],
    /// One operation in so many goes wrong; 0 is none.
    wrong: u64,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("unpoisoned")
    }

    /// Waits for the turn of `process` and says what becomes of its next operation. `None` when time is up.
    fn next(&self, process: usize) -> Option<Fate> {
        let mut state = self.lock();
        loop {
            if state.budget == 0 {
                return None;
            }
            if state.turn != process {
                state = self.changed.wait(state).expect("unpoisoned");
                continue;
            }
            if state.left == 0 {
                self.pass_on(&mut state);
                continue;
            }
            state.left -= 1;
            state.budget -= 1;
            let wrong = state.wrong;
            if wrong > 0 && state.random.below(wrong) == 0 {
                return Some(state.random.one_of(&Fate::WRONG));
            }
            return Some(Fate::Done);
        }
    }

    /// Gives the turn to any process that has not ended.
    fn pass_on(&self, state: &mut State) {
        state.left = match state.random.below(4) {
            0 => 1,
            1 => 1 + state.random.below(4),
            _ => 1 + state.random.below(60),
        };
        let others: Vec<usize> = (0..PROCESSES).filter(|process| !state.ended[*process]).collect();
        if !others.is_empty() {
            state.turn = state.random.one_of(&others);
        }
        self.changed.notify_all();
    }

    fn end(&self, process: usize) {
        let mut state = self.lock();
        state.ended[process] = true;
        if state.turn == process {
            self.pass_on(&mut state);
        }
        self.changed.notify_all();
    }
}

/// A process that waits for its turns.
#[derive(Debug)]
struct Player {
    turns: Arc<Turns>,
    number: usize,
}

impl Hooks for Player {
    fn before(&self, _step: &Step) -> Fate {
        self.turns.next(self.number).unwrap_or(Fate::Lost)
    }
}

/// Is started again and again, as by a supervisor, until time is up.
fn play(stage: &Stage, turns: &Arc<Turns>, number: usize, seed: u64) {
    let mut random = Random::new(seed);
    let mut round = 0;
    while turns.lock().budget > 0 {
        round += 1;
        let player = Arc::new(Player { turns: Arc::clone(turns), number });
        let process = stage.store.process(player);
        let Err(error) = live(stage, &process, &mut random) else { continue };
        // The last: an older leader that goes on had the witness cosign its tree, a part of this one's, between this
        // one's two questions. The next publication takes that in.
        let good = [code::LOG_WRITER_CONFLICT, code::LOG_STORAGE_FAILED, code::WITNESS_CONFLICT];
        assert!(good.contains(&error.code()), "process {number}, life {round}: {error}: {error:?}");
        if random.below(8) == 0 {
            stage.store.arrive();
        }
    }
}

fn live(
    stage: &Stage,
    process: &countersign_testkit::shared_store::Process,
    random: &mut Random,
) -> Result<(), LogError> {
    let mut candidate = stage.candidate(process, LONG);
    let mut time = Instant::now();
    // Some are patient, and some take over from leaders that are only slow.
    let step = random.one_of(&[Duration::ZERO, LONG / 8, LONG / 2, LONG]);
    let mut log = loop {
        if candidate.look(time)? == Seen::Free {
            match candidate.lead(now())? {
                Turn::Ours(log) => break log,
                Turn::Theirs(back) => candidate = *back,
            }
        }
        time += step;
    };
    for _ in 0..1 + random.below(12) {
        act(stage, &mut log, random)?;
    }
    Ok(())
}

fn act(stage: &Stage, log: &mut Sequencer, random: &mut Random) -> Result<(), LogError> {
    match random.below(6) {
        0 => log.integrate(now()).map(drop),
        1 => stage.publish(log),
        // Some of them are there already, or are being offered to another that thinks it leads.
        _ => {
            let from = 1000 + random.below(300);
            let count = random.one_of(&[1, 1, 2, 5, 40]);
            stage.append(log, from, from + count)
        }
    }
}

fn schedule(seed: u64, base: &Stage) {
    let stage = base.fork();
    let mut random = Random::new(seed);
    let wrong = random.one_of(&[0, 0, 40, 15]);
    let budget = 200 + random.below(800);
    let turns = Arc::new(Turns {
        state: Mutex::new(State { random, turn: 0, left: 5, budget, ended: [false; PROCESSES], wrong }),
        changed: Condvar::new(),
    });
    let panicked = thread::scope(|scope| {
        let threads: Vec<_> = (0..PROCESSES)
            .map(|number| {
                let (stage, turns) = (&stage, Arc::clone(&turns));
                scope.spawn(move || {
                    let played = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
                        play(stage, &turns, number, seed * 10 + number as u64 + 1);
                    }));
                    turns.end(number);
                    played.is_err()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(true)).fold(false, |a, b| a | b)
    });
    assert!(!panicked, "COUNTERSIGN_SEED={seed}");
    if seed.is_multiple_of(2) {
        stage.store.arrive();
    }
    stage.check(&format!("COUNTERSIGN_SEED={seed}"));
}

#[test]
fn l19_promises_survive_any_order_of_operations() {
    let bases = [Stage::new(), Stage::prepared()];
    let play = |seed: u64| schedule(seed, &bases[(seed % 2) as usize]);
    match std::env::var("COUNTERSIGN_SEED") {
        Ok(seed) => play(seed.parse().expect("a number")),
        Err(_) => (0..SEEDS).for_each(play),
    }
}
