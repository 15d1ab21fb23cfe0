//! Bounds on what a server sends, measured on the bare connection: a minimum rate and an allowance.
//!
//! Below TLS and below chunked encoding, so that bytes which never become content (a TLS record that is not
//! finished, an endless chunk header, endless header or trailer lines) count as what they are. Only time
//! spent waiting for the server counts, not the time that the caller takes between two reads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// A server slower than this, over [`STALL_SECONDS`] of waiting, is given up on.
pub const MIN_BYTES_PER_SECOND: u64 = 1024;

/// Longest wait for one sign of life, and the window over which the rate is measured.
pub const STALL_SECONDS: u64 = 8;

/// Why a connection was given up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Exceeded {
    /// The rate fell below [`MIN_BYTES_PER_SECOND`].
    #[error("under {MIN_BYTES_PER_SECOND} bytes a second for {STALL_SECONDS} seconds")]
    Slow,
    /// More bytes than the request's allowance, headers and framing included.
    #[error("more bytes than allowed")]
    Large,
}

/// The bytes that the current request may still receive; shared by the connections of one transport.
#[derive(Debug, Clone, Default)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    /// Sets it at the start of a request.
    pub(super) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Takes what was received; false if that was more than left.
    fn spend(&self, bytes: u64) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
        bytes <= left
    }
}

/// Wraps each connection in a [`Metered`]. Stands between TCP and TLS in the chain.
#[derive(Debug)]
pub(super) struct Meter(pub(super) Allowance);

impl<In: Transport> Connector<In> for Meter {
    type Out = Metered<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let allowance = self.0.clone();
        Ok(chained.map(|inner| Metered { inner, allowance, waited: Duration::ZERO, received: 0 }))
    }
}

/// A connection with a minimum rate and an allowance.
pub(super) struct Metered<T> {
    inner: T,
    allowance: Allowance,
    /// Time spent waiting in the current window.
    waited: Duration,
    /// Bytes received in the current window.
    received: u64,
}

impl<T: fmt::Debug> fmt::Debug for Metered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: Transport> Transport for Metered<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        // A new request, so a new window: the waits of many small answers do not add up.
        (self.waited, self.received) = (Duration::ZERO, 0);
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let before = self.inner.buffers().input().len();
        let start = Instant::now();
        let progress = self.inner.await_input(timeout)?;
        self.waited += start.elapsed();
        let got = self.inner.buffers().input().len().saturating_sub(before) as u64;
        self.received += got;
        if !self.allowance.spend(got) {
            return Err(ureq::Error::Other(Box::new(Exceeded::Large)));
        }
        if self.waited >= Duration::from_secs(STALL_SECONDS) {
            // An end of the connection (no progress) is for the layers above to judge.
            if self.received < MIN_BYTES_PER_SECOND * STALL_SECONDS && progress {
                return Err(ureq::Error::Other(Box::new(Exceeded::Slow)));
            }
            (self.waited, self.received) = (Duration::ZERO, 0);
        }
        Ok(progress)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
