//! Our witness cosigns a log that Tessera keeps, over the protocol that both speak.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use countersign_crypto::{Algorithm, SecretKey, sha256};
use countersign_testkit::peers;
use countersign_testkit::sim::log::{Named, to_base64};
use countersign_tlog::{SignedCheckpoint, VerifierKey, cosignature};

use super::{SEED, get, text_of, told};
use crate::lab::Lab;
use crate::log::Live;
use crate::server::Process;

const LOG: &str = "log.example/tessera";

/// Tessera's program that adds files to a log in a folder, and asks our witness.
struct Tessera {
    program: PathBuf,
    key: PathBuf,
    policy: PathBuf,
}

impl Tessera {
    /// Adds what is in `entries` to the log in `storage`.
    fn add(&self, storage: &Path, entries: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--storage_dir").arg(storage).arg("--entries").arg(entries.join("*"));
        command.arg("--private_key").arg(&self.key).arg("--witness_policy_file").arg(&self.policy);
        command
    }
}

/// A folder with so many entries.
fn entries(lab: &Lab, name: &str, count: usize) -> PathBuf {
    let folder = lab.path(name);
    fs::create_dir(&folder).unwrap();
    for number in 0..count {
        fs::write(folder.join(number.to_string()), format!("{name} {number}")).unwrap();
    }
    folder
}

#[test]
fn our_witness_cosigns_a_log_of_tessera() {
    let Some(program) = peers::find("tessera-oneshot") else { return };
    let lab = Lab::new();
    let key = SecretKey::from_seed(Algorithm::Ed25519, &SEED).unwrap();
    let named = Named { name: LOG, key: &key };
    let vkey = named.vkey(1);
    let state = lab.path("witness");
    let serve = ["witness", "serve", state.to_str().unwrap(), "--name", "witness.example/ours"];
    let flags = ["--listen", "127.0.0.1:0", "--unencrypted", "--log", &vkey];
    let witness = Live::start(&lab, &[&serve[..], &flags].concat());

    let tessera = Tessera { program, key: lab.path("log.key"), policy: lab.path("policy") };
    let id: String = named.key_id(1).iter().map(|byte| format!("{byte:02x}")).collect();
    let secret = to_base64(&[&[1][..], &SEED].concat());
    fs::write(&tessera.key, format!("PRIVATE+KEY+{LOG}+{id}+{secret}")).unwrap();
    fs::write(&tessera.policy, format!("witness w {} {}/\nquorum w\n", witness.vkey, witness.url)).unwrap();

    // A new log, and the same log grown: each time it has our cosignature, by our reading of it.
    let (storage, ours) = (lab.path("log"), witness.vkey.parse::<VerifierKey>().unwrap());
    for (name, count, size) in [("first", 5, 5), ("second", 300, 305)] {
        told(&mut tessera.add(&storage, &entries(&lab, name, count)));
        let note = fs::read(storage.join("checkpoint")).unwrap();
        let signed = SignedCheckpoint::open(&note, LOG, &[vkey.parse().unwrap()]).unwrap();
        assert_eq!(signed.checkpoint().size(), size);
        let line = signed.note().signatures().iter().find(|signature| signature.claims(&ours)).unwrap();
        cosignature::verify(line, &ours, signed.checkpoint()).unwrap();
        let shown = get(&witness.url, &format!("{}/checkpoint", sha256(LOG.as_bytes())));
        assert_eq!(
            SignedCheckpoint::open(&shown, LOG, std::slice::from_ref(&ours)).unwrap().checkpoint().size(),
            size
        );
    }

    // Another log of the same name gets none, and Tessera publishes nothing.
    let fork = lab.path("fork");
    let _process = Process::start(&mut tessera.add(&fork, &entries(&lab, "other", 10)));
    let started = Instant::now();
    while !text_of(&get(&witness.url, "metrics")).contains("requests_total{status=\"409\"} 1\n") {
        assert!(started.elapsed() < Duration::from_secs(20), "the other log does not ask");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!fork.join("checkpoint").exists());
}
