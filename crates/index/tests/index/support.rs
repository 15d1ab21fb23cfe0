//! Logs to index: a simulated repository's with everything in it, and one of many entries.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_base::Timestamp;
use countersign_crypto::{Algorithm, SecretKey, sha256};
use countersign_index::{
    Built, Checked, Database, Folders, IndexError, Log, Place, Query, Row, Term, build, check,
};
use countersign_log::mirror::trusted_checkpoint;
use countersign_log::{LogKey, Sequencer, Trust};
use countersign_store::Dir;
use countersign_testkit::faulty_disk::{self, FaultyDisk};
use countersign_testkit::sim::Sim;
use countersign_tlog::SignedCheckpoint;
use countersign_tlog::policy::Policy;

pub(crate) fn now() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(faulty_disk::scratch()).unwrap()
}

/// A log's folder with its checkpoint, and its documents.
pub(crate) struct Fixture {
    source: Dir,
    pub(crate) signed: SignedCheckpoint,
    documents: Folders,
}

impl Fixture {
    /// What is written of a simulated repository.
    pub(crate) fn of(sim: &Sim, dir: &Path) -> Self {
        sim.write(dir);
        let policy = Policy::parse(sim.policy().as_bytes()).unwrap();
        let source = Dir::existing(&dir.join("log")).unwrap();
        let signed = trusted_checkpoint(&source, Trust::Policy(&policy, now())).unwrap();
        let documents = Folders::new().with_metadata(&dir.join("metadata"), Some((policy, now())));
        Self { source, signed, documents }
    }

    /// The same log without its documents.
    pub(crate) fn without_documents(self) -> Self {
        Self { documents: Folders::new(), ..self }
    }

    pub(crate) fn log(&self) -> Log<'_> {
        Log {
            source: &self.source,
            tree: self.signed.checkpoint(),
            seen: Some(now()),
            documents: &self.documents,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.signed.checkpoint().size()
    }

    pub(crate) fn build(&self, place: &Place) -> Result<Built, IndexError> {
        build(self.log(), &mut *place.open().unwrap())
    }

    pub(crate) fn check(&self, place: &Place) -> Result<Checked, IndexError> {
        check(self.log(), &mut *place.open().unwrap())
    }
}

/// A log of entries that are nothing that the index knows.
pub(crate) fn plain(root: &Path, salt: &str, size: u64) -> Fixture {
    let secret = SecretKey::from_seed(Algorithm::Ed25519, &[1; 32]).unwrap();
    let key = LogKey::new("log.example/plain", Box::new(secret)).unwrap();
    let vkey = key.verifier().clone();
    std::fs::create_dir_all(root).unwrap();
    let disk = FaultyDisk::counting(root);
    let mut log = Sequencer::open_on(disk, &root.join("private"), &root.join("log"), key, now()).unwrap();
    let entries: Vec<Vec<u8>> =
        (log.size()..size).map(|number| format!("{salt} {number}").into_bytes()).collect();
    log.append(&entries, now()).unwrap();
    let bytes = log.integrate(now()).unwrap().encode();
    std::fs::write(root.join("log/checkpoint"), bytes).unwrap();
    let source = Dir::existing(&root.join("log")).unwrap();
    let signed = trusted_checkpoint(&source, Trust::Keys(&[vkey])).unwrap();
    Fixture { source, signed, documents: Folders::new() }
}

/// A record of Rekor v2 for these bytes, by a key of these bytes.
pub(crate) fn record(content: &[u8], key: &[u8]) -> Vec<u8> {
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    format!(
        r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{{"hashedRekordV002":{{"data":{{"algorithm":"SHA2_256","digest":"{}"}},"signature":{{"content":"AAAA","verifier":{{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{{"rawBytes":"{}"}}}}}}}}}}}}"#,
        base64(sha256(content).as_bytes()),
        base64(key)
    )
    .into_bytes()
}

pub(crate) fn find(database: &mut dyn Database, terms: &[&str]) -> Vec<Row> {
    let terms: Vec<Term> = terms.iter().map(|term| term.parse().unwrap()).collect();
    database.find(&Query { terms, after: None, limit: 1000 }).unwrap().1
}

pub(crate) fn indices(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.index).collect()
}
