//! Keys in an SSH agent: Ed25519, ECDSA P-256 and P-384.
//!
//! The agent signs the message itself, so its signatures are the same as those of a key file. Each request has its
//! own connection, and none is made twice: an agent may ask a person each time.

mod wire;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use countersign_crypto::{PublicKey, Signer, sha256};

use self::wire::{Answer, Identity};
use super::agent_key::AgentKey;
use super::checked::{Checked, Unchecked, check_expected};
use super::error::PlaceError;
use super::settings::Settings;

/// Longest message that an agent is sent, in bytes: OpenSSH's reads no request above 256 KiB, key and framing
/// included.
pub const MAX_AGENT_MESSAGE_BYTES: usize = 255 * 1024;
/// Longest wait for an answer. A person may have to say yes, or touch a key.
const WAIT: Duration = Duration::from_secs(120);

/// Opens the agent's key that `key` names.
pub(super) fn open(
    key: &AgentKey,
    expected: Option<&PublicKey>,
    settings: &Settings,
) -> Result<Box<dyn Signer>, PlaceError> {
    let place = key.to_string();
    let agent = Agent { socket: settings.agent_socket.clone().ok_or(PlaceError::AgentUnknown)? };
    let identity = choose(agent.identities()?, key, &place)?;
    let public = match wire::public_key(&identity.blob) {
        Some(Ok(public)) => public,
        Some(Err(source)) => return Err(PlaceError::Public { place, source }),
        None => {
            let reason = "an agent's key must be ed25519 or ecdsa, in software or not".to_owned();
            return Err(PlaceError::KeyUnsuitable { place, reason });
        }
    };
    check_expected(&place, &public, expected)?;
    let algorithm = public.algorithm();
    Ok(Box::new(Checked::new(public, HeldKey { agent, algorithm, blob: identity.blob, place })))
}

fn choose(identities: Vec<Identity>, key: &AgentKey, place: &str) -> Result<Identity, PlaceError> {
    let mut fitting = identities.into_iter().filter(|identity| match key {
        AgentKey::Fingerprint(digest) => sha256(&identity.blob).as_bytes() == digest,
        AgentKey::Comment(comment) => identity.comment == *comment,
    });
    let first = fitting.next().ok_or_else(|| PlaceError::KeyMissing { place: place.to_owned() })?;
    if fitting.next().is_some() {
        return Err(PlaceError::KeyAmbiguous { place: place.to_owned() });
    }
    Ok(first)
}

struct Agent {
    socket: PathBuf,
}

impl Agent {
    fn identities(&self) -> Result<Vec<Identity>, PlaceError> {
        match wire::identities(&self.ask(&wire::request_identities())?) {
            Some(Answer::Given(identities)) => Ok(identities),
            Some(Answer::Failure) => Err(self.failed("it refuses to list its keys")),
            None => Err(self.failed("it answered something else than a list of keys")),
        }
    }

    fn ask(&self, request: &[u8]) -> Result<Vec<u8>, PlaceError> {
        let answer = || -> io::Result<Vec<u8>> {
            let mut stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(WAIT))?;
            stream.set_write_timeout(Some(WAIT))?;
            wire::exchange(&mut stream, request)
        };
        answer().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.failed("it did not answer in time"),
            io::ErrorKind::UnexpectedEof => self.failed("it closed the connection"),
            _ => self.failed(&error.to_string()),
        })
    }

    fn failed(&self, reason: &str) -> PlaceError {
        PlaceError::Agent { socket: self.socket.clone(), reason: reason.to_owned() }
    }
}

struct HeldKey {
    agent: Agent,
    algorithm: countersign_crypto::Algorithm,
    blob: Vec<u8>,
    place: String,
}

impl HeldKey {
    /// The agent says no without saying why: either the key was taken out, or whoever was asked refused.
    fn refused(&self) -> PlaceError {
        match self.agent.identities() {
            Err(error) => error,
            Ok(identities) if identities.iter().all(|identity| identity.blob != self.blob) => {
                PlaceError::KeyMissing { place: self.place() }
            }
            Ok(_) => {
                let reason = "the agent said no, or the person whom it asked".to_owned();
                PlaceError::Refused { place: self.place(), reason }
            }
        }
    }
}

impl Unchecked for HeldKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PlaceError> {
        let too_long = || PlaceError::MessageTooLong { place: self.place(), limit: MAX_AGENT_MESSAGE_BYTES };
        if message.len() > MAX_AGENT_MESSAGE_BYTES {
            return Err(too_long());
        }
        let request = wire::sign_request(&self.blob, message).ok_or_else(too_long)?;
        match wire::signature(self.algorithm, &self.agent.ask(&request)?) {
            Some(Answer::Given(signature)) => Ok(signature),
            Some(Answer::Failure) => Err(self.refused()),
            None => Err(self.agent.failed("it answered something else than a signature")),
        }
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

/// Reads bytes as each kind of answer that an agent gives, for the fuzz targets.
///
/// # Panics
/// If more comes out than went in, or a key that is not the same when its bytes are read again.
#[cfg(feature = "fuzzing")]
pub fn read_answers(bytes: &[u8]) {
    if let Some(Answer::Given(identities)) = wire::identities(bytes) {
        let read: usize = identities.iter().map(|identity| identity.blob.len() + 8).sum();
        assert!(read <= bytes.len(), "more was read than there is");
        for Identity { blob, .. } in &identities {
            if let Some(Ok(key)) = wire::public_key(blob) {
                assert_eq!(PublicKey::from_raw(key.algorithm(), key.as_raw()), Ok(key.clone()));
            }
        }
    }
    for algorithm in countersign_crypto::Algorithm::ALL {
        if let Some(Answer::Given(signature)) = wire::signature(algorithm, bytes) {
            // DER has some bytes of its own around the two numbers.
            assert!(signature.len() <= bytes.len() + 8, "more was read than there is");
        }
    }
}
