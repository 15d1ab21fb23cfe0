//! Reading a request's body: never more than a limit, and no more of large ones at once than memory is set aside for.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use http_body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies up to this size need no place: there are as many as connections, and those are counted.
const SMALL_BYTES: usize = 16 * 1024;
/// Room that a body has at first.
const FIRST_BYTES: usize = 4 * 1024;
const KIB: usize = 1024;

/// The memory for large bodies.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A body, and the memory that it occupies.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It has more bytes than are taken.
    TooLarge,
    /// There is no memory left now.
    NoMemory,
}

impl Budget {
    /// So much.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / KIB)))
    }

    /// Memory for `bytes` bytes, if there is some left now.
    pub(crate) fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(kib).ok()
    }

    /// Reads a body of at most `limit` bytes. One that says that it is longer is refused unread. Memory is taken as bytes
    /// come: who announces many and sends none has none.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        limit: usize,
    ) -> Result<Held, Unread> {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        // Without a length, as much may come as is taken.
        let expected = match length {
            Some(length) => usize::try_from(length).ok().filter(|length| *length <= limit),
            None => Some(limit),
        }
        .ok_or(Unread::TooLarge)?;
        let (mut bytes, mut place) = (Vec::new(), None);
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            // An error is the connection's, and nobody reads the answer.
            let frame = frame.map_err(|_| Unread::TooLarge)?;
            let Some(more) = frame.data_ref() else { continue };
            if more.len() > expected - bytes.len() {
                return Err(Unread::TooLarge);
            }
            self.grow(&mut bytes, more.len(), expected, &mut place)?;
            bytes.extend_from_slice(more);
        }
        Ok(Held { bytes: bytes.into(), _place: place })
    }

    /// Makes room for `more` bytes, and takes the memory for it: for what has come, not for what was announced.
    fn grow(
        &self,
        bytes: &mut Vec<u8>,
        more: usize,
        expected: usize,
        place: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<(), Unread> {
        let needed = bytes.len() + more;
        if needed <= bytes.capacity() {
            return Ok(());
        }
        let room = needed.max(2 * bytes.capacity()).max(FIRST_BYTES).min(expected);
        if room > SMALL_BYTES {
            let held = place.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * KIB;
            let taken = self.take(room.saturating_sub(held)).ok_or(Unread::NoMemory)?;
            match place {
                Some(place) => place.merge(taken),
                None => *place = Some(taken),
            }
        }
        bytes.reserve_exact(room - bytes.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use http_body::Frame;

    use super::*;

    const BYTES: usize = 64 * 1024 * 1024;

    #[test]
    fn memory_is_given_once_and_comes_back() {
        let budget = Budget::new(BYTES);
        let held = budget.take(BYTES).unwrap();
        assert!(budget.take(1).is_none());
        drop(held);
        assert!(budget.take(BYTES).is_some());
        assert!(budget.take(usize::MAX).is_none());
    }

    /// Sends so many bytes in chunks, and then nothing, or the end.
    struct Sent {
        left: usize,
        ends: bool,
    }

    impl http_body::Body for Sent {
        type Data = Bytes;
        type Error = core::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match (self.left, self.ends) {
                (0, true) => Poll::Ready(None),
                (0, false) => Poll::Pending,
                (left, _) => {
                    let chunk = left.min(10_000);
                    self.left -= chunk;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; chunk])))))
                }
            }
        }
    }

    const LIMIT: usize = 8 * 1024 * 1024;

    fn announced(length: usize) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_LENGTH, length.into())])
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_announces_much_and_sends_little_takes_no_memory() {
        let budget = Budget::new(BYTES);
        let (much, none) = (announced(LIMIT), HeaderMap::new());
        let idle =
            |headers| Box::pin(budget.read(headers, Body::new(Sent { left: 9_000, ends: false }), LIMIT));
        let mut idle: Vec<_> = [&much, &none].into_iter().cycle().take(200).map(idle).collect();
        for one in &mut idle {
            assert!(poll(one.as_mut()).is_pending());
        }
        assert_eq!(budget.0.available_permits(), BYTES / KIB);
        // Who has sent much has what that takes, and what is left is for others; then no more.
        let mut senders = Vec::new();
        loop {
            let sent = Sent { left: LIMIT - 1, ends: false };
            let mut sender = Box::pin(budget.read(&much, Body::new(sent), LIMIT));
            match poll(sender.as_mut()) {
                Poll::Pending => senders.push(sender),
                Poll::Ready(outcome) => break assert_eq!(outcome.unwrap_err(), Unread::NoMemory),
            }
        }
        assert_eq!(senders.len(), BYTES / LIMIT);
        drop(senders);
        assert_eq!(budget.0.available_permits(), BYTES / KIB);
    }

    #[test]
    fn a_body_is_read_whole_and_no_longer_than_it_may_be() {
        let budget = Budget::new(BYTES);
        let read = |headers: &HeaderMap, left| {
            let mut read = Box::pin(budget.read(headers, Body::new(Sent { left, ends: true }), 100_000));
            match poll(read.as_mut()) {
                Poll::Ready(outcome) => outcome.map(|held| held.bytes.len()),
                Poll::Pending => panic!("it has come"),
            }
        };
        let none = HeaderMap::new();
        for length in [0, 1, 4096, 16_384, 16_385, 99_999, 100_000] {
            assert_eq!(read(&none, length), Ok(length));
            assert_eq!(read(&announced(length), length), Ok(length));
        }
        let too_large = Err(Unread::TooLarge);
        assert_eq!(read(&none, 100_001), too_large);
        assert_eq!(read(&announced(100_001), 0), too_large);
        assert_eq!(read(&announced(5), 6), too_large);
        assert_eq!(budget.0.available_permits(), BYTES / KIB);
    }
}
