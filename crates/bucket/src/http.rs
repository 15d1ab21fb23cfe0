//! `object_store`'s requests over our HTTP client, one at a time on the thread that asks.
//!
//! So `object_store` signs requests and reads answers, and connections, TLS, limits and timeouts are ours: `https` with
//! the Mozilla root certificates (or those that were given), or plain `http` to this very machine. No redirect is followed.

use std::fmt;
use std::future::{Future, ready};
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use countersign_base::loopback;
use http_body::Body as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use ureq::http::{Method, Request, Response, StatusCode, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector, NextTimeout, RustlsConnector, TcpConnector,
};
use ureq::{Agent, Body};

use crate::failure::Trouble;
use crate::objects::MAX_TOGETHER;
use crate::settings::Settings;

/// Longest answer, in bytes: the largest object, and no listing is larger.
const MAX_ANSWER_BYTES: u64 = countersign_store::MAX_OBJECT_BYTES;
/// Longest error document that is looked at, in bytes.
const MAX_ERROR_BYTES: u64 = 64 * 1024;
const MAX_HEADER_BYTES: usize = 32 * 1024;
const BUFFER_BYTES: usize = 128 * 1024;
/// A connection unused for longer is not used again: the server may be closing it.
const MAX_IDLE: std::time::Duration = std::time::Duration::from_secs(4);

/// Sends requests with one pool of connections.
#[derive(Clone)]
pub(crate) struct Transport {
    agent: Agent,
}

impl Transport {
    pub(crate) fn new(settings: &Settings) -> Self {
        let tls = settings.endpoint.as_ref().is_none_or(|endpoint| endpoint.tls);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_response_header_size(MAX_HEADER_BYTES)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(MAX_TOGETHER)
            .max_idle_connections_per_host(MAX_TOGETHER)
            .max_idle_age(MAX_IDLE)
            .timeout_global(Some(settings.attempt));
        let agent = if tls {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let roots = settings
                .roots
                .clone()
                .map_or(RootCerts::WebPki, |roots| RootCerts::Specific(Arc::new(roots)));
            let tls =
                TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build();
            let config = config.https_only(true).tls_config(tls).build();
            let chain = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
            Agent::with_parts(config, chain.chain(RustlsConnector::default()), DefaultResolver::default())
        } else {
            // A proxy is another machine: never for a loopback address.
            let chain = ().chain(TcpConnector::default());
            Agent::with_parts(config.proxy(None).build(), chain, LoopbackResolver)
        };
        Self { agent }
    }

    fn send(&self, request: HttpRequest) -> Result<HttpResponse, Trouble> {
        let (parts, body) = request.into_parts();
        let body = collect(body)?;
        let get = parts.method == Method::GET;
        let answer = if matches!(parts.method, Method::PUT | Method::POST) {
            self.agent.run(Request::from_parts(parts, body.as_slice()))
        } else {
            self.agent.run(Request::from_parts(parts, ()))
        };
        let answer = answer.map_err(connection)?;
        let limit = if get && answer.status().is_success() { MAX_ANSWER_BYTES } else { MAX_ERROR_BYTES };
        let (head, mut body) = answer.into_parts();
        let bytes = read_at_most(&mut body, limit)?;
        judge(head.status, &bytes)?;
        Ok(Response::from_parts(head, HttpResponseBody::from(bytes)))
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Transport {
    // Written out, as the attribute `async_trait` would write it.
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        // `Unknown`, which `object_store` does not try again; we do, in `tries`.
        let answer = self.send(request).map_err(|trouble| HttpError::new(HttpErrorKind::Unknown, trouble));
        Box::pin(ready(answer))
    }
}

/// Lets through what operations know how to read: success, and the answers to a condition or for an absent object.
fn judge(status: StatusCode, body: &[u8]) -> Result<(), Trouble> {
    let code = error_code(body);
    let known = match status {
        StatusCode::PRECONDITION_FAILED | StatusCode::NOT_MODIFIED => true,
        // `NoSuchBucket` is no absent object.
        StatusCode::NOT_FOUND => matches!(code.as_str(), "" | "NoSuchKey"),
        other => other.is_success(),
    };
    if known { Ok(()) } else { Err(Trouble::Status { status: status.as_u16(), code }) }
}

/// The `Code` of an S3 error document: letters and digits, or nothing.
fn error_code(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let code = code.map_or("", |(code, _)| code);
    if code.len() <= 100 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        code.to_owned()
    } else {
        String::new()
    }
}

/// The body's bytes. It is in memory already, so it never waits.
fn collect(body: HttpRequestBody) -> Result<Vec<u8>, Trouble> {
    let broken = || Trouble::Connection {
        what: "the request has no readable body".to_owned(),
        kind: io::ErrorKind::InvalidInput,
    };
    let mut bytes = Vec::with_capacity(body.content_length());
    let mut body = pin!(body);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match body.as_mut().poll_frame(&mut context) {
            Poll::Ready(None) => return Ok(bytes),
            Poll::Ready(Some(Ok(frame))) => bytes.extend_from_slice(frame.data_ref().ok_or_else(broken)?),
            Poll::Ready(Some(Err(_))) | Poll::Pending => return Err(broken()),
        }
    }
}

fn read_at_most(body: &mut Body, limit: u64) -> Result<Vec<u8>, Trouble> {
    let announced = body.content_length().unwrap_or(0);
    if announced > limit {
        return Err(Trouble::TooLarge { limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    let mut reader = body.as_reader().take(limit + 1);
    reader.read_to_end(&mut bytes).map_err(|error| connection(error.into()))?;
    if bytes.len() as u64 > limit { Err(Trouble::TooLarge { limit }) } else { Ok(bytes) }
}

fn connection(error: ureq::Error) -> Trouble {
    if is_certificate(&error) {
        return Trouble::Stranger { what: error.to_string() };
    }
    let kind = match &error {
        ureq::Error::Timeout(_) => io::ErrorKind::TimedOut,
        ureq::Error::Io(error) => error.kind(),
        ureq::Error::HostNotFound => io::ErrorKind::HostUnreachable,
        _ => io::ErrorKind::Other,
    };
    Trouble::Connection { what: error.to_string(), kind }
}

fn is_certificate(error: &ureq::Error) -> bool {
    let below = match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    matches!(below, Some(rustls::Error::InvalidCertificate(_)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_bucket_is_not_an_absent_object() {
        let document = |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        judge(StatusCode::NOT_FOUND, document("NoSuchKey").as_bytes()).unwrap();
        judge(StatusCode::NOT_FOUND, b"").unwrap();
        judge(StatusCode::NOT_FOUND, document("NoSuchBucket").as_bytes()).unwrap_err();
        judge(StatusCode::FOUND, b"").unwrap_err();
        assert_eq!(error_code(document("Slow<Down").as_bytes()), "");
        assert_eq!(error_code(document("SlowDown").as_bytes()), "SlowDown");
        assert_eq!(error_code(b"\xff<Code>A"), "");
    }
}
