//! A disk that counts its steps, fails at one of them, and forgets what was not synced.
//!
//! Use it as in a crash-at-every-write test: run the work once on [`FaultyDisk::counting`] to learn the number of
//! steps, then once for each step and [`Fault`], and reopen what [`FaultyDisk::after`] leaves.
//!
//! Beside the real directory it keeps two trees of folders and files: what a running system sees (live) and what
//! has been synced (durable). A file's bytes become durable by its own sync, a name by the sync of its folder.
//! This is harsher than most file systems: a rename between folders can lose both names or keep both.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_store::{Disk, DiskFile, RealDisk};

/// A folder in memory where there is one: what is durable is modelled here, so the platter need not be asked.
pub fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// How a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens; I/O error. A file whose sync failed so never becomes durable, whatever later syncs say.
    Lost,
    /// It happens, and an I/O error is reported.
    DoneButFailed,
    /// A write leaves half of its bytes; anything else is [`Fault::DoneButFailed`].
    Torn,
    /// Nothing happens; the disk is full.
    NoSpace,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lost, Self::DoneButFailed, Self::Torn, Self::NoSpace];
}

/// What comes after the step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The process dies: every later step fails.
    Dies,
    /// Every later step works.
    GoesOn,
}

/// What a crash takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the process was killed, the machine runs on.
    Nothing,
    /// All names and bytes that were not synced.
    Unsynced,
    /// The bytes that were not synced; their names stay. Journals that order metadata before data do this.
    UnsyncedBytes,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Unsynced, Self::UnsyncedBytes];
}

/// The disk. Paths outside its root are passed through and not remembered.
#[derive(Debug)]
pub struct FaultyDisk {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    steps: usize,
    plan: Option<(usize, Fault, Then)>,
    dead: bool,
    folders: Vec<Folder>,
    files: Vec<Content>,
}

/// An entry of a folder. Numbers are places in `State::folders` and `State::files`: inodes, so to say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder(usize),
    File(usize),
    Link(PathBuf),
}

#[derive(Debug, Default)]
struct Folder {
    live: BTreeMap<OsString, Node>,
    durable: BTreeMap<OsString, Node>,
}

#[derive(Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    mode: u32,
    /// A sync of it failed: the kernel holds its pages for clean and never writes them.
    abandoned: bool,
}

impl FaultyDisk {
    /// A disk that never fails, over the folder `root`, whose present content counts as durable.
    pub fn counting(root: &Path) -> Arc<Self> {
        Self::new(root, None)
    }

    /// A disk whose step number `at` (from 0) fails.
    pub fn failing(root: &Path, at: usize, fault: Fault, then: Then) -> Arc<Self> {
        Self::new(root, Some((at, fault, then)))
    }

    fn new(root: &Path, plan: Option<(usize, Fault, Then)>) -> Arc<Self> {
        let mut state =
            State { steps: 0, plan, dead: false, folders: vec![Folder::default()], files: Vec::new() };
        state.remember(root, 0);
        Arc::new(Self { root: root.to_owned(), state: Mutex::new(state) })
    }

    /// The process starts again on the running machine: what was not synced is still seen, and still not durable.
    /// Steps count from 0 again, and fail by a new plan.
    pub fn restart(&self, plan: Option<(usize, Fault, Then)>) {
        let mut state = self.lock();
        state.plan = plan;
        state.steps = 0;
        state.dead = false;
    }

    /// Steps taken so far.
    pub fn steps(&self) -> usize {
        self.lock().steps
    }

    /// Writes into the empty or absent folder `to` what a crash at this moment leaves.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn after(&self, loss: Loss, to: &Path) {
        fs::create_dir_all(to).expect("the folder can be made");
        self.lock().materialise(0, loss, to);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one step: `act` does it for real, `note` remembers it.
    fn step<T>(
        &self,
        act: impl FnOnce() -> io::Result<T>,
        note: impl FnOnce(&mut State, &Path),
    ) -> io::Result<T> {
        let mut state = self.lock();
        let fault = state.next()?;
        if matches!(fault, Some(Fault::Lost)) {
            return Err(io_error());
        }
        if matches!(fault, Some(Fault::NoSpace)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let done = act()?;
        note(&mut state, &self.root);
        if fault.is_some() { Err(io_error()) } else { Ok(done) }
    }
}

fn io_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl State {
    /// Counts a step and says how it must fail.
    fn next(&mut self) -> io::Result<Option<Fault>> {
        if self.dead {
            return Err(io_error());
        }
        let number = self.steps;
        self.steps += 1;
        match self.plan {
            Some((at, fault, then)) if at == number => {
                self.dead = then == Then::Dies;
                Ok(Some(fault))
            }
            _ => Ok(None),
        }
    }

    /// Reads a real folder into the (empty) folder number `into`, as durable.
    fn remember(&mut self, path: &Path, into: usize) {
        for entry in fs::read_dir(path).expect("the folder can be read") {
            let entry = entry.expect("the folder can be read");
            let info = entry.metadata().expect("the file can be read");
            let node = if info.is_symlink() {
                Node::Link(fs::read_link(entry.path()).expect("the link can be read"))
            } else if info.is_dir() {
                self.folders.push(Folder::default());
                let number = self.folders.len() - 1;
                self.remember(&entry.path(), number);
                Node::Folder(number)
            } else {
                let bytes = fs::read(entry.path()).expect("the file can be read");
                let mode = info.permissions().mode() & 0o7777;
                self.files.push(Content { durable: bytes.clone(), live: bytes, mode, abandoned: false });
                Node::File(self.files.len() - 1)
            };
            self.folders[into].live.insert(entry.file_name(), node.clone());
            self.folders[into].durable.insert(entry.file_name(), node);
        }
    }

    fn materialise(&self, folder: usize, loss: Loss, to: &Path) {
        let names = match loss {
            Loss::Unsynced => &self.folders[folder].durable,
            Loss::Nothing | Loss::UnsyncedBytes => &self.folders[folder].live,
        };
        for (name, node) in names {
            let path = to.join(name);
            match node {
                Node::Folder(number) => {
                    fs::create_dir(&path).expect("the folder can be made");
                    self.materialise(*number, loss, &path);
                }
                Node::File(number) => {
                    let content = &self.files[*number];
                    let bytes = if loss == Loss::Nothing { &content.live } else { &content.durable };
                    fs::write(&path, bytes).expect("the file can be written");
                    let permissions = fs::Permissions::from_mode(content.mode);
                    fs::set_permissions(&path, permissions).expect("the file is ours");
                }
                Node::Link(target) => symlink(target, &path).expect("the link can be made"),
            }
        }
    }

    /// The number of the live folder at `path`.
    fn folder(&self, root: &Path, path: &Path) -> Option<usize> {
        let mut number = 0;
        for component in path.strip_prefix(root).ok()?.components() {
            let Component::Normal(name) = component else { return None };
            match self.folders[number].live.get(name)? {
                Node::Folder(next) => number = *next,
                Node::File(_) | Node::Link(_) => return None,
            }
        }
        Some(number)
    }

    fn node(&self, root: &Path, path: &Path) -> Option<Node> {
        let folder = self.folder(root, path.parent()?)?;
        self.folders[folder].live.get(path.file_name()?).cloned()
    }

    fn insert(&mut self, root: &Path, path: &Path, node: Node) {
        if let (Some(folder), Some(name)) =
            (path.parent().and_then(|p| self.folder(root, p)), path.file_name())
        {
            self.folders[folder].live.insert(name.to_owned(), node);
        }
    }

    fn remove(&mut self, root: &Path, path: &Path) -> Option<Node> {
        let folder = self.folder(root, path.parent()?)?;
        self.folders[folder].live.remove(path.file_name()?)
    }

    /// What the file open at `file` is called now does not matter: its content is found by its inode.
    fn content(&mut self, file: &DiskFile) -> Option<&mut Content> {
        let number = file.tag?;
        self.files.get_mut(number)
    }
}

impl Disk for FaultyDisk {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<DiskFile> {
        let mut number = 0;
        let mut file = self.step(
            || RealDisk.create_new(path, mode),
            |state, root| {
                number = state.files.len();
                state.files.push(Content { mode, ..Content::default() });
                state.insert(root, path, Node::File(number));
            },
        )?;
        file.tag = Some(number);
        Ok(file)
    }

    fn open_append(&self, path: &Path) -> io::Result<DiskFile> {
        let mut number = None;
        let mut file = self.step(
            || RealDisk.open_append(path),
            |state, root| {
                if let Some(Node::File(found)) = state.node(root, path) {
                    number = Some(found);
                }
            },
        )?;
        file.tag = number;
        Ok(file)
    }

    fn open_write(&self, path: &Path) -> io::Result<DiskFile> {
        let mut number = None;
        let mut file = self.step(
            || RealDisk.open_write(path),
            |state, root| {
                if let Some(Node::File(found)) = state.node(root, path) {
                    number = Some(found);
                }
            },
        )?;
        file.tag = number;
        Ok(file)
    }

    fn write_at(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.next()?;
        let part = match fault {
            Some(Fault::Lost) => return Err(io_error()),
            Some(Fault::NoSpace) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Torn) => &bytes[..bytes.len() / 2],
            Some(Fault::DoneButFailed) | None => bytes,
        };
        RealDisk.write_at(file, offset, part)?;
        if let Some(content) = state.content(file) {
            let (from, to) = (offset as usize, offset as usize + part.len());
            content.live.resize(content.live.len().max(to), 0);
            content.live[from..to].copy_from_slice(part);
        }
        if fault.is_some() { Err(io_error()) } else { Ok(()) }
    }

    fn write(&self, file: &mut DiskFile, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.next()?;
        let part = match fault {
            Some(Fault::Lost) => return Err(io_error()),
            Some(Fault::NoSpace) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Torn) => &bytes[..bytes.len() / 2],
            Some(Fault::DoneButFailed) | None => bytes,
        };
        RealDisk.write(file, part)?;
        if let Some(content) = state.content(file) {
            content.live.extend_from_slice(part);
        }
        if fault.is_some() { Err(io_error()) } else { Ok(()) }
    }

    fn set_len(&self, file: &DiskFile, len: u64) -> io::Result<()> {
        self.step(
            || RealDisk.set_len(file, len),
            |state, _| {
                if let Some(content) = state.content(file) {
                    content.live.resize(len as usize, 0);
                }
            },
        )
    }

    fn set_mode(&self, file: &DiskFile, mode: u32) -> io::Result<()> {
        self.step(
            || RealDisk.set_mode(file, mode),
            |state, _| {
                if let Some(content) = state.content(file) {
                    content.mode = mode;
                }
            },
        )
    }

    fn sync(&self, file: &DiskFile) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.next()?;
        let Some(content) = state.content(file) else { return Ok(()) };
        if matches!(fault, Some(Fault::Lost | Fault::NoSpace)) {
            content.abandoned = true;
        }
        if !content.abandoned {
            content.durable = content.live.clone();
        }
        if fault.is_some() { Err(io_error()) } else { Ok(()) }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step(
            || fs::File::open(path).map(drop),
            |state, root| {
                if let Some(number) = state.folder(root, path) {
                    let folder = &mut state.folders[number];
                    folder.durable = folder.live.clone();
                }
            },
        )
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(
            || RealDisk.rename(from, to),
            |state, root| {
                if let Some(node) = state.remove(root, from) {
                    state.insert(root, to, node);
                }
            },
        )
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(
            || RealDisk.rename_new(from, to),
            |state, root| {
                if let Some(node) = state.remove(root, from) {
                    state.insert(root, to, node);
                }
            },
        )
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(
            || RealDisk.hard_link(from, to),
            |state, root| {
                if let Some(node) = state.node(root, from) {
                    state.insert(root, to, node);
                }
            },
        )
    }

    fn symlink(&self, target: &Path, at: &Path) -> io::Result<()> {
        self.step(
            || RealDisk.symlink(target, at),
            |state, root| state.insert(root, at, Node::Link(target.to_owned())),
        )
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.step(
            || RealDisk.create_dir(path),
            |state, root| {
                state.folders.push(Folder::default());
                let number = state.folders.len() - 1;
                state.insert(root, path, Node::Folder(number));
            },
        )
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step(|| RealDisk.remove_file(path), |state, root| drop(state.remove(root, path)))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.step(|| RealDisk.remove_dir(path), |state, root| drop(state.remove(root, path)))
    }
}
