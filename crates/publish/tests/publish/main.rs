//! Repositories made by the publisher, seen as a client sees them.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod act;
mod crash;
mod passphrases;
mod proposal;
mod proposal_crash;
mod proposal_refusals;
mod refusals;
mod summary_notes;
mod support;
mod trust;
mod trust_crash;
mod trust_ended;
mod trust_mend;
mod trust_pairs;
mod trust_policy;
mod trust_renew;
mod trust_support;
mod witnesses;
