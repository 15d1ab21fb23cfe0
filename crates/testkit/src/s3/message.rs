//! As much of HTTP/1.1 as S3 clients speak: a head, and a body of a known length.

use std::io::{self, BufRead};

const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_BODY_BYTES: usize = 128 * 1024 * 1024;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Everything before the body, the empty line included.
    pub(super) head: String,
    pub(super) method: String,
    /// Path and query, as they were sent.
    pub(super) target: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The next request; `None` at the end of the connection.
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = String::new();
        loop {
            let read = reader.read_line(&mut head)?;
            if read == 0 {
                return Ok(None);
            }
            if head.len() > MAX_HEAD_BYTES {
                return Err(io::Error::other("the head is too long"));
            }
            if head.ends_with("\r\n\r\n") {
                break;
            }
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (method, target) = (method.to_owned(), target.to_owned());
        let mut request = Self { head, method, target, body: Vec::new() };
        let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if length > MAX_BODY_BYTES {
            return Err(io::Error::other("the body is too long"));
        }
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    /// The value of a header; `name` in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The path without the query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// The value of a header in the text of a head.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// An answer of S3's error form, after which the connection is closed.
pub(super) fn error(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as told</Message></Error>");
    let length = body.len();
    format!("HTTP/1.1 {status} -\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}
