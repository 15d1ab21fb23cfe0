//! A store in memory as several processes see it: each operation of each process can be paused, lost, or done and
//! answered wrongly, as told.
//!
//! What it keeps and compares are bytes alone, so a cell whose value comes back takes an old writer's word again;
//! servers whose entity tags are digests do the same.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use countersign_store::{Cell, Held, Objects, Put, StoreError};

/// The store. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SharedStore(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    objects: BTreeMap<String, Vec<u8>>,
    cells: BTreeMap<String, Vec<Vec<u8>>>,
    /// Writes that were sent and have not arrived.
    late: Vec<Write>,
}

/// A write with its condition.
#[derive(Debug, Clone)]
enum Write {
    Put { name: String, bytes: Vec<u8> },
    Swap { name: String, before: Option<Vec<u8>>, next: Vec<u8> },
}

/// An operation that a process is about to do, or has done.
#[derive(Debug, Clone)]
pub struct Step {
    /// How many came before it in this process.
    pub number: usize,
    /// `get`, `put`, `list`, `load` or `swap`.
    pub operation: &'static str,
    /// The object or cell.
    pub name: String,
}

impl Step {
    /// Whether it can change something.
    pub fn writes(&self) -> bool {
        matches!(self.operation, "put" | "swap")
    }
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done and answered.
    Done,
    /// It is not done; an error is reported.
    Lost,
    /// It is done; an error is reported.
    DoneButFailed,
    /// An error is reported, and it is done when [`SharedStore::arrive`] is called; a read is lost.
    Late,
    /// It is done twice, and the second answer is reported: "there already", or "the condition does not hold".
    Twice,
}

impl Fate {
    /// All that go wrong.
    pub const WRONG: [Self; 4] = [Self::Lost, Self::DoneButFailed, Self::Late, Self::Twice];
}

/// What a process meets at its operations.
pub trait Hooks: Send + Sync + core::fmt::Debug {
    /// Before one; may wait.
    fn before(&self, step: &Step) -> Fate;
    /// After one, before its answer is given; may wait. False loses the answer.
    fn after(&self, _step: &Step) -> bool {
        true
    }
}

impl SharedStore {
    /// Another process on it.
    pub fn process(&self, hooks: Arc<dyn Hooks>) -> Process {
        Process { store: self.clone(), hooks, steps: Arc::default() }
    }

    /// A copy of what is there now.
    #[must_use]
    pub fn fork(&self) -> Self {
        let world = self.world();
        let (objects, cells) = (world.objects.clone(), world.cells.clone());
        Self(Arc::new(Mutex::new(World { objects, cells, late: Vec::new() })))
    }

    /// Lets the late writes arrive. Returns how many changed something.
    pub fn arrive(&self) -> usize {
        let mut world = self.world();
        let late = core::mem::take(&mut world.late);
        late.iter().filter(|write| matches!(world.write(write), Ok(Put::Created))).count()
    }

    /// Every value that a cell has had, in order.
    pub fn history(&self, cell: &str) -> Vec<Vec<u8>> {
        self.world().cells.get(cell).cloned().unwrap_or_default()
    }

    /// Names of all objects.
    pub fn names(&self) -> Vec<String> {
        self.world().objects.keys().cloned().collect()
    }

    /// Removes a cell, as no process does.
    pub fn forget_cell(&self, name: &str) {
        self.world().cells.remove(name);
    }

    /// Changes or removes an object, as no process does.
    pub fn tamper(&self, name: &str, bytes: Option<Vec<u8>>) {
        let mut world = self.world();
        world.objects.remove(name);
        world.objects.extend(bytes.map(|bytes| (name.to_owned(), bytes)));
    }

    /// Writes objects and cells as files.
    ///
    /// # Panics
    /// If the folder does not take them.
    pub fn copy_to(&self, folder: &Path) {
        let world = self.world();
        let cells = world.cells.iter().filter_map(|(name, values)| Some((name, values.last()?)));
        for (name, bytes) in world.objects.iter().chain(cells) {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder");
            fs::write(path, bytes).expect("a file");
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn write(&mut self, write: &Write) -> Result<Put, StoreError> {
        match write {
            Write::Put { name, bytes } => match self.objects.get(name) {
                None => {
                    self.objects.insert(name.clone(), bytes.clone());
                    Ok(Put::Created)
                }
                Some(held) if held == bytes => Ok(Put::AlreadySame),
                Some(_) => Err(StoreError::Different { path: name.into() }),
            },
            Write::Swap { name, before, next } => {
                let values = self.cells.entry(name.clone()).or_default();
                if values.last() != before.as_ref() {
                    return Err(StoreError::Conflict { path: name.into() });
                }
                values.push(next.clone());
                Ok(Put::Created)
            }
        }
    }
}

/// A process on the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Process {
    store: SharedStore,
    hooks: Arc<dyn Hooks>,
    steps: Arc<Mutex<usize>>,
}

impl Process {
    /// Its view of the objects.
    pub fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(self.clone())
    }

    /// Its view of a cell.
    pub fn cell(&self, name: &str) -> Arc<dyn Cell> {
        Arc::new(ProcessCell { process: self.clone(), name: name.to_owned() })
    }

    /// Operations that it has begun.
    pub fn steps(&self) -> usize {
        *self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step<T>(
        &self,
        operation: &'static str,
        name: &str,
        late: Option<Write>,
        run: impl Fn(&mut World) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let number = {
            let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
            *steps += 1;
            *steps - 1
        };
        let step = Step { number, operation, name: name.to_owned() };
        let failed = || Err(StoreError::io(operation, name.as_ref())(io::Error::other("no answer")));
        let answer = match self.hooks.before(&step) {
            Fate::Done => run(&mut self.store.world()),
            Fate::Lost => failed(),
            Fate::DoneButFailed => run(&mut self.store.world()).and_then(|_| failed()),
            Fate::Late => {
                self.store.world().late.extend(late);
                failed()
            }
            Fate::Twice => {
                let mut world = self.store.world();
                drop(run(&mut world));
                run(&mut world)
            }
        };
        if self.hooks.after(&step) { answer } else { failed() }
    }

    fn write(&self, operation: &'static str, name: &str, write: Write) -> Result<Put, StoreError> {
        self.step(operation, name, Some(write.clone()), |world| world.write(&write))
    }
}

impl Objects for Process {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.step("get", name, None, |world| Ok(world.objects.get(name).cloned()))
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.write("put", name, Write::Put { name: name.to_owned(), bytes: bytes.to_vec() })
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.step("list", folder, None, |world| {
            Ok(world.objects.keys().filter(|name| name.starts_with(&below)).cloned().collect())
        })
    }
}

#[derive(Debug)]
struct ProcessCell {
    process: Process,
    name: String,
}

impl ProcessCell {
    fn swap(&self, before: Option<&[u8]>, next: &[u8]) -> Result<Held, StoreError> {
        let before = before.map(<[u8]>::to_vec);
        let write = Write::Swap { name: self.name.clone(), before, next: next.to_vec() };
        self.process.write("swap", &self.name, write)?;
        Ok(Held::tagged(next.to_vec(), String::new()))
    }
}

impl Cell for ProcessCell {
    fn load(&self) -> Result<Option<Held>, StoreError> {
        self.process.step("load", &self.name, None, |world| {
            let value = world.cells.get(&self.name).and_then(|values| values.last());
            Ok(value.map(|bytes| Held::tagged(bytes.clone(), String::new())))
        })
    }

    fn create(&self, first: &[u8]) -> Result<Held, StoreError> {
        self.swap(None, first)
    }

    fn replace(&self, held: Held, next: &[u8]) -> Result<Held, StoreError> {
        self.swap(Some(held.bytes()), next)
    }
}

/// When something happens at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before it is done.
    Before,
    /// After it is done, before its answer is given.
    After,
}

impl When {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Before, Self::After];
}

/// Hooks that do one thing at one operation.
#[derive(Debug)]
pub struct Script {
    at: Option<(usize, Act)>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Pause(When),
    Kill(When),
    Once(Fate),
}

#[derive(Debug, Default)]
struct State {
    acted: bool,
    paused: bool,
    resumed: bool,
    dead: bool,
}

impl Script {
    fn new(at: Option<(usize, Act)>) -> Arc<Self> {
        Arc::new(Self { at, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Nothing goes wrong.
    pub fn good() -> Arc<Self> {
        Self::new(None)
    }

    /// At operation `at` the process stands still until [`Script::resume`]: all of its threads, at their next
    /// operation.
    pub fn pausing(at: usize, when: When) -> Arc<Self> {
        Self::new(Some((at, Act::Pause(when))))
    }

    /// At operation `at` the process dies: no operation after that is done or answered.
    pub fn killing(at: usize, when: When) -> Arc<Self> {
        Self::new(Some((at, Act::Kill(when))))
    }

    /// Operation `at` has this fate.
    pub fn with(at: usize, fate: Fate) -> Arc<Self> {
        Self::new(Some((at, Act::Once(fate))))
    }

    /// Waits until the process stands still; false if `ended` says that it has ended first.
    pub fn await_pause(&self, ended: impl Fn() -> bool) -> bool {
        let mut state = self.lock();
        while !state.paused {
            if ended() {
                return false;
            }
            let time = core::time::Duration::from_millis(1);
            state = self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Whether the process came to the operation that the script is about.
    pub fn has_acted(&self) -> bool {
        self.lock().acted
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.lock().resumed = true;
        self.changed.notify_all();
    }

    /// Kills the process where it is.
    pub fn kill(&self) {
        self.lock().dead = true;
        self.resume();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the process stands still; false if it is dead.
    fn pass(&self, begin: bool) -> bool {
        let mut state = self.lock();
        if begin {
            state.paused = true;
            self.changed.notify_all();
        }
        while state.paused && !state.resumed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.dead
    }

    fn pauses(&self, step: &Step, now: When) -> bool {
        matches!(self.at, Some((at, Act::Pause(when))) if at == step.number && when == now)
    }

    fn dies(&self, step: &Step, now: When) -> bool {
        matches!(self.at, Some((at, Act::Kill(when))) if at == step.number && when == now)
    }
}

impl Hooks for Script {
    fn before(&self, step: &Step) -> Fate {
        if self.at.is_some_and(|(at, _)| at == step.number) {
            self.lock().acted = true;
        }
        if self.dies(step, When::Before) {
            self.lock().dead = true;
        }
        if !self.pass(self.pauses(step, When::Before)) {
            return Fate::Lost;
        }
        match self.at {
            Some((at, Act::Once(fate))) if at == step.number => fate,
            _ => Fate::Done,
        }
    }

    fn after(&self, step: &Step) -> bool {
        if self.dies(step, When::After) {
            self.lock().dead = true;
        }
        self.pass(self.pauses(step, When::After))
    }
}
