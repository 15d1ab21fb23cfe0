//! How long each role's metadata is good for.

use countersign_base::Timestamp;
use countersign_tuf::metadata::{ROOT, SNAPSHOT, TIMESTAMP};

/// Days from signing to expiry, a number a role.
///
/// Expiry bounds how long an attacker who withholds newer metadata can keep a client on what it has (attack M04).
/// Roles whose keys are offline cost people's time to renew, so theirs is long; online ones are renewed by machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiries {
    /// `root`: a ceremony of several people; two years leave room to miss one.
    pub(crate) root_days: u64,
    /// `targets`: changes when a product is added or its keys change, and must be renewed once a year.
    pub(crate) targets_days: u64,
    /// A product's role: a product without a release for a year must at least say that it lives.
    pub(crate) product_days: u64,
    /// `snapshot`: online, signed with every release; [`crate::Publisher::renew`] does it between releases.
    pub(crate) snapshot_days: u64,
    /// `timestamp`: the longest time for which a client can be kept from the newest release, so the shortest.
    pub(crate) timestamp_days: u64,
}

impl Default for Expiries {
    fn default() -> Self {
        Self { root_days: 730, targets_days: 365, product_days: 365, snapshot_days: 90, timestamp_days: 14 }
    }
}

impl Expiries {
    /// How many days before it expires metadata of `role` is due to be renewed.
    ///
    /// A machine renews the online roles in the last third of their time. People are told two months ahead, of root
    /// three: they have to meet.
    pub(crate) fn notice_days(&self, role: &str) -> u64 {
        match role {
            ROOT => 90,
            SNAPSHOT => self.snapshot_days / 3,
            TIMESTAMP => self.timestamp_days / 3,
            _ => 60,
        }
    }
}

/// Whether less than a third of the `days` that metadata is good for is left.
///
/// A third of 90 days is a month: renewing each day finds it long before a client would be refused.
pub(crate) const fn is_near(expires: Timestamp, days: u64, now: Timestamp) -> bool {
    expires.as_unix() <= now.plus_days(days / 3).as_unix()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_third_is_near() {
        let now = Timestamp::EPOCH;
        assert!(is_near(now.plus_days(30), 90, now));
        assert!(!is_near(now.plus_days(31), 90, now));
    }
}
