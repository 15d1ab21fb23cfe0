//! Keys at a remote signer: a key management service behind a small HTTP protocol.
//!
//! Spec: `docs/remote-signer.md`. The whole message is sent, not a digest, so that the other side can judge what it
//! signs. HTTP, its limits and timeouts are the client's; redirects are not followed, so the bearer token goes
//! nowhere else.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_base::Json;
use countersign_base::json;
use countersign_client::HttpTransport;
use countersign_client::transport::Answer;
use countersign_crypto::{PublicKey, Signer};
use zeroize::Zeroizing;

use super::checked::{Checked, Unchecked, check_expected};
use super::error::PlaceError;
use super::line_file;
use super::remote_url::RemoteUrl;
use super::settings::Settings;

/// Longest message that a remote signer is sent, in bytes: the largest metadata there is.
pub const MAX_REMOTE_MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// Longest answer that is read, in bytes; an ML-DSA-65 signature takes 4.4 KiB.
const MAX_ANSWER_BYTES: u64 = 16 * 1024;
/// Longest bearer token, in bytes.
const MAX_TOKEN_BYTES: usize = 4096;
/// Longest part of a refusal's reason that is shown, in characters.
const MAX_REASON_CHARS: usize = 300;

/// Opens the key at `url`.
pub(super) fn open(
    url: &RemoteUrl,
    expected: Option<&PublicKey>,
    settings: &Settings,
) -> Result<Box<dyn Signer>, PlaceError> {
    let place = url.to_string();
    let bearer =
        settings.signer_token_file.as_deref().map(|file| bearer(file, &place)).transpose()?.flatten();
    let service = Service { transport: HttpTransport::new(url.base()), bearer, place };
    let text = service.ask("public-key", None, "public")?;
    let public: PublicKey =
        text.parse().map_err(|source| PlaceError::Public { place: service.place.clone(), source })?;
    check_expected(&service.place, &public, expected)?;
    Ok(Box::new(Checked::new(public.clone(), RemoteKey { public, service })))
}

/// The token for `place` in the file: of the line with the longest address that `place` begins with, or of the line
/// without an address. `None` if there is no such line.
fn bearer(path: &Path, place: &str) -> Result<Option<Zeroizing<String>>, PlaceError> {
    let unusable = |reason| PlaceError::TokenFile { reason };
    let text = line_file::text(path).map_err(unusable)?;
    let mut best: Option<(usize, &str)> = None;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    if lines.peek().is_none() {
        return Err(unusable("it is empty"));
    }
    for line in lines {
        let (address, token) = match line.split_once(' ') {
            Some((address, token)) => {
                let address: RemoteUrl = address
                    .parse()
                    .map_err(|_| unusable("a line in it is neither a token nor an address and a token"))?;
                (Some(address.to_string()), token)
            }
            None => (None, line),
        };
        if !is_token(token) {
            return Err(unusable("a line in it has no bearer token (RFC 6750)"));
        }
        // Addresses end in a slash, so none is a prefix of another host or of half a name.
        let rank = match address {
            Some(address) if place.starts_with(&address) => address.len(),
            Some(_) => continue,
            None => 0,
        };
        if best.is_some_and(|(held, _)| held == rank) {
            return Err(unusable("two lines in it are for the same address"));
        }
        if best.is_none_or(|(held, _)| held < rank) {
            best = Some((rank, token));
        }
    }
    Ok(best.map(|(_, token)| Zeroizing::new(token.to_owned())))
}

/// RFC 6750 section 2.1, `b64token`.
fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !body.is_empty() && text.len() <= MAX_TOKEN_BYTES && body.bytes().all(allowed)
}

/// One key's address, and what opens it.
struct Service {
    transport: HttpTransport,
    bearer: Option<Zeroizing<String>>,
    place: String,
}

impl Service {
    /// The text `member` of the answer's JSON.
    fn ask(&self, path: &str, body: Option<&[u8]>, member: &'static str) -> Result<String, PlaceError> {
        let bearer = self.bearer.as_ref().map(|token| token.as_str());
        let answer = self
            .transport
            .call(path, body, bearer, MAX_ANSWER_BYTES)
            .map_err(|source| PlaceError::Unreachable { place: self.place.clone(), source })?;
        let document = self.judge(&answer)?;
        let text = document.get(member).and_then(Json::as_str);
        text.map(str::to_owned).ok_or_else(|| self.unusable(format!("its answer has no `{member}`")))
    }

    /// The document of an answer that says yes.
    fn judge(&self, answer: &Answer) -> Result<Json, PlaceError> {
        let document = json::parse(&answer.body).ok();
        let reason = document.as_ref().and_then(|document| document.get("reason")).and_then(Json::as_str);
        let reason = |otherwise: &str| self.without_token(reason.unwrap_or(otherwise));
        let place = || self.place.clone();
        match answer.status {
            200 => document.ok_or_else(|| self.unusable("its answer is not JSON".to_owned())),
            401 => Err(PlaceError::Refused {
                place: place(),
                reason: reason("it does not take the bearer token"),
            }),
            403 => Err(PlaceError::Refused { place: place(), reason: reason("it gives no reason") }),
            404 => Err(PlaceError::KeyMissing { place: place() }),
            413 => Err(PlaceError::MessageTooLong { place: place(), limit: MAX_REMOTE_MESSAGE_BYTES }),
            status => Err(self.unusable(reason(&format!("status {status}")))),
        }
    }

    /// Words of the other side, shortened. It may repeat what it was sent, which is not for this machine's logs.
    fn without_token(&self, words: &str) -> String {
        let words = match &self.bearer {
            Some(token) => words.replace(token.as_str(), "…"),
            None => words.to_owned(),
        };
        words.chars().take(MAX_REASON_CHARS).collect()
    }

    fn unusable(&self, reason: String) -> PlaceError {
        PlaceError::RemoteAnswer { place: self.place.clone(), reason }
    }
}

struct RemoteKey {
    public: PublicKey,
    service: Service,
}

impl Unchecked for RemoteKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PlaceError> {
        if message.len() > MAX_REMOTE_MESSAGE_BYTES {
            return Err(PlaceError::MessageTooLong { place: self.place(), limit: MAX_REMOTE_MESSAGE_BYTES });
        }
        // The key is named again: one that was exchanged behind the address is refused there too.
        let request = Json::object([
            ("message", Json::String(STANDARD.encode(message))),
            ("public", Json::String(self.public.to_string())),
        ]);
        let body = countersign_base::canonical::rfc8785(&request);
        let text = self.service.ask("sign", Some(&body), "signature")?;
        STANDARD.decode(text).map_err(|_| self.service.unusable("its `signature` is not base64".to_owned()))
    }

    fn place(&self) -> String {
        self.service.place.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_goes_into_a_header() {
        for good in ["abc", "a.b-c_d~e+f/g==", "0"] {
            assert!(is_token(good), "{good}");
        }
        for bad in ["", "=", "a b", "a\r\nX: y", "a=b", "\u{e9}", &"a".repeat(MAX_TOKEN_BYTES + 1)] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
