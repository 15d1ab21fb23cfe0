//! A web server on loopback, for one repository.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use countersign_base::text::percent_decode;

/// Longest request line or header that is read, in bytes.
const MAX_LINE_BYTES: u64 = 16 * 1024;

/// Serves files by path and notes what was asked for; stops when dropped.
pub struct WebServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    stopped: AtomicBool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    statuses: BTreeMap<String, u16>,
    asked: Vec<String>,
}

impl WebServer {
    /// Listens on a free port.
    ///
    /// # Panics
    /// If loopback has none.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&server);
                // A client that hangs up early is no concern of the server's.
                thread::spawn(move || drop(answer_all(&stream, &shared)));
            }
        });
        Self { address, shared }
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves these files from now on, and these statuses in place of 200 and 404.
    pub fn serve(&self, files: &BTreeMap<String, Vec<u8>>, statuses: &BTreeMap<String, u16>) {
        let mut state = self.shared.lock();
        state.files.clone_from(files);
        state.statuses.clone_from(statuses);
    }

    /// The paths that were asked for since the last call, decoded.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().asked)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener up; if that fails, it ends with the process.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers request after request until the client closes.
fn answer_all(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(path) = read_request(&mut reader)? {
        let (status, body) = shared.answer(&path);
        let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n\r\n", body.len());
        (&*stream).write_all(&[head.as_bytes(), &body].concat())?;
    }
    Ok(())
}

impl Shared {
    fn answer(&self, path: &str) -> (u16, Vec<u8>) {
        let mut state = self.lock();
        state.asked.push(path.to_owned());
        match (state.statuses.get(path), state.files.get(path)) {
            (Some(status), _) => (*status, Vec::new()),
            (None, Some(body)) => (200, body.clone()),
            (None, None) => (404, Vec::new()),
        }
    }
}

/// The path of the next request, decoded and without its first slash; `None` at the end.
fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<String>> {
    let mut first = String::new();
    if reader.by_ref().take(MAX_LINE_BYTES).read_line(&mut first)? == 0 {
        return Ok(None);
    }
    loop {
        let mut header = String::new();
        if reader.by_ref().take(MAX_LINE_BYTES).read_line(&mut header)? == 0 || header == "\r\n" {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let decoded = percent_decode(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Some(decoded.unwrap_or_else(|| path.to_owned()).trim_start_matches('/').to_owned()))
}
