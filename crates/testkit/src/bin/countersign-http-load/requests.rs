//! What is sent: whole requests, head and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_crypto::{Algorithm, SecretKey, sha256};
use countersign_testkit::entries::entry;

use crate::Failure;

/// Requests by number.
pub(crate) struct Requests {
    address: String,
    run: u64,
    kind: Kind,
}

enum Kind {
    /// Of so many bytes each, made when they are sent.
    Entries(usize),
    /// Made and signed before.
    Records(Vec<Vec<u8>>),
}

impl Requests {
    pub(crate) fn entries(address: &str, run: u64, bytes: usize) -> Self {
        Self { address: address.to_owned(), run, kind: Kind::Entries(bytes) }
    }

    /// Hashed records, as Sigstore's clients sign them with a P-256 key.
    pub(crate) fn records(address: &str, run: u64, count: u64) -> Result<Self, Failure> {
        let key = SecretKey::from_seed(Algorithm::EcdsaP256Sha256, &[9; 32])?;
        let public = STANDARD.encode(key.public_key().to_spki_der());
        let record = |number: u64| -> Result<Vec<u8>, Failure> {
            let artifact = [run.to_be_bytes(), number.to_be_bytes()].concat();
            let digest = STANDARD.encode(sha256(&artifact).as_bytes());
            let signature = STANDARD.encode(key.sign(&artifact)?);
            let body = format!(
                r#"{{"hashedRekordRequestV002":{{"digest":"{digest}","signature":{{"content":"{signature}","verifier":{{"publicKey":{{"rawBytes":"{public}"}},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}}}}}"#
            );
            Ok(post(address, "/api/v2/log/entries", "application/json", body.as_bytes()))
        };
        let records = (0..count).map(record).collect::<Result<_, _>>()?;
        Ok(Self { address: address.to_owned(), run, kind: Kind::Records(records) })
    }

    /// The request of this number; `None` where there are no more.
    pub(crate) fn get(&self, number: u64) -> Option<Vec<u8>> {
        match &self.kind {
            Kind::Entries(length) => Some(post(
                &self.address,
                "/add",
                "application/octet-stream",
                &entry(&[self.run, number], (self.run << 40) ^ number, *length),
            )),
            Kind::Records(records) => records.get(usize::try_from(number).ok()?).cloned(),
        }
    }
}

fn post(host: &str, path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\naccept: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
