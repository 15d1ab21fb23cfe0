//! Whose key each is, written beside the keys.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::Json;
use countersign_tuf::metadata::key_id;
use countersign_verify::extension::{HOLDERS, is_holder};

use super::intent::Member;
use crate::error::PublishError;

/// What [`is_holder`] takes.
pub(super) const NAMING: &str = "a proposer or holder is named by 1 to 64 printable ASCII characters, without commas, \
                                 semicolons, quotes, brackets, and spaces at its ends or two in a row";

/// Writes the holders of `new` into the members of a file's `x-countersign`, and drops those of keys that are neither
/// among `new` nor among `staying`, the ids of keys that the file goes on to list.
///
/// # Errors
/// `usage` for a name that no holder can have.
pub(crate) fn set_holders(
    extension: &mut BTreeMap<String, Json>,
    staying: &BTreeSet<String>,
    new: &[Member],
) -> Result<(), PublishError> {
    let mut holders = extension.get(HOLDERS).and_then(Json::as_object).cloned().unwrap_or_default();
    holders.retain(|keyid, _| staying.contains(keyid));
    for member in new {
        if !is_holder(&member.holder) {
            return Err(PublishError::ProposalUsage { reason: NAMING });
        }
        holders.insert(key_id(&member.key), Json::from(member.holder.as_str()));
    }
    match holders.is_empty() {
        true => extension.remove(HOLDERS),
        false => extension.insert(HOLDERS.to_owned(), Json::Object(holders)),
    };
    Ok(())
}
