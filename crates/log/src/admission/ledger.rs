//! The state of admission: the trusted root, the current delegations, and every version ever logged.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::{Anchor, Sha256Digest, Timestamp};
use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::{KeyTable, ROOT, RoleKeys, SNAPSHOT, TARGETS, TIMESTAMP};
use countersign_tuf::{Envelope, Role as _, Root, Snapshot, Targets, TrustedSet, TufError};
use countersign_verify::Leaf;
use countersign_verify::leaf::{ChangedTarget, Changes};

use crate::error::LogError;

/// Where a version is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) index: u64,
    pub(super) sha256: Sha256Digest,
}

/// What the log has admitted.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    repository: Option<Anchor>,
    /// The newest root, reached by the logged chain.
    root: Option<TrustedSet>,
    /// For `targets` and each delegated role, what was admitted last.
    targets: BTreeMap<String, Signed>,
    /// Every version of every role.
    logged: BTreeMap<String, BTreeMap<u64, Logged>>,
}

/// Targets metadata with its signatures, since whether they suffice can change when the delegator does.
#[derive(Debug)]
struct Signed {
    draft: Draft,
    targets: Targets,
}

impl Signed {
    fn parse(role: &str, bytes: &[u8]) -> Result<Self, TufError> {
        let targets = Envelope::<Targets>::parse(role, bytes)?.signed;
        Ok(Self { draft: Draft::parse(role, bytes)?, targets })
    }
}

impl Ledger {
    /// The state that these entries, in the order of the log, lead to. `read` gives an entry's document.
    pub(super) fn rebuild(
        leaves: &[(u64, Leaf)],
        read: &dyn Fn(&Leaf) -> Result<Vec<u8>, LogError>,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let mut ledger = Self::default();
        // Only what was admitted last counts, except for roots, which are a chain.
        let mut last: BTreeMap<&str, &Leaf> = BTreeMap::new();
        for (index, leaf) in leaves {
            let logged = Logged { index: *index, sha256: leaf.sha256 };
            ledger.logged.entry(leaf.role.clone()).or_default().insert(leaf.version, logged);
            if leaf.role == ROOT {
                let next = next_root(ledger.root.as_ref(), &read(leaf)?, now);
                ledger.root = Some(next.map_err(|error| not_a_chain(leaf, &error))?);
                ledger.repository.get_or_insert(Anchor(leaf.sha256));
            } else {
                last.insert(&leaf.role, leaf);
            }
        }
        for (role, leaf) in last.into_iter().filter(|(role, _)| *role != SNAPSHOT) {
            let signed = Signed::parse(role, &read(leaf)?).map_err(|error| not_a_chain(leaf, &error))?;
            ledger.targets.insert(role.to_owned(), signed);
        }
        Ok(ledger)
    }

    pub(super) const fn repository(&self) -> Option<Anchor> {
        self.repository
    }

    pub(super) fn find(&self, role: &str, version: u64) -> Option<&Logged> {
        self.logged.get(role)?.get(&version)
    }

    /// All logged versions of a role, ascending.
    pub(super) fn versions(&self, role: &str) -> impl DoubleEndedIterator<Item = (u64, &Logged)> {
        self.logged.get(role).into_iter().flatten().map(|(version, logged)| (*version, logged))
    }

    /// Takes what was admitted.
    pub(super) fn take(&mut self, fresh: Fresh) {
        self.repository = fresh.repository.or(self.repository);
        self.root = fresh.root.or_else(|| self.root.take());
        self.targets.extend(fresh.targets);
        for (role, version, logged) in fresh.logged {
            self.logged.entry(role).or_default().insert(version, logged);
        }
    }
}

fn not_a_chain(leaf: &Leaf, error: &TufError) -> LogError {
    LogError::StorageCorrupt(format!("logged {} version {} is not usable: {error}", leaf.role, leaf.version))
}

/// The root after `current`, checked against it and itself; without one, version 1.
fn next_root(current: Option<&TrustedSet>, bytes: &[u8], now: Timestamp) -> Result<TrustedSet, TufError> {
    match current {
        Some(current) => {
            let mut next = current.clone();
            next.update_root(bytes)?;
            Ok(next)
        }
        None => {
            let first = TrustedSet::new(bytes, now)?;
            match first.root().version() {
                1 => Ok(first),
                got => Err(TufError::RootVersion { want: 1, got }),
            }
        }
    }
}

/// Documents under judgement, on top of what the log has.
#[derive(Debug)]
pub(super) struct Judgement<'a> {
    ledger: &'a Ledger,
    repository: Option<Anchor>,
    root: Option<TrustedSet>,
    targets: BTreeMap<String, Signed>,
    versions: BTreeMap<(String, u64), Sha256Digest>,
    /// Entries to be made, in order.
    fresh: Vec<(String, Leaf)>,
}

/// What a batch adds once its entries have indices.
#[derive(Debug)]
pub(super) struct Fresh {
    repository: Option<Anchor>,
    root: Option<TrustedSet>,
    targets: BTreeMap<String, Signed>,
    logged: Vec<(String, u64, Logged)>,
}

impl<'a> Judgement<'a> {
    pub(super) const fn new(ledger: &'a Ledger) -> Self {
        Self {
            ledger,
            repository: None,
            root: None,
            targets: BTreeMap::new(),
            versions: BTreeMap::new(),
            fresh: Vec::new(),
        }
    }

    /// The entries to be made, with their roles.
    pub(super) fn fresh(&self) -> &[(String, Leaf)] {
        &self.fresh
    }

    /// Gives the entries of [`Judgement::fresh`] their indices.
    pub(super) fn finish(self, indices: &[u64]) -> Fresh {
        let logged = self.fresh.iter().zip(indices);
        Fresh {
            repository: self.repository,
            root: self.root,
            targets: self.targets,
            logged: logged
                .map(|((role, leaf), index)| {
                    (role.clone(), leaf.version, Logged { index: *index, sha256: leaf.sha256 })
                })
                .collect(),
        }
    }

    /// Judges one document; returns its version. One that is logged already, or in the batch, adds nothing.
    pub(super) fn add(
        &mut self,
        role: &str,
        bytes: &[u8],
        sha256: Sha256Digest,
        now: Timestamp,
    ) -> Result<u64, LogError> {
        let unauthorised = |source| LogError::Unauthorised { role: role.to_owned(), source };
        let version = version(role, bytes)?;
        let known = self.ledger.find(role, version).map(|logged| logged.sha256);
        match known.or_else(|| self.versions.get(&(role.to_owned(), version)).copied()) {
            Some(known) if known == sha256 => return Ok(version),
            Some(_) => return Err(LogError::DuplicateVersion { role: role.to_owned(), version }),
            None => {}
        }
        let mut changes = None;
        match role {
            ROOT => {
                self.root = Some(next_root(self.root(), bytes, now).map_err(unauthorised)?);
                if version == 1 {
                    self.repository = Some(Anchor(sha256));
                }
            }
            SNAPSHOT => self.check_signed(role, &Draft::parse(role, bytes).map_err(unauthorised)?)?,
            _ => {
                let signed = Signed::parse(role, bytes).map_err(unauthorised)?;
                self.check_signed(role, &signed.draft)?;
                changes = changes_between(self.current(role).map(|held| &held.targets), &signed.targets);
                self.targets.insert(role.to_owned(), signed);
            }
        }
        let repository = self.repository.or(self.ledger.repository);
        let repository = repository.ok_or_else(|| LogError::UnknownRole { role: role.to_owned() })?;
        let length = bytes.len() as u64;
        let leaf = Leaf { repository, role: role.to_owned(), version, length, sha256, changes };
        self.versions.insert((role.to_owned(), version), sha256);
        self.fresh.push((role.to_owned(), leaf));
        Ok(version)
    }

    fn root(&self) -> Option<&TrustedSet> {
        self.root.as_ref().or(self.ledger.root.as_ref())
    }

    /// What was admitted last of `targets` or a delegated role.
    fn current(&self, role: &str) -> Option<&Signed> {
        self.targets.get(role).or_else(|| self.ledger.targets.get(role))
    }

    fn roles(&self) -> impl Iterator<Item = &String> {
        let older = self.ledger.targets.keys().filter(|role| !self.targets.contains_key(*role));
        older.chain(self.targets.keys())
    }

    /// Checks that enough keys of `role` signed, as one of those who may delegate to it says.
    fn check_signed(&self, role: &str, draft: &Draft) -> Result<(), LogError> {
        let unknown = || LogError::UnknownRole { role: role.to_owned() };
        let root = self.root().ok_or_else(unknown)?.root();
        if role == TARGETS || role == SNAPSHOT {
            let keys = root.role_keys(role).ok_or_else(unknown)?;
            return check_threshold(role, draft, root.keys(), keys)
                .map_err(|source| LogError::Unauthorised { role: role.to_owned(), source });
        }
        let mut refusal = unknown();
        for delegator in self.vouched_for(root) {
            let Some((table, keys)) = delegation(&delegator.targets, role) else { continue };
            match check_threshold(role, draft, table, keys) {
                Ok(()) => return Ok(()),
                Err(source) => refusal = LogError::Unauthorised { role: role.to_owned(), source },
            }
        }
        Err(refusal)
    }

    /// The targets metadata that delegates to others and that the root's keys, through delegations, vouch for
    /// today. Metadata admitted under keys that were replaced since vouches for nobody.
    fn vouched_for(&self, root: &Root) -> Vec<&Signed> {
        let mut vouched = Vec::new();
        let Some(top) = self.current(TARGETS) else { return vouched };
        let Some(keys) = root.role_keys(TARGETS) else { return vouched };
        if check_threshold(TARGETS, &top.draft, root.keys(), keys).is_err() {
            return vouched;
        }
        let mut reached = BTreeSet::from([TARGETS]);
        vouched.push(top);
        let mut next = 0;
        while let Some(delegator) = vouched.get(next).copied() {
            next += 1;
            for role in self.roles() {
                let Some((table, keys)) = delegation(&delegator.targets, role) else { continue };
                let Some(signed) = self.current(role).filter(|signed| signed.targets.delegations().is_some())
                else {
                    continue;
                };
                if !reached.contains(role.as_str())
                    && check_threshold(role, &signed.draft, table, keys).is_ok()
                {
                    reached.insert(role);
                    vouched.push(signed);
                }
            }
        }
        vouched
    }
}

/// The keys that `delegator` lists for `role`.
fn delegation<'a>(delegator: &'a Targets, role: &str) -> Option<(&'a KeyTable, &'a RoleKeys)> {
    Some((delegator.delegations()?.keys(), delegator.role_keys(role)?))
}

fn check_threshold(role: &str, draft: &Draft, table: &KeyTable, keys: &RoleKeys) -> Result<(), TufError> {
    draft.status(table, keys).shortage(role).map_or(Ok(()), Err)
}

/// The version that a document says it is. Only roles that are logged have one here.
fn version(role: &str, bytes: &[u8]) -> Result<u64, LogError> {
    let parsed = match role {
        ROOT => Envelope::<Root>::parse(role, bytes).map(|file| file.signed.version()),
        SNAPSHOT => Envelope::<Snapshot>::parse(role, bytes).map(|file| file.signed.version()),
        TIMESTAMP => {
            let what = "timestamp metadata is not logged".to_owned();
            return Err(LogError::NotMetadata { role: role.to_owned(), what });
        }
        _ => Envelope::<Targets>::parse(role, bytes).map(|file| file.signed.version()),
    };
    parsed.map_err(|source| LogError::Unauthorised { role: role.to_owned(), source })
}

/// What `new` adds to and removes from `old`; `None` if a target has no SHA-256 to tell it by.
fn changes_between(old: Option<&Targets>, new: &Targets) -> Option<Changes> {
    let list = |targets: &Targets| -> Option<BTreeSet<ChangedTarget>> {
        targets
            .targets()
            .map(|(path, file)| {
                Some(ChangedTarget {
                    path: path.to_owned(),
                    length: file.length,
                    sha256: file.hashes.sha256?,
                })
            })
            .collect()
    };
    let (old, new) = (old.map_or_else(|| Some(BTreeSet::new()), list)?, list(new)?);
    Some(Changes {
        added: new.difference(&old).cloned().collect(),
        removed: old.difference(&new).cloned().collect(),
    })
}
