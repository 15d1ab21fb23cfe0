//! A yank: the publisher takes a version back. Its files stay listed, so that who has one is told why.

use countersign_base::Json;
use countersign_base::name::TargetPath;
use countersign_tuf::editor::{Draft, TargetsEditor};
use countersign_verify::EXTENSION;
use countersign_verify::extension::{self, MAX_REASON_BYTES, YANKED};

use crate::error::PublishError;
use crate::proposal::{Planning, YankIntent};

/// The product's next file, in which the version is yanked.
pub(crate) fn plan(planning: &Planning<'_>, intent: &YankIntent) -> Result<Vec<Draft>, PublishError> {
    let name = intent.product.as_str();
    let role = planning.current.product(name)?;
    if intent.reason.is_empty() || intent.reason.len() > MAX_REASON_BYTES {
        return Err(PublishError::ProposalUsage { reason: "a yank has a reason of 1 to 500 bytes" });
    }
    let of_version = |path: &str| path.parse::<TargetPath>().is_ok_and(|path| path.version == intent.version);
    if !role.targets().any(|(path, _)| of_version(path)) {
        return Err(PublishError::VersionUnknown {
            product: name.to_owned(),
            version: intent.version.to_string(),
        });
    }
    let mut members = extension::members(role);
    let mut yanked = members.get(YANKED).and_then(Json::as_object).cloned().unwrap_or_default();
    yanked.insert(intent.version.to_string(), Json::from(intent.reason.as_str()));
    members.insert(YANKED.to_owned(), Json::Object(yanked));
    let mut editor = TargetsEditor::next(name, role);
    editor
        .set_version((planning.version)(name))
        .set_expires(planning.now.plus_days(planning.expiries.product_days))
        .set_extension(EXTENSION, Json::Object(members));
    Ok(vec![editor.finish()?])
}
