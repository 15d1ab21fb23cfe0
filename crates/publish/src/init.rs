//! A new repository: its keys, its first root, and a first, empty publication.
//!
//! An interrupted `init` is completed by running it again. The first root is kept in the file
//! [`crate::layout::Layout::unfinished`] before it is logged: its digest is the anchor, and the log serves one repository for ever,
//! so a second run must go on with the same root. The file is there, empty at first, from the beginning until the
//! timestamp is published; its presence tells an unfinished repository from one that has lost its timestamp.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use countersign_base::{Anchor, Json};
use countersign_crypto::{PublicKey, sha256};
use countersign_keys::{Protection, Stage};
use countersign_store::{StoreError, durable};
use countersign_tlog::VerifierKey;
use countersign_tlog::policy::{Policy, PolicyError, PolicyProblem};
use countersign_tuf::editor::{RootEditor, TargetsEditor};
use countersign_tuf::limits::MAX_ROOT_BYTES;
use countersign_tuf::metadata::{Envelope, ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use countersign_tuf::{Role as _, Root};
use countersign_verify::{EXTENSION, policy_extension};

use crate::act::{self, Act, Change, Publication, Signed, Site};
use crate::error::PublishError;
use crate::keyring::{self, Keyring, as_dyn, listed};
use crate::layout::PRIVATE_DIR;
use crate::online::{self, Online};
use crate::proposal::{Member, set_holders};
use crate::publisher::Publisher;
use crate::staging::PUBLIC_MODE;
use crate::witnesses::{self, WitnessSpec};

/// Names of the folders and files that a repository's directory may have while `init` is unfinished.
const OURS: [&str; 4] = [PRIVATE_DIR, "metadata", "targets", "log"];

/// What a new repository shall be.
#[derive(Debug, Clone)]
pub struct InitOptions<'a> {
    /// How new secret keys are kept.
    pub protection: Protection<'a>,
    /// Who must cosign; none for a local witness, which shows the mechanism and gives no independence.
    pub witnesses: Vec<WitnessSpec>,
    /// The log's origin; by default it is made from the directory's name and the log's key.
    pub origin: Option<String>,
    /// How many root keys there are. They sign the top-level targets as well.
    pub root_keys: u32,
    /// How many of them must sign.
    pub root_threshold: u32,
}

impl<'a> InitOptions<'a> {
    /// Two of three root keys and a local witness.
    pub const fn new(protection: Protection<'a>) -> Self {
        Self { protection, witnesses: Vec::new(), origin: None, root_keys: 3, root_threshold: 2 }
    }
}

/// A repository that was made.
#[derive(Debug, Clone)]
pub struct Initialised {
    /// The one line from which clients bootstrap everything.
    pub anchor: Anchor,
    /// The transparency policy: its log, its witnesses, its quorum.
    pub policy: Policy,
    /// The first publication.
    pub publication: Publication,
    /// Names of the keys that were in the keys directory already: an interrupted run's, or another repository's.
    pub found_keys: Vec<String>,
}

/// The keys of a new repository.
struct NewKeys {
    root: Vec<PublicKey>,
    snapshot: PublicKey,
    timestamp: PublicKey,
    log: PublicKey,
    witness: Option<PublicKey>,
}

impl Publisher<'_> {
    /// Makes a repository. Keys `root-1`.., `snapshot`, `timestamp`, `log` and, without other witnesses, `witness`
    /// are made unless they exist.
    ///
    /// # Errors
    /// `publish-repo-exists`, `publish-dir-not-empty`, `usage` for a threshold that does not fit,
    /// `log-policy-invalid`, codes of keys, log and witnesses. `witness-log-unknown` with the line for the witness's
    /// operator; running it again then completes it.
    pub fn init(&mut self, options: &InitOptions<'_>) -> Result<Initialised, PublishError> {
        if options.root_threshold == 0 || options.root_threshold > options.root_keys {
            let keys = options.root_keys as usize;
            return Err(PublishError::Threshold { threshold: options.root_threshold, keys });
        }
        let site = &self.site;
        keyring::check_place(site)?;
        check_folders(site)?;
        let mut keyring = Keyring::open_or_create(&site.keys, &mut *self.ask, site.now)?.because("init");
        make_folders(site)?;
        let lock = act::lock(&site.layout)?;
        let mark = site.layout.unfinished();
        let Some(begun) = durable::read(&mark, MAX_ROOT_BYTES as u64)? else {
            // Another process finished it while we waited for nothing.
            return Err(PublishError::RepoExists { path: site.layout.root().to_owned() });
        };
        let keys = NewKeys::make(site, options, &mut keyring)?;
        let found_keys = keyring.found().to_vec();
        let policy = make_policy(site, options, &keys)?;
        let bytes = if begun.is_empty() {
            let first = sign_root(site, options, &keys, &policy, &mut keyring)?;
            durable::write_atomic(&*site.disk, &mark, &first, PUBLIC_MODE)?;
            first
        } else {
            begun
        };
        let root = Envelope::<Root>::parse(ROOT, &bytes)?.signed;
        if !keys.are_in(&root, options.root_threshold)
            || root.extension(EXTENSION) != Some(&extension(&policy, &keys, &keyring)?)
        {
            return Err(PublishError::InitDiffers { path: site.layout.root().to_owned() });
        }
        let anchor = Anchor(sha256(&bytes));
        let act = Act::begin(site, lock, anchor, &policy, 0, &mut keyring)?;
        let mut targets = TargetsEditor::new(TARGETS, site.now.plus_days(site.expiries.targets_days));
        targets.set_version(act.next_version(TARGETS, 0)).set_extension(EXTENSION, online::naming(anchor));
        let targets = online::sign(targets.finish()?, &root, &mut keyring)?;
        let first = Signed { role: ROOT.to_owned(), version: 1, bytes };
        let change = Change { documents: vec![first, targets], ..Change::default() };
        let online = Online { site, root: &root, current: None, anchor };
        let publication = act.publish(change, &online, &mut keyring, &mut *self.connect)?;
        durable::remove(&*site.disk, &mark)?;
        Ok(Initialised { anchor, policy, publication, found_keys })
    }
}

/// Whether a repository can be made here, or an unfinished one be finished. Changes nothing.
///
/// # Errors
/// `publish-repo-exists`, `publish-dir-not-empty`.
fn check_folders(site: &Site) -> Result<(), PublishError> {
    let layout = &site.layout;
    let path = || layout.root().to_owned();
    let names = names_in(layout.root())?;
    let begun = layout.unfinished().exists();
    if layout.timestamp().exists() || (!begun && !names_in(&layout.private())?.is_empty()) {
        return Err(PublishError::RepoExists { path: path() });
    }
    let ours = |name: &String| if begun { OURS.contains(&name.as_str()) } else { name == PRIVATE_DIR };
    if !names.iter().all(ours) {
        return Err(PublishError::DirNotEmpty { path: path() });
    }
    Ok(())
}

/// Makes the folders of a new repository, or finds those of an unfinished one.
fn make_folders(site: &Site) -> Result<(), PublishError> {
    let (layout, disk) = (&site.layout, &*site.disk);
    let begun = layout.unfinished().exists();
    durable::create_dir_all(disk, layout.root())?;
    durable::create_dir_all(disk, &layout.private())?;
    if !begun {
        durable::put_if_absent(disk, &layout.unfinished(), b"", PUBLIC_MODE)?;
    }
    durable::create_dir_all(disk, &layout.metadata())?;
    Ok(durable::create_dir_all(disk, &layout.targets())?)
}

/// What a folder has in it; nothing if it is not there.
fn names_in(path: &Path) -> Result<Vec<String>, PublishError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", path)(error).into()),
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let names: Vec<String> =
        entries.map(name).collect::<io::Result<_>>().map_err(StoreError::io("list", path))?;
    // An unfinished file is what a crash of ours leaves.
    Ok(names.into_iter().filter(|name| !name.starts_with(durable::TEMP_PREFIX)).collect())
}

impl NewKeys {
    fn make(site: &Site, options: &InitOptions<'_>, keyring: &mut Keyring<'_>) -> Result<Self, PublishError> {
        let mut ensure = |name: &str, stage| keyring.ensure(name, stage, None, site.now, options.protection);
        let root = (1..=options.root_keys).map(|number| ensure(&format!("root-{number}"), Stage::Root));
        let root = root.collect::<Result<_, _>>()?;
        let (snapshot, timestamp) =
            (ensure(SNAPSHOT, Stage::Snapshot)?, ensure(TIMESTAMP, Stage::Timestamp)?);
        let log = ensure("log", Stage::Log)?;
        let witness =
            if options.witnesses.is_empty() { Some(ensure("witness", Stage::Witness)?) } else { None };
        Ok(Self { root, snapshot, timestamp, log, witness })
    }

    /// Keys and threshold of each top-level role.
    fn roles(&self, root_threshold: u32) -> [(&'static str, &[PublicKey], u32); 4] {
        use core::slice::from_ref;
        [
            (ROOT, &self.root, root_threshold),
            (TARGETS, &self.root, root_threshold),
            (SNAPSHOT, from_ref(&self.snapshot), 1),
            (TIMESTAMP, from_ref(&self.timestamp), 1),
        ]
    }

    /// Whether `root` lists exactly these.
    fn are_in(&self, root: &Root, root_threshold: u32) -> bool {
        self.roles(root_threshold).iter().all(|(role, keys, threshold)| {
            root.role_keys(role)
                .is_some_and(|role| role.threshold == *threshold && listed(root.keys(), role) == *keys)
        })
    }
}

fn sign_root(
    site: &Site,
    options: &InitOptions<'_>,
    keys: &NewKeys,
    policy: &Policy,
    keyring: &mut Keyring<'_>,
) -> Result<Vec<u8>, PublishError> {
    let mut editor = RootEditor::new(site.now.plus_days(site.expiries.root_days));
    for (role, keys, threshold) in keys.roles(options.root_threshold) {
        editor.set_role(role, keys, threshold)?;
    }
    editor.set_extension(EXTENSION, extension(policy, keys, keyring)?);
    let mut draft = editor.finish()?;
    let signers = keyring.signers(ROOT, &keys.root, options.root_threshold)?;
    draft.sign(&as_dyn(&signers))?;
    // It is kept on disk, for a run that is interrupted.
    keyring.settle()?;
    Ok(draft.to_bytes()?)
}

/// What the first root carries beside TUF's own: the policy, and whose key each is, for whoever signs later.
fn extension(policy: &Policy, keys: &NewKeys, keyring: &Keyring<'_>) -> Result<Json, PublishError> {
    let invalid = PolicyError::Invalid { line: None, problem: PolicyProblem::KeyText };
    let policy = policy_extension(policy).ok_or(invalid)?;
    let mut members = policy.as_object().cloned().unwrap_or_default();
    let all = keys.root.iter().chain([&keys.snapshot, &keys.timestamp]);
    let member =
        |key: &PublicKey| Some(Member { key: key.clone(), pair: None, holder: keyring.holder(key)? });
    set_holders(&mut members, &BTreeSet::new(), &all.filter_map(member).collect::<Vec<_>>())?;
    Ok(Json::Object(members))
}

fn make_policy(site: &Site, options: &InitOptions<'_>, keys: &NewKeys) -> Result<Policy, PublishError> {
    let origin = match &options.origin {
        Some(origin) => origin.clone(),
        None => default_origin(site.layout.root(), &keys.log),
    };
    let log = VerifierKey::for_log(&origin, &keys.log)?;
    let mut witnesses = Vec::new();
    for witness in &options.witnesses {
        witnesses.push((witness.key.clone(), Some(witness.url.clone())));
    }
    if let Some(key) = &keys.witness {
        witnesses.push((VerifierKey::for_witness(&witnesses::local_name(key), key)?, None));
    }
    witnesses::make_policy(log, &witnesses)
}

/// `countersign.local/<name of the directory>-<start of the key>`: no two repositories have the same.
fn default_origin(root: &Path, key: &PublicKey) -> String {
    let full = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let name = full.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().take(64).map(plain).collect();
    format!("countersign.local/{name}-{}", witnesses::short(key))
}
