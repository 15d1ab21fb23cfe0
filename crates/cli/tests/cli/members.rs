//! A log in a bucket and the processes that serve it, for one test.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use countersign_testkit::s3::{ACCESS_KEY, SECRET_KEY, Versity};
use countersign_tlog::tile::{BundleId, TILE_WIDTH, decode_bundle};
use countersign_tlog::{SignedCheckpoint, VerifierKey};
use rustix::process::{Pid, Signal, kill_process};

use crate::lab::Lab;
use crate::log::{Answer, Http, Live, command};

pub(crate) const BUCKET: &str = "transparency";
pub(crate) const PLACE: &str = "s3://transparency/log";
pub(crate) const ORIGIN: &str = "log.example";
/// Longer than anything takes that is waited for; the machine may be loaded.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries to submit.
const RETRY: Duration = Duration::from_millis(5);
/// Ports tried for a process: each was free a moment before.
const MAX_PORTS: usize = 5;

/// A bucket with a log in it, its key, and a machine to start processes on.
pub(crate) struct Place {
    pub(crate) lab: Lab,
    pub(crate) server: Versity,
    next: AtomicUsize,
}

impl Place {
    /// `None` where there is no versitygw.
    pub(crate) fn new() -> Option<Self> {
        let server = Versity::start()?;
        server.make_bucket(BUCKET);
        let place = Self { lab: Lab::new(), server, next: AtomicUsize::new(1) };
        place.make_key(&place.keys());
        Some(place)
    }

    /// Makes a key, with a log that nobody uses.
    pub(crate) fn make_key(&self, keys: &str) {
        let name = format!("elsewhere-{}", self.next.fetch_add(1, Ordering::SeqCst));
        drop(Live::log(&self.lab, &name, &["--keys", keys]));
        // A key makes one log, and this one was never used.
        fs::remove_file(format!("{keys}/log.place")).unwrap();
    }

    pub(crate) fn keys(&self) -> String {
        self.lab.path("keys").to_str().unwrap().to_owned()
    }

    /// `log serve` of the log on this address, with the cache of one process.
    pub(crate) fn command(&self, address: &str, endpoint: &str, more: &[&str]) -> Command {
        let keys = self.keys();
        let cache = self.lab.path(&format!("cache-{}", self.next.fetch_add(1, Ordering::SeqCst)));
        let serve = ["log", "serve", PLACE, "--listen", address, "--keys", &keys];
        let cache = ["--cache", cache.to_str().unwrap()];
        let mut command = command(&self.lab, &[&serve[..], &cache, more].concat());
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        command.env("AWS_ENDPOINT_URL", endpoint);
        command
    }

    /// Starts a process, and waits until it listens. It takes over from who has given the lead back, or was silent for
    /// longer than a busy machine makes somebody be, if `more` does not say otherwise.
    pub(crate) fn member(&self, more: &[&str]) -> Member {
        self.member_at(&self.server.endpoint(), more)
    }

    /// The same, which reaches the bucket by another way.
    pub(crate) fn member_at(&self, endpoint: &str, more: &[&str]) -> Member {
        self.starting(endpoint, more).listening()
    }

    /// Starts a process and waits for nothing.
    pub(crate) fn starting(&self, endpoint: &str, more: &[&str]) -> Starting<'_> {
        let more: Vec<String> = more.iter().map(|text| (*text).to_owned()).collect();
        let endpoint = endpoint.to_owned();
        let running = self.run(&endpoint, &more);
        Starting { place: self, endpoint, more, running }
    }

    fn run(&self, endpoint: &str, more: &[String]) -> Running {
        let address = free_address();
        let url = format!("http://{address}");
        let mut all =
            vec!["--advertise", &url, "--takeover-after", "10", "--admit", "any", "--origin", ORIGIN];
        // What is asked for counts, and nothing is nothing.
        for pair in more.chunks(2) {
            match all.iter().position(|known| *known == pair[0]) {
                Some(at) => all[at + 1] = &pair[1],
                None => all.extend(pair.iter().map(String::as_str)),
            }
        }
        let all: Vec<&str> = all.chunks(2).filter(|pair| !pair[1].is_empty()).flatten().copied().collect();
        Running::spawn(&mut self.command(&address, endpoint, &all))
    }

    /// Waits until one of them leads in an epoch beyond that.
    #[track_caller]
    pub(crate) fn leader(members: &[Member], epoch: u64) -> usize {
        let start = Instant::now();
        loop {
            let leads = |member: &Member| member.has_led().is_some_and(|led| led > epoch);
            if let Some(found) = members.iter().position(leads) {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "nobody leads beyond epoch {epoch}");
            thread::sleep(RETRY);
        }
    }

    /// Copies the log from `url`, proves all of it, and gives its entries.
    pub(crate) fn proven(&self, member: &Member) -> Vec<Vec<u8>> {
        let copy = self.lab.path("copy");
        let copy = copy.to_str().unwrap();
        // Into the same folder each time: what was copied before must be a part of it.
        self.lab.run(&["log", "mirror", &member.url, copy, "--vkey", &member.vkey]).ok();
        self.lab.run(&["log", "fsck", copy, "--vkey", &member.vkey]).ok();
        let read = |name: &str| fs::read(self.lab.path("copy").join(name)).unwrap();
        let key = VerifierKey::from_str(&member.vkey).unwrap();
        let signed = SignedCheckpoint::open(&read("checkpoint"), ORIGIN, &[key]).unwrap();
        let size = signed.checkpoint().size();
        let bundles = (0..size.div_ceil(u64::from(TILE_WIDTH))).map(|number| {
            let id = BundleId::at(number, size).unwrap();
            let bytes = read(&id.path());
            decode_bundle(id, &bytes).unwrap().into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>()
        });
        bundles.flatten().collect()
    }

    /// Proves the whole log, and that it has each entry at the index that was told, and none twice.
    #[track_caller]
    pub(crate) fn holds(&self, member: &Member, told: &Told) {
        let told = told.entries();
        member.publishes(told.values().max().map_or(0, |index| index + 1));
        let entries = self.proven(member);
        for (entry, index) in &told {
            let found = usize::try_from(*index).ok().and_then(|index| entries.get(index));
            assert!(found == Some(entry), "entry {index} of {} is another one", entries.len());
        }
        let distinct: HashMap<&Vec<u8>, usize> = entries.iter().zip(0..).collect();
        assert_eq!(distinct.len(), entries.len(), "an entry stands in the log twice");
    }
}

/// A free port of this machine, for a process that must say beforehand where it is.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A process that may not listen yet.
pub(crate) struct Starting<'a> {
    place: &'a Place,
    endpoint: String,
    more: Vec<String>,
    running: Running,
}

impl Starting<'_> {
    /// Waits until it listens. Where somebody else has taken its port, it is started again on another.
    pub(crate) fn listening(mut self) -> Member {
        for _ in 0..MAX_PORTS {
            match self.running.listening() {
                Ok(member) => return member,
                Err(ended) => {
                    assert!(ended.contains("serve-failed"), "{ended}");
                    self.running = self.place.run(&self.endpoint, &self.more);
                }
            }
        }
        panic!("no port stays free");
    }
}

/// What a process has said on standard error so far.
type Said = Arc<(Mutex<Vec<String>>, Condvar)>;

/// A process and its output.
pub(crate) struct Running {
    child: Child,
    said: Said,
    listener: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Said::default();
        let (err, sink) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&said));
        let listener = thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                sink.0.lock().unwrap().push(line);
                sink.1.notify_all();
            }
        });
        Self { child, said, listener: Some(listener) }
    }

    /// Waits until it has said a line with all of this; the line.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> String {
        let (lines, changed) = &*self.said;
        let found = |lines: &[String]| {
            lines.iter().find(|line| words.iter().all(|word| line.contains(word))).cloned()
        };
        let lines = changed.wait_timeout_while(lines.lock().unwrap(), PATIENCE, |all| found(all).is_none());
        let lines = lines.unwrap().0;
        found(&lines).unwrap_or_else(|| panic!("it does not say {words:?}, but {lines:?}"))
    }

    /// Reads its first two lines; what it said if it has ended instead.
    fn listening(mut self) -> Result<Member, String> {
        let mut out = BufReader::new(self.child.stdout.take().unwrap());
        let mut line = |prefix: &str| {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line.trim_end().strip_prefix(prefix).map(str::to_owned)
        };
        let (Some(url), Some(vkey)) = (line("listening on "), line("vkey ")) else {
            return Err(self.end().1);
        };
        Ok(Member { url, vkey, running: self, _out: out })
    }

    /// Waits for its end; its exit status, and all that it said on standard error.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end; it said {:?}", self.said.0.lock().unwrap());
            thread::sleep(RETRY);
        };
        self.listener.take().unwrap().join().unwrap();
        (status, self.said.0.lock().unwrap().join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A process that listens.
pub(crate) struct Member {
    pub(crate) url: String,
    pub(crate) vkey: String,
    running: Running,
    _out: BufReader<std::process::ChildStdout>,
}

impl Member {
    /// Waits until it has said a line with all of this; the line.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> String {
        self.running.says(words)
    }

    /// Waits until it leads; in which epoch.
    #[track_caller]
    pub(crate) fn leads(&self) -> u64 {
        self.says(&["leading the log"]);
        self.has_led().unwrap()
    }

    /// The last epoch that it has led in, if it has said so already.
    pub(crate) fn has_led(&self) -> Option<u64> {
        let said = self.running.said.0.lock().unwrap();
        let line = said.iter().rev().find(|line| line.starts_with("leading the log"))?;
        line.trim_end_matches(')').rsplit(' ').next()?.parse().ok()
    }

    /// Waits until it knows that `leader` leads.
    #[track_caller]
    pub(crate) fn follows(&self, leader: &Self) {
        self.says(&["front end of", &leader.url]);
    }

    /// Whether it has said so already.
    pub(crate) fn has_said(&self, words: &str) -> bool {
        self.running.said.0.lock().unwrap().iter().any(|line| line.contains(words))
    }

    pub(crate) fn connect(&self) -> Http {
        Http::connect(&self.url)
    }

    /// A number from its metrics.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let page = self.connect().get("/metrics").text();
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until what it serves covers so many entries.
    #[track_caller]
    pub(crate) fn publishes(&self, size: u64) {
        let start = Instant::now();
        let published = |answer: &Answer| match answer.status {
            200 => answer.text().lines().nth(1).unwrap().parse().unwrap(),
            _ => 0,
        };
        while published(&self.connect().get("/checkpoint")) < size {
            assert!(start.elapsed() < PATIENCE, "{size} entries are not published");
            thread::sleep(RETRY);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.running.child), signal).unwrap();
    }

    /// Waits for its end; its exit status, and all that it said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        self.running.end()
    }

    /// Asks it to end, as an operator does; all that it said.
    #[track_caller]
    pub(crate) fn terminate(self) -> String {
        self.signal(Signal::TERM);
        let (status, said) = self.end();
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// Ends it as a power failure does.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        let (status, said) = self.end();
        assert_eq!(status.code(), None, "{said}");
    }
}

/// Indices that were told, by entry.
#[derive(Default)]
pub(crate) struct Told(Mutex<BTreeMap<Vec<u8>, u64>>);

impl Told {
    pub(crate) fn entries(&self) -> BTreeMap<Vec<u8>, u64> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Takes in what was told: the same as ever of an entry.
    #[track_caller]
    pub(crate) fn note(&self, entry: &[u8], index: u64) {
        let before = self.0.lock().unwrap().insert(entry.to_vec(), index);
        assert!(before.is_none_or(|before| before == index), "told {before:?} and {index}");
    }

    /// Submits once; whether an index was told. What is not taken is refused with a time to come back, or not answered.
    #[track_caller]
    pub(crate) fn offer(&self, url: &str, entry: &[u8]) -> bool {
        let answer = Http::try_connect(url).and_then(|mut http| http.try_send("POST", "/add", "", entry));
        match answer {
            Ok(answer) if answer.status == 200 => {
                self.note(entry, answer.index());
                true
            }
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text());
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                false
            }
            Err(_) => false,
        }
    }

    /// Submits to one after the other until an index is told.
    #[track_caller]
    pub(crate) fn insist(&self, urls: &[&str], entry: &[u8]) {
        let start = Instant::now();
        for url in urls.iter().cycle() {
            if self.offer(url, entry) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "nobody takes an entry");
            thread::sleep(RETRY);
        }
    }
}

/// Where processes listen, as they come and go.
pub(crate) type Urls = Arc<Mutex<Vec<String>>>;

/// Submits entries without a pause from several threads, to all of `urls` in turn, until dropped or told to stop.
pub(crate) struct Load {
    stop: Arc<std::sync::atomic::AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Each entry until its index is told, also where a process is gone.
    pub(crate) fn start(told: &Arc<Told>, urls: &[&str], writers: usize) -> Self {
        Self::at(told, &Arc::new(Mutex::new(urls.iter().map(|url| (*url).to_owned()).collect())), writers)
    }

    /// The same to those that are listed at each moment.
    pub(crate) fn at(told: &Arc<Told>, urls: &Urls, writers: usize) -> Self {
        let stop = Arc::<std::sync::atomic::AtomicBool>::default();
        let threads = (0..writers).map(|writer| {
            let (stop, told, urls) = (Arc::clone(&stop), Arc::clone(told), Arc::clone(urls));
            thread::spawn(move || {
                let mut turn = writer;
                let mut next = || {
                    let urls = urls.lock().unwrap();
                    turn += 1;
                    urls[turn % urls.len()].clone()
                };
                for number in 0.. {
                    let entry = format!("writer {writer}, entry {number}");
                    loop {
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                        if told.offer(&next(), entry.as_bytes()) {
                            break;
                        }
                        thread::sleep(RETRY);
                    }
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    /// Waits until so many more indices were told than now.
    #[track_caller]
    pub(crate) fn goes_on(told: &Told, more: usize) {
        let (start, enough) = (Instant::now(), told.len() + more);
        while told.len() < enough {
            assert!(start.elapsed() < PATIENCE, "{} of {enough} entries were taken", told.len());
            thread::sleep(RETRY);
        }
    }

    /// Ends it; what is under way is waited for.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}
