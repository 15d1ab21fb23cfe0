//! `TransparencyLogEntry`: that an entry is in a log, with the proof.
//!
//! Spec: <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_rekor.proto>, in protobuf JSON, where
//! 64-bit numbers are strings and bytes base64. Rekor v2 leaves out the promise and the time: the proof is complete, and
//! witnesses say when.

use countersign_crypto::Sha256;
use countersign_tlog::VerifierKey;
use countersign_tlog::merkle::Hash;
use serde_json::json;

use crate::hashedrekord::{KIND, VERSION};
use crate::protojson::base64;

/// Where an entry is in a tree, and the checkpoint of that tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// Number of leaves.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// The inclusion proof, from the leaf upwards.
    pub path: Vec<Hash>,
    /// The signed note, with its cosignatures.
    pub checkpoint: String,
}

/// A hashed record in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// [`log_id`] of the log.
    pub log_id: [u8; 32],
    /// The bytes that the log holds.
    pub body: Vec<u8>,
    /// The proof.
    pub inclusion: Inclusion,
}

impl LogEntry {
    /// The message in protobuf JSON.
    pub fn to_json(&self) -> String {
        let path: Vec<String> = self.inclusion.path.iter().map(|hash| base64(hash.as_bytes())).collect();
        json!({
            "logIndex": self.index.to_string(),
            "logId": { "keyId": base64(&self.log_id) },
            "kindVersion": { "kind": KIND, "version": VERSION },
            "integratedTime": "0",
            "inclusionPromise": null,
            "inclusionProof": {
                "logIndex": self.index.to_string(),
                "rootHash": base64(self.inclusion.root.as_bytes()),
                "treeSize": self.inclusion.size.to_string(),
                "hashes": path,
                "checkpoint": { "envelope": self.inclusion.checkpoint },
            },
            "canonicalizedBody": base64(&self.body),
        })
        .to_string()
    }
}

/// How Sigstore names a log: the whole digest that the key id in signature lines is the beginning of.
///
/// Spec: <https://c2sp.org/signed-note>, "Signatures", for keys of a log.
pub fn log_id(key: &VerifierKey) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(key.name().as_bytes());
    hasher.update(&[b'\n', key.kind().byte()]);
    hasher.update(key.public_key().as_raw());
    *hasher.finish().as_bytes()
}
