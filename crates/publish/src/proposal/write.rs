//! Writing a proposal's directory. `proposal.json` comes last: a directory without it is unfinished, and the next run
//! begins it anew.

use std::path::{Path, PathBuf};

use countersign_store::durable;
use countersign_tlog::proof::MAX_PROOF_BYTES;
use countersign_tuf::limits::MAX_TARGETS_BYTES;

use super::folder::{Folder, MODE};
use super::plan::{Plan, touched};
use super::statement::Statement;
use super::{Proposal, old_names, summary};
use crate::act::Site;
use crate::current::Current;
use crate::error::PublishError;
use crate::keyring::resolved;
use crate::layout::Layout;
use crate::staging::copy_by_digest;

/// Where the files that a proposal publishes come from.
pub(super) enum Sources {
    /// It publishes none.
    None,
    /// They were copied into it before.
    Written,
    /// Copied from here, in the order of the plan.
    Files(Vec<PathBuf>),
}

/// Refuses to write into the repository: all of that is copied to servers and mirrors.
pub(super) fn check_outside(site: &Site, out: &Path) -> Result<(), PublishError> {
    if resolved(out).starts_with(resolved(site.layout.root())) {
        let reason = "a proposal is not written into the repository, which everyone may read";
        return Err(PublishError::ProposalUsage { reason });
    }
    Ok(())
}

/// Writes all of it.
pub(super) fn write(
    site: &Site,
    folder: &Folder,
    statement: &Statement,
    current: &Current,
    plan: &Plan,
    sources: &Sources,
) -> Result<(), PublishError> {
    let disk = &*site.disk;
    match sources {
        Sources::Written => {}
        Sources::None | Sources::Files(_) => folder.create(disk)?,
    }
    if let Sources::Files(files) = sources {
        for file in files {
            copy_by_digest(disk, file, &folder.files(), &mut |_, _| {})?;
        }
    }
    let old = Layout::new(&folder.old());
    for name in old_names(&old, current, &touched(&statement.intent, current)?) {
        let from = site.layout.metadata().join(&name);
        let limit = (MAX_TARGETS_BYTES as u64).max(MAX_PROOF_BYTES as u64);
        let bytes = durable::read(&from, limit)?;
        let bytes = bytes.ok_or_else(|| PublishError::Damaged { path: from.clone(), source: None })?;
        durable::write_atomic(disk, &old.metadata().join(&name), &bytes, MODE)?;
    }
    for draft in &plan.drafts {
        durable::write_atomic(disk, &folder.draft(draft.role()), &draft.to_bytes()?, MODE)?;
    }
    let text = summary::text(statement, current, &plan.drafts, site.now)?;
    durable::write_atomic(disk, &folder.summary(), text.as_bytes(), MODE)?;
    Ok(durable::write_atomic(disk, &folder.statement(), &statement.to_bytes()?, MODE)?)
}

impl Proposal {
    /// Brings the summary for people up to date.
    pub(super) fn write_summary(&self) -> Result<(), PublishError> {
        let text = self.summary(self.now)?.to_string();
        Ok(durable::write_atomic(&*self.disk, &self.folder.summary(), text.as_bytes(), MODE)?)
    }
}
