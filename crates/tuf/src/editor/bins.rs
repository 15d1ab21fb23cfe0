//! Editing hash bins (TAP 15): targets spread over many small files, so that one more changes one of them.

use std::collections::BTreeMap;

use countersign_base::Timestamp as Time;

use super::{Draft, EditError, TargetsEditor};
use crate::error::TufError;
use crate::limits::MAX_DELEGATIONS;
use crate::metadata::{MetaFile, SuccinctRoles, TargetFile, Targets};

/// Bins being made or changed. A new repository creates all of them; a change opens those that it needs.
#[derive(Debug, Clone)]
pub struct BinsEditor<'a> {
    bins: &'a SuccinctRoles,
    expires: Time,
    open: BTreeMap<String, TargetsEditor>,
}

impl<'a> BinsEditor<'a> {
    /// No bin is open yet. What is finished expires then.
    pub const fn new(bins: &'a SuccinctRoles, expires: Time) -> Self {
        Self { bins, expires, open: BTreeMap::new() }
    }

    /// Opens version 1 of every bin, empty: clients ask for the bin of any path, so each must be there.
    ///
    /// # Errors
    /// `tuf-delegation-limit` for more than [`MAX_DELEGATIONS`] bins.
    pub fn create_all(&mut self) -> Result<&mut Self, EditError> {
        if self.bins.bit_length > MAX_DELEGATIONS.ilog2() {
            return Err(TufError::DelegationLimit { what: "the bins", max: MAX_DELEGATIONS }.into());
        }
        for role in self.bins.bins() {
            let editor = TargetsEditor::new(&role, self.expires);
            self.open.insert(role, editor);
        }
        Ok(self)
    }

    /// The bin that has a say over `path`: the one to open.
    pub fn bin_of(&self, path: &str) -> String {
        self.bins.bin_of(path)
    }

    /// Opens the version after `current`, the file of the bin `role`. A bin that is open stays as it is.
    ///
    /// # Errors
    /// `tuf-meta-mismatch` if `role` is none of the bins.
    pub fn open(&mut self, role: &str, current: &Targets) -> Result<&mut Self, EditError> {
        if !self.bins.is_bin(role) {
            return Err(TufError::NotListed(role.to_owned()).into());
        }
        if !self.open.contains_key(role) {
            let mut editor = TargetsEditor::next(role, current);
            editor.set_expires(self.expires);
            self.open.insert(role.to_owned(), editor);
        }
        Ok(self)
    }

    /// Lists `file` at `path` in its bin, which must be open.
    ///
    /// # Errors
    /// As [`TargetsEditor::set_target`]; `internal-error` if the bin is not open.
    pub fn set_target(&mut self, path: &str, file: &TargetFile) -> Result<&mut Self, EditError> {
        self.editor(path)?.set_target(path, file)?;
        Ok(self)
    }

    /// No longer lists `path`; whether it was listed.
    ///
    /// # Errors
    /// `internal-error` if its bin is not open.
    pub fn remove_target(&mut self, path: &str) -> Result<bool, EditError> {
        Ok(self.editor(path)?.remove_target(path))
    }

    /// The unsigned files of the open bins, in order.
    ///
    /// # Errors
    /// As [`TargetsEditor::finish`], for each.
    pub fn finish(self) -> impl Iterator<Item = Result<Draft, EditError>> {
        self.open.into_values().map(TargetsEditor::finish)
    }

    /// What a snapshot lists for a bin: the version alone. Lengths and hashes of 16,384 bins would make it larger than
    /// plain clients read, and a version stands for one file where none is ever published twice (specification 4.4).
    pub const fn listed(draft: &Draft) -> MetaFile {
        MetaFile { version: draft.version(), length: None, hashes: None }
    }

    fn editor(&mut self, path: &str) -> Result<&mut TargetsEditor, EditError> {
        let role = self.bins.bin_of(path);
        let missing = TufError::Order("a bin is opened before it is changed");
        Ok(self.open.get_mut(&role).ok_or(missing)?)
    }
}
