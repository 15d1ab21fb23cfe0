//! Listening, running until told to stop, and stopping without cutting anyone off.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::ServeError;
use crate::patience::PatientStream;
use crate::places::{Peer, Places};
use crate::watched;

/// Connections served at once. When all are taken, the one that has been idle longest is closed for the next; if none
/// is idle, the next ones wait in the system's backlog.
pub const MAX_CONNECTIONS: usize = 512;

/// Connections served at once for one address. The next one takes the place of that address's longest idle one, and is
/// closed if none is idle.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 128;

/// How long answers under way may take after the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Threads for blocking reads and fsyncs.
pub(crate) const MAX_BLOCKING_THREADS: usize = 32;

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

/// What a server does at SIGHUP.
pub type Hangup = Arc<dyn Fn() + Send + Sync>;

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
    let places = Places::new(MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS);
    run_in(app, listening, until, places, MAX_BLOCKING_THREADS, None)
}

/// As [`run`], in these places, with so many threads that may block; does `hangup` at each SIGHUP.
pub(crate) fn run_in(
    app: Router,
    listening: Listening,
    until: Until,
    places: Arc<Places>,
    threads: usize,
    hangup: Option<Hangup>,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(threads)
        .build()
        .map_err(ServeError::System)?;
    let serving = async {
        if let Some(act) = hangup {
            tokio::spawn(hear_hangups(signal(SignalKind::hangup())?, act));
        }
        let listener = BoundedListener { listener: TcpListener::from_std(listening.listener)?, places };
        serve(app, listener, until).await
    };
    let result = runtime.block_on(serving).map_err(ServeError::System);
    // A reader that hangs in a blocking call (a dead network file system) does not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Acts once a signal; signals that come while it acts are one.
async fn hear_hangups(mut hangups: Signal, act: Hangup) {
    while hangups.recv().await.is_some() {
        let act = Arc::clone(&act);
        // A panic in it ends nothing else.
        let _ = tokio::task::spawn_blocking(move || act()).await;
    }
}

async fn serve<L>(app: Router, listener: L, until: Until) -> io::Result<()>
where
    L: Listener<Addr = Peer>,
    Peer: for<'a> Connected<IncomingStream<'a, L>>,
{
    let (stop, stopped) = oneshot::channel::<()>();
    let app = app.layer(axum::middleware::from_fn(watched::watch));
    let service = app.into_make_service_with_connect_info::<Peer>();
    let server = axum::serve(listener, service).with_graceful_shutdown(async {
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
pub(crate) struct BoundedListener {
    listener: TcpListener,
    places: Arc<Places>,
}

impl Listener for BoundedListener {
    type Io = PatientStream;
    type Addr = Peer;

    fn accept(&mut self) -> impl Future<Output = (Self::Io, Self::Addr)> + Send {
        accept(&self.listener, &self.places)
    }

    fn local_addr(&self) -> io::Result<Peer> {
        // Nobody asks a server of ours through its listener: `Listening` knows the address.
        Err(io::ErrorKind::Unsupported.into())
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Places>) -> (PatientStream, Peer) {
    loop {
        places.room().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Dropped, it is closed: its address has as many at work as it can have.
                let Some(place) = places.take(peer.ip().into()) else { continue };
                // Small answers leave at once; a failure only costs latency.
                let _ = stream.set_nodelay(true);
                let peer = place.peer.clone();
                return (PatientStream::new(stream, place), peer);
            }
            // A connection that broke before it was accepted, or no file descriptor left: the next may do.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Slow peers before the whole server, on a clock that moves when nobody has anything to do.

    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::patience::{IDLE_SECONDS, REQUEST_SECONDS};

    /// Connections in memory.
    struct Pipes {
        places: Arc<Places>,
        pipes: mpsc::UnboundedReceiver<DuplexStream>,
    }

    impl Listener for Pipes {
        type Io = PatientStream<DuplexStream>;
        type Addr = Peer;

        async fn accept(&mut self) -> (Self::Io, Peer) {
            let Some(pipe) = self.pipes.recv().await else { std::future::pending().await };
            let place = self.places.take(std::net::IpAddr::from([127, 0, 0, 1]).into()).unwrap();
            let peer = place.peer.clone();
            (PatientStream::new(pipe, place), peer)
        }

        fn local_addr(&self) -> io::Result<Peer> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    impl Connected<IncomingStream<'_, Pipes>> for Peer {
        fn connect_info(stream: IncomingStream<'_, Pipes>) -> Self {
            stream.remote_addr().clone()
        }
    }

    const BIG: usize = 100_000;
    const SLOW: Duration = Duration::from_secs(60);

    async fn answer(request: Request) -> axum::response::Response {
        let path = request.uri().path().to_owned();
        let body = to_bytes(request.into_body(), 100).await.unwrap_or_default();
        match path.as_str() {
            "/big" => axum::response::Response::new(Body::from(vec![b'x'; BIG])),
            "/slow" => {
                sleep(SLOW).await;
                axum::response::Response::new(Body::from("at last"))
            }
            _ => axum::response::Response::new(Body::from(body)),
        }
    }

    /// Lets a peer do `act` on its end of a connection, which holds 1,000 bytes on their way.
    fn play<T>(act: impl AsyncFnOnce(DuplexStream) -> T) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (near, far) = tokio::io::duplex(1000);
            let (sender, pipes) = mpsc::unbounded_channel();
            sender.send(far).unwrap();
            let (handle, stop) = stop();
            let places = Places::new(10, 10);
            let pipes = Pipes { places: Arc::clone(&places), pipes };
            let app = Router::new().fallback(answer);
            let serving = tokio::spawn(serve(app, pipes, Until::Stopped(stop)));
            let done = act(near).await;
            handle.stop();
            serving.await.unwrap().unwrap();
            assert_eq!(places.occupancy().open, 0, "the place is free");
            done
        })
    }

    /// What came until the end, and when that was.
    async fn rest(peer: &mut DuplexStream, since: Instant) -> (String, Duration) {
        let mut text = Vec::new();
        let _ = peer.read_to_end(&mut text).await;
        (String::from_utf8_lossy(&text).into_owned(), since.elapsed())
    }

    /// Sends `head`, and then a byte a second.
    fn trickle(head: &'static [u8]) -> (String, Duration) {
        play(async move |mut peer: DuplexStream| {
            let start = Instant::now();
            peer.write_all(head).await.unwrap();
            let (mut reading, mut writing) = tokio::io::split(peer);
            let sending = tokio::spawn(async move {
                while writing.write_all(b"x").await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            });
            let mut text = String::new();
            let _ = reading.read_to_string(&mut text).await;
            let took = start.elapsed();
            sending.abort();
            (text, took)
        })
    }

    fn about(took: Duration, seconds: u64) -> bool {
        took >= Duration::from_secs(seconds) && took <= Duration::from_secs(seconds + 2)
    }

    #[test]
    fn d26_a_request_that_trickles_in_is_answered_with_408() {
        for head in [
            &b"GET / HTTP/1.1\r\nhost: x\r\nx-a: "[..],
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n",
        ] {
            let (text, took) = trickle(head);
            assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
            assert!(about(took, REQUEST_SECONDS), "{took:?}");
        }
    }

    #[test]
    fn d26_a_request_that_stops_half_way_is_answered_with_408() {
        for half in [&b"GET /"[..], b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf"] {
            let (text, took) = play(async |mut peer: DuplexStream| {
                let start = Instant::now();
                peer.write_all(half).await.unwrap();
                rest(&mut peer, start).await
            });
            assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
            assert!(about(took, REQUEST_SECONDS), "{took:?}");
        }
    }

    #[test]
    fn d26_a_silent_peer_is_let_go_before_and_after_a_request() {
        let (text, took) = play(async |mut peer: DuplexStream| rest(&mut peer, Instant::now()).await);
        assert!(text.is_empty(), "{text}");
        assert!(about(took, IDLE_SECONDS), "{took:?}");

        let (text, took) = play(async |mut peer: DuplexStream| {
            sleep(Duration::from_secs(5)).await;
            peer.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            rest(&mut peer, Instant::now()).await
        });
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        assert!(about(took, IDLE_SECONDS), "{took:?}");
    }

    #[test]
    fn d26_a_peer_that_takes_nothing_of_its_answer_is_let_go() {
        let (text, _) = play(async |mut peer: DuplexStream| {
            peer.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            sleep(Duration::from_secs(IDLE_SECONDS + 1)).await;
            rest(&mut peer, Instant::now()).await
        });
        assert_eq!(text.len(), 1000, "what was on its way, and no more");
    }

    #[test]
    fn a_peer_that_takes_its_answer_slowly_gets_all_of_it() {
        let taken = play(async |mut peer: DuplexStream| {
            peer.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
            let (mut taken, mut part) = (0, [0; 500]);
            loop {
                match peer.read(&mut part).await.unwrap() {
                    0 => return taken,
                    count => taken += count,
                }
                sleep(Duration::from_secs(IDLE_SECONDS - 1)).await;
            }
        });
        assert!(taken > BIG, "{taken}");
    }

    #[test]
    fn no_clock_runs_while_the_server_works() {
        for head in [
            &b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"[..],
            b"POST /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody",
        ] {
            let (text, took) = play(async |mut peer: DuplexStream| {
                let start = Instant::now();
                peer.write_all(head).await.unwrap();
                rest(&mut peer, start).await
            });
            assert!(text.ends_with("at last"), "{text}");
            assert!(took >= SLOW, "{took:?}");
        }
    }
}
