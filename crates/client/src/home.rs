//! The client's folder: which repositories this machine trusts, by what name and anchor.
//!
//! ```text
//! HOME/lock                       held while repositories are added or removed
//! HOME/map.json                   which of them must agree, if that is asked for (module `agreement`)
//! HOME/repos/<name>/repo.json     where it is, its anchor, since when
//! HOME/repos/<name>/...           what was verified of it (module `state`)
//! ```
//!
//! A repository comes into being verified: it is fetched into a hidden folder and renamed to its name only when
//! all of it was accepted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_base::json::{self, Json};
use countersign_base::name::RepoName;
use countersign_base::{Anchor, Timestamp, canonical};
use countersign_store::{Disk, Lock, RealDisk, StoreError, durable};

use crate::error::ClientError;
use crate::mirrors::{MAX_PLACES, Mirrors};
use crate::refresh::{Trusted, Want, refresh};
use crate::state::StateDir;
use crate::transport::{Location, Transport};

/// Most repositories in one home.
pub const MAX_REPOSITORIES: usize = 1024;

const REPOS: &str = "repos";
const REPO_FILE: &str = "repo.json";
const MAX_REPO_FILE_BYTES: u64 = 16 * 1024;
const API_VERSION: &str = "0.0.1";
/// Prefix of folders under construction and under removal; no repository's name begins so.
const HIDDEN: &str = ".";

/// How long to wait for another process that holds a lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// A client's folder. Made when the first repository is added.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
}

/// A trusted repository: its name here, where it is, its anchor.
#[derive(Debug, Clone)]
pub struct Repository {
    name: RepoName,
    /// At least one; the first is asked first.
    locations: Vec<Location>,
    anchor: Anchor,
    added: Timestamp,
    pub(crate) state: StateDir,
}

impl Repository {
    /// The name that the user gave it.
    pub const fn name(&self) -> &RepoName {
        &self.name
    }

    /// Where it is fetched from: the place that is asked first, then the others.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// What fetches from there. Nothing is opened or connected yet.
    pub fn transport(&self) -> Mirrors {
        Mirrors::new(&self.locations)
    }

    /// Its identity.
    pub const fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// Since when it is trusted.
    pub const fn added(&self) -> Timestamp {
        self.added
    }

    fn encode(&self) -> Vec<u8> {
        let mut urls = self.locations.iter().map(|location| Json::from(location.to_string()));
        let mut members = vec![
            ("added", Json::from(self.added.to_string())),
            ("anchor", Json::from(self.anchor.to_string())),
            ("apiVersion", Json::from(API_VERSION)),
        ];
        members.extend(urls.next().map(|url| ("url", url)));
        let mirrors: Vec<Json> = urls.collect();
        if !mirrors.is_empty() {
            members.push(("mirrors", Json::Array(mirrors)));
        }
        canonical::rfc8785(&Json::object(members))
    }

    fn parse(name: &RepoName, state: StateDir, bytes: &[u8]) -> Option<Self> {
        let value = json::parse(bytes).ok()?;
        let text = |key| value.get(key).and_then(Json::as_str);
        if text("apiVersion")? != API_VERSION {
            return None;
        }
        let mut locations: Vec<Location> = vec![text("url")?.parse().ok()?];
        if let Some(mirrors) = value.get("mirrors") {
            for mirror in mirrors.as_array()? {
                locations.push(mirror.as_str()?.parse().ok()?);
            }
        }
        if locations.len() > MAX_PLACES {
            return None;
        }
        Some(Self {
            name: name.clone(),
            locations,
            anchor: text("anchor")?.parse().ok()?,
            added: text("added")?.parse().ok()?,
            state,
        })
    }
}

impl Home {
    /// The home at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::on(path, Arc::new(RealDisk))
    }

    /// The same, writing through `disk`.
    pub fn on(path: impl Into<PathBuf>, disk: Arc<dyn Disk>) -> Self {
        Self { path: path.into(), disk }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every trusted repository, by name.
    ///
    /// # Errors
    /// `state-damaged` if one of them does not read, `storage-failed`.
    pub fn repositories(&self) -> Result<Vec<Repository>, ClientError> {
        let folder = self.path.join(REPOS);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("list", &folder)(error).into()),
        };
        let mut repositories = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::io("list", &folder))?;
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(HIDDEN) {
                continue;
            }
            let damaged =
                || ClientError::Damaged { path: entry.path(), reason: "it is not a repository's folder" };
            let name: RepoName = name.to_str().and_then(|name| name.parse().ok()).ok_or_else(damaged)?;
            if repositories.len() == MAX_REPOSITORIES {
                return Err(ClientError::TooMany { what: "repositories", limit: MAX_REPOSITORIES });
            }
            repositories.push(self.repository(&name)?);
        }
        repositories.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(repositories)
    }

    /// The repository of that name.
    ///
    /// # Errors
    /// `trust-repo-unknown`, `state-damaged`, `storage-failed`.
    pub fn repository(&self, name: &RepoName) -> Result<Repository, ClientError> {
        let folder = self.folder(name);
        match fs::symlink_metadata(&folder) {
            Ok(info) if info.is_dir() => {}
            Ok(_) => return Err(ClientError::Damaged { path: folder, reason: "it is not a folder" }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ClientError::Unknown { name: name.to_string() });
            }
            Err(error) => return Err(StoreError::io("read", &folder)(error).into()),
        }
        let path = folder.join(REPO_FILE);
        let damaged = |reason| ClientError::Damaged { path: path.clone(), reason };
        let bytes = match durable::read(&path, MAX_REPO_FILE_BYTES) {
            Err(StoreError::TooLarge { .. }) => return Err(damaged("it is too large")),
            Err(StoreError::Io { .. }) if fs::symlink_metadata(&path).is_ok_and(|info| !info.is_file()) => {
                return Err(damaged("it is not a regular file"));
            }
            read => read?.ok_or_else(|| damaged("it is missing"))?,
        };
        let state = StateDir::new(folder.clone(), self.disk.clone());
        Repository::parse(name, state, &bytes).ok_or_else(|| damaged("it is not as this program writes it"))
    }

    /// Trusts a repository: fetches and verifies all of its current metadata, then remembers it under `name`.
    ///
    /// Adding what is there already, same address and anchor, refreshes it.
    ///
    /// # Errors
    /// `trust-repo-exists`; whatever [`refresh`] refuses. Nothing is remembered then.
    pub fn add(
        &self,
        name: &RepoName,
        location: &Location,
        anchor: Anchor,
        transport: &dyn Transport,
        now: Timestamp,
    ) -> Result<(Repository, Trusted), ClientError> {
        durable::create_dir_all(&*self.disk, &self.path.join(REPOS))?;
        let _lock = lock(&self.path.join("lock"))?;
        match self.repository(name) {
            Ok(held) if held.locations.first() == Some(location) && held.anchor == anchor => {
                let trusted = refresh(&held, transport, &Want::All, now)?;
                return Ok((held, trusted));
            }
            Ok(_) => return Err(ClientError::Exists { name: name.to_string() }),
            Err(ClientError::Unknown { .. }) => {}
            Err(error) => return Err(error),
        }
        let staging = self.hidden("adding", name)?;
        let state = StateDir::new(staging.clone(), self.disk.clone());
        let staged =
            Repository { name: name.clone(), locations: vec![location.clone()], anchor, added: now, state };
        let result = self.fetch_and_name(&staged, &staging, transport, now);
        if result.is_err() {
            // Best effort; the next attempt removes it otherwise.
            let _ = fs::remove_dir_all(&staging);
        }
        let trusted = result?;
        Ok((self.repository(name)?, trusted))
    }

    /// Forgets a repository and all that was verified of it, what guards against its going back included.
    ///
    /// # Errors
    /// `trust-map-invalid` if it must agree on anything: the map knows repositories by their names, and another one
    /// could be given this name, and with it the say of the one that was meant. `trust-repo-unknown`, `storage-failed`. A
    /// damaged one can be removed.
    pub fn remove(&self, name: &RepoName) -> Result<(), ClientError> {
        let folder = self.folder(name);
        if fs::symlink_metadata(&folder).is_err() {
            return Err(ClientError::Unknown { name: name.to_string() });
        }
        let _lock = lock(&self.path.join("lock"))?;
        if let Some(paths) = self.map()?.and_then(|map| map.asks(name)) {
            return Err(ClientError::Mapped { name: name.to_string(), paths });
        }
        let hidden = self.hidden("removed", name)?;
        durable::rename_durable(&*self.disk, &folder, &hidden)?;
        // It is forgotten; what cannot be deleted now is deleted with the next removal of that name.
        let _ = fs::remove_dir_all(&hidden);
        Ok(())
    }

    /// Fetches a trusted repository from other places from now on, in this order: mirrors, a new host. Anchor and all
    /// that was accepted stay, so a new place cannot offer what the old could not.
    ///
    /// # Errors
    /// `trust-repo-unknown`, `state-damaged`, `storage-failed`; `limit-exceeded` for none or more than [`MAX_PLACES`].
    pub fn set_locations(&self, name: &RepoName, locations: &[Location]) -> Result<Repository, ClientError> {
        if locations.is_empty() || locations.len() > MAX_PLACES {
            return Err(ClientError::TooMany { what: "places of one repository", limit: MAX_PLACES });
        }
        let _lock = lock(&self.path.join("lock"))?;
        let moved = Repository { locations: locations.to_vec(), ..self.repository(name)? };
        durable::write_atomic(&*self.disk, &self.folder(name).join(REPO_FILE), &moved.encode(), 0o644)?;
        Ok(moved)
    }

    fn fetch_and_name(
        &self,
        staged: &Repository,
        staging: &Path,
        transport: &dyn Transport,
        now: Timestamp,
    ) -> Result<Trusted, ClientError> {
        durable::create_dir_all(&*self.disk, staging)?;
        durable::write_atomic(&*self.disk, &staging.join(REPO_FILE), &staged.encode(), 0o644)?;
        let trusted = refresh(staged, transport, &Want::All, now)?;
        durable::rename_durable(&*self.disk, staging, &self.folder(&staged.name))?;
        Ok(trusted)
    }

    fn folder(&self, name: &RepoName) -> PathBuf {
        self.path.join(REPOS).join(name.as_str())
    }

    /// A hidden folder that does not exist; one left by a crash is removed.
    fn hidden(&self, purpose: &str, name: &RepoName) -> Result<PathBuf, ClientError> {
        let path = self.path.join(REPOS).join(format!("{HIDDEN}{purpose}-{name}"));
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &path)(error).into())
            }
            _ => Ok(path),
        }
    }
}

/// Takes a lock, waiting for another process to end its work.
///
/// # Errors
/// `storage-failed` when that takes longer than half a minute.
pub(crate) fn lock(path: &Path) -> Result<Lock, StoreError> {
    let start = Instant::now();
    loop {
        match Lock::try_acquire(path) {
            Err(error) if error.is_locked() && start.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}
