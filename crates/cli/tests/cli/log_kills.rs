//! L16: the real server of a log under load, killed at random moments over and over; its witness too.
//!
//! Each run takes a seed of its own and prints it; `COUNTERSIGN_SEED` plays one again, as far as processes and threads
//! take the same turns. What was told to anybody before a kill is held against the log at the end.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use countersign_client::LogSource;
use countersign_log::mirror::{MirrorError, walk};
use countersign_testkit::peers;
use countersign_tlog::merkle::verify_consistency;
use countersign_tlog::policy::Policy;
use countersign_tlog::tile::{TileSet, needed_for_consistency};
use countersign_tlog::{SignedCheckpoint, VerifierKey};
use rustix::process::Signal;

use crate::lab::{Lab, now};
use crate::log::{Http, Live, command, quiet_address, wait_for_size};

/// How often the log is killed in each test.
const KILLS: u64 = 20;
const WITNESSED_KILLS: u64 = 16;
/// Connections that submit at once.
const WRITERS: u64 = 6;
/// How long the log is under load before it is killed, at most.
const MAX_LIFE_MS: u64 = 200;
/// How long it is let recover where it is killed while it does, at most.
const MAX_RECOVERY_MS: u64 = 60;

/// Random numbers that follow from a seed (xorshift).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pause(&mut self, most_ms: u64) {
        thread::sleep(Duration::from_micros(self.below(most_ms * 1000)));
    }
}

/// The seed that is asked for, or a new one.
fn seed() -> u64 {
    let asked = std::env::var("COUNTERSIGN_SEED").ok().map(|text| text.parse().expect("a number"));
    let seed = asked.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 % 1_000_000_007
    });
    println!("COUNTERSIGN_SEED={seed}");
    seed
}

/// What was told to anybody.
#[derive(Default)]
struct Told {
    /// Entries and the index that was answered.
    entries: HashMap<Vec<u8>, u64>,
    /// Checkpoints by size.
    checkpoints: BTreeMap<u64, Vec<u8>>,
}

impl Told {
    fn entry(&mut self, entry: Vec<u8>, index: u64) {
        if let Some(before) = self.entries.insert(entry, index) {
            assert_eq!(before, index, "an entry has one index for good");
        }
    }

    fn checkpoint(&mut self, note: Vec<u8>) {
        let checkpoint = SignedCheckpoint::parse(&note).unwrap();
        let size = checkpoint.checkpoint().size();
        if let Some(before) = self.checkpoints.insert(size, note) {
            let before = SignedCheckpoint::parse(&before).unwrap();
            assert_eq!(before.checkpoint(), checkpoint.checkpoint(), "one size has one root for good");
        }
    }
}

/// Submits entries over one connection until the log is gone, some of them for a second time.
fn write(log: &Live, mut random: Random, told: &Mutex<Told>) {
    let Ok(mut http) = Http::try_connect(&log.url) else { return };
    let mut own: Vec<Vec<u8>> = Vec::new();
    loop {
        let entry = match own.len() as u64 {
            held @ 1.. if random.below(8) == 0 => own[random.below(held) as usize].clone(),
            _ => {
                let mut entry = format!("{:016x} ", random.0).into_bytes();
                entry.resize(17 + random.below(1500) as usize, b'x');
                entry
            }
        };
        let Ok(answer) = http.try_send("POST", "/add", "", &entry) else { return };
        if answer.status == 503 {
            continue;
        }
        told.lock().unwrap().entry(entry.clone(), answer.index());
        own.push(entry);
    }
}

/// Looks at the checkpoint until told to end, or the log is gone.
fn read(log: &Live, end: &AtomicBool, told: &Mutex<Told>) {
    let Ok(mut http) = Http::try_connect(&log.url) else { return };
    let mut last = Vec::new();
    while !end.load(Ordering::Relaxed) {
        let Ok(answer) = http.try_send("GET", "/checkpoint", "", b"") else { return };
        if answer.status == 200 && answer.body != last {
            last.clone_from(&answer.body);
            told.lock().unwrap().checkpoint(answer.body);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Loads the log until `life` is over, and kills it.
fn load(log: Live, random: &mut Random, told: &Mutex<Told>, life: impl FnOnce(&mut Random)) {
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let random = Random::new(random.below(u64::MAX) + writer);
            let log = &log;
            scope.spawn(move || write(log, random, told));
        }
        scope.spawn(|| read(&log, &end, told));
        let _killed = Killed(&log, &end);
        life(random);
    });
}

/// Kills the log when it goes, also where a test fails: the threads that write to it would go on for ever.
struct Killed<'l>(&'l Live, &'l AtomicBool);

impl Drop for Killed<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::KILL);
        self.1.store(true, Ordering::Relaxed);
    }
}

/// Starts the log and kills it while it opens what the kill before has left.
fn kill_while_recovering(lab: &Lab, args: &[&str], random: &mut Random) {
    let dir = lab.path("log");
    let serve = ["log", "serve", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let mut command = command(lab, &[&serve[..], args].concat());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    random.pause(MAX_RECOVERY_MS);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Removes old partial tiles beside the running log, and is killed at it or not.
fn remove_partial(lab: &Lab, random: &mut Random) {
    let dir = lab.path("log");
    let mut command = command(lab, &["log", "repair", dir.to_str().unwrap(), "--remove-partial"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    if random.below(2) == 0 {
        random.pause(MAX_RECOVERY_MS);
        child.kill().unwrap();
        child.wait().unwrap();
    } else {
        let status = child.wait().unwrap();
        assert!(status.success() || !dir.join("checkpoint").exists(), "{status}");
    }
}

/// All that was told holds in the log as readers see it now.
fn check(log: &Live, told: &Told) {
    let mut http = log.connect();
    let key: VerifierKey = log.vkey.parse().unwrap();
    let last = http.get("/checkpoint").body;
    let last = SignedCheckpoint::open(&last, key.name(), std::slice::from_ref(&key)).unwrap();
    let tree = last.checkpoint();
    assert!(told.entries.values().all(|index| *index < tree.size()));

    let source = LogSource::new(&log.url.parse().unwrap());
    let mut held: Vec<Vec<u8>> = Vec::new();
    walk(&source, tree, 0, |proven| {
        held.extend(proven.entries.iter().map(|entry| entry.to_vec()));
        Ok::<(), MirrorError>(())
    })
    .unwrap();
    assert_eq!(held.len() as u64, tree.size());
    for (entry, index) in &told.entries {
        assert_eq!(
            held[usize::try_from(*index).unwrap()],
            *entry,
            "entry {index} is not what was acknowledged"
        );
    }

    // Every tree goes on from that of no entries, and there is no proof of it.
    for (_, note) in told.checkpoints.range(1..) {
        let old = SignedCheckpoint::open(note, key.name(), std::slice::from_ref(&key)).unwrap();
        let old = old.checkpoint();
        let ids = needed_for_consistency(old.size(), tree.size()).unwrap();
        let tiles = ids.into_iter().map(|id| {
            let answer = http.get(&format!("/{}", id.path()));
            assert_eq!(answer.status, 200, "{id}");
            (id, answer.body)
        });
        let tiles = TileSet::verified(tree.size(), tree.root(), &tiles.collect()).unwrap();
        let proof = tiles.consistency_proof(old.size(), tree.size()).unwrap();
        verify_consistency(old.size(), tree.size(), old.root(), tree.root(), &proof)
            .unwrap_or_else(|error| panic!("the tree of {} entries is gone: {error}", old.size()));
    }
    let told = (told.entries.len(), told.checkpoints.len());
    println!("{} entries, of them {} acknowledged; {} checkpoints", tree.size(), told.0, told.1);
}

/// Tessera's fsck on the running log, ours on its folder once it has ended.
fn fsck(lab: &Lab, log: Live, more: &[&str]) {
    if let Some(fsck) = peers::find("tessera-fsck") {
        let key = lab.path("log.vkey");
        fs::write(&key, &log.vkey).unwrap();
        let output = Command::new(&fsck).arg(format!("{}/", log.url)).arg(&key).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(log.terminate().success());
    let dir = lab.path("log");
    lab.run(&[&["log", "fsck", dir.to_str().unwrap()], more].concat()).ok();
}

#[test]
fn l16_the_server_killed_under_load_many_times() {
    let start = Instant::now();
    let (lab, seed) = (Lab::new(), seed());
    let mut random = Random::new(seed);
    let told = Mutex::new(Told::default());
    drop(Live::log(&lab, "log", &["--admit", "any"]));
    for kill in 0..KILLS {
        if random.below(4) == 0 {
            kill_while_recovering(&lab, &[], &mut random);
            continue;
        }
        // The first moments are where an entry is acknowledged before there is any tree.
        let most = if kill < 3 { 10 } else { MAX_LIFE_MS };
        load(Live::log(&lab, "log", &[]), &mut random, &told, |random| {
            random.pause(most);
            if random.below(4) == 0 {
                remove_partial(&lab, random);
            }
        });
    }
    let log = Live::log(&lab, "log", &[]);
    let told = told.into_inner().unwrap();
    let acknowledged = told.entries.values().max().map_or(0, |index| index + 1);
    assert!(acknowledged > 100 && told.checkpoints.len() > 5, "there was no load");
    wait_for_size(&mut log.connect(), acknowledged);
    check(&log, &told);
    fsck(&lab, log, &[]);
    println!("{KILLS} kills in {:?}", start.elapsed());
}

#[test]
fn l16_the_server_and_its_witness_killed_under_load_many_times() {
    let start = Instant::now();
    let (lab, seed) = (Lab::new(), seed());
    let mut random = Random::new(seed);
    let (logs, dir, policy) = (lab.path("logs"), lab.path("witness"), lab.path("policy"));
    fs::write(&logs, "").unwrap();
    let witness = |listen: &str| {
        let serve = ["witness", "serve", dir.to_str().unwrap(), "--logs", logs.to_str().unwrap()];
        let named = ["--listen", listen, "--name", "w.example/1", "--unencrypted"];
        Live::start(&lab, &[&serve[..], &named].concat())
    };
    // The log knows it by this address for good.
    let address = quiet_address();
    let mut watching = witness(&address);
    let spec = format!("{} {}", watching.vkey, watching.url);
    let args = ["--witness", &spec];
    let log = Live::log(&lab, "log", &["--admit", "any", "--witness", &spec]);
    fs::write(&logs, format!("{}\n", log.vkey)).unwrap();
    fs::write(&policy, format!("log {}\nwitness w {}\nquorum w\n", log.vkey, watching.vkey)).unwrap();
    drop(log);

    let told = Mutex::new(Told::default());
    for _ in 0..WITNESSED_KILLS {
        if random.below(5) == 0 {
            kill_while_recovering(&lab, &args, &mut random);
            continue;
        }
        let log = Live::log(&lab, "log", &args);
        let kills_witness = random.below(2) == 0;
        load(log, &mut random, &told, |random| {
            random.pause(MAX_LIFE_MS);
            if kills_witness {
                watching.signal(Signal::KILL);
                watching.wait();
                random.pause(20);
                watching = witness(&address);
                random.pause(MAX_LIFE_MS);
            }
        });
    }
    let log = Live::log(&lab, "log", &args);
    let told = told.into_inner().unwrap();
    let acknowledged = told.entries.values().max().map_or(0, |index| index + 1);
    assert!(acknowledged > 100 && told.checkpoints.len() > 2, "there was no load");
    wait_for_size(&mut log.connect(), acknowledged);
    check(&log, &told);
    let rules = Policy::parse(&fs::read(&policy).unwrap()).unwrap();
    for note in told.checkpoints.values() {
        rules.check_checkpoint(note, now()).expect("what readers saw was cosigned");
    }
    fsck(&lab, log, &["--policy", policy.to_str().unwrap()]);
    println!("{WITNESSED_KILLS} kills of the log in {:?}", start.elapsed());
}
