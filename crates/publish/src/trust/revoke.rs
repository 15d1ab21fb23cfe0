//! A key that is trusted with nothing any more.

use countersign_tuf::editor::Draft;

use super::swap::{self, Swap};
use crate::error::PublishError;
use crate::proposal::{Planning, RevokeIntent};

/// Plans a revocation: the key goes wherever it is used, and what too few others vouch for is to be signed again.
///
/// The reason is for people; it stands in the proposal, and beside the key's id so that it does not come back. It
/// changes nothing else: a key whose holder has left is as little to be trusted as a stolen one.
///
/// # Errors
/// [`PublishError::KeyNeeded`] if a role or the quorum can no longer be met without a replacement; `usage` for a key
/// that is not used.
pub(crate) fn plan_revoke(
    planning: &Planning<'_>,
    intent: &RevokeIntent,
) -> Result<Vec<Draft>, PublishError> {
    let (to, ended) = (intent.replacement.as_ref(), Some(intent.reason.name()));
    swap::plan(planning, Swap { from: &intent.key, to, ended })
}
