//! Row L19: two sequencers. One lineage, the loser exits 3, and no index is used twice.
//!
//! In a bucket: processes that start together, one that is paused for longer than its lead lasts, and a network that
//! answers conditional writes late, twice or wrongly. `bucket` plays the last on each contract by itself, `log` on
//! each step of a leader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use countersign_base::code;
use countersign_testkit::s3::{Fault, FaultProxy};
use rustix::process::Signal;

use crate::lab::Lab;
use crate::log::Live;
use crate::members::{Load, Member, Place, Told, Urls};

/// A leader that is heard of so often: three times in this time.
const SHORT: [&str; 2] = ["--takeover-after", "1"];
/// One that waits for longer, so that a busy machine does not look like a dead one.
const LONGER: [&str; 2] = ["--takeover-after", "3"];
/// Between the two, where all are to take over.
const MIDDLE: [&str; 2] = ["--takeover-after", "2"];
/// The longer time.
const PATIENCE: Duration = Duration::from_secs(3);

/// A process that lost exits so, and says to whoever finds it what to do.
#[track_caller]
fn lost(member: Member) {
    let (status, said) = member.end();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("error[{}]: another process leads", code::LOG_WRITER_CONFLICT)), "{said}");
    assert!(said.contains("fix: start this one again"), "{said}");
}

#[test]
fn l19_a_the_second_process_on_a_folder_ends() {
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    let dir = lab.path("log");
    let second = lab.run(&["log", "serve", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert_eq!(second.refused(code::LOG_WRITER_CONFLICT).status(), Some(3));
    assert_eq!(log.connect().post("/add", b"x").index(), 0);
}

#[test]
fn l19_a_of_those_that_start_together_one_leads() {
    let Some(place) = Place::new() else { return };
    let endpoint = place.server.endpoint();
    let starting: Vec<_> = (0..3).map(|_| place.starting(&endpoint, &[])).collect();
    let members: Vec<Member> = starting.into_iter().map(|one| one.listening()).collect();
    let urls: Vec<&str> = members.iter().map(|member| &*member.url).collect();
    // The same entries to all of them at once.
    let told = Told::default();
    thread::scope(|scope| {
        for first in 0..members.len() {
            let (told, urls) = (&told, &urls);
            scope.spawn(move || {
                for number in 0..40 {
                    told.insist(&urls[first..=first], format!("entry {number}").as_bytes());
                    told.insist(&urls[first..=first], format!("entry {number} to {first}").as_bytes());
                }
            });
        }
    });
    assert_eq!(told.len(), 40 * 4);
    let leaders: Vec<_> = members.iter().filter(|member| member.has_said("leading the log")).collect();
    assert_eq!(leaders.len(), 1);
    assert_eq!(leaders[0].leads(), 1);
    for member in &members {
        let leads = core::ptr::eq(member, leaders[0]);
        assert_eq!(member.metric("countersign_log_leader"), Some(u64::from(leads)));
        assert_eq!(member.metric("countersign_log_epoch"), Some(1));
        if !leads {
            member.follows(leaders[0]);
        }
    }
    place.holds(&members[0], &told);
    assert_eq!(place.proven(&members[0]).len(), 160);
}

/// As a machine that slept: it goes on where it was, in the middle of work, long after another has taken over.
#[test]
fn l19_b_a_leader_that_slept_knows_when_it_wakes() {
    let Some(place) = Place::new() else { return };
    let first = place.member(&SHORT);
    assert_eq!(first.leads(), 1);
    let second = place.member(&LONGER);
    second.follows(&first);
    let told = Arc::new(Told::default());
    let load = Load::start(&told, &[&first.url, &second.url], 4);
    Load::goes_on(&told, 40);
    first.signal(Signal::STOP);
    assert_eq!(second.leads(), 2);
    // Those who were sent to the sleeper wait for it: new ones come to the other.
    let awake = Load::start(&told, &[&second.url], 2);
    Load::goes_on(&told, 40);
    place.holds(&second, &told);
    first.signal(Signal::CONT);
    lost(first);
    Load::goes_on(&told, 40);
    load.end();
    awake.end();
    place.holds(&second, &told);
    assert_eq!(second.metric("countersign_log_handovers_total"), Some(1));
    // Started again it is a front end.
    let again = place.member(&LONGER);
    again.follows(&second);
    told.insist(&[&again.url], b"through the one that slept");
    second.terminate();
    assert_eq!(again.leads(), 3);
    place.holds(&again, &told);
}

/// Rounds of what is played over and over; `COUNTERSIGN_ROUNDS` asks for more.
const ROUNDS: usize = 5;

/// Three processes under load, of which the one that leads is killed, told to end or put to sleep, again and again.
#[test]
fn l19_b_leaders_that_are_killed_and_paused_over_and_over() {
    let Some(place) = Place::new() else { return };
    let rounds = std::env::var("COUNTERSIGN_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let mut members: Vec<Member> = (0..3).map(|_| place.member(&MIDDLE)).collect();
    let urls: Urls = Arc::default();
    let listed =
        |members: &[Member]| *urls.lock().unwrap() = members.iter().map(|one| one.url.clone()).collect();
    listed(&members);
    let told = Arc::new(Told::default());
    let load = Load::at(&told, &urls, 4);
    let (mut epoch, mut asleep) = (0, Vec::new());
    for round in 0..rounds {
        let leader = Place::leader(&members, epoch);
        epoch = members[leader].has_led().unwrap();
        // Who slept through the last handover finds out.
        for sleeper in asleep.drain(..) {
            Member::signal(&sleeper, Signal::CONT);
            lost(sleeper);
        }
        Load::goes_on(&told, 20);
        let victim = members.remove(leader);
        members.push(place.member(&MIDDLE));
        listed(&members);
        match round % 3 {
            0 => victim.kill(),
            1 => {
                victim.signal(Signal::STOP);
                asleep.push(victim);
            }
            _ => drop(victim.terminate()),
        }
    }
    let leader = Place::leader(&members, epoch);
    for sleeper in asleep {
        sleeper.signal(Signal::CONT);
        lost(sleeper);
    }
    Load::goes_on(&told, 20);
    load.end();
    println!("{rounds} handovers, {} entries", told.len());
    place.holds(&members[leader], &told);
}

/// What happens to writes on their way. Each is told to the log as a failure, but the one that is done twice.
const FAULTS: [Fault; 6] = [
    Fault::ExecutedThenHangUp,
    Fault::Late,
    Fault::ExecutedThenAnswer(412, "PreconditionFailed"),
    Fault::Twice,
    Fault::Answer(503, "SlowDown"),
    Fault::ExecutedThenAnswer(500, "InternalError"),
];

#[test]
fn l19_c_a_bucket_that_answers_late_twice_or_412_after_success() {
    let Some(place) = Place::new() else { return };
    let writes = AtomicUsize::new(0);
    let calm = Arc::new(AtomicBool::new(true));
    let quiet = Arc::clone(&calm);
    let proxy = Arc::new(FaultProxy::start(place.server.address(), move |seen| match seen.method {
        "PUT" if !quiet.load(Ordering::SeqCst) => {
            let number = writes.fetch_add(1, Ordering::SeqCst);
            // Every other one, so that what is tried again gets through in time.
            if number.is_multiple_of(2) { FAULTS[number / 2 % FAULTS.len()] } else { Fault::None }
        }
        _ => Fault::None,
    }));
    let first = place.member_at(&proxy.endpoint(), &LONGER);
    assert_eq!(first.leads(), 1);
    let second = place.member(&LONGER);
    second.follows(&first);
    calm.store(false, Ordering::SeqCst);
    let told = Arc::new(Told::default());
    let load = Load::start(&told, &[&first.url, &second.url], 4);
    Load::goes_on(&told, 200);
    // What was late comes now, in the middle of the load: what was sent again meanwhile is refused, what is still to be
    // sent again is found there.
    let late = proxy.release();
    assert!(late.contains(&412), "some were late: {late:?}");
    Load::goes_on(&told, 40);
    calm.store(true, Ordering::SeqCst);
    load.end();
    place.holds(&second, &told);
    first.kill();
    assert_eq!(second.leads(), 2);
    let late = proxy.release();
    assert!(late.iter().all(|status| *status == 412), "{late:?}");
    told.insist(&[&second.url], b"afterwards");
    place.holds(&second, &told);
}

/// The leader is as fast as ever, but nobody hears of it: its signatures and beats are on their way for too long.
#[test]
fn l19_c_a_leader_whose_beats_are_late() {
    let Some(place) = Place::new() else { return };
    let slow = Arc::new(AtomicBool::new(false));
    let slowed = Arc::clone(&slow);
    let proxy = FaultProxy::start(place.server.address(), move |seen| {
        let beat = seen.method == "PUT" && seen.path.ends_with("/leader");
        if beat && slowed.load(Ordering::SeqCst) { Fault::Slow(2 * PATIENCE) } else { Fault::None }
    });
    let first = place.member_at(&proxy.endpoint(), &SHORT);
    assert_eq!(first.leads(), 1);
    let second = place.member(&LONGER);
    second.follows(&first);
    let told = Arc::new(Told::default());
    let load = Load::start(&told, &[&first.url, &second.url], 4);
    Load::goes_on(&told, 40);
    slow.store(true, Ordering::SeqCst);
    assert_eq!(second.leads(), 2);
    lost(first);
    Load::goes_on(&told, 40);
    load.end();
    place.holds(&second, &told);
}

/// The leader's last batch is on its way when it dies, and arrives when another leads and has given its indices away.
#[test]
fn l19_c_a_batch_of_a_dead_leader_that_arrives_late() {
    let Some(place) = Place::new() else { return };
    let (hold, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (holding, counted) = (Arc::clone(&hold), Arc::clone(&held));
    let proxy = FaultProxy::start(place.server.address(), move |seen| {
        let journal = seen.method == "PUT" && seen.path.contains("/wal/");
        if !journal || !holding.load(Ordering::SeqCst) {
            return Fault::None;
        }
        counted.fetch_add(1, Ordering::SeqCst);
        Fault::Late
    });
    let first = place.member_at(&proxy.endpoint(), &SHORT);
    assert_eq!(first.leads(), 1);
    let second = place.member(&LONGER);
    second.follows(&first);
    let told = Told::default();
    for number in 0..5 {
        told.insist(&[&first.url], format!("before {number}").as_bytes());
    }
    hold.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let url = first.url.clone();
        let submitted = scope.spawn(|| {
            let url = url;
            Told::default().offer(&url, b"never acknowledged")
        });
        while held.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        first.kill();
        assert!(!submitted.join().unwrap(), "what is not there is not acknowledged");
    });
    assert_eq!(second.leads(), 2);
    for number in 0..5 {
        told.insist(&[&second.url], format!("after {number}").as_bytes());
    }
    // The write succeeds: its name is of the dead leader's epoch, where nobody looks any more.
    let late = proxy.release();
    assert_eq!(late.first(), Some(&200), "{late:?}");
    place.holds(&second, &told);
    let third = place.member(&LONGER);
    third.follows(&second);
    second.kill();
    assert_eq!(third.leads(), 3);
    told.insist(&[&third.url], b"at last");
    place.holds(&third, &told);
    let entries = place.proven(&third);
    assert_eq!(entries.len(), 11);
    assert!(!entries.contains(&b"never acknowledged".to_vec()));
}
