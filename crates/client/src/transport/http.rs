//! A repository behind a server, over HTTP/1.1.
//!
//! `https` with the Mozilla root certificates, or plain `http` to this very machine; nothing else connects.
//! Redirects stay on the same scheme, host and port. TLS only protects privacy here: what arrives is believed
//! only after its signatures and proofs are verified.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use countersign_base::loopback;
use countersign_base::text::percent_decode;
use ureq::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector, NextTimeout, RustlsConnector, TcpConnector,
};
use ureq::{Agent, Body, Timeout};

use super::file::copy_exactly;
use super::location::{BaseUrl, percent_encode};
use super::meter::{Allowance, Exceeded, Meter, STALL_SECONDS};
use super::{FetchError, MAX_PATH_BYTES, Transport, components};

/// Redirects followed for one file.
pub(super) const MAX_REDIRECTS: usize = 3;
/// Longest response header, status line included.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Read from the socket at once, so also the most that is read past a limit.
const INPUT_BUFFER_BYTES: usize = 32 * 1024;
/// A connection unused for longer is not used again: the server may be closing it (ours waits 15 s).
const MAX_IDLE_SECONDS: u64 = 10;
/// What headers, a TLS handshake and framing may add to the content, besides 1 part in 64 of it.
const FRAMING_BYTES: u64 = 64 * 1024;

const USER_AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));

/// Fetches over HTTP from one base URL. Keeps the connection for the next request.
///
/// One request at a time: a second thread waits. Nothing is connected or initialised before the first one.
#[derive(Debug)]
pub struct HttpTransport {
    base: BaseUrl,
    /// Whether paths are URL paths already, see [`HttpTransport::with_url_paths`].
    url_paths: bool,
    /// Longest time for a whole post, see [`HttpTransport::within`].
    total: Option<Duration>,
    agent: OnceLock<Agent>,
    allowance: Allowance,
    /// Held during a request, as its allowance is counted.
    turn: Mutex<()>,
}

/// A server's answer to [`HttpTransport::post`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, empty if there is none.
    pub content_type: String,
    /// `Retry-After` in seconds, if it has one in seconds.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpTransport {
    /// For the repository or service at `base`.
    pub fn new(base: &BaseUrl) -> Self {
        Self {
            base: base.clone(),
            url_paths: false,
            total: None,
            agent: OnceLock::new(),
            allowance: Allowance::default(),
            turn: Mutex::new(()),
        }
    }

    /// Gives up on what is posted after that time, from connecting to the last byte of the answer, however steadily
    /// it trickles.
    #[must_use]
    pub fn within(self, total: Duration) -> Self {
        Self { total: Some(total), ..self }
    }

    /// Takes paths as URL paths, percent-encoded by the caller, where otherwise they are names on the publisher's
    /// disk. Repositories that others publish for plain TUF clients are read so.
    #[must_use]
    pub fn with_url_paths(self) -> Self {
        Self { url_paths: true, ..self }
    }

    /// Posts `body` and gives the answer, whatever its status; at most `limit` bytes of it.
    ///
    /// # Errors
    /// As [`Transport::get`], but no status is an error. Redirects are not followed.
    pub fn post(&self, path: &str, body: &[u8], limit: u64) -> Result<Answer, FetchError> {
        self.post_marked(path, None, body, limit)
    }

    /// As [`HttpTransport::post`], with a header of the caller's: its name in lower case and its value.
    ///
    /// # Errors
    /// As there; `fetch-failed` for what is no header.
    pub fn post_marked(
        &self,
        path: &str,
        mark: Option<(&'static str, &str)>,
        body: &[u8],
        limit: u64,
    ) -> Result<Answer, FetchError> {
        let url = self.url(path)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.allowance.set(allowance_for(limit));
        let mut request = self.agent().post(&url).header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        if let Some((name, value)) = mark {
            request = request.header(name, value);
        }
        let request = request.config().timeout_global(self.total).build();
        let response = request.send(body).map_err(|error| failure(&url, limit, error))?;
        answer(&url, response, limit)
    }

    /// Asks a service that speaks JSON: posts `body` if there is one, and gets otherwise. The answer is given whatever
    /// its status; at most `limit` bytes of it. `bearer` is sent as `Authorization: Bearer` and shown nowhere.
    ///
    /// # Errors
    /// As [`HttpTransport::post`].
    pub fn call(
        &self,
        path: &str,
        body: Option<&[u8]>,
        bearer: Option<&str>,
        limit: u64,
    ) -> Result<Answer, FetchError> {
        let url = self.url(path)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.allowance.set(allowance_for(limit));
        let authorization = bearer.map(|token| authorization(&url, token)).transpose()?;
        let response = match body {
            Some(body) => {
                let mut request = self.agent().post(&url).header(header::CONTENT_TYPE, "application/json");
                if let Some(value) = authorization {
                    request = request.header(header::AUTHORIZATION, value);
                }
                request.send(body)
            }
            None => {
                let mut request = self.agent().get(&url);
                if let Some(value) = authorization {
                    request = request.header(header::AUTHORIZATION, value);
                }
                request.call()
            }
        };
        answer(&url, response.map_err(|error| failure(&url, limit, error))?, limit)
    }

    fn url(&self, path: &str) -> Result<String, FetchError> {
        if self.url_paths {
            check_url_path(path)?;
            return Ok(self.base.join(path));
        }
        let _ = components(path)?;
        let mut encoded = String::with_capacity(path.len());
        percent_encode(path.as_bytes(), &mut encoded)
            .map_err(|_| FetchError::PathUnsafe { path: path.to_owned() })?;
        Ok(self.base.join(&encoded))
    }

    fn agent(&self) -> &Agent {
        self.agent.get_or_init(|| new_agent(self.base.is_tls(), self.allowance.clone()))
    }

    /// GETs `url`, following a few redirects of the same origin; the answer's status is 200 or 206.
    fn fetch(&self, url: &str, range: Option<&str>, limit: u64) -> Result<Response<Body>, FetchError> {
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            self.allowance.set(allowance_for(limit));
            let mut request = self.agent().get(&url);
            if let Some(range) = range {
                request = request.header(header::RANGE, range);
            }
            let response = request.call().map_err(|error| failure(&url, limit, error))?;
            let status = response.status();
            // 304 and the like lead nowhere: a fault of the server, not an attempt to send us elsewhere.
            if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                url = self.redirected(&url, &response)?;
                continue;
            }
            return match status {
                StatusCode::OK => {
                    refuse_encoding(&url, response.headers())?;
                    Ok(response)
                }
                StatusCode::PARTIAL_CONTENT if range.is_some() => {
                    refuse_encoding(&url, response.headers())?;
                    Ok(response)
                }
                // Object stores that hide their listing say 403 for a file that is not there.
                StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::GONE => {
                    Err(FetchError::NotFound { what: url })
                }
                _ => Err(FetchError::Failed { what: url, reason: format!("the server answered {status}") }),
            };
        }
        Err(FetchError::ManyRedirects { what: url })
    }

    /// Where a redirect leads, if that is the same scheme, host and port.
    fn redirected(&self, from: &str, response: &Response<Body>) -> Result<String, FetchError> {
        let target = text_header(response.headers(), header::LOCATION).unwrap_or_default();
        let absolute = if target.starts_with('/') && !target.starts_with("//") {
            format!("{}{target}", self.base.origin())
        } else {
            target.to_owned()
        };
        let elsewhere = || FetchError::RedirectRefused {
            what: from.to_owned(),
            target: target.chars().take(200).collect(),
        };
        // The slash after the origin: `https://example.org` is a prefix of `https://example.org.evil/`.
        let same = absolute.strip_prefix(self.base.origin()).is_some_and(|rest| rest.starts_with('/'));
        if !same || absolute == from || absolute.parse::<Uri>().is_err() {
            return Err(elsewhere());
        }
        Ok(absolute)
    }
}

impl Transport for HttpTransport {
    fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let url = self.url(path)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut response = self.fetch(&url, None, limit)?;
        read_at_most(&url, &mut response, limit)
    }

    fn download(
        &self,
        path: &str,
        length: u64,
        offset: u64,
        sink: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        let url = self.url(path)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if offset > 0 {
            if offset >= length {
                return Ok(());
            }
            let range = format!("bytes={offset}-{}", length - 1);
            let response = self.fetch(&url, Some(&range), length - offset)?;
            if is_range(&response, offset, length) {
                return copy_body(&url, response, length, offset, sink, progress);
            }
            // The whole file, or a range that was not asked for: begin anew.
        }
        let response = self.fetch(&url, None, length)?;
        let mut sink = SkipFirst { left: offset, sink };
        copy_body(&url, response, length, 0, &mut sink, &mut |done| progress(done.max(offset)))
    }
}

/// Discards what a resumed download has already, when the server sends the file from its beginning.
struct SkipFirst<'a> {
    left: u64,
    sink: &'a mut dyn Write,
}

impl Write for SkipFirst<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skip = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left -= skip as u64;
        self.sink.write_all(&bytes[skip..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Refuses what is not a percent-encoded path below the base URL.
fn check_url_path(path: &str) -> Result<(), FetchError> {
    let good = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte))
    };
    // Encoding makes three bytes of one.
    if path.len() <= 3 * MAX_PATH_BYTES && path.split('/').all(good) && percent_decode(path).is_some() {
        return Ok(());
    }
    Err(FetchError::PathUnsafe { path: path.chars().take(200).collect() })
}

/// The content that a request may bring, and what may come with it.
const fn allowance_for(limit: u64) -> u64 {
    limit.saturating_add(limit / 64).saturating_add(FRAMING_BYTES)
}

fn new_agent(tls: bool, allowance: Allowance) -> Agent {
    let stall = Some(Duration::from_secs(STALL_SECONDS));
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(USER_AGENT)
        .accept_encoding("identity")
        .max_response_header_size(MAX_HEADER_BYTES)
        .input_buffer_size(INPUT_BUFFER_BYTES)
        .max_idle_age(Duration::from_secs(MAX_IDLE_SECONDS))
        .timeout_connect(stall)
        .timeout_send_request(stall)
        .timeout_recv_response(stall)
        .timeout_per_read(stall)
        .timeout_per_write(stall);
    if tls {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::WebPki)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        config = config.https_only(true).tls_config(tls).timeout_resolve(stall);
        let chain = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
        let chain = chain.chain(Meter(allowance)).chain(RustlsConnector::default());
        Agent::with_parts(config.build(), chain, DefaultResolver::default())
    } else {
        // A proxy is another machine: never for a loopback address.
        let chain = ().chain(TcpConnector::default()).chain(Meter(allowance));
        Agent::with_parts(config.proxy(None).build(), chain, LoopbackResolver)
    }
}

/// Resolves to this machine without asking anyone, so that plain HTTP goes nowhere else.
#[derive(Debug)]
struct LoopbackResolver;

impl Resolver for LoopbackResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let port = uri.port_u16().unwrap_or(80);
        let mut addresses = self.empty();
        for address in loopback::addresses(uri.host().unwrap_or_default()) {
            addresses.push(SocketAddr::new(address, port));
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// The header of a bearer token, marked so that no `Debug` and no log shows it.
fn authorization(url: &str, token: &str) -> Result<HeaderValue, FetchError> {
    let refused =
        |_| FetchError::UrlRefused { url: url.to_owned(), reason: "its token is no header's value" };
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(refused)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a service said, whatever its status.
fn answer(url: &str, mut response: Response<Body>, limit: u64) -> Result<Answer, FetchError> {
    refuse_encoding(url, response.headers())?;
    let content_type = text_header(response.headers(), header::CONTENT_TYPE).unwrap_or_default().to_owned();
    let status = response.status().as_u16();
    let retry_after = text_header(response.headers(), header::RETRY_AFTER).and_then(|text| text.parse().ok());
    let body = read_at_most(url, &mut response, limit)?;
    Ok(Answer { status, content_type, retry_after, body })
}

fn text_header(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Refuses compressed answers: only after unpacking would one know how large they are.
fn refuse_encoding(url: &str, headers: &HeaderMap) -> Result<(), FetchError> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        if !value.as_bytes().eq_ignore_ascii_case(b"identity") {
            let encoding = String::from_utf8_lossy(value.as_bytes()).chars().take(40).collect();
            return Err(FetchError::Encoded { what: url.to_owned(), encoding });
        }
    }
    Ok(())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    text_header(headers, header::CONTENT_LENGTH)?.trim().parse().ok()
}

/// Whether the answer is `offset..length` of a file of `length` bytes (RFC 9110 section 14.4).
fn is_range(response: &Response<Body>, offset: u64, length: u64) -> bool {
    let Some(text) = text_header(response.headers(), header::CONTENT_RANGE) else { return false };
    let bounds = format!("bytes {offset}-{}/", length - 1);
    let complete = text.strip_prefix(bounds.as_str());
    response.status() == StatusCode::PARTIAL_CONTENT
        && complete.is_some_and(|complete| complete == "*" || complete.parse() == Ok(length))
}

fn read_at_most(url: &str, response: &mut Response<Body>, limit: u64) -> Result<Vec<u8>, FetchError> {
    let too_large = || FetchError::TooLarge { what: url.to_owned(), limit };
    let announced = content_length(response.headers());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced.unwrap_or(0)).unwrap_or(0));
    let reader = response.body_mut().as_reader();
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| failure(url, limit, error.into()))?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

fn copy_body(
    url: &str,
    response: Response<Body>,
    length: u64,
    from: u64,
    sink: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> Result<(), FetchError> {
    if let Some(announced) = content_length(response.headers()) {
        let got = from.saturating_add(announced);
        if got > length {
            return Err(FetchError::TooLarge { what: url.to_owned(), limit: length });
        }
        if got < length {
            return Err(FetchError::WrongLength { what: url.to_owned(), want: length, got });
        }
    }
    let mut reader = response.into_body().into_reader();
    copy_exactly(&mut reader, url, length, from, sink, progress, |error| failure(url, length, error.into()))
}

/// Names what went wrong below.
fn failure(url: &str, limit: u64, error: ureq::Error) -> FetchError {
    let what = url.to_owned();
    let slow = |reason| FetchError::TooSlow { what: url.to_owned(), reason };
    match error {
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            FetchError::Failed { what, reason: "no connection in time".to_owned() }
        }
        ureq::Error::Timeout(Timeout::RecvResponse) => slow("no answer in time"),
        ureq::Error::Timeout(_) => slow("the server stalled"),
        ureq::Error::Other(inner) => match inner.downcast_ref::<Exceeded>() {
            Some(Exceeded::Slow) => slow("it trickles"),
            Some(Exceeded::Large) => FetchError::TooLarge { what, limit },
            None => FetchError::Failed { what, reason: inner.to_string() },
        },
        ureq::Error::LargeResponseHeader(..) => FetchError::TooLarge { what, limit: MAX_HEADER_BYTES as u64 },
        // Below TLS, our own errors arrive inside an I/O error.
        ureq::Error::Io(error) => match inner_error(&error) {
            Some(Exceeded::Slow) => slow("it trickles"),
            Some(Exceeded::Large) => FetchError::TooLarge { what, limit },
            None if error.kind() == io::ErrorKind::TimedOut => slow("the server stalled"),
            None => FetchError::Failed { what, reason: error.to_string() },
        },
        other => FetchError::Failed { what, reason: other.to_string() },
    }
}

/// The [`Exceeded`] in an I/O error's chain of causes.
fn inner_error(error: &io::Error) -> Option<Exceeded> {
    let mut next = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    while let Some(inner) = next {
        if let Some(exceeded) = inner.downcast_ref::<Exceeded>() {
            return Some(*exceeded);
        }
        if let Some(ureq::Error::Other(boxed)) = inner.downcast_ref::<ureq::Error>() {
            return boxed.downcast_ref::<Exceeded>().copied();
        }
        next = inner.source();
    }
    None
}
