//! A hostile HTTP server: a thread that does with each request whatever the test says.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use countersign_client::{HttpTransport, Location};

/// One connection, with counters that outlive it.
pub(crate) struct Peer {
    stream: TcpStream,
    sent: Arc<AtomicU64>,
}

impl Peer {
    /// Sends; false once the client has gone.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        let ok = self.stream.write_all(bytes).is_ok();
        if ok {
            self.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
        ok
    }

    /// Sends the same again until the client has gone.
    pub(crate) fn send_forever(&mut self, bytes: &[u8]) {
        while self.send(bytes) {}
    }

    /// Sends one byte a second until the client has gone.
    pub(crate) fn trickle(&mut self, byte: u8) {
        while self.send(&[byte]) {
            thread::sleep(std::time::Duration::from_secs(1));
        }
    }

    /// Waits until the client closes.
    pub(crate) fn wait(&mut self) {
        let mut buffer = [0; 1024];
        while self.stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    }
}

pub(crate) struct Hostile {
    port: u16,
    sent: Arc<AtomicU64>,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Hostile {
    /// Serves on a free port of this machine; `answer` gets each request's head. It returns whether the
    /// connection stays open for another request.
    pub(crate) fn start(answer: impl Fn(&mut Peer, &str) -> bool + Send + Sync + 'static) -> Self {
        Self::serve(move |peer, requests| {
            while let Some(head) = read_head(&mut peer.stream) {
                requests.lock().unwrap().push(head.clone());
                if !answer(peer, &head) {
                    break;
                }
            }
        })
    }

    /// Gets each connection as it is.
    pub(crate) fn start_raw(talk: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::serve(move |peer, _| talk(peer))
    }

    fn serve(talk: impl Fn(&mut Peer, &Mutex<Vec<String>>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self {
            port: listener.local_addr().unwrap().port(),
            sent: Arc::default(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (sent, connections, requests) =
            (this.sent.clone(), this.connections.clone(), this.requests.clone());
        let talk = Arc::new(talk);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let (talk, sent, requests) = (talk.clone(), sent.clone(), requests.clone());
                thread::spawn(move || talk(&mut Peer { stream, sent }, &requests));
            }
        });
        this
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn transport(&self) -> HttpTransport {
        transport(&self.url())
    }

    /// Bytes that the server got rid of, those in the system's buffers included.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

pub(crate) fn transport(url: &str) -> HttpTransport {
    match url.parse().unwrap() {
        Location::Http(base) => HttpTransport::new(&base),
        Location::Directory(_) => panic!("not a URL"),
    }
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// An honest answer of status 200.
pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}
