//! What was published before, as far as it is known beside the repository: so that no older copy of one is built upon.
//!
//! Where the local witness cosigns, its state knows. Where all witnesses are elsewhere, the keys directory keeps the last
//! checkpoint that was published with it, in `published/`, durable before a client can see what it proves. If that was
//! restored as well, the witnesses themselves know, and are asked.

use std::collections::BTreeSet;
use std::path::PathBuf;

use countersign_base::text::escape;
use countersign_crypto::sha256;
use countersign_log::witness::last_seen;
use countersign_log::{CosignError, LogError, Sequencer};
use countersign_store::durable;
use countersign_tlog::merkle::verify_consistency;
use countersign_tlog::policy::{Policy, PolicyWitness};
use countersign_tlog::witness::AddCheckpoint;
use countersign_tlog::{Checkpoint, SignedCheckpoint};

use crate::act::Site;
use crate::error::PublishError;
use crate::staging::PUBLIC_MODE;
use crate::witnesses::{self, Connect};

/// Name of the folder in the keys directory.
const FOLDER: &str = "published";
/// Largest checkpoint, in bytes: far more than a log with all its witnesses signs.
const MAX_CHECKPOINT_BYTES: u64 = 64 * 1024;

/// Compares the log with what is remembered of it. It costs no passphrase and no number, so it is asked before anything
/// is signed: whoever restores an older copy of a repository hears of it, and no new timestamp makes that copy look
/// fresh.
///
/// # Errors
/// `log-storage-rollback` if a larger tree is remembered, or one that this one does not extend.
pub(crate) fn check_seen(site: &Site, policy: &Policy, log: &Sequencer) -> Result<(), PublishError> {
    let origin = log.key().origin();
    for witness in local(policy) {
        if let Some(seen) = seen_by(site, witness, origin)? {
            check_extends(&seen, log, "the local witness has cosigned")?;
        }
    }
    let Some(published) = durable::read(&path(site, origin), MAX_CHECKPOINT_BYTES)? else { return Ok(()) };
    let path = path(site, origin);
    let published = SignedCheckpoint::parse(&published)
        .map_err(|error| PublishError::Damaged { path, source: Some(error.into()) })?;
    check_extends(&published, log, "these keys have published")
}

/// Asks the witnesses elsewhere whether they have seen more of the log than there is, before anything is signed or
/// logged. What was published was cosigned by a quorum: so many must say so, or be silent, that it can have been. One that
/// lies stops nothing, and a renewal, which needs none of them, does not wait for all to be up.
///
/// # Errors
/// `log-storage-rollback` if they have.
pub(crate) fn ask_witnesses(
    policy: &Policy,
    log: &Sequencer,
    connect: &mut Connect<'_>,
) -> Result<(), PublishError> {
    let size = log.signed().checkpoint().size();
    if size == 0 {
        return Ok(());
    }
    let (mut level, mut ahead) = (BTreeSet::new(), None);
    for (place, witness) in policy.witnesses().iter().enumerate().filter(|(_, one)| one.url.is_some()) {
        // From the present size to the present size: a witness that is level with it has nothing to prove.
        let Ok(request) = AddCheckpoint::new(size, Vec::new(), log.signed().clone()) else { continue };
        match connect(witness).cosign(&request) {
            Err(CosignError::Conflict { size: seen }) if seen > log.size() => ahead = Some((witness, seen)),
            Ok(_) | Err(CosignError::Conflict { .. }) => drop(level.insert(place)),
            Err(_) => {}
        }
    }
    let Some((witness, seen)) = ahead.filter(|_| policy.is_met(|place| !level.contains(&place))) else {
        return Ok(());
    };
    let (name, has) = (escape(witness.key.name()), log.size());
    let what = format!("witness `{name}` has cosigned a tree of {seen} entries, and the log has {has}");
    Err(LogError::StorageRollback(what).into())
}

/// Remembers a checkpoint, whose note is `signed`, that is about to be published, unless the local witness does.
///
/// # Errors
/// `publish-storage-failed`.
pub(crate) fn remember(
    site: &Site,
    policy: &Policy,
    checkpoint: &Checkpoint,
    signed: &[u8],
) -> Result<(), PublishError> {
    let origin = checkpoint.origin();
    for witness in local(policy) {
        if seen_by(site, witness, origin)?.is_some_and(|seen| seen.checkpoint() == checkpoint) {
            return Ok(());
        }
    }
    durable::create_dir_all(&*site.disk, &site.keys.join(FOLDER))?;
    Ok(durable::write_atomic(&*site.disk, &path(site, origin), signed, PUBLIC_MODE)?)
}

/// Where the checkpoint of a log is kept. An origin can hold what a file's name cannot.
fn path(site: &Site, origin: &str) -> PathBuf {
    let name: String = sha256(origin.as_bytes()).to_string().chars().take(32).collect();
    site.keys.join(FOLDER).join(name)
}

fn local(policy: &Policy) -> impl Iterator<Item = &PolicyWitness> {
    policy.witnesses().iter().filter(|witness| witness.url.is_none())
}

/// What a local witness has cosigned last. State that does not read is the witness's to refuse, which knows its keys.
fn seen_by(
    site: &Site,
    witness: &PolicyWitness,
    origin: &str,
) -> Result<Option<SignedCheckpoint>, PublishError> {
    let seen = last_seen(&witnesses::local_state(site, &witness.key, origin)?, origin)?;
    Ok(seen.and_then(|seen| SignedCheckpoint::parse(&seen).ok()))
}

fn check_extends(seen: &SignedCheckpoint, log: &Sequencer, who: &str) -> Result<(), PublishError> {
    let (seen, now) = (seen.checkpoint(), log.signed().checkpoint());
    if seen.size() > log.size() {
        let size = seen.size();
        let what = format!("{who} a tree of {size} entries, and the log has {}", log.size());
        return Err(LogError::StorageRollback(what).into());
    }
    let proof = log.consistency(seen.size(), now.size())?;
    if verify_consistency(seen.size(), now.size(), seen.root(), now.root(), &proof).is_ok() {
        return Ok(());
    }
    let what = format!("{who} another tree of {} entries", seen.size());
    Err(LogError::StorageRollback(what).into())
}
