//! A connection that is closed when its peer is too slow.
//!
//! Three limits, whatever the protocol above does: a request (headers and body) arrives whole within
//! [`REQUEST_SECONDS`] of its first byte, or is answered with status 408; a connection without a request is closed after
//! [`IDLE_SECONDS`]; a peer that takes no byte of an answer for [`IDLE_SECONDS`] has gone. While the server works on a
//! request that it has whole, no clock runs.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::places::Place;

/// Longest time from a request's first byte to its last.
pub(crate) const REQUEST_SECONDS: u64 = 10;
/// Longest silence.
pub(crate) const IDLE_SECONDS: u64 = 15;

/// What a peer is told whose request does not arrive.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncache-control: no-store\r\ncontent-length: 0\r\n\r\n";

/// A connection with deadlines, and its place among the connections served at once.
pub(crate) struct PatientStream<S = TcpStream> {
    stream: S,
    place: Place,
    read_deadline: Pin<Box<Sleep>>,
    write_deadline: Pin<Box<Sleep>>,
}

fn idle_deadline() -> Instant {
    Instant::now() + Duration::from_secs(IDLE_SECONDS)
}

impl<S: AsyncRead + AsyncWrite + Unpin> PatientStream<S> {
    pub(crate) fn new(stream: S, place: Place) -> Self {
        let sleep = || Box::pin(tokio::time::sleep_until(idle_deadline()));
        Self { stream, place, read_deadline: sleep(), write_deadline: sleep() }
    }

    /// Bytes came in: the first of a request start its clock, and the others run against it.
    fn after_bytes(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let activity = &self.place.peer.activity;
        activity.touch();
        if !activity.arriving.swap(true, SeqCst) {
            self.read_deadline.as_mut().reset(Instant::now() + Duration::from_secs(REQUEST_SECONDS));
            return Poll::Ready(Ok(()));
        }
        match self.poll_deadline(context) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    /// Ready when the peer has had its time.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let activity = &self.place.peer.activity;
        if activity.is_working() || self.read_deadline.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        if activity.arriving.load(SeqCst) {
            // Nothing of an answer has gone out, so this is one; whoever does not take it has lost nothing.
            let _ = Pin::new(&mut self.stream).poll_write(context, TOO_SLOW);
        }
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// Judges a write: progress ends the request, waiting runs against the idle limit.
    fn after_write<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let activity = &self.place.peer.activity;
        // While an answer waits for its reader, the silence of that reader is measured by the other clock.
        self.read_deadline.as_mut().reset(idle_deadline());
        if result.is_ready() {
            activity.touch();
            activity.arriving.store(false, SeqCst);
            activity.blocked.store(false, SeqCst);
            return result;
        }
        if !activity.blocked.swap(true, SeqCst) {
            self.write_deadline.as_mut().reset(idle_deadline());
        }
        self.write_deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for PatientStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.place.poll_closed(context) {
            // It gives way to another: as if the peer had closed it.
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() == before => Poll::Ready(Ok(())),
            Poll::Ready(Ok(())) => this.after_bytes(context),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_deadline(context).map(Err),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PatientStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.after_write(context, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.after_write(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
