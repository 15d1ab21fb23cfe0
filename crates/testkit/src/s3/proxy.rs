//! A proxy in front of an S3 server that loses, delays and doubles requests and answers, as it is told.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::message::{self, Request};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It does not reach the server; this status and S3 error code are answered.
    Answer(u16, &'static str),
    /// It is executed, and this is answered.
    ExecutedThenAnswer(u16, &'static str),
    /// It does not reach the server, and the connection ends.
    HangUp,
    /// It is executed, and the connection ends without an answer.
    ExecutedThenHangUp,
    /// It is executed twice, and the second answer is given.
    Twice,
    /// The connection ends; it is executed when [`FaultProxy::release`] is called.
    Late,
    /// It is executed and answered after this time.
    Slow(Duration),
    /// It is executed, and the connection ends in the middle of the answer.
    CutAnswer,
}

/// A request that the proxy is to judge.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// How many requests came before.
    pub number: usize,
    /// `GET`, `PUT` ..
    pub method: &'a str,
    /// `/BUCKET/KEY`, percent-encoded.
    pub path: &'a str,
}

type Plan = dyn Fn(Seen<'_>) -> Fault + Send + Sync;

/// The proxy; stops when dropped.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    plan: Box<Plan>,
    seen: Mutex<usize>,
    held: Mutex<Vec<Request>>,
    stopped: AtomicBool,
}

impl FaultProxy {
    /// Listens on a free port and passes on to `upstream` what `plan` lets through.
    ///
    /// # Panics
    /// If loopback has no free port.
    pub fn start(upstream: SocketAddr, plan: impl Fn(Seen<'_>) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            upstream,
            plan: Box::new(plan),
            seen: Mutex::new(0),
            held: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let proxy = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if proxy.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&proxy);
                // A client that hangs up early is no concern of the proxy's, and a server that does is hung up on.
                thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        Self { address, shared }
    }

    /// Its URL, for clients.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        *self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Executes the late requests now, and gives the statuses that nobody waits for.
    ///
    /// # Panics
    /// If the server does not answer.
    pub fn release(&self) -> Vec<u16> {
        let held = std::mem::take(&mut *self.shared.held.lock().unwrap_or_else(PoisonError::into_inner));
        let status = |request: &Request| {
            let answer = self.shared.execute(request).expect("the server answers");
            let text = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
            text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it answers with a status")
        };
        held.iter().map(status).collect()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener up; if that fails, it ends with the process.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    /// One request a connection: what happened to the one before must not touch the next.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let Some(request) = Request::read(&mut BufReader::new(client))? else { return Ok(()) };
        let number = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            *seen += 1;
            *seen - 1
        };
        let fault = (self.plan)(Seen { number, method: &request.method, path: request.path() });
        let answer = match fault {
            Fault::None => self.execute(&request)?,
            Fault::Answer(status, code) => message::error(status, code),
            Fault::ExecutedThenAnswer(status, code) => {
                self.execute(&request)?;
                message::error(status, code)
            }
            Fault::HangUp => Vec::new(),
            Fault::ExecutedThenHangUp => {
                self.execute(&request)?;
                Vec::new()
            }
            Fault::Twice => {
                self.execute(&request)?;
                self.execute(&request)?
            }
            Fault::Late => {
                self.held.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                Vec::new()
            }
            Fault::Slow(time) => {
                thread::sleep(time);
                self.execute(&request)?
            }
            Fault::CutAnswer => {
                let mut answer = self.execute(&request)?;
                answer.truncate(answer.len() / 2);
                answer
            }
        };
        (&*client).write_all(&answer)?;
        client.shutdown(Shutdown::Both)
    }

    /// Sends the request on a connection of its own; everything that comes until the server closes it.
    fn execute(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(self.upstream)?;
        server.set_nodelay(true)?;
        let end = request.head.len() - 2;
        let head = format!("{}Connection: close\r\n\r\n", &request.head[..end]);
        server.write_all(&[head.as_bytes(), &request.body].concat())?;
        // A server that does not close by itself sees that nothing more comes.
        server.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        if answer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }
}
