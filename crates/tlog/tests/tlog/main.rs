//! Tests of the transparency log formats: public vectors by file, properties, and each rule with its twin.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod checkpoint;
mod cosignature;
mod merkle;
mod note;
mod own;
mod policy;
mod policy_edit;
mod proof;
mod support;
mod tile;
mod witness;
