//! Whatever is done to one file of a served repository, a machine installs the true release or nothing.
//!
//! Real commands make the repository. Then each file in turn is changed: a byte here and there, the whole of it in
//! the usual ways of a broken mirror. A machine that knows nothing but the anchor runs `trust add` and `install`, and
//! one that has an earlier release runs `update`. `COUNTERSIGN_FLIP_EVERY=1` tries every byte, which takes minutes;
//! `COUNTERSIGN_SEED` chooses other bytes and bits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_base::{Class, Code};

use crate::lab::{Lab, REPO, Run};
use crate::publisher::{Files, Publisher, active, copy_public, every_file, file_url, files};

const SEED: u64 = 0x5eed_0003;
/// Of the files that a fresh machine reads, every byte of this many is changed; others less often.
const FLIP_EVERY: usize = 12;
/// The same for `update`, whose trials are longer.
const FLIP_EVERY_IN_UPDATE: usize = 48;

/// What happens to one file; `None` removes it.
struct Change {
    file: PathBuf,
    what: String,
    bytes: Option<Vec<u8>>,
}

/// A reproducible sequence of numbers (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// One changed bit in every `every`-th byte, beginning anywhere, and in some of the bytes that carry structure.
fn flips(file: &Path, bytes: &[u8], every: usize, numbers: &mut Numbers, changes: &mut Vec<Change>) {
    let start = numbers.below(every.min(bytes.len()));
    for (at, byte) in bytes.iter().enumerate() {
        let structure = b"{}[]\",:+=\n/ ".contains(byte) && bytes.len() < 4096;
        if at % every == start || (structure && numbers.below(every) < 2) {
            let bit = numbers.below(8);
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << bit;
            let what = format!("bit {bit} of byte {at} flipped");
            changes.push(Change { file: file.to_owned(), what, bytes: Some(changed) });
        }
    }
}

/// What a broken mirror does to whole files.
fn damages(file: &Path, bytes: &[u8], other: &[u8], changes: &mut Vec<Change>) {
    let cut = |length: usize| Some(bytes[..length].to_vec());
    for (what, bytes) in [
        ("removed", None),
        ("another file in its place", Some(other.to_vec())),
        ("cut in half", cut(bytes.len() / 2)),
        ("cut by one byte", cut(bytes.len() - 1)),
        ("emptied", cut(0)),
        ("a byte appended", Some([bytes, b"\n"].concat())),
        ("appended to itself", Some(bytes.repeat(2))),
        ("zeros in its place", Some(vec![0; bytes.len()])),
    ] {
        changes.push(Change { file: file.to_owned(), what: what.to_owned(), bytes });
    }
}

/// Changes to all files of `repo`, many to those that are `read`, a few to the others.
fn changes(repo: &Path, read: impl Fn(&Path) -> bool, every: usize) -> Vec<Change> {
    let seed = setting("COUNTERSIGN_SEED").unwrap_or(SEED);
    let every = setting("COUNTERSIGN_FLIP_EVERY").map_or(every, |every| every as usize);
    println!("COUNTERSIGN_SEED={seed} COUNTERSIGN_FLIP_EVERY={every}");
    let mut numbers = Numbers(seed);
    let mut changes = Vec::new();
    let files = every_file(repo);
    for (index, file) in files.iter().enumerate() {
        let bytes = fs::read(repo.join(file)).unwrap();
        // The neighbour is the likeliest mistake: the other version, or the proof instead of what it proves.
        let other = fs::read(repo.join(&files[(index + 1) % files.len()])).unwrap();
        if read(file) {
            let every = if bytes.len() < 4096 { every } else { every * 32 };
            flips(file, &bytes, every, &mut numbers, &mut changes);
            damages(file, &bytes, &other, &mut changes);
        } else {
            flips(file, &bytes, bytes.len() * 2, &mut numbers, &mut changes);
            damages(file, &bytes, &other, &mut changes);
            changes.truncate(changes.len() - 6);
        }
    }
    changes
}

/// Copies of a repository and of a machine's state, to be changed again and again.
struct Bench {
    machine: Lab,
    truth: PathBuf,
}

impl Bench {
    fn new(truth: &Path) -> Self {
        let machine = Lab::new();
        copy_public(truth, &machine.served());
        Self { machine, truth: truth.to_owned() }
    }

    /// Runs `trial` while the file is changed.
    fn with<T>(&self, change: &Change, trial: impl FnOnce(&Lab) -> T) -> T {
        let path = self.machine.served().join(&change.file);
        match &change.bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let result = trial(&self.machine);
        fs::copy(self.truth.join(&change.file), &path).unwrap();
        result
    }

    fn root(&self) -> PathBuf {
        self.machine.path("root")
    }

    /// Keeps a copy of what the machine knows and has installed.
    fn remember(&self) {
        for folder in ["home", "root"] {
            self.copy(&self.machine.path(folder), &self.machine.path(&format!("kept-{folder}")));
        }
    }

    /// Back to what was remembered.
    fn recall(&self) {
        for folder in ["home", "root"] {
            self.copy(&self.machine.path(&format!("kept-{folder}")), &self.machine.path(folder));
        }
    }

    /// With links of both kinds.
    fn copy(&self, from: &Path, to: &Path) {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    }

    /// Forgets what the machine knows and has installed.
    fn forget(&self) {
        for folder in ["home", "root", "user"] {
            let _ = fs::remove_dir_all(self.machine.path(folder));
        }
    }
}

/// A refusal is an exit status of 1 or 3 with a code of that class.
fn refusal(run: &Run, change: &Change) -> Code {
    let fail = |why: &str| panic!("{} {}: {why}\n{}", change.file.display(), change.what, run.text());
    let json = run.json();
    let Some(code) = json["code"].as_str().and_then(Code::find) else { return fail("no code") };
    let class = match run.status() {
        Some(1) => Class::Refused,
        Some(3) => Class::Unavailable,
        _ => return fail("neither refused nor unavailable"),
    };
    if json["exit"] != class.exit_status() {
        return fail("the exit status is not the one that is told");
    }
    code
}

/// Tries all changes on all cores; `trial` says whether something was installed. Returns the changes that were
/// harmless so.
fn try_all(
    changes: &[Change],
    bench: impl Fn() -> Bench + Sync,
    trial: impl Fn(&Bench, &Change) -> bool + Sync,
) -> Vec<&Change> {
    let next = AtomicUsize::new(0);
    let work = || {
        let bench = bench();
        let mut harmless = Vec::new();
        while let Some(change) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
            if trial(&bench, change) {
                harmless.push(change);
            }
        }
        harmless
    };
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let harmless = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    println!("{} changes, {} of them harmless", changes.len(), harmless.len());
    harmless
}

/// Nothing is active but, byte for byte, `expected`.
#[track_caller]
fn assert_active(root: &Path, expected: Option<&Files>, change: &Change) {
    let (file, what) = (change.file.display(), &change.what);
    assert!(active(root).as_ref() == expected, "{file} {what}: something else is active");
}

/// No file that is `read` has a byte that does not count.
#[track_caller]
fn assert_unread(harmless: &[&Change], read: impl Fn(&Path) -> bool) {
    for change in harmless {
        // Nothing lists the timestamp's digest: white space after it, or the case of a signature's hex, is not signed.
        let unsigned = change.file.ends_with("timestamp.json");
        assert!(!read(&change.file) || unsigned, "{} {}", change.file.display(), change.what);
    }
}

/// The files that a fresh machine reads: the root, and the newest of everything else.
fn needed_by_a_fresh_machine(publisher: &Publisher) -> Vec<PathBuf> {
    let machine = Lab::new();
    let url = file_url(&publisher.repo());
    publisher.trusted_by(&machine, &url).ok();
    let mut needed: Vec<PathBuf> = every_file(&machine.path(&format!("home/repos/{REPO}/metadata")))
        .into_iter()
        .map(|name| Path::new("metadata").join(name))
        .collect();
    let newest = |file: &PathBuf| file.starts_with("targets/node/1.1.0");
    needed.extend(every_file(&publisher.repo()).into_iter().filter(newest));
    assert!(needed.len() >= 11, "{needed:?}");
    needed
}

#[test]
fn one_changed_file_and_a_fresh_machine_installs_the_true_release_or_nothing() {
    let publisher = Publisher::with(&["1.0.0", "1.1.0"]);
    let truth = publisher.path("truth");
    copy_public(&publisher.repo(), &truth);
    let release = files("1.1.0");
    let needed = needed_by_a_fresh_machine(&publisher);
    let changes = changes(&truth, |file| needed.iter().any(|needed| needed == file), FLIP_EVERY);
    let harmless = try_all(
        &changes,
        || Bench::new(&truth),
        |bench, change| {
            bench.forget();
            bench.with(change, |machine| {
                let trusted = publisher.trusted_by(machine, &machine.url());
                let run = if trusted.status() == Some(0) { machine.node("install") } else { trusted };
                let installed = run.status() == Some(0);
                if !installed {
                    refusal(&run, change);
                }
                assert_active(&bench.root(), installed.then_some(&release), change);
                installed
            })
        },
    );
    assert_unread(&harmless, |file| needed.iter().any(|needed| needed == file));
    assert!(harmless.len() > every_file(&truth).len() - needed.len(), "what is not read does no harm");
}

#[test]
fn one_changed_file_and_an_update_brings_the_true_release_or_changes_nothing() {
    let publisher = Publisher::with(&["1.0.0"]);
    let (old, truth) = (publisher.path("old"), publisher.path("truth"));
    copy_public(&publisher.repo(), &old);
    publisher.release("1.1.0").ok();
    copy_public(&publisher.repo(), &truth);
    let (first, second) = (files("1.0.0"), files("1.1.0"));
    let read = |file: &Path| !old.join(file).exists() || file.ends_with("timestamp.json");
    let changes = changes(&truth, read, FLIP_EVERY_IN_UPDATE);
    let bench = || {
        let bench = Bench::new(&old);
        publisher.trusted_by(&bench.machine, &bench.machine.url()).ok();
        bench.machine.node("install").ok();
        bench.remember();
        copy_public(&truth, &bench.machine.served());
        Bench { truth: truth.clone(), ..bench }
    };
    let harmless = try_all(&changes, bench, |bench, change| {
        bench.forget();
        bench.recall();
        let updated = bench.with(change, |machine| {
            let run = machine.node("update");
            let updated = run.status() == Some(0);
            if !updated {
                refusal(&run, change);
            }
            assert_active(&bench.root(), Some(if updated { &second } else { &first }), change);
            updated
        });
        if !updated {
            // The mirror is mended: nothing stands in the way.
            bench.machine.node("update").ok();
            assert_active(&bench.root(), Some(&second), change);
        }
        updated
    });
    // What the store has is not fetched again, and of the log only the tiles that prove consistency.
    let in_store = |file: &Path| file.to_str().unwrap().ends_with(".LICENSE");
    assert_unread(&harmless, |file| read(file) && !file.starts_with("log") && !in_store(file));
    let tile = |change: &Change| change.file.starts_with("log/tile/0");
    let all = changes.iter().filter(|change| tile(change)).count();
    assert!(all > harmless.iter().filter(|change| tile(change)).count(), "no tile is read");
}
