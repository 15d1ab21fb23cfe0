//! What a client trusts, step by step (specification section 5). No I/O: it is handed bytes and says what is next.
//!
//! Order: [`TrustedSet::new`] with the first root; [`TrustedSet::update_root`] for each root that the client keeps;
//! [`TrustedSet::restore_timestamp`] and [`TrustedSet::restore_snapshot`] with kept copies, which guard against
//! rollback; then what is fetched: roots until there is none, timestamp, snapshot, targets, delegated targets. A new
//! root that rotates the timestamp's or snapshot's keys drops the kept copies, which is how a repository recovers from
//! versions that an attacker drove up (5.3.11, attack M03).
//!
//! A file that is refused changes nothing that is trusted. Time is fixed when the set is made (5.1).

mod retired;
mod rotation;
mod search;
mod signatures;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_base::Timestamp as Time;

use crate::error::TufError;
use crate::limits::{MAX_SNAPSHOT_BYTES, MAX_TARGETS_BYTES};
use crate::metadata::{
    Envelope, MetaFile, ROOT, Role, Root, SNAPSHOT, Snapshot, TARGETS, TIMESTAMP, TOP_LEVEL, TargetFile,
    Targets, Timestamp,
};
use crate::name::{file_name, target_url_path};
use retired::Retired;
use signatures::{refuse, signed};

pub use rotation::rotates_online_keys;
pub use search::{Found, Search};
pub(crate) use signatures::{Delegator, Signed, one_sided};
pub use signatures::{Half, HalfSigned, Signers};

/// Verified metadata, and the state needed to verify more. Cheap to clone: copies share the files.
#[derive(Debug, Clone)]
pub struct TrustedSet {
    now: Time,
    root: Arc<Envelope<Root>>,
    online_keys_since: u64,
    timestamp: Option<Arc<Envelope<Timestamp>>>,
    snapshot: Option<Arc<Envelope<Snapshot>>>,
    /// The snapshot's file, to compare with what a newer timestamp lists.
    snapshot_bytes: Arc<[u8]>,
    targets: BTreeMap<String, Loaded>,
    /// Who signed the file that is or was held for each role, counted when it was taken.
    signers: BTreeMap<String, Signers>,
    /// Highest version of each role that is known to have been signed; tells rollback from mismatch.
    floors: BTreeMap<String, u64>,
    retired: Retired,
}

/// A targets file and the roles whose keys for it were satisfied.
#[derive(Debug, Clone)]
struct Loaded {
    file: Arc<Envelope<Targets>>,
    delegators: BTreeSet<String>,
}

/// What a step brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// A newer file is trusted now; the client keeps it.
    New,
    /// It has the trusted version; the trusted copy stays (5.4.3.1).
    Unchanged,
}

/// Whether a kept snapshot can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It is the one that the timestamp lists; none needs to be fetched.
    Current,
    /// It only guards against rollback; the listed one must be fetched.
    Outdated,
}

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Path below the metadata or targets folder, percent-encoded.
    pub path: String,
    /// Most bytes to read.
    pub limit: u64,
}

impl TrustedSet {
    /// Begins with a root that the caller trusts for a reason of its own; it must be signed by its own keys. Its
    /// expiry is judged only when the walk has ended.
    ///
    /// # Errors
    /// Codes of [`Envelope::parse`] and of too few signatures.
    pub fn new(root: &[u8], now: Time) -> Result<Self, TufError> {
        let root = Envelope::<Root>::parse(ROOT, root)?;
        let mut set = Self {
            now,
            online_keys_since: root.signed.version(),
            root: Arc::new(root),
            timestamp: None,
            snapshot: None,
            snapshot_bytes: Arc::default(),
            targets: BTreeMap::new(),
            signers: BTreeMap::new(),
            floors: BTreeMap::new(),
            retired: Retired::default(),
        };
        let signers = set.verify(ROOT, ROOT, &set.root)?;
        set.signers.insert(ROOT.to_owned(), signers);
        Ok(set)
    }

    /// The fixed time of this run.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The trusted root.
    pub fn root(&self) -> &Root {
        &self.root.signed
    }

    /// Version of the root that last took a key from the timestamp or snapshot role, or raised its threshold, as far as
    /// this walk saw (ADR 0010).
    ///
    /// Copies of timestamp and snapshot that were trusted under an older root are not to be restored (5.3.11). A client
    /// that restores them after it has fetched roots must compare; one that restores them first need not.
    pub const fn online_keys_since(&self) -> u64 {
        self.online_keys_since
    }

    /// The trusted timestamp.
    pub fn timestamp(&self) -> Option<&Timestamp> {
        self.timestamp.as_ref().map(|file| &file.signed)
    }

    /// The trusted snapshot. It may be a kept one that the timestamp no longer lists.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref().map(|file| &file.signed)
    }

    /// Whether the trusted snapshot is the one that the timestamp lists, version and bytes.
    pub fn snapshot_is_current(&self) -> bool {
        match (self.timestamp(), self.snapshot()) {
            (Some(timestamp), Some(snapshot)) => {
                let listed = timestamp.snapshot();
                listed.version == snapshot.version() && listed.mismatch(&self.snapshot_bytes).is_none()
            }
            _ => false,
        }
    }

    /// The trusted top-level targets.
    pub fn targets(&self) -> Option<&Targets> {
        self.role(TARGETS)
    }

    /// The trusted targets metadata of `role`, top-level or delegated.
    pub fn role(&self, role: &str) -> Option<&Targets> {
        self.targets.get(role).map(|loaded| &loaded.file.signed)
    }

    /// All trusted targets metadata, by role.
    pub fn roles(&self) -> impl Iterator<Item = (&str, &Targets)> {
        self.targets.iter().map(|(role, loaded)| (role.as_str(), &loaded.file.signed))
    }

    /// Version and expiry of a trusted role's file.
    pub fn version_and_expiry(&self, role: &str) -> Option<(u64, Time)> {
        match role {
            ROOT => Some((self.root().version(), self.root().expires())),
            TIMESTAMP => self.timestamp().map(|file| (file.version(), file.expires())),
            SNAPSHOT => self.snapshot().map(|file| (file.version(), file.expires())),
            _ => self.role(role).map(|file| (file.version(), file.expires())),
        }
    }

    /// Who signed the trusted file of `role`, for reports; of those that its first delegator lists.
    pub fn signers(&self, role: &str) -> Option<&Signers> {
        self.version_and_expiry(role).and_then(|_| self.signers.get(role))
    }

    /// The root after the trusted one. That it is not there ends the walk.
    pub fn next_root(&self) -> Wanted {
        let limit = Root::MAX_BYTES as u64;
        Wanted { path: format!("{}.root.json", self.root().version() + 1), limit }
    }

    /// The snapshot that the timestamp lists; `None` before there is a timestamp.
    pub fn wanted_snapshot(&self) -> Option<Wanted> {
        let listed = self.timestamp()?.snapshot();
        self.wanted(SNAPSHOT, listed, MAX_SNAPSHOT_BYTES).ok()
    }

    /// The targets file of `role` that the snapshot lists.
    ///
    /// # Errors
    /// `tuf-meta-mismatch` if it is not listed.
    pub fn wanted_targets(&self, role: &str) -> Result<Wanted, TufError> {
        let snapshot = self.snapshot().ok_or(TufError::Order("targets are asked for before the snapshot"))?;
        let listed = snapshot.file(role).ok_or_else(|| TufError::NotListed(role.to_owned()))?;
        self.wanted(role, listed, MAX_TARGETS_BYTES)
    }

    /// The target that `file` describes, as [`TrustedSet::find_target`] found it, below the targets folder (5.7.3).
    ///
    /// # Errors
    /// `tuf-name-unsafe`; `tuf-target-mismatch` for an entry without a known hash.
    pub fn wanted_target(&self, path: &str, file: &TargetFile) -> Result<Wanted, TufError> {
        file.check_known(path)?;
        let digest = if self.root().consistent_snapshot() { file.hashes.first() } else { None };
        Ok(Wanted { path: target_url_path(path, digest.as_deref())?, limit: file.length })
    }

    fn wanted(&self, role: &str, listed: &MetaFile, max: usize) -> Result<Wanted, TufError> {
        let version = self.root().consistent_snapshot().then_some(listed.version);
        let limit = listed.length.unwrap_or(max as u64).min(max as u64);
        Ok(Wanted { path: file_name(role, version)?, limit })
    }

    /// The keys that `delegator` lists for `role`.
    fn delegator(&self, delegator: &str, role: &str) -> Option<Delegator<'_>> {
        if delegator == ROOT {
            let root = self.root();
            return Some(Delegator { table: root.keys(), keys: root.role_keys(role)? });
        }
        let delegations = self.role(delegator)?.delegations()?;
        Some(Delegator { table: delegations.keys(), keys: delegations.role_keys(role)? })
    }

    /// Every role that a trusted file gives keys to; of hash bins, which share keys, the first.
    fn known_roles(&self) -> impl Iterator<Item = (String, Delegator<'_>)> {
        let top_level =
            TOP_LEVEL.iter().filter_map(|role| Some(((*role).to_owned(), self.delegator(ROOT, role)?)));
        let delegated =
            self.roles().filter_map(|(_, targets)| targets.delegations()).flat_map(|delegations| {
                let table = delegations.keys();
                let bins =
                    delegations.succinct().iter().map(|bins| bins.name_prefix.clone()).collect::<Vec<_>>();
                let bins = bins.into_iter().zip(delegations.succinct().map(|bins| &bins.keys));
                let roles = delegations.roles().iter().map(|role| (role.name.clone(), &role.keys));
                roles.chain(bins).map(move |(name, keys)| (name, Delegator { table, keys }))
            });
        top_level.chain(delegated)
    }

    /// Checks that `file` is signed by the threshold that `delegator` asks of `role`; tells by whom.
    fn verify<T: Role>(&self, role: &str, delegator: &str, file: &Envelope<T>) -> Result<Signers, TufError> {
        let keys = self.delegator(delegator, role).ok_or_else(|| TufError::NotListed(role.to_owned()))?;
        keys.keys.check_reachable(role, keys.table)?;
        let message = file.message();
        let signed = signed(file, &message);
        let signers = keys.count(role, signed)?;
        if signers.missing() == 0 {
            return Ok(signers);
        }
        Err(refuse(role, &signers, signed, &self.retired, self.known_roles()))
    }

    /// Refuses what has expired; expiring at this very second counts (attack M04).
    fn check_fresh<T: Role>(&self, role: &str, file: &T) -> Result<(), TufError> {
        if file.expires() > self.now {
            return Ok(());
        }
        Err(TufError::Expired { role: role.to_owned(), expires: file.expires(), now: self.now })
    }

    fn raise_floor(&mut self, role: &str, version: u64) {
        let floor = self.floors.entry(role.to_owned()).or_default();
        *floor = version.max(*floor);
    }
}
