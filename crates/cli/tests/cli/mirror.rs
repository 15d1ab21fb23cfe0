//! A mirror on loopback that answers as a test wants.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What is asked for.
pub(crate) struct Request {
    /// Without the leading slash.
    pub(crate) path: String,
    /// The first byte wanted.
    pub(crate) from: Option<usize>,
    /// What an honest mirror has there.
    pub(crate) honest: Option<Vec<u8>>,
}

/// What is answered.
pub(crate) enum Answer {
    /// The file as it is, or the part of it that is wanted.
    Honest,
    /// These bytes as the whole file.
    File(Vec<u8>),
    /// These bytes as the part that is wanted, of a file as long as the honest one.
    Part(Vec<u8>),
    /// The honest file is announced, and the connection breaks after that many bytes.
    Broken(usize),
    /// Bytes without end.
    Endless,
    /// Whatever the test does with the connection, also for a file that is not there.
    Raw(Box<Talk>),
}

/// What a test does with a connection.
pub(crate) type Talk = dyn FnOnce(&TcpStream) -> std::io::Result<()>;

type Tamper = dyn Fn(&Request) -> Answer + Send + Sync;

/// A mirror of a folder.
pub(crate) struct Mirror {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mirror {
    /// Serves `folder` as `tamper` says.
    pub(crate) fn start(folder: &Path, tamper: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, folder, tamper) =
            (Arc::clone(&stop), folder.to_owned(), Arc::new(tamper) as Arc<Tamper>);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (folder, tamper) = (folder.clone(), Arc::clone(&tamper));
                // A client that goes away is no trouble of ours.
                std::thread::spawn(move || drop(answer(&stream.unwrap(), &folder, &*tamper)));
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn answer(stream: &TcpStream, folder: &Path, tamper: &Tamper) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let mut from = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.split('-').next().and_then(|text| text.parse().ok());
        }
    }
    let request = Request { honest: fs::read(folder.join(&path)).ok(), path, from };
    let mut out = stream;
    let whole = |body: &[u8]| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
    let close = "Connection: close\r\n\r\n";
    let honest = request.honest.clone().unwrap_or_default();
    let (head, body) = match tamper(&request) {
        Answer::Raw(talk) => return talk(stream),
        _ if request.honest.is_none() => {
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n".to_owned(), Vec::new())
        }
        Answer::Honest => match request.from {
            Some(from) => (part(&honest, from), honest[from..].to_vec()),
            None => (whole(&honest), honest),
        },
        Answer::File(bytes) => (whole(&bytes), bytes),
        Answer::Part(bytes) => (part(&honest, request.from.unwrap_or(0)), bytes),
        Answer::Broken(length) => (whole(&honest), honest[..length].to_vec()),
        Answer::Endless => {
            write!(out, "HTTP/1.1 200 OK\r\n{close}")?;
            loop {
                out.write_all(&[b'x'; 4096])?;
            }
        }
    };
    write!(out, "{head}ETag: \"{}\"\r\n{close}", body.len())?;
    out.write_all(&body)?;
    out.shutdown(Shutdown::Both)
}

fn part(honest: &[u8], from: usize) -> String {
    let (last, all) = (honest.len() - 1, honest.len());
    let length = all - from;
    format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\nContent-Range: bytes {from}-{last}/{all}\r\n"
    )
}
