//! Who is trusted with what, and how that changes: new roots, rotated and revoked keys, the transparency policy.
//!
//! Each plan makes unsigned metadata only: whatever a key that goes alone vouches for is made anew in the same plan, for
//! those who stay or come to sign, so that no client meets a gap (ADR 0015).

mod ended;
mod handover;
mod keys;
mod policy;
mod renew;
mod revoke;
mod root;
mod rotate;
mod swap;

pub(crate) use ended::{ROTATED, check_none_returns, check_not_ended};
pub(crate) use handover::Handover;
pub(crate) use keys::{check_drops, second_of};
pub use policy::PolicyEdit;
pub(crate) use renew::{plan_renew, renewed_products};
pub(crate) use revoke::plan_revoke;
pub(crate) use root::plan_root;
pub(crate) use rotate::plan_rotate;
pub(crate) use swap::products_to_sign;
