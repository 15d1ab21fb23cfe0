//! One scenario: a repository, its server, and a machine for each client.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use countersign_base::Timestamp;
use countersign_crypto::sha256;
use countersign_testkit::hostile::{Answered, Machine, TufClient, TufRepository, WebServer};

use crate::book::Difference;

/// What a step expects where the client must agree.
pub(crate) const OK: &str = "ok";
/// What reports call our client.
pub(crate) const OURS: &str = "countersign";

/// A name and what happens.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) play: Play,
}

/// Edits the repository, lets the clients act, and says what ours must answer.
pub(crate) type Play = Box<dyn Fn(&mut Run<'_>) + Send + Sync>;

/// A scenario under way.
pub(crate) struct Run<'a> {
    pub(crate) repo: TufRepository,
    server: WebServer,
    seats: Vec<Seat<'a>>,
    scenario: &'a str,
    step: usize,
    begun: bool,
    wrong: Vec<String>,
    differences: Vec<Difference>,
    /// Roles that ours asked for in the last step, beside the four.
    visited: Vec<String>,
    _folder: tempfile::TempDir,
}

struct Seat<'a> {
    client: &'a mut TufClient,
    machine: Machine,
    /// After its first difference a client is in another state, and says nothing more.
    differs: bool,
}

/// All that is compared of one client's step.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    status: i32,
    trusted: Vec<Option<i64>>,
    visited: Vec<String>,
    downloads: Vec<String>,
    text: String,
}

impl Run<'_> {
    /// Plays it; gives what went wrong with ours, and what the others did otherwise.
    pub(crate) fn play(scenario: &Scenario, clients: &mut [TufClient]) -> (Vec<String>, Vec<Difference>) {
        let folder = tempfile::tempdir().unwrap();
        let server = WebServer::start();
        let machine =
            |name: &str| Machine { folder: folder.path().join(name), url: server.url(), clock_days: 0 };
        let seats = clients
            .iter_mut()
            .map(|client| Seat { machine: machine(client.name), client, differs: false })
            .collect();
        let mut run = Run {
            repo: TufRepository::new(now()),
            server,
            seats,
            scenario: &scenario.name,
            step: 0,
            begun: false,
            wrong: Vec::new(),
            differences: Vec::new(),
            visited: Vec::new(),
            _folder: folder,
        };
        (scenario.play)(&mut run);
        (run.wrong, run.differences)
    }

    /// Every client starts from this root; by default from version 1 as it is served at the first step.
    pub(crate) fn init(&mut self, root: &[u8]) {
        self.begun = true;
        for seat in &mut self.seats {
            let answered = seat.client.init(&seat.machine, root);
            if answered.status != 0 {
                self.wrong
                    .push(format!("{}: init of {}: {}", self.scenario, seat.client.name, answered.text));
            }
        }
    }

    /// Every clock is so many days ahead from now on. A client whose clock cannot be moved stops here; if it is ours,
    /// for want of faketime, so does the scenario.
    pub(crate) fn clock(&mut self, days: i32) {
        for seat in &mut self.seats {
            seat.machine.clock_days = days;
            seat.differs |= !seat.client.has_clock();
        }
    }

    /// Every client refreshes; ours must answer `expected`, which is [`OK`] or an error code.
    pub(crate) fn refresh(&mut self, expected: &str) {
        self.act(expected, |client, machine| client.refresh(machine));
    }

    /// Every client downloads `target`.
    pub(crate) fn download(&mut self, target: &str, expected: &str) {
        self.act(expected, |client, machine| client.download(machine, target));
    }

    /// What every client has must be these bytes and no others.
    pub(crate) fn has(&mut self, files: &[&[u8]]) {
        let mut files: Vec<Vec<u8>> = files.iter().map(|file| file.to_vec()).collect();
        files.sort();
        if self.seats[0].machine.downloads() != files {
            self.complain("other bytes are downloaded");
        }
    }

    /// Our client must trust these versions of root, timestamp, snapshot and targets; 0 for none.
    pub(crate) fn trusts(&mut self, versions: [i64; 4]) {
        let trusted: Vec<i64> = trusted(&self.seats[0].machine).iter().map(|it| it.unwrap_or(0)).collect();
        if trusted != versions {
            self.complain(&format!("trusts {trusted:?} and not {versions:?}"));
        }
    }

    /// Our client must have asked for these delegated roles in this order in the last step.
    pub(crate) fn visits(&mut self, roles: &[&str]) {
        if self.visited != roles {
            let visited = self.visited.clone();
            self.complain(&format!("asks for {visited:?} and not {roles:?}"));
        }
    }

    fn complain(&mut self, what: &str) {
        if self.seats[0].differs {
            return;
        }
        self.wrong.push(format!("{}, step {}: {what}", self.scenario, self.step));
    }

    fn act(&mut self, expected: &str, act: impl Fn(&mut TufClient, &Machine) -> Answered) {
        if !self.begun {
            let root = self.repo.files["metadata/1.root.json"].clone();
            self.init(&root);
        }
        if self.seats[0].differs {
            return;
        }
        self.step += 1;
        self.server.serve(&self.repo.files, &self.repo.statuses);
        let mut ours: Option<Outcome> = None;
        for at in 0..self.seats.len() {
            let seat = &mut self.seats[at];
            if seat.differs {
                continue;
            }
            drop(self.server.asked());
            let answered = act(seat.client, &seat.machine);
            let outcome = Outcome::new(&seat.machine, answered, self.server.asked());
            match &ours {
                None => {
                    self.visited.clone_from(&outcome.visited);
                    if outcome.code() != expected {
                        self.complain(&format!("expected {expected}: {outcome}"));
                    }
                    ours = Some(outcome);
                }
                Some(ours) => {
                    if let Some(what) = outcome.differs_from(ours) {
                        seat.differs = true;
                        self.differences.push(Difference {
                            scenario: self.scenario.to_owned(),
                            client: seat.client.name,
                            what,
                            details: format!("step {}, ours {ours}; theirs {outcome}", self.step),
                        });
                    }
                }
            }
        }
    }
}

impl Outcome {
    fn new(machine: &Machine, answered: Answered, asked: Vec<String>) -> Self {
        let visited = asked.iter().filter_map(|path| delegated(path)).collect();
        let downloads = machine.downloads().iter().map(|bytes| sha256(bytes).to_string()).collect();
        let Answered { status, text } = answered;
        Self { status, trusted: trusted(machine), visited, downloads, text }
    }

    /// [`OK`], or the code that ours tells.
    fn code(&self) -> &str {
        match self.status {
            0 => OK,
            1 => {
                let code = self.text.split_once("error[").and_then(|(_, rest)| rest.split_once(']'));
                code.map_or("no code", |(code, _)| code)
            }
            _ => "failed",
        }
    }

    /// In a word, how this differs from what ours did.
    fn differs_from(&self, ours: &Self) -> Option<&'static str> {
        match (self.status, ours.status) {
            (0, 0) | (1, 1) => {
                let differs = [
                    (self.downloads != ours.downloads, "downloads other bytes"),
                    (self.trusted != ours.trusted, "trusts other versions"),
                    (self.visited != ours.visited, "asks for other roles"),
                ];
                differs.iter().find(|(differs, _)| *differs).map(|(_, what)| *what)
            }
            (0, _) => Some("accepts"),
            (1, _) => Some("refuses"),
            _ => Some("fails"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.lines().next().unwrap_or_default();
        let versions: Vec<i64> = self.trusted.iter().map(|version| version.unwrap_or(0)).collect();
        let word = if self.status == 0 { OK } else { "no" };
        write!(f, "{word} {versions:?} {:?} {} files: {}", self.visited, self.downloads.len(), text)
    }
}

/// The name of a delegated role in the path of a metadata file: `metadata/1.a.json`.
fn delegated(path: &str) -> Option<String> {
    let name = path.strip_prefix("metadata/")?.strip_suffix(".json")?;
    let role = match name.split_once('.') {
        Some((version, role)) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            role
        }
        _ => name,
    };
    (!matches!(role, "root" | "timestamp" | "snapshot" | "targets")).then(|| role.to_owned())
}

fn trusted(machine: &Machine) -> Vec<Option<i64>> {
    ["root", "timestamp", "snapshot", "targets"].iter().map(|role| machine.trusted(role)).collect()
}

/// The instant of the test run, in whole seconds: clients read the clock themselves.
fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Timestamp::from_unix(seconds).unwrap()
}
