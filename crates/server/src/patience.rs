//! A connection that is closed when its peer is too slow.
//!
//! Three limits, whatever the protocol above does: a request (headers and body) arrives whole within
//! [`REQUEST_SECONDS`] of its first byte; a connection without a request is closed after [`IDLE_SECONDS`]; a
//! peer that takes no byte of an answer for [`IDLE_SECONDS`] has gone.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

/// Longest time from a request's first byte to its last.
pub(crate) const REQUEST_SECONDS: u64 = 10;
/// Longest silence.
pub(crate) const IDLE_SECONDS: u64 = 15;

/// A TCP connection with deadlines, and its place among the connections served at once.
pub(crate) struct PatientStream {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    read_deadline: Pin<Box<Sleep>>,
    write_deadline: Pin<Box<Sleep>>,
    /// Whether bytes have come in since the last byte went out: a request is arriving.
    in_request: bool,
    /// Whether a write waits for the peer.
    write_waits: bool,
}

impl PatientStream {
    pub(crate) fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Self {
        let idle = Instant::now() + Duration::from_secs(IDLE_SECONDS);
        Self {
            stream,
            _place: place,
            read_deadline: Box::pin(tokio::time::sleep_until(idle)),
            write_deadline: Box::pin(tokio::time::sleep_until(idle)),
            in_request: false,
            write_waits: false,
        }
    }

    /// Judges a read: progress starts the request's clock, waiting runs against it.
    fn after_read(&mut self, context: &mut Context<'_>, got: bool) -> Poll<io::Result<()>> {
        if got {
            if !self.in_request {
                self.in_request = true;
                self.read_deadline.as_mut().reset(Instant::now() + Duration::from_secs(REQUEST_SECONDS));
            }
            return Poll::Ready(Ok(()));
        }
        self.read_deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Judges a write: progress ends the request, waiting runs against the idle limit.
    fn after_write<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let idle = Instant::now() + Duration::from_secs(IDLE_SECONDS);
        match result {
            Poll::Ready(result) => {
                self.in_request = false;
                self.write_waits = false;
                self.read_deadline.as_mut().reset(idle);
                Poll::Ready(result)
            }
            Poll::Pending => {
                // While an answer waits for its reader, the silence of that reader is measured here.
                self.read_deadline.as_mut().reset(idle);
                if !self.write_waits {
                    self.write_waits = true;
                    self.write_deadline.as_mut().reset(idle);
                }
                self.write_deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if this.in_request => match this.read_deadline.as_mut().poll(context) {
                // Bytes trickle in, but the request is not whole yet.
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Ready(Ok(())),
            },
            Poll::Ready(Ok(())) => this.after_read(context, true),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.after_read(context, false),
        }
    }
}

impl AsyncWrite for PatientStream {
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
