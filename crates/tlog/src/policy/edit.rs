//! One log or witness changed or taken out. All else stays as it is: order, names, URLs, groups, thresholds.

use super::{Member, Policy, PolicyError, PolicyWitness};
use crate::note::VerifierKey;

/// Why a witness cannot go: what counts on it would be left with too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WitnessNeeded {
    /// How many must cosign.
    pub threshold: usize,
    /// How many could.
    pub left: usize,
}

impl Policy {
    /// The policy with another key for the log at that place in [`Policy::logs`].
    ///
    /// # Errors
    /// What [`Policy::parse`] would say of the result.
    pub fn with_log_key(&self, place: usize, key: VerifierKey) -> Result<Self, PolicyError> {
        let mut next = self.clone();
        if let Some(log) = next.logs.get_mut(place) {
            log.key = key;
        }
        next.checked()
    }

    /// The policy without the log at that place.
    ///
    /// # Errors
    /// [`PolicyError::NoLogs`] if it is the only one.
    pub fn without_log(&self, place: usize) -> Result<Self, PolicyError> {
        let mut next = self.clone();
        if place < next.logs.len() {
            next.logs.remove(place);
        }
        if next.logs.is_empty() { Err(PolicyError::NoLogs) } else { Ok(next) }
    }

    /// The policy with another witness at that place in [`Policy::witnesses`], also in groups and quorum.
    ///
    /// # Errors
    /// What [`Policy::parse`] would say of the result.
    pub fn with_witness(&self, place: usize, witness: PolicyWitness) -> Result<Self, PolicyError> {
        let mut next = self.clone();
        if let Some(held) = next.witnesses.get_mut(place) {
            *held = witness;
        }
        next.checked()
    }

    /// The policy without the witness at that place. Groups ask for as many of their members as before.
    ///
    /// # Errors
    /// [`WitnessNeeded`] if a group would have fewer members than that, or the quorum none.
    pub fn without_witness(&self, place: usize) -> Result<Self, WitnessNeeded> {
        let mut next = self.clone();
        if place >= next.witnesses.len() {
            return Ok(next);
        }
        if self.quorum == Some(Member::Witness(place)) {
            return Err(WitnessNeeded { threshold: 1, left: 0 });
        }
        next.witnesses.remove(place);
        // Those behind it move up by one.
        let moved = |member: Member| match member {
            Member::Witness(other) if other > place => Member::Witness(other - 1),
            other => other,
        };
        for group in &mut next.groups {
            group.members.retain(|member| *member != Member::Witness(place));
            group.members.iter_mut().for_each(|member| *member = moved(*member));
            let (threshold, left) = (group.threshold, group.members.len());
            if left < threshold {
                return Err(WitnessNeeded { threshold, left });
            }
        }
        next.quorum = next.quorum.map(moved);
        Ok(next)
    }

    /// The same policy, held to the rules of the text.
    fn checked(&self) -> Result<Self, PolicyError> {
        Self::parse(&self.encode())
    }
}
