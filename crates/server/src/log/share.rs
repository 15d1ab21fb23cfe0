//! Memory for large objects that are fetched whole, and shares of it for the addresses that ask.
//!
//! How large an object is, is known when it is there. So memory for the largest one is taken before it is fetched, and
//! the rest given back after. What it occupies is held until its reader has taken it, which a slow one can put off:
//! therefore no address has all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use countersign_log::MAX_ENTRY_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::places::Address;

/// Largest entry bundle: 256 entries, each with two bytes for its length (tlog-tiles, "Log Entries").
pub(super) const MAX_BUNDLE_BYTES: usize = 256 * (MAX_ENTRY_BYTES + 2);
/// Largest bundles that there is memory for, and how many of them one address can have.
const MOST: usize = 4;
const EACH: usize = 3;
/// How long to wait for memory: a reader that takes nothing is cut off after 15 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses from which on those without a share are forgotten; no more have one than there are connections.
const MANY: usize = 1024;

const KIB: usize = 1024;

/// The memory.
#[derive(Debug)]
pub(super) struct Shares {
    all: Arc<Semaphore>,
    each: Mutex<HashMap<Address, Weak<Semaphore>>>,
}

/// Some of it.
#[derive(Debug)]
pub(super) struct Share {
    own: Option<OwnedSemaphorePermit>,
    all: OwnedSemaphorePermit,
}

impl Default for Shares {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MOST * kib(MAX_BUNDLE_BYTES))), each: Mutex::default() }
    }
}

impl Shares {
    /// Memory for the largest bundle, for who asks from this address; `None` if there is none for too long.
    pub(super) async fn take(&self, address: Option<Address>) -> Option<Share> {
        let count = u32::try_from(kib(MAX_BUNDLE_BYTES)).ok()?;
        let taken = timeout(PATIENCE, async {
            let own = match address {
                Some(address) => Some(self.of(address).acquire_many_owned(count).await.ok()?),
                None => None,
            };
            let all = Arc::clone(&self.all).acquire_many_owned(count).await.ok()?;
            Some(Share { own, all })
        });
        taken.await.ok().flatten()
    }

    fn of(&self, address: Address) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = each.get(&address).and_then(Weak::upgrade) {
            return known;
        }
        if each.len() >= MANY {
            each.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Semaphore::new(EACH * kib(MAX_BUNDLE_BYTES)));
        each.insert(address, Arc::downgrade(&share));
        share
    }
}

impl Share {
    /// Gives back all but what `bytes` bytes need.
    pub(super) fn shrink(&mut self, bytes: usize) {
        for permit in self.own.iter_mut().chain([&mut self.all]) {
            drop(permit.split(permit.num_permits().saturating_sub(kib(bytes))));
        }
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(KIB)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: Option<Address> = Some(Address::V4(Ipv4Addr::new(127, 0, 0, 1)));
    const THERE: Option<Address> = Some(Address::V4(Ipv4Addr::new(127, 0, 0, 2)));

    #[tokio::test(start_paused = true)]
    async fn an_address_that_takes_nothing_leaves_some_to_others() {
        let shares = Shares::default();
        let mut held = Vec::new();
        while let Some(share) = shares.take(HERE).await {
            held.push(share);
        }
        assert_eq!(held.len(), EACH);
        let other = shares.take(THERE).await.expect("another address has some");
        assert!(shares.take(THERE).await.is_none(), "there is no more");
        drop(other);
        for share in &mut held {
            share.shrink(KIB);
        }
        assert!(shares.take(HERE).await.is_some(), "what is not needed was given back");
        drop(held);
        let all = MOST * kib(MAX_BUNDLE_BYTES);
        assert_eq!(shares.all.available_permits(), all);
    }
}
