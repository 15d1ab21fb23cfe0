//! A key in place of another, wherever that is used: roles, products, the policy's log and witnesses.

use countersign_tuf::editor::Draft;

use super::ended::ROTATED;
use super::swap::{self, Swap};
use crate::error::PublishError;
use crate::proposal::{Planning, RotateIntent};

/// Plans a rotation.
///
/// # Errors
/// `usage` for a key that is not used or that is to take its own place, `tuf-key-duplicate` if the new key is in the role already.
pub(crate) fn plan_rotate(
    planning: &Planning<'_>,
    intent: &RotateIntent,
) -> Result<Vec<Draft>, PublishError> {
    // With a second key beside it, it becomes a pair.
    if intent.to.key == intent.from && intent.to.pair.is_none() {
        return Err(PublishError::ProposalUsage {
            reason: "a key cannot be rotated to itself: make a new one",
        });
    }
    // The first half of what becomes a pair goes on.
    let ended = (intent.to.key != intent.from).then_some(ROTATED);
    swap::plan(planning, Swap { from: &intent.from, to: Some(&intent.to), ended })
}
