//! A remote signer on loopback, honest or not. Spec: `docs/remote-signer.md`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_base::Json;
use countersign_base::json;
use countersign_crypto::SecretKey;

/// How a [`RemoteSigner`] behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// As documented.
    Honest,
    /// Takes only this bearer token.
    Wants(String),
    /// Signs nothing, for this reason.
    Refuses(String),
    /// Returns signatures with one bit flipped.
    BadSignature,
    /// Signs another message than it was given.
    OtherMessage,
    /// Has another key than it says.
    OtherKey,
    /// Sends its clients to another place.
    Redirects(String),
    /// Answers with this status and body.
    Says(u16, Vec<u8>),
    /// Closes the connection without an answer.
    HangsUp,
}

/// A request that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Method and path, `POST /key/sign`.
    pub request: String,
    /// The `Authorization` header, if there was one.
    pub authorization: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// A running signer. It ends with this value.
#[derive(Debug)]
pub struct RemoteSigner {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    key: SecretKey,
    other: SecretKey,
    behaviour: Mutex<Behaviour>,
    heard: Mutex<Vec<Heard>>,
    ended: AtomicBool,
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Shared({:?})", self.key)
    }
}

impl RemoteSigner {
    /// Starts one that holds `key`; `other` is the key of one that is not what it says.
    ///
    /// # Panics
    /// If loopback is not there.
    pub fn start(key: SecretKey, other: SecretKey) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            key,
            other,
            behaviour: Mutex::new(Behaviour::Honest),
            heard: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if served.ended.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    // A client that goes away is no fault of the server.
                    let _ = served.serve(stream);
                }
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// The key's address.
    pub fn url(&self) -> String {
        format!("http://{}/key/", self.address)
    }

    /// How it behaves from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// What came in so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it: nobody listens there any more.
    pub fn stop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for RemoteSigner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// One request a connection.
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(heard) = read_request(&mut stream)? else { return Ok(()) };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard.clone());
        let behaviour = self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((status, headers, body)) = self.answer(&behaviour, &heard) else { return Ok(()) };
        write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n", body.len())?;
        write!(stream, "Content-Type: application/json\r\n{headers}\r\n")?;
        stream.write_all(&body)
    }

    fn answer(&self, behaviour: &Behaviour, heard: &Heard) -> Option<(u16, String, Vec<u8>)> {
        let plain = |status: u16, name: &str, text: &str| {
            let document = Json::object([(name, Json::String(text.to_owned()))]);
            Some((status, String::new(), countersign_base::canonical::rfc8785(&document)))
        };
        match behaviour {
            Behaviour::HangsUp => return None,
            Behaviour::Says(status, body) => return Some((*status, String::new(), body.clone())),
            Behaviour::Redirects(target) => {
                return Some((307, format!("Location: {target}\r\n"), Vec::new()));
            }
            Behaviour::Wants(token) if heard.authorization.as_deref() != Some(&format!("Bearer {token}")) => {
                return plain(401, "reason", "no such token");
            }
            _ => {}
        }
        match heard.request.as_str() {
            "GET /key/public-key" => plain(200, "public", &self.key.public_key().to_string()),
            "POST /key/sign" => {
                if let Behaviour::Refuses(reason) = behaviour {
                    return plain(403, "reason", reason);
                }
                let document = json::parse(&heard.body).ok()?;
                if document.get("public")?.as_str()? != self.key.public_key().to_string() {
                    return plain(403, "reason", "another key is here");
                }
                let mut message = STANDARD.decode(document.get("message")?.as_str()?).ok()?;
                if *behaviour == Behaviour::OtherMessage {
                    message.push(b'!');
                }
                let key = if *behaviour == Behaviour::OtherKey { &self.other } else { &self.key };
                let mut signature = key.sign(&message).ok()?;
                if *behaviour == Behaviour::BadSignature {
                    let middle = signature.len() / 2;
                    signature[middle] ^= 1;
                }
                plain(200, "signature", &STANDARD.encode(signature))
            }
            _ => plain(404, "reason", "no such key"),
        }
    }
}

fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<Heard>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut heard = Heard { request: format!("{method} {path}"), authorization: None, body: Vec::new() };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => heard.authorization = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    reader.take(length).read_to_end(&mut heard.body)?;
    Ok(Some(heard))
}
