//! The same content for another term: what expires without a release or another change is signed anew.

use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::{ROOT, TARGETS, TOP_LEVEL};

use super::root::plan_root;
use super::swap::renewed;
use crate::current::Current;
use crate::error::PublishError;
use crate::proposal::{Planning, RenewIntent, RootChange};

/// The products among the roles that are renewed.
///
/// # Errors
/// `publish-product-unknown`; `usage` for roles that the online keys sign.
pub(crate) fn renewed_products(intent: &RenewIntent, current: &Current) -> Result<Vec<String>, PublishError> {
    let mut products = Vec::new();
    for role in intent.roles.iter().filter(|role| ![ROOT, TARGETS].contains(&role.as_str())) {
        if TOP_LEVEL.contains(&role.as_str()) {
            let reason = "the online keys sign snapshot and timestamp: `countersign renew` does it";
            return Err(PublishError::ProposalUsage { reason });
        }
        if !current.has_product(role) {
            return Err(PublishError::ProductUnknown { product: role.clone() });
        }
        products.push(role.clone());
    }
    Ok(products)
}

/// Plans the next version of each role, with what the present one says.
///
/// # Errors
/// As [`renewed_products`] and [`plan_root`].
pub(crate) fn plan_renew(planning: &Planning<'_>, intent: &RenewIntent) -> Result<Vec<Draft>, PublishError> {
    let (current, mut drafts) = (planning.current, Vec::new());
    if intent.roles.contains(ROOT) {
        // It brings the next targets with it where those who signed the present ones are too few.
        drafts.extend(plan_root(planning, &RootChange::default())?);
    }
    if intent.roles.contains(TARGETS) && drafts.iter().all(|draft| draft.role() != TARGETS) {
        drafts.push(renewed(planning, TARGETS, current.targets()?)?);
    }
    for product in renewed_products(intent, current)? {
        drafts.push(renewed(planning, &product, current.product(&product)?)?);
    }
    Ok(drafts)
}
