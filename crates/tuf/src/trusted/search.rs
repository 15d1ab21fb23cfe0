//! Finding the role that speaks for a target: preorder, depth first (specification 5.6.7).

use std::collections::BTreeSet;

use super::TrustedSet;
use crate::error::TufError;
use crate::limits::MAX_ROLES_VISITED;
use crate::metadata::{ROOT, TARGETS, TargetFile};
use crate::name::check_target;

/// A target and the role that speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// Role whose entry it is.
    pub role: &'a str,
    /// The entry.
    pub file: &'a TargetFile,
}

/// Where a search stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search<'a> {
    /// The target is here.
    Found(Found<'a>),
    /// Load this role with [`TrustedSet::update_delegated`], then search again. If it cannot be loaded, the search
    /// has ended without a result.
    Load {
        /// Role to load.
        role: String,
        /// Role that delegates to it.
        delegator: String,
    },
}

impl TrustedSet {
    /// Searches for `path` through the loaded roles, in order of trust, or says which role to load first.
    ///
    /// A role is asked only about paths that each delegation on the way to it covers. No role is asked twice, so cycles
    /// end; a terminating delegation ends the search after the roles below it.
    ///
    /// # Errors
    /// `tuf-target-not-found`; `tuf-delegation-path` if a loaded role lists it without a say over it;
    /// `tuf-delegation-limit`; `tuf-target-mismatch` for an entry without a known hash; `tuf-name-unsafe`.
    pub fn find_target(&self, path: &str) -> Result<Search<'_>, TufError> {
        check_target(path)?;
        let mut pending = vec![(TARGETS.to_owned(), ROOT.to_owned())];
        let mut visited = BTreeSet::new();
        while let Some((role, delegator)) = pending.pop() {
            if visited.contains(&role) {
                continue;
            }
            if visited.len() >= MAX_ROLES_VISITED {
                return Err(TufError::DelegationLimit {
                    what: "the roles in this search",
                    max: MAX_ROLES_VISITED,
                });
            }
            let Some((name, loaded)) = self.targets.get_key_value(&role) else {
                return Ok(Search::Load { role, delegator });
            };
            // A name is global, but its keys are each delegator's own: the file must satisfy this one too.
            if !loaded.delegators.contains(&delegator) {
                self.verify(&role, &delegator, &loaded.file)?;
            }
            if let Some(file) = loaded.file.signed.target(path) {
                file.check_known(path)?;
                return Ok(Search::Found(Found { role: name, file }));
            }
            if let Some(delegations) = loaded.file.signed.delegations() {
                let children = delegations.roles_for(path);
                let last = children.iter().position(|(_, terminating)| *terminating);
                if last.is_some() {
                    pending.clear();
                }
                let asked = children.len().min(last.map_or(children.len(), |last| last + 1));
                let asked = children.into_iter().take(asked).rev();
                pending.extend(asked.map(|(child, _)| (child, role.clone())));
            }
            visited.insert(role);
        }
        Err(self.not_found(path))
    }

    /// Says that nobody lists `path`, or who does without a say over it (attack M15).
    fn not_found(&self, path: &str) -> TufError {
        let covers = |delegator: &String, role: &str| {
            delegator == ROOT
                || self
                    .role(delegator)
                    .and_then(|targets| targets.delegations())
                    .is_some_and(|all| all.roles_for(path).iter().any(|(name, _)| name == role))
        };
        let unheard = self.targets.iter().find(|(role, loaded)| {
            loaded.file.signed.target(path).is_some() && !loaded.delegators.iter().any(|by| covers(by, role))
        });
        match unheard {
            Some((role, _)) => TufError::DelegationPath { role: role.clone(), path: path.to_owned() },
            None => TufError::TargetNotFound(path.to_owned()),
        }
    }
}
