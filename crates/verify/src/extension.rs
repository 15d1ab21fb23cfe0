//! What our repositories add to TUF's files, in the member `x-countersign` of a `signed` object.
//!
//! - in every file but the first root: `repository`, the anchor of the repository that it is of (ADR 0028);
//! - in root: the transparency policy (`policy.rs`);
//! - beside keys, in root and top-level targets: `holders`, whose key each is, by key id; and `pairs`, second keys of
//!   holders, which `tuf` reads itself;
//! - in root and top-level targets: `ended`, by key id why a key that the file once listed was taken away for good;
//! - in top-level targets: `products.<name>.separation`, whether who proposes a change of the product needs another
//!   person's approval;
//! - in a product's role: `yanked`, versions that shall no longer be installed, each with the reason; `floor`, the
//!   lowest version that may be; and `proposer`, who proposed this version of the file.
//!
//! Other TUF clients ignore all of it. What is there and not understood is an error, never as if it were not there;
//! but a name that cannot be a holder's is nobody's, which never makes a rule easier to meet.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::name::Version;
pub use countersign_base::name::is_holder;
use countersign_base::{Anchor, Json};
use countersign_tuf::metadata::EXTENSION;
use countersign_tuf::{Role, Targets};

use crate::error::VerifyError;

/// The member with the anchor of the repository that a file is of.
pub const REPOSITORY: &str = "repository";
/// The member with the holders of keys.
pub const HOLDERS: &str = "holders";
/// The member with the keys that were rotated or revoked, and why.
pub const ENDED: &str = "ended";
/// The member with what is said about products.
pub const PRODUCTS: &str = "products";
/// The member, of a product there, that asks for a second person.
pub const SEPARATION: &str = "separation";
/// The member with the yanked versions.
pub const YANKED: &str = "yanked";
/// The member with the lowest version that may be installed.
const FLOOR: &str = "floor";
/// The member that names who proposed a version of a file.
pub const PROPOSER: &str = "proposer";
/// Longest reason for a yank, in bytes.
pub const MAX_REASON_BYTES: usize = 500;
/// Most versions that can be yanked of one product.
pub const MAX_YANKED: usize = 4096;

/// Holds a file to the repository that it is offered as part of (ADR 0028): keys can sign for several.
///
/// # Errors
/// `tuf-other-repository` if it names another, or none.
pub fn check_repository<T: Role>(role: &str, file: &T, repository: Anchor) -> Result<(), VerifyError> {
    let named = file.extension(EXTENSION).and_then(|extension| extension.get(REPOSITORY)?.as_str());
    let found = named.and_then(|named| named.parse().ok()).map(Anchor);
    if found == Some(repository) {
        return Ok(());
    }
    Err(VerifyError::OtherRepository { role: role.to_owned(), version: file.version(), found })
}

/// Whose key is listed under `keyid` in root or top-level targets; `None` if the file names nobody.
pub fn holder<'a, T: Role>(file: &'a T, keyid: &str) -> Option<&'a str> {
    file.extension(EXTENSION)?.get(HOLDERS)?.get(keyid)?.as_str().filter(|name| is_holder(name))
}

/// Why the key of this id was taken away for good, if root or top-level targets say so.
///
/// # Errors
/// `tuf-malformed` for anything but ids with a reason.
pub fn ended<'a, T: Role>(role: &str, file: &'a T, keyid: &str) -> Result<Option<&'a str>, VerifyError> {
    let malformed = || VerifyError::Extension { role: role.to_owned(), member: ENDED };
    let Some(said) = file.extension(EXTENSION).and_then(|extension| extension.get(ENDED)) else {
        return Ok(None);
    };
    let reason = said.as_object().ok_or_else(malformed)?.get(keyid);
    reason.map(|reason| reason.as_str().ok_or_else(malformed)).transpose()
}

/// Who proposed this version of a product's file; `None` if it names nobody.
pub fn proposer<T: Role>(file: &T) -> Option<&str> {
    file.extension(EXTENSION)?.get(PROPOSER)?.as_str().filter(|name| is_holder(name))
}

/// Whether a change of this product needs another person than its proposer.
///
/// # Errors
/// `tuf-malformed` for anything but `true`, `false` or nothing.
pub fn separation(targets: &Targets, product: &str) -> Result<bool, VerifyError> {
    let malformed = || VerifyError::Extension { role: "targets".to_owned(), member: PRODUCTS };
    let mut said = targets.extension(EXTENSION);
    for member in [PRODUCTS, product, SEPARATION] {
        let Some(value) = said else { return Ok(false) };
        said = value.as_object().ok_or_else(malformed)?.get(member);
    }
    said.map_or(Ok(false), |said| said.as_bool().ok_or_else(malformed))
}

/// The yanked versions of a product and why each was yanked.
///
/// # Errors
/// `tuf-malformed` if one of them is not a version with a reason.
pub fn yanked(product: &str, role: &Targets) -> Result<BTreeMap<Version, String>, VerifyError> {
    let malformed = || VerifyError::Extension { role: product.to_owned(), member: YANKED };
    let Some(said) = role.extension(EXTENSION).and_then(|extension| extension.get(YANKED)) else {
        return Ok(BTreeMap::new());
    };
    let said = said.as_object().filter(|said| said.len() <= MAX_YANKED).ok_or_else(malformed)?;
    let mut found = BTreeMap::new();
    for (version, reason) in said {
        let version: Version = version.parse().map_err(|_| malformed())?;
        let reason = reason.as_str().filter(|reason| reason.len() <= MAX_REASON_BYTES);
        found.insert(version, reason.ok_or_else(malformed)?.to_owned());
    }
    Ok(found)
}

/// The lowest version of a product that its publisher allows, if it says so.
///
/// # Errors
/// `tuf-target-mismatch` for one that is no version: it is not a floor of zero.
pub(crate) fn floor(product: &str, role: &Targets) -> Result<Option<Version>, VerifyError> {
    let Some(floor) = role.extension(EXTENSION).and_then(|extension| extension.get(FLOOR)) else {
        return Ok(None);
    };
    let reason = "the product's floor is not a version";
    let malformed = || VerifyError::ReleaseMalformed { path: product.to_owned(), reason };
    floor.as_str().and_then(|text| text.parse().ok()).map(Some).ok_or_else(malformed)
}

/// Holds a version of a product's file to the rule of separation, where top-level targets ask for it: the keys that
/// signed, `signed` by id, belong to as many people as the threshold asks for keys, and one of these people is not the
/// proposer. Keys whose holder is not named are nobody's. Names that differ in case alone are of one person: it takes no
/// ill will to write `Alice` once and `alice` another time.
///
/// # Errors
/// `approval-self`, `tuf-malformed`.
pub fn check_separation(
    targets: &Targets,
    product: &str,
    role: &Targets,
    signed: &[String],
    threshold: u32,
) -> Result<(), VerifyError> {
    if !separation(targets, product)? {
        return Ok(());
    }
    let people: BTreeSet<String> =
        signed.iter().filter_map(|keyid| holder(targets, keyid)).map(str::to_ascii_lowercase).collect();
    let broken = |rule| VerifyError::Separation { product: product.to_owned(), rule };
    let Some(proposer) = proposer(role) else { return Err(broken("it does not say who proposed it")) };
    if people.iter().all(|person| person.eq_ignore_ascii_case(proposer)) {
        return Err(broken("whoever proposes a change cannot be the only one to approve it"));
    }
    if people.len() < threshold as usize {
        return Err(broken("two keys of one holder count as one person"));
    }
    Ok(())
}

/// The members of a file's `x-countersign`, for whoever makes its next version.
pub fn members<T: Role>(file: &T) -> BTreeMap<String, Json> {
    file.extension(EXTENSION).and_then(Json::as_object).cloned().unwrap_or_default()
}
