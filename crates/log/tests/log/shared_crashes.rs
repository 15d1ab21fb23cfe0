//! L19 (b), (c): a leader on shared storage is stopped, killed or lied to at every operation of its life, and
//! so is who takes over from it.
//!
//! Whatever happens, every acknowledged entry is at its index in one history, and who is no longer the leader
//! says `log-writer-conflict` and nothing else.

use core::borrow::Borrow;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use countersign_base::code::{self, Explain as _};
use countersign_log::{Log, LogError, Publication, Sequencer, Settings};
use countersign_testkit::shared_store::{Fate, Hooks, Script, Step, When};

use crate::pipeline_crashes::Nearby;
use crate::shared_stage::{LONG, Stage, lead, wait_and_lead};
use crate::support::{entry, now, policy};

/// Leads if it can, appends over the edge of a tile, publishes twice, and leaves entries without tiles.
fn live(stage: &Stage, hooks: Arc<dyn Hooks>, from: u64, waits: bool) -> Result<(), LogError> {
    let process = stage.store.process(hooks);
    let step = if waits { LONG } else { Duration::ZERO };
    match wait_and_lead(stage.candidate(&process, LONG), step)? {
        Some(mut log) => work(stage, &mut log, from),
        None => Ok(()),
    }
}

fn work(stage: &Stage, log: &mut Sequencer, from: u64) -> Result<(), LogError> {
    stage.append(log, from, from + 1)?;
    stage.append(log, from + 1, from + 3)?;
    stage.publish(log)?;
    // One of them is there already.
    stage.append(log, from + 2, from + 4)?;
    log.integrate(now())?;
    stage.append(log, from + 4, from + 5)?;
    stage.publish(log)?;
    stage.append(log, from + 5, from + 7)
}

/// Operations of a whole life, after which the log is released.
fn steps(base: &Stage) -> Vec<Step> {
    #[derive(Debug, Default)]
    struct Recorder(std::sync::Mutex<Vec<Step>>);
    impl Hooks for Recorder {
        fn before(&self, step: &Step) -> Fate {
            self.0.lock().expect("unpoisoned").push(step.clone());
            Fate::Done
        }
    }
    let (stage, recorder) = (base.fork(), Arc::new(Recorder::default()));
    live(&stage, recorder.clone(), 1000, true).expect("the honest twin");
    stage.check("the honest twin");
    let steps = recorder.0.lock().expect("unpoisoned").clone();
    assert!(steps.len() > 30, "{steps:?}");
    steps
}

/// What a process may end with when others lead meanwhile and no operation failed.
fn ended_well<E: Borrow<LogError>>(outcome: Result<(), E>, case: &str) {
    if let Err(error) = outcome {
        let error = error.borrow();
        assert_eq!(error.code(), code::LOG_WRITER_CONFLICT, "{case}: {error}: {error:?}");
    }
}

/// What a process may end with when an operation failed as well.
fn ended<E: Borrow<LogError>>(outcome: Result<(), E>, case: &str) {
    if let Err(error) = outcome {
        let error = error.borrow();
        let expected = [code::LOG_WRITER_CONFLICT, code::LOG_STORAGE_FAILED];
        assert!(expected.contains(&error.code()), "{case}: {error}: {error:?}");
    }
}

#[test]
fn l19_b_a_leader_paused_at_any_operation_does_no_harm_when_it_goes_on() {
    for (kind, base) in [("new", Stage::new()), ("old", Stage::prepared())] {
        let mut overtaken = 0;
        let steps = steps(&base);
        for (at, step) in steps.iter().enumerate() {
            for when in When::BOTH {
                let case = format!("{kind} log, paused {when:?} {step:?}");
                let (stage, script) = (base.fork(), Script::pausing(at, when));
                thread::scope(|scope| {
                    let first = scope.spawn(|| live(&stage, script.clone(), 1000, false));
                    assert!(script.await_pause(|| first.is_finished()), "{case}");
                    let mut second = lead(&stage, &stage.store.process(Script::good()))
                        .unwrap_or_else(|error| panic!("{case}: {error}"))
                        .expect("it waits long enough");
                    work(&stage, &mut second, 1003).unwrap_or_else(|error| panic!("{case}: {error}"));
                    script.resume();
                    let outcome = first.join().expect("no panic");
                    overtaken += usize::from(outcome.is_err());
                    ended_well(outcome, &case);
                    // It goes on as if there were no other.
                    work(&stage, &mut second, 2000).unwrap_or_else(|error| panic!("{case}: {error}"));
                });
                stage.check(&case);
            }
        }
        assert!(overtaken * 3 > steps.len() * 4, "most of them are: {overtaken} of {}", 2 * steps.len());
    }
}

#[test]
fn l19_a_leader_killed_at_any_operation_loses_nothing_and_nor_does_its_successor() {
    for (kind, base) in [("new", Stage::new()), ("old", Stage::prepared())] {
        // What was read when a process dies is all the same.
        for (at, step) in steps(&base).iter().enumerate().filter(|(_, step)| step.writes()) {
            for when in When::BOTH {
                let case = format!("{kind} log, killed {when:?} {step:?}");
                let stage = base.fork();
                ended(live(&stage, Script::killing(at, When::After), 1000, true), &case);
                // How far the second comes is a matter of the first.
                for again in 0.. {
                    let case = format!("{case}, then {when:?} operation {again} of its successor");
                    let (stage, script) = (stage.fork(), Script::killing(again, when));
                    let process = stage.store.process(script);
                    let outcome = lead(&stage, &process).and_then(|log| match log {
                        Some(mut log) => stage.append(&mut log, 1002, 1004).map(|()| drop(log)),
                        None => Ok(()),
                    });
                    let through = process.steps() <= again;
                    ended(outcome, &case);
                    stage.check(&case);
                    if through {
                        break;
                    }
                }
            }
        }
    }
}

/// As [`live`], with a thread for each part of the work.
fn run(stage: &Stage, hooks: Arc<dyn Hooks>, from: u64) -> Result<(), Arc<LogError>> {
    let Some(sequencer) = lead(stage, &stage.store.process(hooks))? else { return Ok(()) };
    let settings = Settings {
        interval: Duration::ZERO,
        retry_first: Duration::from_millis(1),
        stop_within: Duration::from_millis(20),
        ..Settings::default()
    };
    let cosigners: Vec<Box<dyn countersign_log::Cosigner + Send>> =
        vec![Box::new(Nearby(Arc::clone(&stage.witness)))];
    let publication = Publication::Witnessed { policy: policy(), cosigners };
    let log = Log::start(sequencer, publication, settings, Arc::new(now))?;
    let submit = |number: u64| -> Result<(), LogError> {
        let accepted = log.ticket(entry(number))?.wait()?;
        stage.promised.lock().expect("unpoisoned").entries.push((entry(number), accepted.index));
        if number.is_multiple_of(2) {
            let published = log.await_published(accepted.index).wait()?;
            stage.promised.lock().expect("unpoisoned").checkpoints.push(published.bytes.clone());
        }
        Ok(())
    };
    let submitted = (from..from + 5).try_for_each(submit);
    match log.stop() {
        Some(failure) => Err(failure),
        None => Ok(submitted?),
    }
}

#[test]
fn l19_b_a_running_log_paused_at_any_operation_does_no_harm_when_it_goes_on() {
    let base = Stage::prepared();
    let (mut overtaken, mut at) = (0, 0);
    loop {
        let mut through = false;
        for when in When::BOTH {
            let case = format!("paused {when:?} operation {at}");
            let (stage, script) = (base.fork(), Script::pausing(at, when));
            thread::scope(|scope| {
                let first = scope.spawn(|| run(&stage, script.clone(), 1000));
                through = !script.await_pause(|| first.is_finished());
                // What another of its threads was doing may have been done meanwhile.
                let next = || {
                    let led = lead(&stage, &stage.store.process(Script::good()));
                    led.unwrap_or_else(|error| panic!("{case}: {error}"))
                };
                let mut second = core::iter::repeat_with(next).find_map(|led| led).expect("it is lasting");
                work(&stage, &mut second, 1003).unwrap_or_else(|error| panic!("{case}: {error}"));
                script.resume();
                let outcome = first.join().expect("no panic");
                overtaken += usize::from(outcome.is_err());
                // Before its first look it may have found the second silent for long enough.
                ended_well(outcome, &case);
                ended_well(work(&stage, &mut second, 2000), &case);
            });
            stage.check(&case);
        }
        if through {
            break;
        }
        at += 1;
    }
    assert!(at > 30 && overtaken > at, "most of them are: {overtaken} of {}", 2 * at);
}

/// The first is paused where it is about to change something, the second anywhere in taking over and its
/// first appends; the third leads. Then both go on, in either order.
#[test]
fn l19_b_two_paused_leaders_of_two_epochs_do_no_harm() {
    let base = Stage::prepared();
    // What it can put into a journal or make of the cell; the rest of it is another test's.
    let steps = steps(&base);
    let private = |step: &Step| step.writes() && step.name.starts_with(".countersign/");
    for (at, step) in steps.iter().enumerate().filter(|(_, step)| private(step)) {
        for when in When::BOTH {
            for again in 0.. {
                let mut through = false;
                for first_first in [true, false] {
                    let case = format!("{step:?} paused {when:?}, then operation {again}, {first_first}");
                    let stage = base.fork();
                    let (one, two) = (Script::pausing(at, when), Script::pausing(again, When::Before));
                    thread::scope(|scope| {
                        let first = scope.spawn(|| live(&stage, one.clone(), 1000, false));
                        assert!(one.await_pause(|| first.is_finished()), "{case}");
                        let second = scope.spawn(|| {
                            let process = stage.store.process(two.clone());
                            let log = lead(&stage, &process)?;
                            let Some(mut log) = log else { return Ok(()) };
                            stage.append(&mut log, 3000, 3005)
                        });
                        through = !two.await_pause(|| second.is_finished());
                        let third = lead(&stage, &stage.store.process(Script::good()));
                        let third = third.unwrap_or_else(|error| panic!("{case}: {error}"));
                        let mut third = third.expect("it waits long enough");
                        work(&stage, &mut third, 4000).unwrap_or_else(|error| panic!("{case}: {error}"));
                        let (first, second) = if first_first {
                            one.resume();
                            let first = first.join();
                            two.resume();
                            (first, second.join())
                        } else {
                            two.resume();
                            let second = second.join();
                            one.resume();
                            (first.join(), second)
                        };
                        ended_well(first.expect("no panic"), &case);
                        ended_well(second.expect("no panic"), &case);
                        // The second, if it had not got far, may have found the third silent for long enough.
                        ended_well(work(&stage, &mut third, 5000), &case);
                    });
                    stage.check(&case);
                }
                if through {
                    break;
                }
            }
        }
    }
}

/// A write that is lost, done without an answer, late, or done twice with the second answer. What is late
/// arrives before the next leader begins, before it appends, or after that.
#[test]
fn l19_c_an_answer_that_is_wrong_at_any_operation_does_no_harm() {
    for (kind, base) in [("new", Stage::new()), ("old", Stage::prepared())] {
        for (at, step) in steps(&base).iter().enumerate() {
            for fate in Fate::WRONG {
                for arrival in 0..if fate == Fate::Late && step.writes() { 3 } else { 1 } {
                    let case = format!("{kind} log, {fate:?} ({arrival}) {step:?}");
                    let stage = base.fork();
                    let outcome = live(&stage, Script::with(at, fate), 1000, true);
                    if fate == Fate::Twice {
                        assert!(outcome.is_ok(), "{case}: {outcome:?}");
                    }
                    ended(outcome, &case);
                    let arrive = |now: u64| if now == arrival { stage.store.arrive() } else { 0 };
                    arrive(0);
                    let next = lead(&stage, &stage.store.process(Script::good()));
                    let mut next = next.unwrap_or_else(|error| panic!("{case}: {error}")).expect("free");
                    arrive(1);
                    work(&stage, &mut next, 1003).unwrap_or_else(|error| panic!("{case}: {error}"));
                    arrive(2);
                    work(&stage, &mut next, 2000).unwrap_or_else(|error| panic!("{case}: {error}"));
                    drop(next);
                    stage.check(&case);
                }
            }
        }
    }
}

#[test]
fn l19_c_an_answer_that_is_wrong_at_any_operation_of_a_running_log_does_no_harm() {
    let base = Stage::prepared();
    for fate in Fate::WRONG {
        for at in 0.. {
            let case = format!("{fate:?} operation {at} of a running log");
            let (stage, script) = (base.fork(), Script::with(at, fate));
            ended(run(&stage, script.clone(), 1000), &case);
            let through = !script.has_acted();
            let next = lead(&stage, &stage.store.process(Script::good()));
            let mut next = next.unwrap_or_else(|error| panic!("{case}: {error}")).expect("it has ended");
            work(&stage, &mut next, 1003).unwrap_or_else(|error| panic!("{case}: {error}"));
            stage.store.arrive();
            work(&stage, &mut next, 2000).unwrap_or_else(|error| panic!("{case}: {error}"));
            drop(next);
            stage.check(&case);
            if through {
                break;
            }
        }
    }
}
