//! From an intent and the metadata as it stands to new metadata. Pure: the same input gives the same bytes, so that
//! whoever has a proposal can make them again and compare.

use std::collections::BTreeSet;
use std::path::PathBuf;

use countersign_base::{Json, Sha256Digest, Timestamp};
use countersign_crypto::PublicKey;
use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::{ROOT, TARGETS};
use countersign_verify::EXTENSION;
use countersign_verify::extension::{PROPOSER, REPOSITORY};

use super::intent::Intent;
use super::statement::Statement;
use crate::current::Current;
use crate::error::PublishError;
use crate::expiry::Expiries;
use crate::layout::Layout;
use crate::{advisory, product, release, trust, yank};

/// The member of `x-countersign` that names the proposal which a file's version came from.
const PROPOSAL: &str = "proposal";

/// What new metadata is made from, beside the intent.
pub(crate) struct Planning<'a> {
    /// The metadata as it stands, with all roles that [`touched`] names.
    pub current: &'a Current,
    /// How long metadata is good for.
    pub expiries: &'a Expiries,
    /// When the proposal was made.
    pub now: Timestamp,
    /// The number of the new version of a role.
    pub version: &'a dyn Fn(&str) -> u64,
}

/// New metadata that nobody has signed, and new files.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Root, targets and products, each after what delegates to it; never snapshot and timestamp.
    pub drafts: Vec<Draft>,
    /// Files that are published beside it.
    pub files: Vec<PlannedFile>,
}

/// A file that a plan publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedFile {
    /// Its target path.
    pub target: String,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256.
    pub sha256: Sha256Digest,
}

impl PlannedFile {
    /// Where it lies in a repository: its SHA-256 stands in front of its name (TUF 1.0.34 section 6.2).
    pub(crate) fn place(&self, layout: &Layout) -> PathBuf {
        let (dir, name) = self.target.rsplit_once('/').unwrap_or(("", &self.target));
        layout.targets().join(dir).join(format!("{}.{name}", self.sha256))
    }
}

/// The products whose metadata an intent builds on, of those that there are.
///
/// # Errors
/// `publish-product-unknown`.
pub(crate) fn touched(intent: &Intent, current: &Current) -> Result<Vec<String>, PublishError> {
    let mut touched = BTreeSet::new();
    let (gone, members) = match intent {
        Intent::Rotate(rotate) => (Some(&rotate.from), core::slice::from_ref(&rotate.to)),
        Intent::Revoke(revoke) => (Some(&revoke.key), revoke.replacement.as_slice()),
        Intent::Root(_) => return Ok(Vec::new()),
        Intent::Renew(renew) => return trust::renewed_products(renew, current),
        Intent::Product(product) => {
            touched.extend(Some(product.name.to_string()).filter(|name| current.has_product(name)));
            (None, product.signers.as_slice())
        }
        Intent::Release(_) | Intent::Yank(_) | Intent::Advisory(_) => {
            let product = intent.product().map(ToString::to_string).unwrap_or_default();
            if !current.has_product(&product) {
                return Err(PublishError::ProductUnknown { product });
            }
            return Ok(vec![product]);
        }
    };
    // A second key is one for all products that list the first.
    let differs = |first: &PublicKey, second: Option<&PublicKey>| {
        members.iter().any(|member| {
            member.key == *first && member.pair.as_ref().is_some_and(|pair| Some(pair) != second)
        })
    };
    if let Some(delegations) = current.targets()?.delegations() {
        let is_affected = |keyid: &String| {
            delegations.keys().get(keyid).is_some_and(|listed| {
                let second = listed.pair().map(|pair| pair.key());
                let goes = gone.is_some() && (listed.usable() == gone || second == gone);
                goes || listed.usable().is_some_and(|first| differs(first, second))
            })
        };
        let roles = delegations.roles().iter().filter(|role| role.keys.keyids.iter().any(is_affected));
        touched.extend(roles.map(|role| role.name.clone()));
    }
    Ok(touched.into_iter().collect())
}

/// Makes the new metadata.
///
/// # Errors
/// Why the change cannot be made on the metadata as it stands.
pub(crate) fn plan(planning: &Planning<'_>, intent: &Intent) -> Result<Plan, PublishError> {
    trust::check_none_returns(planning.current, intent)?;
    let without_files = |drafts| Plan { drafts, files: Vec::new() };
    match intent {
        Intent::Release(release) => release::plan(planning, release),
        Intent::Yank(yank) => yank::plan(planning, yank).map(without_files),
        Intent::Advisory(advisory) => advisory::plan(planning, advisory),
        Intent::Product(product) => product::plan(planning, product).map(without_files),
        Intent::Rotate(rotate) => trust::plan_rotate(planning, rotate).map(without_files),
        Intent::Revoke(revoke) => trust::plan_revoke(planning, revoke).map(without_files),
        Intent::Root(change) => trust::plan_root(planning, change).map(without_files),
        Intent::Renew(renew) => trust::plan_renew(planning, renew).map(without_files),
    }
}

/// The new metadata of a statement, each file of it saying which proposal it came from, who proposed it and for which
/// repository.
pub(super) fn make(
    statement: &Statement,
    current: &Current,
    expiries: &Expiries,
) -> Result<Plan, PublishError> {
    let version = |role: &str| statement.versions.get(role).copied().unwrap_or(0);
    let planning = Planning { current, expiries, now: statement.created, version: &version };
    let mut plan = plan(&planning, &statement.intent)?;
    let digest = statement.digest()?.to_string();
    for draft in &mut plan.drafts {
        *draft = stamp(draft, &digest, statement)?;
    }
    plan.drafts.sort_by_key(|draft| (rank(draft.role()), draft.role().to_owned()));
    Ok(plan)
}

/// Root before targets before products.
fn rank(role: &str) -> u8 {
    match role {
        ROOT => 0,
        TARGETS => 1,
        _ => 2,
    }
}

/// Adds to the signed part which proposal it came from, and which repository it is for.
fn stamp(draft: &Draft, digest: &str, statement: &Statement) -> Result<Draft, PublishError> {
    let mut signed = draft.signed().as_object().cloned().unwrap_or_default();
    let mut extension = signed.get(EXTENSION).and_then(Json::as_object).cloned().unwrap_or_default();
    extension.insert(PROPOSAL.to_owned(), Json::from(digest));
    extension.insert(PROPOSER.to_owned(), Json::from(statement.proposer.as_str()));
    extension.insert(REPOSITORY.to_owned(), Json::from(statement.repository.0.to_string()));
    signed.insert(EXTENSION.to_owned(), Json::Object(extension));
    let envelope = Json::object([("signatures", Json::Array(Vec::new())), ("signed", Json::Object(signed))]);
    Ok(Draft::parse(draft.role(), &countersign_base::canonical::rfc8785(&envelope))?)
}
