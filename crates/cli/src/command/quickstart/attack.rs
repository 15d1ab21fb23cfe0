//! What attackers try, each on a copy of the mirror, and the code that each is refused with.
//!
//! They have what the story says: the mirror only, or stolen keys, or the log's key as well. The forged release is
//! real metadata by real keys; what it lacks is what Countersign asks for beyond signatures by keys.

use std::fs;
use std::path::Path;

use countersign_base::{Sha256Digest, Timestamp, code};
use countersign_crypto::{Signer, sha256};
use countersign_keys::KeyDir;
use countersign_log::{LogError, LogKey, Sequencer};
use countersign_tlog::{SignedCheckpoint, TlogProof, cosignature};
use countersign_tuf::TrustedSet;
use countersign_tuf::editor::{SnapshotEditor, TargetsEditor, TimestampEditor};
use countersign_tuf::metadata::{
    Envelope, Hashes, MetaFile, Snapshot, TargetFile, Targets, Timestamp as TimestampRole,
};
use countersign_verify::{FileMode, Leaf, ReleaseInfo, root_policy};

use super::REPOSITORY;
use super::stage::Stage;
use crate::error::CliError;
use crate::machine;

/// The forged program and its version.
const EVIL: &[u8] = b"#!/bin/sh\necho you have been had\n";
const EVIL_VERSION: &str = "6.6.6";

/// How far the attackers go with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logged {
    /// They do not log.
    Not,
    /// They log in a copy of the log that they continue with its stolen key; no witness cosigns it.
    InAFork,
    /// They hold the log and the witness as well.
    AndWitnessed,
}

/// All attacks, then the honest update that still works.
pub(super) fn all(stage: &mut Stage<'_>) -> Result<(), CliError> {
    stage.scene("attacker", "Attackers, who control the mirror")?;
    let target = format!("{REPOSITORY}/{}", stage.product());
    flipped_byte(stage, &target)?;
    let update = ["update", &target, "--root", "user/installed"];

    served(stage, "attacks/older-repository")?;
    stage.refused("serve the repository of yesterday again, to hide 1.1.0", code::TUF_ROLLBACK, &update)?;

    forged(stage, "attacks/one-signer", 1, Logged::AndWitnessed)?;
    served(stage, "attacks/one-signer")?;
    let product = stage.product().to_string();
    stage.refused(
        "steal the whole server, log and witness too, but only one of the two signers' keys",
        code::TUF_THRESHOLD,
        &update,
    )?;

    forged(stage, "attacks/not-logged", 2, Logged::Not)?;
    served(stage, "attacks/not-logged")?;
    stage.refused("steal all keys and sign 6.6.6 without logging it", code::LOG_PROOF_MISSING, &update)?;

    forged(stage, "attacks/forked-log", 2, Logged::InAFork)?;
    served(stage, "attacks/forked-log")?;
    stage.refused(
        "steal the log's key too and log 6.6.6 in a fork made for this user",
        code::LOG_QUORUM_NOT_MET,
        &update,
    )?;

    stage.scene("user", "The user, unharmed")?;
    served(stage, "mirror")?;
    stage.run("updates from the honest mirror, without any cleaning up", &update)?;
    stage.run(
        "finds everything intact",
        &["status", &format!("{REPOSITORY}/{product}"), "--root", "user/installed"],
    )?;
    Ok(())
}

/// The user's machine fetches from this copy of the mirror from now on.
fn served(stage: &Stage<'_>, copy: &str) -> Result<(), CliError> {
    stage.quietly(&["trust", "set-url", REPOSITORY, &stage.url(copy)]).map(drop)
}

fn flipped_byte(stage: &mut Stage<'_>, target: &str) -> Result<(), CliError> {
    let copy = "attacks/flipped-byte";
    stage.keep_copy("mirror", copy)?;
    let targets = stage.path(copy).join("targets").join(stage.product().as_str()).join("1.1.0");
    let file = first_file(&targets).ok_or_else(|| stage.storage(copy, "there is no released file"))?;
    let mut bytes = fs::read(&file).map_err(|error| CliError::reading(&file, &error))?;
    let middle = bytes.len() / 2;
    match bytes.get_mut(middle) {
        Some(byte) => *byte ^= 1,
        None => bytes.push(b'!'),
    }
    fs::write(&file, bytes).map_err(|error| stage.storage(copy, error))?;
    served(stage, copy)?;
    stage.refused(
        "flip one bit of the released file, for a machine that installs it afresh",
        code::ARTIFACT_DIGEST_MISMATCH,
        &["install", target, "--root", "user/another-machine"],
    )
}

fn first_file(dir: &Path) -> Option<std::path::PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    entries.into_iter().find_map(|path| if path.is_dir() { first_file(&path) } else { Some(path) })
}

/// Makes a copy of the mirror that offers the forged release.
fn forged(stage: &Stage<'_>, copy: &str, signers: usize, logged: Logged) -> Result<(), CliError> {
    stage.keep_copy("mirror", copy)?;
    let workshop = copy.replace("attacks/", "attacks/workshop/");
    stage.copy_all("publisher/repo/log", &format!("{workshop}/public"))?;
    stage.copy_all("publisher/repo/.countersign/log", &format!("{workshop}/private"))?;
    let keys = KeyDir::open(stage.path("publisher/keys"))?;
    let forger = Forger { stage, keys, served: stage.path(copy), workshop: stage.path(&workshop) };
    let documents = forger.documents(signers)?;
    let proofs = match logged {
        Logged::Not => Vec::new(),
        Logged::InAFork | Logged::AndWitnessed => forger.log(&documents, logged)?,
    };
    forger.serve(&documents, &proofs)?;
    stage.copy_all(&format!("{workshop}/public"), &format!("{copy}/log"))
}

/// A forged metadata file.
struct Forged {
    role: String,
    version: u64,
    bytes: Vec<u8>,
}

/// Somebody with the publisher's keys and a copy of everything else.
struct Forger<'a> {
    stage: &'a Stage<'a>,
    keys: KeyDir,
    served: std::path::PathBuf,
    workshop: std::path::PathBuf,
}

impl Forger<'_> {
    fn now(&self) -> Timestamp {
        self.stage.site.now
    }

    /// The product's next version with the forged release, and the snapshot and timestamp that list it.
    fn documents(&self, signers: usize) -> Result<Vec<Forged>, CliError> {
        let product = self.stage.product().as_str();
        let timestamp = Envelope::<TimestampRole>::parse("timestamp", &self.read("timestamp.json")?)?.signed;
        let version = timestamp.snapshot().version;
        let snapshot = self.read(&format!("{version}.snapshot.json"))?;
        let snapshot = Envelope::<Snapshot>::parse("snapshot", &snapshot)?.signed;
        let listed = snapshot.file(product).map_or(1, |file| file.version);
        let role = self.read(&format!("{listed}.{product}.json"))?;
        let role = Envelope::<Targets>::parse(product, &role)?.signed;

        let mut targets = TargetsEditor::next(product, &role);
        let (path, target) = self.evil_target()?;
        targets.set_target(&path, &target)?;
        let names: Vec<String> = (1..=signers).map(|number| format!("{product}-{number}")).collect();
        let role = self.sign(targets.finish()?, &names)?;
        let mut next = SnapshotEditor::next(&snapshot);
        next.set_meta(product, &MetaFile::describe(role.version, &role.bytes));
        let snapshot = self.sign(next.finish()?, &["snapshot".to_owned()])?;
        let mut next = TimestampEditor::next(&timestamp);
        next.set_snapshot(&MetaFile::describe(snapshot.version, &snapshot.bytes));
        let timestamp = self.sign(next.finish()?, &["timestamp".to_owned()])?;
        Ok(vec![role, snapshot, timestamp])
    }

    fn evil_target(&self) -> Result<(String, TargetFile), CliError> {
        let product = self.stage.product();
        let platform = machine::this_platform()?;
        let path = format!("{product}/{EVIL_VERSION}/{}/{product}", platform.path_component());
        let info = ReleaseInfo { channel: "stable".parse()?, mode: FileMode::Executable };
        let hashes = Hashes { sha256: Some(sha256(EVIL)), ..Hashes::default() };
        let target = TargetFile { length: EVIL.len() as u64, hashes, custom: Some(info.to_custom()) };
        Ok((path, target))
    }

    fn sign(&self, mut draft: countersign_tuf::editor::Draft, names: &[String]) -> Result<Forged, CliError> {
        for name in names {
            let signer = self.signer(name)?;
            draft.sign(&[&*signer])?;
        }
        Ok(Forged { role: draft.role().to_owned(), version: draft.version(), bytes: draft.to_bytes()? })
    }

    fn signer(&self, name: &str) -> Result<Box<dyn Signer>, CliError> {
        let info = self.keys.find(name)?;
        let mut no_passphrase = |key: &countersign_keys::KeyInfo| {
            let reason = "the quickstart's keys have none".to_owned();
            Err(countersign_keys::KeysError::PassphraseMissing { key: key.name.to_string(), reason })
        };
        Ok(self.keys.signer(&info, &mut no_passphrase, self.now())?)
    }

    /// Continues a copy of the log with its key, and proves the forged files in it.
    fn log(&self, documents: &[Forged], how: Logged) -> Result<Vec<Vec<u8>>, CliError> {
        let checkpoint = self.workshop.join("public/checkpoint");
        let text = fs::read_to_string(&checkpoint).map_err(|error| CliError::reading(&checkpoint, &error))?;
        let origin = text.lines().next().unwrap_or_default().to_owned();
        let key = LogKey::new(&origin, self.signer("log")?)?;
        let (private, public) = (self.workshop.join("private"), self.workshop.join("public"));
        let mut log = Sequencer::open(&private, &public, key, self.now())?;
        let logged: Vec<&Forged> = documents.iter().filter(|document| document.role != "timestamp").collect();
        let entries = logged.iter().map(|document| self.leaf(document)).collect::<Result<Vec<_>, _>>()?;
        let indices = log.append(&entries, self.now())?;
        let mut signed = log.integrate(self.now())?.clone();
        if how == Logged::AndWitnessed {
            signed = self.cosign(&signed)?;
        }
        let (checkpoint, size) = (signed.encode(), signed.checkpoint().size());
        let mut proofs = Vec::new();
        for (entry, index) in entries.into_iter().zip(indices) {
            let hashes = log.proof(index, size)?;
            let proof = TlogProof { extra: Some(entry), index, hashes, checkpoint: checkpoint.clone() };
            proofs.push(proof.encode());
        }
        Ok(proofs)
    }

    /// Cosigns with the stolen key of the witness, whose state would have refused.
    fn cosign(&self, signed: &SignedCheckpoint) -> Result<SignedCheckpoint, CliError> {
        let root = TrustedSet::new(&self.read("1.root.json")?, self.now())?;
        let policy = root_policy(root.root())?;
        let signer = self.signer("witness")?;
        let mut cosignatures = Vec::new();
        for witness in policy.witnesses() {
            let cosignature =
                cosignature::cosign(signed.checkpoint(), witness.key.name(), &*signer, self.now());
            cosignatures.push(cosignature.map_err(LogError::Sign)?);
        }
        signed.with_signatures(&cosignatures).map_err(|error| {
            CliError::new(code::INTERNAL_ERROR, "a forged cosignature cannot be added").because(error)
        })
    }

    fn leaf(&self, document: &Forged) -> Result<Vec<u8>, CliError> {
        let repository = countersign_base::Anchor(self.root_digest()?);
        let leaf = Leaf {
            repository,
            role: document.role.clone(),
            version: document.version,
            length: document.bytes.len() as u64,
            sha256: sha256(&document.bytes),
            changes: None,
        };
        Ok(leaf.encode())
    }

    fn root_digest(&self) -> Result<Sha256Digest, CliError> {
        Ok(sha256(&self.read("1.root.json")?))
    }

    /// Puts the forged files where the honest ones would be.
    fn serve(&self, documents: &[Forged], proofs: &[Vec<u8>]) -> Result<(), CliError> {
        let mut proofs = proofs.iter();
        for document in documents {
            let name = match document.role.as_str() {
                "timestamp" => "timestamp.json".to_owned(),
                role => format!("{}.{role}.json", document.version),
            };
            self.write(&format!("metadata/{name}"), &document.bytes)?;
            if document.role != "timestamp"
                && let Some(proof) = proofs.next()
            {
                self.write(&format!("metadata/{name}.tlog-proof"), proof)?;
            }
        }
        let (path, _) = self.evil_target()?;
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        self.write(&format!("targets/{folder}/{}.{name}", sha256(EVIL)), EVIL)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, CliError> {
        let path = self.served.join("metadata").join(name);
        fs::read(&path).map_err(|error| CliError::reading(&path, &error))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CliError> {
        let path = self.served.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| self.stage.storage(name, error))?;
        }
        fs::write(&path, bytes).map_err(|error| self.stage.storage(name, error))
    }
}
