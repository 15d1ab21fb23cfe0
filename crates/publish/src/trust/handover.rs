//! From one root to the next: what `act.rs` needs to know of a new root that it publishes.

use countersign_tlog::policy::{Policy, PolicyError};
use countersign_tuf::metadata::{Envelope, ROOT};
use countersign_tuf::{Role as _, Root, TufError};
use countersign_verify::root_policy;

use crate::act::Signed;
use crate::error::PublishError;
use crate::online::Online;

/// A root that takes the place of the one in force.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The new root.
    pub root: Root,
    /// The transparency policy in it.
    pub policy: Policy,
}

impl Handover {
    /// The new root among `documents`, if there is one. The first root of a repository that is being made is none: it
    /// takes nobody's place.
    ///
    /// # Errors
    /// `tuf-root-chain` if it is not the next one, `log-policy-invalid` without a usable policy,
    /// `log-origin-mismatch` if its policy does not know the repository's log, which cannot be exchanged.
    pub(crate) fn of(
        documents: &[Signed],
        online: &Online<'_>,
        policy: &Policy,
    ) -> Result<Option<Self>, PublishError> {
        let found = documents.iter().find(|document| document.role == ROOT);
        let Some((document, current)) = found.zip(online.current) else { return Ok(None) };
        let root = Envelope::<Root>::parse(ROOT, &document.bytes)?.signed;
        let want = current.root().version() + 1;
        if root.version() != want {
            return Err(TufError::RootVersion { want, got: root.version() }.into());
        }
        let next = root_policy(&root).map_err(PublishError::SelfCheck)?;
        check_origin(policy, &next)?;
        Ok(Some(Self { root, policy: next }))
    }
}

/// Refuses a policy of another log than the present one: the history of the repository is in that.
pub(super) fn check_origin(present: &Policy, next: &Policy) -> Result<(), PublishError> {
    let known = |policy: &Policy, origin: &str| policy.logs().iter().any(|log| log.key.name() == origin);
    match next.logs().iter().find(|log| !known(present, log.key.name())) {
        Some(other) => Err(PolicyError::Origin { origin: other.key.name().to_owned() }.into()),
        None => Ok(()),
    }
}
