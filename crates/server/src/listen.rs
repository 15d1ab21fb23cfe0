//! Listening, running until told to stop, and stopping without cutting anyone off.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::ServeError;
use crate::patience::PatientStream;

/// Connections served at once; the next ones wait in the system's backlog.
pub const MAX_CONNECTIONS: usize = 512;

/// How long answers under way may take after the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Threads for blocking reads and fsyncs.
const MAX_BLOCKING_THREADS: usize = 32;

/// A socket that is bound: peers can connect from now on, and are answered once it is served.
#[derive(Debug)]
pub struct Listening {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Binds `HOST:PORT`; port 0 takes a free one.
    ///
    /// # Errors
    /// `serve-failed` if that is not an address of this machine or is in use.
    pub fn bind(address: &str) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address: address.to_owned(), source };
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was taken.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// How long to serve.
#[derive(Debug)]
pub enum Until {
    /// Until the process gets SIGINT or SIGTERM.
    Interrupted,
    /// Until [`StopHandle::stop`], or until the handle is dropped.
    Stopped(Stop),
    /// Until either of the two.
    Either(Box<Until>, Stop),
}

/// The server's end of a [`StopHandle`].
#[derive(Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Stops a server that runs in another thread.
#[derive(Debug)]
pub struct StopHandle(watch::Sender<bool>);

impl StopHandle {
    /// Tells it to stop; it first finishes the answers under way, for a few seconds.
    pub fn stop(self) {
        // No receiver: it has stopped already.
        let _ = self.0.send(true);
    }
}

/// A handle, and what to give the server: `Until::Stopped(stop)`.
pub fn stop() -> (StopHandle, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopHandle(sender), Stop(receiver))
}

impl Until {
    /// Until this, or until `stop`: a server that also ends when what it serves has failed.
    pub(crate) fn or(self, stop: Stop) -> Self {
        Self::Either(Box::new(self), stop)
    }

    async fn wait(self) -> io::Result<()> {
        match self {
            Self::Either(first, Stop(mut receiver)) => {
                let mut first = Box::pin(first.wait());
                let mut second = std::pin::pin!(receiver.wait_for(|stopped| *stopped));
                std::future::poll_fn(|context| {
                    if second.as_mut().poll(context).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    first.as_mut().poll(context)
                })
                .await
            }
            Self::Stopped(Stop(mut receiver)) => {
                // An error means that the handle is gone, which is a stop too.
                let _ = receiver.wait_for(|stopped| *stopped).await;
                Ok(())
            }
            Self::Interrupted => {
                let mut interrupt = signal(SignalKind::interrupt())?;
                let mut terminate = signal(SignalKind::terminate())?;
                std::future::poll_fn(|context| {
                    let one = interrupt.poll_recv(context).is_ready();
                    let other = terminate.poll_recv(context).is_ready();
                    if one || other { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                Ok(())
            }
        }
    }
}

/// Serves `app` in this thread until told to stop.
pub(crate) fn run(app: Router, listening: Listening, until: Until) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .map_err(ServeError::System)?;
    let result = runtime.block_on(serve(app, listening, until)).map_err(ServeError::System);
    // A reader that hangs in a blocking call (a dead network file system) does not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn serve(app: Router, listening: Listening, until: Until) -> io::Result<()> {
    let listener = BoundedListener {
        listener: TcpListener::from_std(listening.listener)?,
        places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());
    until.wait().await?;
    let _ = stop.send(());
    // After the grace period the rest is dropped with the runtime.
    let _ = tokio::time::timeout(GRACE, server).await;
    Ok(())
}

/// Accepts as many connections as there are places.
struct BoundedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for BoundedListener {
    type Io = PatientStream;
    type Addr = SocketAddr;

    fn accept(&mut self) -> impl Future<Output = (Self::Io, Self::Addr)> + Send {
        accept(&self.listener, &self.places)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (PatientStream, SocketAddr) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            // The semaphore is never closed.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Small answers leave at once; a failure only costs latency.
                let _ = stream.set_nodelay(true);
                return (PatientStream::new(stream, place), peer);
            }
            // A connection that broke before it was accepted, or no file descriptor left: the next may do.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
