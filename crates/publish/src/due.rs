//! What of a repository has to be renewed, by when and by whom.

use countersign_base::Timestamp;
use countersign_tlog::policy::Policy;
use countersign_tuf::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};

use crate::current::Current;
use crate::error::PublishError;
use crate::publisher::Publisher;

const SECONDS_PER_DAY: u64 = 86_400;

/// Metadata that expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its role.
    pub role: String,
    /// Its version.
    pub version: u64,
    /// When clients begin to refuse it.
    pub expires: Timestamp,
    /// From when on it should be renewed.
    pub from: Timestamp,
    /// Whether that is now.
    pub is_due: bool,
    /// Who renews it.
    pub by: RenewedBy,
}

/// Who renews metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewedBy {
    /// [`Publisher::renew`], with the online keys.
    Machine,
    /// People with offline keys, by a proposal.
    People,
}

impl Publisher<'_> {
    /// What expires, the first to expire first: timestamp, snapshot, root, targets and every product. Needs no key and
    /// changes nothing. The keys' own dates are told by [`countersign_keys::KeyDir::due`].
    ///
    /// # Errors
    /// `publish-repo-missing`, `publish-repo-damaged`.
    pub fn due(&self) -> Result<Vec<Due>, PublishError> {
        let site = &self.site;
        let mut current = Current::read_to_mend(site)?;
        let products: Vec<String> = current
            .files()
            .into_iter()
            .map(|(role, _)| role)
            .filter(|role| current.has_product(role))
            .collect();
        for product in &products {
            current.load_product(site, product)?;
        }
        let top = [ROOT, TARGETS, SNAPSHOT, TIMESTAMP].map(str::to_owned);
        let due = |role: String| {
            let (version, expires) = current.version_and_expiry(&role)?;
            let notice = site.expiries.notice_days(&role);
            let from = expires.as_unix().saturating_sub(notice * SECONDS_PER_DAY);
            let from = Timestamp::from_unix(from)?;
            let online = [SNAPSHOT, TIMESTAMP].contains(&role.as_str());
            let by = if online { RenewedBy::Machine } else { RenewedBy::People };
            Some(Due { role, version, expires, from, is_due: from <= site.now, by })
        };
        let mut found: Vec<Due> = top.into_iter().chain(products).filter_map(due).collect();
        found.sort_by_key(|due| due.expires);
        Ok(found)
    }

    /// The transparency policy in force, for whoever proposes another.
    ///
    /// # Errors
    /// `publish-repo-missing`, `publish-repo-damaged`.
    pub fn policy(&self) -> Result<Policy, PublishError> {
        Ok(Current::read_to_mend(&self.site)?.policy)
    }
}
