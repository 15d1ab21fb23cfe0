//! A small S3 server in memory that can be given a flaw. Objects only; no listing, no signature is checked.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::message::{self, Request};

/// Between looking at the condition and writing, where the server is [`Flaw::Racy`]. Long enough that concurrent
/// requests of a loaded machine overlap.
const RACE: Duration = Duration::from_millis(20);

/// What is wrong with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It looks at the condition, and writes a moment later (as s3s-fs 0.14.1 does).
    Racy,
    /// It does not look at `If-None-Match`.
    IgnoresIfNoneMatch,
    /// It does not look at `If-Match`.
    IgnoresIfMatch,
    /// It answers 501 to conditional requests.
    Unimplemented,
    /// It does not keep user metadata.
    ForgetsMetadata,
    /// It gives no entity tags.
    Tagless,
}

/// The server; stops when dropped. Any bucket exists.
#[derive(Debug)]
pub struct FlawedS3 {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    flaw: Flaw,
    objects: Mutex<BTreeMap<String, Object>>,
    stopped: AtomicBool,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Vec<u8>,
    tag: String,
    /// Lines of user metadata.
    metadata: String,
}

impl FlawedS3 {
    /// Listens on a free port.
    ///
    /// # Panics
    /// If loopback has none.
    pub fn start(flaw: Flaw) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { flaw, objects: Mutex::default(), stopped: AtomicBool::new(false) });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&server);
                // A client that hangs up early is no concern of the server's.
                thread::spawn(move || drop(shared.answer_all(&stream)));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The paths (`/BUCKET/KEY`, encoded) of all objects.
    pub fn paths(&self) -> Vec<String> {
        self.shared.objects.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

impl Drop for FlawedS3 {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener up; if that fails, it ends with the process.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn answer_all(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader)? {
            (&*stream).write_all(&self.answer(&request))?;
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> Vec<u8> {
        match request.method.as_str() {
            "GET" => match self.find(request) {
                Some(object) => self.ok(&object, &object.bytes),
                None => message::error(404, "NoSuchKey"),
            },
            "PUT" => self.put(request),
            "DELETE" => {
                self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(request.path());
                b"HTTP/1.1 204 -\r\n\r\n".to_vec()
            }
            _ => message::error(501, "NotImplemented"),
        }
    }

    fn find(&self, request: &Request) -> Option<Object> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).get(request.path()).cloned()
    }

    fn put(&self, request: &Request) -> Vec<u8> {
        let absent = request.header("if-none-match").filter(|_| self.flaw != Flaw::IgnoresIfNoneMatch);
        let same = request.header("if-match").filter(|_| self.flaw != Flaw::IgnoresIfMatch);
        if self.flaw == Flaw::Unimplemented && (absent.is_some() || same.is_some()) {
            return message::error(501, "NotImplemented");
        }
        let holds = |found: Option<&Object>| match (absent, same) {
            (Some(_), _) => found.is_none(),
            (None, Some(tag)) => found.is_some_and(|object| object.tag == tag),
            (None, None) => true,
        };
        let object = Object::of(request, self.flaw);
        let refused = || message::error(412, "PreconditionFailed");
        if self.flaw == Flaw::Racy {
            if !holds(self.find(request).as_ref()) {
                return refused();
            }
            thread::sleep(RACE);
        }
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if self.flaw != Flaw::Racy && !holds(objects.get(request.path())) {
            return refused();
        }
        objects.insert(request.path().to_owned(), object.clone());
        self.ok(&object, b"")
    }

    fn ok(&self, object: &Object, body: &[u8]) -> Vec<u8> {
        let tag =
            if self.flaw == Flaw::Tagless { String::new() } else { format!("ETag: {}\r\n", object.tag) };
        let head = format!(
            "HTTP/1.1 200 -\r\n{tag}{}Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Length: {}\r\n\r\n",
            object.metadata,
            body.len()
        );
        [head.as_bytes(), body].concat()
    }
}

impl Object {
    fn of(request: &Request, flaw: Flaw) -> Self {
        let mut hasher = DefaultHasher::new();
        request.body.hash(&mut hasher);
        let lines = request.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("x-amz-meta-"));
        let metadata =
            lines.filter(|_| flaw != Flaw::ForgetsMetadata).map(|line| format!("{line}\r\n")).collect();
        Self { bytes: request.body.clone(), tag: format!("\"{:016x}\"", hasher.finish()), metadata }
    }
}
