//! Removing generations that are no longer wanted, and content that no generation needs.

use std::collections::BTreeSet;
use std::fs;

use countersign_base::name::ProductName;
use countersign_store::durable;

use crate::error::InstallError;
use crate::installer::Installer;
use crate::layout::{Link, content_name, entries, remove_tree};
use crate::ledger;
use crate::state::State;

/// How many generations of a product are kept unless the user says otherwise.
pub const DEFAULT_KEPT_GENERATIONS: usize = 5;

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Generations, by product and number.
    pub generations: Vec<(ProductName, u64)>,
    /// Files of the store, unfinished downloads included.
    pub files: usize,
    /// Their length in bytes.
    pub bytes: u64,
}

impl Installer {
    /// Removes all but the newest `keep` generations of each product, and what only they needed from the store.
    ///
    /// The active generation, the one that `rollback` would go to and the one that `current` names are always
    /// kept. Unfinished downloads are removed too. While any record is damaged nothing is: it may list what would
    /// go. Content taken in but not yet activated is unneeded, so call this after [`Installer::activate`].
    ///
    /// # Errors
    /// `install-state-damaged`, `install-storage-failed`
    pub fn gc(&mut self, keep: usize) -> Result<Collected, InstallError> {
        let mut states = Vec::new();
        for product in ledger::products(self.layout())? {
            states.extend(self.load(&product)?);
        }
        let mut collected = Collected::default();
        for state in &mut states {
            let wanted = wanted(state, self.layout().link(&state.product)?, keep);
            let all = state.generations.len();
            let gone = state.generations.iter().map(|one| one.number).filter(|one| !wanted.contains(one));
            collected.generations.extend(gone.map(|number| (state.product.clone(), number)));
            state.generations.retain(|generation| wanted.contains(&generation.number));
            if state.generations.len() < all {
                // First off the record, then off the disk: the rest is swept, now or after a crash.
                ledger::save(self.disk(), self.layout(), state)?;
                self.sweep(&state.product, state)?;
            }
        }
        self.collect_content(&states, &mut collected)?;
        Ok(collected)
    }

    fn collect_content(&self, states: &[State], collected: &mut Collected) -> Result<(), InstallError> {
        let files =
            states.iter().flat_map(|state| &state.generations).flat_map(|generation| &generation.files);
        let needed: BTreeSet<String> = files.map(|file| content_name(file.sha256, file.mode)).collect();
        let folder = self.layout().store();
        for name in entries(&folder)?.iter().filter(|name| !needed.contains(*name)) {
            let path = folder.join(name);
            let info = fs::symlink_metadata(&path).map_err(InstallError::storage("look at", &path))?;
            remove_tree(self.disk(), &path)?;
            collected.files += 1;
            collected.bytes += info.len();
        }
        if collected.files > 0 {
            durable::sync_dir(self.disk(), &folder)?;
        }
        Ok(())
    }
}

/// The numbers of the generations to keep.
fn wanted(state: &State, link: Link, keep: usize) -> BTreeSet<u64> {
    let mut wanted: BTreeSet<u64> = state.generations.iter().rev().take(keep).map(|one| one.number).collect();
    if let Some(active) = state.active() {
        wanted.insert(active.number);
        wanted.extend(active.previous);
    }
    if let Link::Generation(number) = link {
        wanted.insert(number);
    }
    wanted
}
