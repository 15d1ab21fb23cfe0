//! Looking at what is installed: needs no lock, changes nothing, and sees one whole generation at any time.

use std::path::{Path, PathBuf};

use countersign_base::Timestamp;
use countersign_base::name::{ProductName, Version};

use crate::error::InstallError;
use crate::fsck::{Finding, Problem};
use crate::layout::{Layout, Link, is_folder};
use crate::ledger::{self, Found};
use crate::state::{Event, Generation, State};

/// A root, for looking only.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) layout: Layout,
}

/// How thoroughly to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Read the records.
    Records,
    /// Hash the active files too.
    Files,
}

/// One installed product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The product.
    pub product: ProductName,
    /// The active generation.
    pub active: Generation,
    /// The folder of the active files, `ROOT/PRODUCT/current`.
    pub path: PathBuf,
    /// The version that `rollback` would go to.
    pub previous: Option<Version>,
    /// The lowest version that may be installed.
    pub floor: Option<Version>,
    /// What is wrong with the active files; `None` if they were not looked at.
    pub findings: Option<Vec<Finding>>,
}

/// An entry of [`View::list`].
#[derive(Debug)]
pub struct Listed {
    /// The product.
    pub product: ProductName,
    /// What is active of it, or what is wrong with its record.
    pub status: Result<Status, InstallError>,
}

/// All generations on disk and how each came to be active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// By number.
    pub generations: Vec<Generation>,
    /// Oldest first.
    pub events: Vec<Event>,
    /// The number of the active generation.
    pub active: Option<u64>,
    /// When the active generation became active last.
    pub active_since: Option<Timestamp>,
}

impl View {
    /// Looks at `root`, which need not exist.
    pub fn open(root: &Path) -> Self {
        Self { layout: Layout { root: root.to_owned() } }
    }

    /// Every product here, by name. What is wrong with one does not hide the others.
    ///
    /// # Errors
    /// `install-storage-failed`
    pub fn list(&self) -> Result<Vec<Listed>, InstallError> {
        let mut list = Vec::new();
        for product in ledger::products(&self.layout)? {
            match self.status(&product, Look::Records) {
                Err(InstallError::NotInstalled { .. }) => {}
                status => list.push(Listed { product, status }),
            }
        }
        Ok(list)
    }

    /// What is active of a product.
    ///
    /// # Errors
    /// `install-not-installed`, `install-state-damaged`, `install-storage-failed`; `install-content-changed` if
    /// the link `current` was changed. Changed files are no error but findings.
    pub fn status(&self, product: &ProductName, look: Look) -> Result<Status, InstallError> {
        let (state, link) = self.recorded(product)?;
        let active = self.active(&state, link)?;
        let active = active.ok_or_else(|| InstallError::NotInstalled { product: product.clone() })?;
        let findings = match look {
            Look::Records => None,
            Look::Files => Some(self.check_generation(product, active)?),
        };
        let previous = active.previous.and_then(|number| state.generation(number));
        Ok(Status {
            product: product.clone(),
            path: self.layout.current(product),
            previous: previous.map(|generation| generation.version.clone()),
            findings,
            active: active.clone(),
            floor: state.floor.clone(),
        })
    }

    /// The generations on disk and what became active when.
    ///
    /// # Errors
    /// As [`View::status`].
    pub fn history(&self, product: &ProductName) -> Result<History, InstallError> {
        let (mut state, link) = self.recorded(product)?;
        state.settle(link);
        let active = self.active(&state, link)?.map(|generation| generation.number);
        let since = state.events.last().map(|event| event.at);
        Ok(History { generations: state.generations, events: state.events, active, active_since: since })
    }

    /// The lowest version of a product that may be installed here, if one is set.
    ///
    /// # Errors
    /// `install-state-damaged`, `install-storage-failed`
    pub fn floor(&self, product: &ProductName) -> Result<Option<Version>, InstallError> {
        match self.recorded(product) {
            Ok((state, _)) => Ok(state.floor),
            Err(InstallError::NotInstalled { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The record and the link, as they were at one moment.
    pub(crate) fn recorded(&self, product: &ProductName) -> Result<(State, Link), InstallError> {
        for folder in self.layout.own_folders().iter().chain(&self.layout.product_folders(product)) {
            is_folder(folder)?;
        }
        // Whoever changes them writes the record before the link and again after it. The same record before and
        // after reading the link is of the same moment.
        let mut before = ledger::load(&self.layout, product);
        loop {
            let link = self.layout.link(product)?;
            let after = ledger::load(&self.layout, product);
            match (before, after) {
                (Ok(one), Ok(two)) if one == two => {
                    let state = two.ok_or_else(|| InstallError::NotInstalled { product: product.clone() })?;
                    return Ok((state, link));
                }
                (Err(_), Err(error)) => return Err(error),
                (_, after) => before = after,
            }
        }
    }

    /// The generation that is active in fact, if any.
    pub(crate) fn active<'s>(
        &self,
        state: &'s State,
        link: Link,
    ) -> Result<Option<&'s Generation>, InstallError> {
        state.active_by(link).map_err(|tampered| {
            let problem = Problem::Link { recorded: tampered.recorded };
            InstallError::changed(&self.layout.current(&state.product), problem.to_string())
        })
    }

    /// What is wrong with the second copy of the record.
    pub(crate) fn copy_problem(
        &self,
        product: &ProductName,
        state: &State,
    ) -> Result<Option<Problem>, InstallError> {
        Ok(match ledger::read(&self.layout.record_copy(product), product)? {
            Found::Whole(copy) if copy.serial + 1 >= state.serial => None,
            Found::Whole(_) => Some(Problem::Record("it is older than the record".to_owned())),
            Found::Absent => Some(Problem::Missing),
            Found::Damaged(reason) => Some(Problem::Record(reason)),
        })
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }
}
