//! The thread that keeps the index of duplicates: derived data, so nobody waits for it.

use std::sync::Arc;

use super::bounded::Taken;
use super::shared::Shared;
use crate::dedup::Runs;
use crate::error::LogError;

/// Makes runs of complete generations until there will be no more.
pub(super) fn run(runs: &Arc<Runs>, shared: &Shared) -> Result<(), LogError> {
    loop {
        match shared.sealed.take(None) {
            Taken::Items(generations) => {
                for generation in generations {
                    if shared.has_failed() {
                        return Ok(());
                    }
                    runs.add(&generation)?;
                }
            }
            Taken::Nothing => {}
            Taken::Closed => return Ok(()),
        }
    }
}
