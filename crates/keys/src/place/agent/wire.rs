//! The two requests of the agent protocol that signing takes, and their answers.
//!
//! Spec: draft-ietf-sshm-ssh-agent, sections 3 (framing), 3.5 and 3.6; RFC 4251 section 5 for `string`, `uint32` and
//! `mpint`; RFC 8709 and RFC 5656 for keys and signatures. All lengths come from the agent: each is checked against
//! what is there before it is used.

use std::io::{self, Read, Write};

use countersign_crypto::{Algorithm, KeyError, PublicKey};

use crate::place::ecdsa;

/// Longest answer that is read, in bytes; OpenSSH's agent has the same limit.
pub(super) const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Most keys in one answer.
const MAX_KEYS: u32 = 1024;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

const ED25519: &[u8] = b"ssh-ed25519";

/// The ECDSA keys that are signed with here: scheme, SSH's name of it, SSH's name of the curve, bytes of a number.
const ECDSA: [(Algorithm, &[u8], &[u8], usize); 2] = [
    (Algorithm::EcdsaP256Sha256, b"ecdsa-sha2-nistp256", b"nistp256", 32),
    (Algorithm::EcdsaP384Sha384, b"ecdsa-sha2-nistp384", b"nistp384", 48),
];

/// A key that the agent holds.
pub(super) struct Identity {
    /// Its public key in SSH's form; the agent wants it back to sign.
    pub(super) blob: Vec<u8>,
    /// Its comment, from whoever added it.
    pub(super) comment: String,
}

/// What the agent answered.
pub(super) enum Answer<T> {
    /// What was asked for.
    Given(T),
    /// `SSH_AGENT_FAILURE`, which does not say why.
    Failure,
}

/// The request for all keys.
pub(super) fn request_identities() -> Vec<u8> {
    vec![REQUEST_IDENTITIES]
}

/// The request for a signature on `message` by the key `blob`, without flags: they choose a hash for RSA.
pub(super) fn sign_request(blob: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let mut request = vec![SIGN_REQUEST];
    put_string(&mut request, blob)?;
    put_string(&mut request, message)?;
    request.extend([0; 4]);
    Some(request)
}

/// Sends one request and reads the answer, both without their length.
pub(super) fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<Vec<u8>> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let length = u32::try_from(request.len()).map_err(|_| invalid("the request is too long"))?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(request)?;
    stream.flush()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_ANSWER_BYTES {
        return Err(invalid("its answer is too long"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// The keys in an answer to [`request_identities`]; `None` if it is not one.
pub(super) fn identities(answer: &[u8]) -> Option<Answer<Vec<Identity>>> {
    let mut input = Input(answer);
    match input.byte()? {
        FAILURE => return Some(Answer::Failure),
        IDENTITIES_ANSWER => {}
        _ => return None,
    }
    let count = input.number()?;
    if count > MAX_KEYS {
        return None;
    }
    let mut found = Vec::new();
    for _ in 0..count {
        let blob = input.string()?.to_vec();
        let comment = String::from_utf8_lossy(input.string()?).into_owned();
        found.push(Identity { blob, comment });
    }
    input.end().map(|()| Answer::Given(found))
}

/// The signature in an answer to [`sign_request`], as [`PublicKey::verify`] reads it; `None` if there is none in it.
pub(super) fn signature(algorithm: Algorithm, answer: &[u8]) -> Option<Answer<Vec<u8>>> {
    let mut input = Input(answer);
    match input.byte()? {
        FAILURE => return Some(Answer::Failure),
        SIGN_RESPONSE => {}
        _ => return None,
    }
    let mut whole = Input(input.string()?);
    input.end()?;
    let kind = whole.string()?;
    let bytes = whole.string()?;
    whole.end()?;
    if algorithm == Algorithm::Ed25519 {
        return (kind == ED25519).then(|| Answer::Given(bytes.to_vec()));
    }
    let (_, _, _, width) =
        ECDSA.into_iter().find(|(scheme, name, ..)| *scheme == algorithm && *name == kind)?;
    let mut numbers = Input(bytes);
    let (r, s) = (numbers.string()?, numbers.string()?);
    numbers.end()?;
    ecdsa::to_der(r, s, width).map(Answer::Given)
}

/// The key in SSH's form; `None` for kinds that sign no plain message here, such as RSA and security keys (`sk-`).
pub(super) fn public_key(blob: &[u8]) -> Option<Result<PublicKey, KeyError>> {
    let mut input = Input(blob);
    let kind = input.string()?;
    if kind == ED25519 {
        let raw = input.string()?;
        return input.end().map(|()| PublicKey::from_raw(Algorithm::Ed25519, raw));
    }
    let (algorithm, _, curve, _) = ECDSA.into_iter().find(|(_, name, ..)| *name == kind)?;
    if input.string()? != curve {
        return None;
    }
    let raw = input.string()?;
    input.end().map(|()| PublicKey::from_raw(algorithm, raw))
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend(u32::try_from(bytes.len()).ok()?.to_be_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

/// Reads RFC 4251's types off the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, bytes).unwrap();
        out
    }

    fn answer_of(keys: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut answer = vec![IDENTITIES_ANSWER];
        answer.extend(u32::try_from(keys.len()).unwrap().to_be_bytes());
        for (blob, comment) in keys {
            answer.extend(string(blob));
            answer.extend(string(comment));
        }
        answer
    }

    #[test]
    fn keys_are_read_whole_or_not_at_all() {
        let good = answer_of(&[(b"blob", b"alice"), (b"other", b"bob")]);
        let Some(Answer::Given(keys)) = identities(&good) else { panic!("not read") };
        assert_eq!(keys[1].comment, "bob");
        for cut in 0..good.len() {
            assert!(identities(&good[..cut]).is_none(), "{cut}");
        }
        assert!(identities(&[good.as_slice(), &[0]].concat()).is_none());
        assert!(matches!(identities(&[FAILURE]), Some(Answer::Failure)));
        let mut many = vec![IDENTITIES_ANSWER];
        many.extend(u32::MAX.to_be_bytes());
        assert!(identities(&many).is_none());
    }

    #[test]
    fn a_signature_of_another_kind_is_none() {
        let inner = [string(ED25519), string(&[1; 64])].concat();
        let good = [vec![SIGN_RESPONSE], string(&inner)].concat();
        assert!(
            matches!(signature(Algorithm::Ed25519, &good), Some(Answer::Given(bytes)) if bytes == [1; 64])
        );
        assert!(signature(Algorithm::EcdsaP256Sha256, &good).is_none());
        assert!(signature(Algorithm::Ed25519, &good[..good.len() - 1]).is_none());
    }

    #[test]
    fn an_answer_that_claims_too_much_is_not_read() {
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(0xff);
                Ok(buffer.len())
            }
        }
        impl Write for Endless {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(exchange(&mut Endless, &[11]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(kind in 0..16u8, rest: Vec<u8>) {
            let answer = [vec![kind], rest.clone()].concat();
            let _ = identities(&answer);
            let _ = public_key(&rest);
            for algorithm in Algorithm::ALL {
                let _ = signature(algorithm, &answer);
            }
        }
    }
}
