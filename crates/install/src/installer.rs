//! The session of whoever changes a root: the lock, recovery, and the floor.

use core::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use countersign_base::name::{ProductName, Version};
use countersign_store::{Disk, Lock, RealDisk, StoreError, durable};

use crate::error::{InstallError, Repair};
use crate::layout::{Layout, UNFINISHED, ensure_folder, entries, is_folder, number, remove_tree};
use crate::ledger::{self, Found};
use crate::state::{Standing, State};
use crate::view::View;

/// The right to change what is installed below a root. One process at a time has it, for as long as this lives.
#[derive(Debug)]
pub struct Installer {
    view: View,
    disk: Arc<dyn Disk>,
    /// Held for the lock's sake.
    _lock: Lock,
    recovered: Vec<Recovered>,
}

/// What an earlier process left unfinished, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The product.
    pub product: ProductName,
    /// What was done.
    pub what: Recovery,
}

/// How an interrupted change was settled. Whichever: what is active is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The generation had become active; its record was completed.
    Completed {
        /// Its number.
        generation: u64,
    },
    /// The generation had not become active; the change was undone.
    Undone {
        /// Its number.
        generation: u64,
    },
    /// Unfinished files and folders were removed.
    Cleared,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let product = &self.product;
        match self.what {
            Recovery::Completed { generation } => {
                write!(f, "the interrupted change of `{product}` to generation {generation} was completed")
            }
            Recovery::Undone { generation } => {
                write!(f, "the interrupted change of `{product}` to generation {generation} was undone")
            }
            Recovery::Cleared => write!(f, "unfinished files of `{product}` were removed"),
        }
    }
}

impl Installer {
    /// Takes the lock of `root`, which is created if absent, and settles what an interrupted process left.
    ///
    /// # Errors
    /// `install-locked`, `install-storage-failed`, `install-state-damaged` if one of our folders is a link. A
    /// damaged record of one product is no error here, only where that product is meant.
    pub fn open(root: &Path) -> Result<Self, InstallError> {
        Self::open_on(Arc::new(RealDisk), root)
    }

    /// As [`Installer::open`], with every change going through `disk`: for tests that make it fail.
    pub fn open_on(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, InstallError> {
        let layout = Layout { root: root.to_owned() };
        durable::create_dir_all(&*disk, root)?;
        for folder in layout.own_folders() {
            ensure_folder(&*disk, &folder)?;
        }
        let lock = Lock::try_acquire(&layout.lock()).map_err(|error| match error {
            StoreError::Locked { .. } => InstallError::Locked { root: root.to_owned() },
            other => other.into(),
        })?;
        durable::remove_stale(&*disk, &layout.products())?;
        let mut installer = Self { view: View { layout }, disk, _lock: lock, recovered: Vec::new() };
        for product in ledger::products(installer.layout())? {
            match installer.load(&product) {
                // Each is reported when its product is meant.
                Ok(_) | Err(InstallError::StateDamaged { .. } | InstallError::Planted { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(installer)
    }

    /// The same root, for looking only.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// What was found unfinished and settled since the lock was taken; `install-recovered` as a note.
    pub fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    /// Raises the lowest version of a product that may be installed, durably; a lower one changes nothing.
    ///
    /// Returns the floor in force. It stays when the product is removed or was never installed.
    ///
    /// # Errors
    /// `install-state-damaged`, `install-storage-failed`
    pub fn raise_floor(&mut self, product: &ProductName, floor: &Version) -> Result<Version, InstallError> {
        let mut state = self.load(product)?.unwrap_or_else(|| State::new(product.clone()));
        if state.raise_floor(Some(floor)) {
            self.ensure_product(product)?;
            ledger::save(self.disk(), self.layout(), &mut state)?;
        }
        Ok(state.floor.unwrap_or_else(|| floor.clone()))
    }

    /// Restores a damaged record from its copy. Returns whether there was anything to restore.
    ///
    /// The copy knows every acknowledged installation and floor. What else is damaged, a file or the link, stays so
    /// and is named and mended as usual.
    ///
    /// # Errors
    /// `install-state-damaged` if the copy is lost, `install-storage-failed`
    pub fn repair(&mut self, product: &ProductName) -> Result<bool, InstallError> {
        match self.load(product) {
            Err(InstallError::StateDamaged { repair: Repair::FromCopy, .. }) => {}
            other => return other.map(|_| false),
        }
        let layout = self.layout();
        let copy = layout.record_copy(product);
        let Found::Whole(mut state) = ledger::read(&copy, product)? else {
            let reason = "it was changed just now".to_owned();
            return Err(InstallError::StateDamaged { path: copy, reason, repair: Repair::Reinstall });
        };
        // A record that is whole, but older than its copy, holds a floor too: the higher one counts.
        if let Found::Whole(older) = ledger::read(&layout.record(product), product)? {
            state.raise_floor(older.floor.as_ref());
        }
        let record = layout.record(product);
        if fs::symlink_metadata(&record).is_ok_and(|info| info.is_dir()) {
            remove_tree(self.disk(), &record)?;
        }
        ledger::save(self.disk(), layout, &mut state)?;
        self.load(product)?;
        Ok(true)
    }

    /// The record of a product with everything settled that a crash can have left.
    pub(crate) fn load(&mut self, product: &ProductName) -> Result<Option<State>, InstallError> {
        for folder in self.layout().product_folders(product) {
            is_folder(&folder)?;
        }
        let Some(mut state) = ledger::load(self.layout(), product)? else {
            // A first installation can have died before its record was written.
            if self.sweep(product, &State::new(product.clone()))? {
                self.note(product, Recovery::Cleared);
            }
            return Ok(None);
        };
        let link = self.layout().link(product)?;
        if let Some((standing, generation)) = state.settle(link) {
            // What the dead process did may not have reached the disk: first the link, then what says so.
            durable::sync_dir(self.disk(), &self.layout().product(product))?;
            ledger::save(self.disk(), self.layout(), &mut state)?;
            self.note(
                product,
                match standing {
                    Standing::Complete => Recovery::Completed { generation },
                    _ => Recovery::Undone { generation },
                },
            );
        }
        if self.sweep(product, &state)? {
            self.note(product, Recovery::Cleared);
        }
        if self.view().copy_problem(product, &state)?.is_some() && is_folder(&self.layout().product(product))?
        {
            ledger::save_copy(self.disk(), self.layout(), &state)?;
        }
        Ok(Some(state))
    }

    /// Removes unfinished files, and generations of ours that are on record no more.
    pub(crate) fn sweep(&self, product: &ProductName, state: &State) -> Result<bool, InstallError> {
        let folder = self.layout().product(product);
        if !is_folder(&folder)? {
            return Ok(false);
        }
        let mut swept = durable::remove_stale(self.disk(), &folder)? > 0;
        let generations = self.layout().generations(product);
        let mut removed = false;
        for name in entries(&generations)? {
            // A number that we never gave is not ours to remove; `fsck` names it.
            let orphan = |number| number < state.next && state.generation(number).is_none();
            if name == UNFINISHED || number(&name).is_some_and(orphan) {
                remove_tree(self.disk(), &generations.join(name))?;
                removed = true;
            }
        }
        if removed {
            durable::sync_dir(self.disk(), &generations)?;
            swept = true;
        }
        Ok(swept)
    }

    fn note(&mut self, product: &ProductName, what: Recovery) {
        self.recovered.push(Recovered { product: product.clone(), what });
    }

    pub(crate) fn ensure_product(&self, product: &ProductName) -> Result<(), InstallError> {
        self.layout()
            .product_folders(product)
            .iter()
            .try_for_each(|folder| ensure_folder(self.disk(), folder))
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.view.layout
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }
}
