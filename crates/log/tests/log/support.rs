//! Logs and witnesses with fixed keys and a fixed time.

use std::path::Path;
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_crypto::{Algorithm, SecretKey};
use countersign_log::{
    Cosigner, LocalCosigner, LogError, LogKey, LogList, MAX_BATCH_ENTRIES, Response, Sequencer, Witness,
    WitnessError,
};
use countersign_store::Disk;
use countersign_testkit::faulty_disk::{self, FaultyDisk};
use countersign_tlog::VerifierKey;
use countersign_tlog::policy::Policy;

pub(crate) const ORIGIN: &str = "log.example/prod";
pub(crate) const WITNESS: &str = "witness.example/w1";

pub(crate) fn now() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().expect("a time")
}

pub(crate) fn secret(number: u8) -> SecretKey {
    SecretKey::from_seed(Algorithm::Ed25519, &[number; 32]).expect("a key")
}

pub(crate) fn log_key() -> LogKey {
    LogKey::new(ORIGIN, Box::new(secret(1))).expect("a log key")
}

pub(crate) fn log_vkey() -> VerifierKey {
    log_key().verifier().clone()
}

/// An entry that differs from all others.
pub(crate) fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

pub(crate) fn entries(from: u64, to: u64) -> Vec<Vec<u8>> {
    (from..to).map(entry).collect()
}

/// A folder that goes away with the value.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(faulty_disk::scratch()).expect("a temporary folder")
}

/// A disk on `root` that keeps everything and does not wait for the platter.
pub(crate) fn quick(root: &Path) -> Arc<dyn Disk> {
    FaultyDisk::counting(root)
}

/// The log with both folders in `root`.
pub(crate) fn open(disk: Arc<dyn Disk>, root: &Path) -> Result<Sequencer, LogError> {
    Sequencer::open_on(disk, &root.join("private"), &root.join("log"), log_key(), now())
}

/// A new log in `root` with entries `0..size`, in tiles.
pub(crate) fn log_of(root: &Path, size: u64) -> Sequencer {
    let mut log = open(quick(root), root).expect("a new log");
    for batch in entries(0, size).chunks(MAX_BATCH_ENTRIES) {
        log.append(batch, now()).expect("entries");
    }
    log.integrate(now()).expect("tiles");
    log
}

/// The witness with its state in `root`.
pub(crate) fn witness(disk: Arc<dyn Disk>, root: &Path) -> Arc<Witness> {
    try_witness(disk, root).expect("a witness")
}

pub(crate) fn try_witness(disk: Arc<dyn Disk>, root: &Path) -> Result<Arc<Witness>, WitnessError> {
    let logs = LogList::new([log_vkey()]);
    Witness::open_on(disk, &root.join("witness"), WITNESS, vec![Box::new(secret(2))], logs).map(Arc::new)
}

/// A witness's answer as a stranger sees it.
pub(crate) trait Asked {
    fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> Response;
}

impl Asked for Witness {
    fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> Response {
        let failed = |_| Response { status: 500, content_type: "", retry_after: None, body: Vec::new() };
        self.answer(body, now).unwrap_or_else(failed)
    }
}

pub(crate) fn cosigners(witness: &Arc<Witness>) -> Vec<Box<dyn Cosigner>> {
    vec![Box::new(LocalCosigner::new(Arc::clone(witness), now()))]
}

/// The policy that asks for the log's key and the one witness.
pub(crate) fn policy() -> Policy {
    let witness = VerifierKey::for_witness(WITNESS, secret(2).public_key()).expect("a witness key");
    let text = format!("log {}\nwitness w1 {witness}\nquorum w1\n", log_vkey());
    Policy::parse(text.as_bytes()).expect("a policy")
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for item in std::fs::read_dir(from).expect("a folder") {
        let item = item.expect("an item");
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).expect("a file");
        }
    }
}
