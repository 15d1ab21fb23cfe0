//! Making a generation active: the new one of an installation, or the previous one of a rollback.
//!
//! An installation goes in this order, each step durable before the next:
//! 1. a folder `.tmp-generation` of hard links into the store. Crash: it is swept away.
//! 2. every file in it hashed through the descriptor that was opened there. From here on it does not matter what
//!    happens to the store or a download (attack D11): these are the names that will be active, and `run` hashes
//!    them once more.
//! 3. the record says, uncommitted, that generation n is to become active. Crash: the record is taken back.
//! 4. the folder gets its name, `n`. Crash: as before, and the folder is swept away.
//! 5. the link `current` is replaced in one rename. Crash: the record is committed.
//! 6. the record is committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use countersign_base::name::{Channel, Platform, ProductName, RepoName, Version};
use countersign_base::{Anchor, Timestamp};
use countersign_store::durable;
use countersign_verify::{Release, Verified};

use crate::content::{inspect, require_intact};
use crate::error::InstallError;
use crate::installer::Installer;
use crate::layout::{Link, UNFINISHED, remove_tree};
use crate::ledger;
use crate::state::{EventKind, Generation, InstalledFile, MAX_FILES, Standing, State};
use crate::view::View;

/// What the user asks for beside the release itself.
#[derive(Debug, Clone)]
pub struct Request {
    /// What the user calls the repository.
    pub repository_name: RepoName,
    /// The current time, for the record.
    pub now: Timestamp,
    /// A floor that the user sets. The publisher's is in the release.
    pub floor: Option<Version>,
    /// An older version than the active one is meant.
    pub downgrade: bool,
}

/// What is active now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activated {
    /// The generation.
    pub generation: Generation,
    /// False if it was active and intact already, so that nothing was done.
    pub changed: bool,
    /// The version that was active before, if another generation was.
    pub replaced: Option<Version>,
    /// The folder of the active files, `ROOT/PRODUCT/current`.
    pub path: PathBuf,
}

/// The files of one version of one product for one platform.
struct Set {
    product: ProductName,
    version: Version,
    platform: Platform,
    channel: Channel,
    repository: Anchor,
    floor: Option<Version>,
    files: Vec<InstalledFile>,
}

impl Installer {
    /// Whether [`Installer::activate`] would take this release, as far as can be said before its files are here.
    ///
    /// # Errors
    /// `install-below-floor`, `install-downgrade`, `install-ambiguous`, `install-state-damaged`
    pub fn check(&mut self, files: &[Verified<Release>], request: &Request) -> Result<(), InstallError> {
        let releases: Vec<&Release> = files.iter().map(Verified::value).collect();
        let set = Set::of(&releases)?;
        let state = self.load(&set.product)?.unwrap_or_else(|| State::new(set.product.clone()));
        set.may_follow(&state, request)
    }

    /// Makes a release active: all of its files, whose content [`Installer::receive`] has taken in.
    ///
    /// # Errors
    /// `install-below-floor`, `install-downgrade`, `install-ambiguous` if the product is installed from another
    /// repository, `install-content-changed` if the store lacks a file or has other bytes,
    /// `install-state-damaged`, `install-storage-failed`. After any of them the active version is unchanged.
    pub fn activate(
        &mut self,
        files: &[Verified<Release>],
        request: &Request,
    ) -> Result<Activated, InstallError> {
        let releases: Vec<&Release> = files.iter().map(Verified::value).collect();
        self.activate_releases(&releases, request)
    }

    pub(crate) fn activate_releases(
        &mut self,
        releases: &[&Release],
        request: &Request,
    ) -> Result<Activated, InstallError> {
        let set = Set::of(releases)?;
        let mut state = self.load(&set.product)?.unwrap_or_else(|| State::new(set.product.clone()));
        set.may_follow(&state, request)?;
        let floor_rises = state.raise_floor(set.floor.as_ref()) | state.raise_floor(request.floor.as_ref());
        let replaced = state.active().map(|active| active.version.clone());
        let link = self.layout().link(&set.product)?;
        if let Some(current) = self.view().whole_and_active(&state, link, &set)? {
            if floor_rises {
                ledger::save(self.disk(), self.layout(), &mut state)?;
            }
            return Ok(self.activated(&set.product, current, false, None));
        }
        self.ensure_product(&set.product)?;
        let generation = self.free_generation(&state, &set, request)?;
        if let Err(error) = self.build(&generation, &set.product) {
            self.give_up(&set.product);
            return Err(error);
        }
        state.next = generation.number + 1;
        state.generations.push(generation.clone());
        state.intend(EventKind::Install, generation.number, set.version.clone(), request.now);
        let done = self.switch(&mut state, |installer| {
            let (product, number) = (&set.product, generation.number);
            let unfinished = installer.layout().generations(product).join(UNFINISHED);
            Ok(durable::rename_durable(
                installer.disk(),
                &unfinished,
                &installer.layout().generation(product, number),
            )?)
        });
        self.conclude(done, &set.product, generation.number)?;
        Ok(self.activated(&set.product, generation, true, replaced))
    }

    /// Goes back to the generation that was active before the present one, if it is whole.
    ///
    /// `floor` is the publisher's by the newest metadata at hand.
    ///
    /// # Errors
    /// `install-not-installed`, `install-no-previous`, `install-below-floor`, `install-content-changed`,
    /// `install-state-damaged`, `install-storage-failed`. After any of them the active version is unchanged.
    pub fn rollback(
        &mut self,
        product: &ProductName,
        floor: Option<&Version>,
        now: Timestamp,
    ) -> Result<Activated, InstallError> {
        let not_installed = || InstallError::NotInstalled { product: product.clone() };
        let mut state = self.load(product)?.ok_or_else(not_installed)?;
        let active = self.view().active(&state, self.layout().link(product)?)?.ok_or_else(not_installed)?;
        let previous = active.previous.and_then(|number| state.generation(number)).cloned();
        let previous = previous.ok_or_else(|| InstallError::NoPrevious { product: product.clone() })?;
        let replaced = active.version.clone();
        state.raise_floor(floor);
        check_floor(&state, &previous.version, None)?;
        require_intact(self.layout(), product, &previous)?;
        state.intend(EventKind::Rollback, previous.number, previous.version.clone(), now);
        let done = self.switch(&mut state, |_| Ok(()));
        self.conclude(done, product, previous.number)?;
        Ok(self.activated(product, previous, true, Some(replaced)))
    }

    /// Writes the intent, does `prepare`, replaces the link, commits.
    fn switch(
        &self,
        state: &mut State,
        prepare: impl FnOnce(&Self) -> Result<(), InstallError>,
    ) -> Result<(), InstallError> {
        let Some(number) = state.events.last().map(|event| event.generation) else { return Ok(()) };
        let current = self.layout().current(&state.product);
        if fs::symlink_metadata(&current).is_ok_and(|info| info.is_dir()) {
            return Err(InstallError::Planted { path: current, found: "a folder" });
        }
        ledger::save(self.disk(), self.layout(), state)?;
        prepare(self)?;
        let target = PathBuf::from(format!("generations/{number}"));
        durable::replace_symlink(self.disk(), &target, &current)?;
        state.commit();
        // The generation is active and this is durable: a failure from here on is mended by the next `load`.
        let _ = ledger::save_record(self.disk(), self.layout(), state);
        Ok(())
    }

    /// A failure after the link was replaced is none if it can be mended at once.
    fn conclude(
        &mut self,
        done: Result<(), InstallError>,
        product: &ProductName,
        number: u64,
    ) -> Result<(), InstallError> {
        let Err(error) = done else { return Ok(()) };
        self.give_up(product);
        let settled = ledger::load(self.layout(), product)?;
        let active = settled.as_ref().filter(|state| state.events.last().is_some_and(|last| last.committed));
        if active.and_then(State::active).is_some_and(|active| active.number == number) {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// After a failure: settles at once what can be settled. What cannot is settled by the next process.
    fn give_up(&mut self, product: &ProductName) {
        let loaded = self.load(product);
        if matches!(loaded, Ok(None)) {
            // Nothing was ever installed: take away the empty folders as well.
            let generations = self.layout().generations(product);
            let _ = self.disk().remove_dir(&generations);
            let _ = self.disk().remove_dir(&self.layout().product(product));
        }
    }

    /// The generation to be, with a number that nothing on disk has.
    fn free_generation(
        &self,
        state: &State,
        set: &Set,
        request: &Request,
    ) -> Result<Generation, InstallError> {
        let taken = |number| fs::symlink_metadata(self.layout().generation(&set.product, number)).is_ok();
        let number = (state.next..u64::MAX).find(|number| !taken(*number)).unwrap_or(state.next);
        // A reinstallation because files had changed does not make the damaged generation the one to go back to.
        let previous = state.active().and_then(|active| {
            let same = active.version == set.version && active.files == set.files;
            if same { active.previous } else { Some(active.number) }
        });
        Ok(Generation {
            number,
            version: set.version.clone(),
            platform: set.platform.clone(),
            channel: set.channel.clone(),
            repository: set.repository,
            repository_name: request.repository_name.clone(),
            installed_at: request.now,
            previous,
            files: set.files.clone(),
        })
    }

    /// Links the files into an unfinished folder and hashes them there.
    fn build(&self, generation: &Generation, product: &ProductName) -> Result<(), InstallError> {
        let folder = self.layout().generations(product).join(UNFINISHED);
        if fs::symlink_metadata(&folder).is_ok() {
            remove_tree(self.disk(), &folder)?;
        }
        self.disk().create_dir(&folder).map_err(InstallError::storage("create the folder", &folder))?;
        for file in &generation.files {
            let from = self.layout().content(file.sha256, file.mode);
            self.link(&from, &folder.join(file.name.as_str()))?;
        }
        durable::sync_dir(self.disk(), &folder)?;
        for file in &generation.files {
            let path = [product.as_str(), "generations", UNFINISHED, file.name.as_str()];
            if let Err(problem) = inspect(&self.layout().root, &path, file)? {
                let stored = self.layout().content(file.sha256, file.mode);
                return Err(InstallError::changed(&stored, problem.to_string()));
            }
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> Result<(), InstallError> {
        match self.disk().hard_link(from, to) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(InstallError::changed(from, "it is missing from the store"))
            }
            Err(source) => Err(InstallError::storage("link", to)(source)),
        }
    }

    fn activated(
        &self,
        product: &ProductName,
        generation: Generation,
        changed: bool,
        replaced: Option<Version>,
    ) -> Activated {
        Activated { generation, changed, replaced, path: self.layout().current(product) }
    }
}

impl View {
    /// What is active, if it is this very release, intact, and there is nothing to record: then no [`Installer`] is
    /// needed. `None` where there is something to do, or to refuse. Takes no lock and writes nothing.
    pub fn already_active(&self, files: &[Verified<Release>]) -> Option<Activated> {
        let releases: Vec<&Release> = files.iter().map(Verified::value).collect();
        self.already_active_releases(&releases)
    }

    pub(crate) fn already_active_releases(&self, releases: &[&Release]) -> Option<Activated> {
        let set = Set::of(releases).ok()?;
        let (state, link) = self.recorded(&set.product).ok()?;
        let settled = state.standing(link) == Standing::Settled
            && matches!(self.copy_problem(&set.product, &state), Ok(None))
            && state.floor >= set.floor
            && check_floor(&state, &set.version, None).is_ok()
            && state.generations.iter().all(|one| one.repository == set.repository);
        if !settled {
            return None;
        }
        let generation = self.whole_and_active(&state, link, &set).ok()??;
        let path = self.layout().current(&set.product);
        Some(Activated { generation, changed: false, replaced: None, path })
    }

    /// The active generation, if it is this very release and intact.
    fn whole_and_active(
        &self,
        state: &State,
        link: Link,
        set: &Set,
    ) -> Result<Option<Generation>, InstallError> {
        let Ok(Some(active)) = state.active_by(link) else { return Ok(None) };
        let same =
            active.version == set.version && active.platform == set.platform && active.files == set.files;
        if !same || !self.check_generation(&set.product, active)?.is_empty() {
            return Ok(None);
        }
        Ok(Some(active.clone()))
    }
}

impl Set {
    fn of(releases: &[&Release]) -> Result<Self, InstallError> {
        let wrong = |reason| InstallError::NotOneRelease { reason };
        let first = releases.first().ok_or(wrong("there are none"))?;
        if releases.len() > MAX_FILES {
            return Err(InstallError::Limit {
                what: "files in a release",
                count: releases.len(),
                max: MAX_FILES,
            });
        }
        let place = |release: &Release| {
            let path = &release.path;
            (path.product.clone(), path.version.clone(), path.platform.clone(), release.repository)
        };
        if releases.iter().any(|release| place(release) != place(first)) {
            return Err(wrong("product, version, platform or repository differ"));
        }
        let mut files: Vec<InstalledFile> =
            releases.iter().map(|release| InstalledFile::of(release)).collect();
        files.sort();
        let names: BTreeSet<_> = files.iter().map(|file| &file.name).collect();
        if names.len() != files.len() {
            return Err(wrong("a name occurs twice"));
        }
        let (product, version, platform, repository) = place(first);
        let floor = releases.iter().filter_map(|release| release.floor.clone()).max();
        let channel = first.channel.clone();
        Ok(Self { product, version, platform, channel, repository, floor, files })
    }

    /// Whether this may become active where `state` is.
    fn may_follow(&self, state: &State, request: &Request) -> Result<(), InstallError> {
        let product = || self.product.clone();
        if let Some(other) = state.generations.iter().find(|one| one.repository != self.repository) {
            return Err(InstallError::OtherRepository { product: product(), installed: other.repository });
        }
        check_floor(state, &self.version, self.floor.as_ref().max(request.floor.as_ref()))?;
        match state.active() {
            Some(active) if self.version < active.version && !request.downgrade => {
                let (version, active) = (self.version.clone(), active.version.clone());
                Err(InstallError::Downgrade { product: product(), version, active })
            }
            _ => Ok(()),
        }
    }
}

fn check_floor(state: &State, version: &Version, also: Option<&Version>) -> Result<(), InstallError> {
    match state.floor.as_ref().max(also) {
        Some(floor) if version < floor => Err(InstallError::BelowFloor {
            product: state.product.clone(),
            version: version.clone(),
            floor: floor.clone(),
        }),
        _ => Ok(()),
    }
}
