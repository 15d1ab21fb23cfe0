//! How often one address may ask, where the operator has set a bound.

use std::sync::{Mutex, PoisonError};

use axum::extract::{ConnectInfo, Request};
use countersign_base::Timestamp;
use countersign_log::witness::{Rate, Rates};

use crate::places::{Address, Peer};

/// Addresses whose allowances are remembered.
const MAX_ADDRESSES: usize = 65_536;

/// The allowances of all addresses.
#[derive(Debug)]
pub(crate) struct Limit {
    rate: Option<Rate>,
    rates: Mutex<Rates<Address>>,
}

impl Limit {
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self { rate, rates: Mutex::default() }
    }

    /// Counts a request, or says in how many seconds its address may ask again.
    pub(crate) fn count(&self, request: &Request, now: Timestamp) -> Result<(), u64> {
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        let (Some(rate), Some(ConnectInfo(peer))) = (self.rate, peer) else { return Ok(()) };
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= MAX_ADDRESSES {
            rates.forget_idle(rate, now);
            // So many addresses at once are a crowd; who is known already goes on.
            if rates.len() >= MAX_ADDRESSES && !rates.knows(&peer.address) {
                return Err(1);
            }
        }
        rates.take(peer.address, rate, now)
    }
}
