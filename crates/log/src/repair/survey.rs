//! All that is wrong in a log's folder, found as a repair finds it, and nothing written.
//!
//! Below a hash tile that can be made from nothing that is there, no file is known to be right: such a tile is told, and
//! of what lies below it only what is missing.

use std::path::Path;
use std::sync::Arc;

use countersign_store::{Dir, RealDisk};
use countersign_tlog::tile::{BundleId, TILE_WIDTH, TileId};

use super::{Help, Repair, Was};
use crate::mirror::{MirrorError, trusted_checkpoint};
use crate::trust::Trust;

/// So many files are named at most; others are counted.
pub const MAX_PROBLEMS: usize = 1000;

/// A file that is not as the signed checkpoint requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, below the log's public folder.
    pub path: String,
    /// What is wrong with it: `missing`, or `wrong` and how.
    pub what: String,
}

/// All that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// At most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: u64,
}

impl Survey {
    pub(super) fn add(&mut self, path: &str, what: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { path: path.to_owned(), what });
        } else {
            self.more += 1;
        }
    }

    /// Whether a file may be among those that are not right.
    pub(super) fn may_have(&self, path: &str) -> bool {
        self.more > 0 || self.problems.iter().any(|problem| problem.path == path)
    }
}

impl Was {
    pub(super) fn told(self) -> String {
        match self {
            Self::Missing => "missing".to_owned(),
            Self::Wrong => "wrong: not what the signed checkpoint requires".to_owned(),
        }
    }
}

impl Repair<'_> {
    /// Names what is not there of a tile that could not be had, and of all below it. At most 8 deep: a tile level each.
    pub(super) fn survey_below(&mut self, id: TileId) -> Result<(), MirrorError> {
        let size = self.tree.size();
        let Some(level) = id.level().checked_sub(1) else {
            return BundleId::at(id.index(), size)
                .map_or(Ok(()), |bundle| self.survey_missing(&bundle.path()));
        };
        let first = id.index() * u64::from(TILE_WIDTH);
        for child in (first..first + u64::from(id.width())).filter_map(|index| TileId::at(level, index, size))
        {
            self.survey_missing(&child.path())?;
            self.survey_below(child)?;
        }
        Ok(())
    }

    pub(super) fn survey_missing(&mut self, path: &str) -> Result<(), MirrorError> {
        if !self.is_there(path)?
            && let Some(survey) = &mut self.survey
        {
            survey.add(path, Was::Missing.told());
        }
        Ok(())
    }
}

/// Looks for every file that is missing or wrong in the log whose public files are in `public`. Files beyond the
/// checkpoint are not looked at.
///
/// # Errors
/// The checkpoint is not there or not trusted. `log-storage-failed`.
pub fn survey(public: &Path, trust: Trust<'_>) -> Result<Survey, MirrorError> {
    Dir::existing(public)?;
    let public = Dir::open_on(Arc::new(RealDisk), public, 0o644)?;
    let signed = trusted_checkpoint(&public, trust)?;
    let help = Help::default();
    let mut repair = Repair::new(&public, signed.checkpoint(), &help);
    repair.survey = Some(Survey::default());
    repair.tree()?;
    repair.others()?;
    Ok(repair.survey.unwrap_or_default())
}
