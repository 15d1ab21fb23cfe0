//! From what this machine trusts to what the repository has now, and back from disk without a network.
//!
//! TUF's client workflow (specification section 5) on a [`TransparentSet`]. Every file is verified, and every
//! checkpoint it rests on proven consistent with the ones before, before the next is asked for. Roots are kept as
//! they are verified; everything else is kept together, once all that was asked for is verified. So a refused
//! refresh leaves the machine as it was: nobody can poison it with a good snapshot of a bad release.
//! Where nothing is new that takes two requests: the next root, which is not there, and the timestamp.

use std::collections::BTreeSet;

use countersign_base::Timestamp;
use countersign_base::name::ProductName;
use countersign_tlog::proof::MAX_PROOF_BYTES;
use countersign_tuf::name::file_name;
use countersign_tuf::{Held, Role as _, Update, Wanted};
use countersign_verify::{Document, TransparentSet, VerifyError};

use crate::error::ClientError;
use crate::home::Repository;
use crate::mirrors::{Trouble, in_turn};
use crate::state::{PROOF_SUFFIX, StateDir};
use crate::tiles::Tiles;
use crate::transport::{FetchError, Transport};

/// Roots taken in one run (attack M07e). The next run goes on from there.
pub const MAX_ROOTS_PER_RUN: usize = 256;
/// Delegated roles loaded in one run.
pub const MAX_ROLES_PER_RUN: usize = 4096;
/// Lineages longer than this are rid of checkpoints that nothing rests on any more.
const PRUNE_ABOVE_BYTES: usize = 16 * 1024;
/// Times that a load begins anew because a refresh replaced what it was reading.
const MAX_LOAD_TRIES: usize = 3;

/// Which products' metadata to load.
#[derive(Debug, Clone, Copy)]
pub enum Want<'a> {
    /// All. If the metadata of one is refused, so is the whole run.
    All,
    /// These. Other products that this machine knows come along; if the metadata of one of those is refused,
    /// [`Trusted::failed`] says so and the rest can be used.
    Products(&'a [ProductName]),
}

/// A repository's verified metadata.
#[derive(Debug)]
pub struct Trusted {
    /// The metadata.
    pub set: TransparentSet,
    /// What a refresh brought; empty after [`load`], and where nothing was new.
    pub changes: Vec<Change>,
    /// Products that could not be loaded and were not asked for by name.
    pub failed: Vec<(String, ClientError)>,
}

/// A newer version of a role's metadata than this machine had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The role.
    pub role: String,
    /// The version now trusted.
    pub version: u64,
}

/// Brings what this machine has of a repository up to date. Where the transport has several places, one is enough.
///
/// # Errors
/// Codes of fetching, of TUF, of the log. New roots that were verified before the error are kept; the rest is as it
/// was.
pub fn refresh(
    repository: &Repository,
    transport: &dyn Transport,
    want: &Want<'_>,
    now: Timestamp,
) -> Result<Trusted, ClientError> {
    let judge = |error: &ClientError| Trouble::new(error, error.is_of_the_place());
    in_turn(transport, judge, || refresh_here(repository, transport, want, now))
}

/// As [`refresh`], from one place.
fn refresh_here(
    repository: &Repository,
    transport: &dyn Transport,
    want: &Want<'_>,
    now: Timestamp,
) -> Result<Trusted, ClientError> {
    let _lock = repository.state.begin()?;
    let mut run = Run::open(repository, transport, now)?;
    run.walk_roots()?;
    run.restore()?;
    run.timestamp()?;
    run.snapshot()?;
    run.role("targets", "root")?;
    run.products(want)?;
    run.commit()?;
    Ok(Trusted { set: run.set, changes: run.changes, failed: run.failed })
}

/// Verifies anew what this machine has, without a network. Changes nothing unless a root does not verify: that
/// is set aside, so that the next refresh fetches the true one.
///
/// # Errors
/// `tuf-expired` when it is too old; `state-damaged` when it is incomplete; codes of TUF and of the log.
pub fn load(repository: &Repository, want: &Want<'_>, now: Timestamp) -> Result<Trusted, ClientError> {
    let state = &repository.state;
    let mut tries = 1;
    loop {
        let before = state.timestamp()?;
        let result = load_once(repository, want, now);
        // A refresh in another process may have replaced the set halfway through.
        if result.is_ok() || tries == MAX_LOAD_TRIES || state.timestamp()? == before {
            return result;
        }
        tries += 1;
    }
}

/// As [`load`], at the latest time that witnesses have proven to be past: what was good then, whether or not it has
/// expired since. Only for what cannot be taken back, such as a floor.
///
/// # Errors
/// As [`load`].
pub fn load_as_proven(repository: &Repository, want: &Want<'_>) -> Result<Trusted, ClientError> {
    let proven = repository.state.lineage()?.proven_time();
    load(repository, want, proven.unwrap_or(Timestamp::EPOCH))
}

fn load_once(repository: &Repository, want: &Want<'_>, now: Timestamp) -> Result<Trusted, ClientError> {
    let state = &repository.state;
    let missing = |what| ClientError::Incomplete { path: state.path().to_owned(), what };
    let kept = kept_roots(repository, now)?.ok_or_else(|| missing("root"))?;
    let mut set = kept.set;
    let timestamp = state.timestamp()?.ok_or_else(|| missing("timestamp"))?;
    set.update_timestamp(&timestamp)?;
    let version = set.tuf().timestamp().map_or(0, |timestamp| timestamp.snapshot().version);
    let snapshot = state.document("snapshot", version)?.ok_or_else(|| missing("snapshot"))?;
    if set.restore_snapshot(&snapshot)? == Held::Outdated {
        // Not the one that the timestamp lists; this says how.
        set.update_snapshot(&snapshot)?;
    }
    let targets = listed_document(state, &set, "targets")?;
    set.update_targets(&targets.ok_or_else(|| missing("targets"))?)?;
    let mut failed = Vec::new();
    for role in delegated(&set, want, state)? {
        let Some(document) = listed_document(state, &set, &role)? else { continue };
        match set.update_role(&role, "targets", &document) {
            Ok(()) => {}
            Err(error) if is_wanted(want, &role) => return Err(error.into()),
            Err(error) => failed.push((role, error.into())),
        }
    }
    for product in delegated(&set, want, state)? {
        while let Some((role, delegator)) = set.missing_for(&product) {
            // What is not kept is not heard; then the product's paths are refused.
            let Some(document) = listed_document(state, &set, &role)? else { break };
            match set.update_role(&role, &delegator, &document) {
                Ok(()) => {}
                Err(error) if is_wanted(want, &product) => return Err(error.into()),
                Err(error) => {
                    failed.push((role, error.into()));
                    break;
                }
            }
        }
    }
    Ok(Trusted { set, changes: Vec::new(), failed })
}

/// The kept file of the version that the snapshot lists.
fn listed_document(
    state: &StateDir,
    set: &TransparentSet,
    role: &str,
) -> Result<Option<Document>, ClientError> {
    match listed_version(set, role) {
        Some(version) => state.document(role, version),
        None => Ok(None),
    }
}

fn listed_version(set: &TransparentSet, role: &str) -> Option<u64> {
    Some(set.tuf().snapshot()?.file(role)?.version)
}

/// The chain of roots from the anchor as it is kept.
struct KeptRoots {
    set: TransparentSet,
    /// The checkpoints that the roots rest on.
    rests: BTreeSet<(String, u64)>,
}

/// Verifies the kept roots anew from the anchor on; `None` if there is none.
///
/// A root that does not verify was not written by this program: it is set aside, and the run ends.
fn kept_roots(repository: &Repository, now: Timestamp) -> Result<Option<KeptRoots>, ClientError> {
    let state = &repository.state;
    let lineage = state.lineage()?;
    let Some(first) = state.document("root", 1)? else { return Ok(None) };
    let set = match TransparentSet::new(repository.anchor(), &first, lineage, now) {
        Ok(set) => set,
        // The clock's fault, not the file's.
        Err(error @ VerifyError::ClockBehind { .. }) => return Err(error.into()),
        Err(error) => return Err(state.set_aside("root", 1, error)),
    };
    let mut kept = KeptRoots { rests: BTreeSet::new(), set };
    kept.rests.extend(rests_on(&kept.set, "root"));
    loop {
        let version = kept.set.tuf().root().version() + 1;
        let Some(document) = state.document("root", version)? else { return Ok(Some(kept)) };
        if let Err(error) = kept.set.update_root(&document) {
            return Err(state.set_aside("root", version, error));
        }
        kept.rests.extend(rests_on(&kept.set, "root"));
    }
}

/// The checkpoint that a role's loaded file rests on: origin and size.
fn rests_on(set: &TransparentSet, role: &str) -> Option<(String, u64)> {
    set.logged(role).map(|logged| (logged.origin.clone(), logged.tree_size))
}

/// The roles that targets delegates to and that are to be loaded: wanted, or known here.
fn delegated(set: &TransparentSet, want: &Want<'_>, state: &StateDir) -> Result<Vec<String>, ClientError> {
    let Some(delegations) = set.tuf().targets().and_then(|targets| targets.delegations()) else {
        return Ok(Vec::new());
    };
    let known = state.known();
    let is_known = |role: &str| file_name(role, None).is_ok_and(|name| known.contains(&name));
    let names = delegations.roles().iter().map(|role| role.name.as_str());
    let roles: Vec<String> =
        names.filter(|role| is_wanted(want, role) || is_known(role)).map(str::to_owned).collect();
    if roles.len() > MAX_ROLES_PER_RUN {
        return Err(ClientError::TooMany { what: "products", limit: MAX_ROLES_PER_RUN });
    }
    Ok(roles)
}

fn is_wanted(want: &Want<'_>, role: &str) -> bool {
    match want {
        Want::All => true,
        Want::Products(products) => products.iter().any(|product| product.as_str() == role),
    }
}

/// One refresh under way.
struct Run<'a> {
    state: &'a StateDir,
    transport: &'a dyn Transport,
    set: TransparentSet,
    tiles: Tiles,
    rests: BTreeSet<(String, u64)>,
    /// Version of the newest root that was kept before this run; 0 for none.
    kept_root: u64,
    /// Roots verified but not kept yet.
    new_roots: Vec<(u64, Document)>,
    /// The trusted timestamp's bytes.
    timestamp: Vec<u8>,
    /// Files verified and proven, kept when the set is complete: role, version, file.
    verified: Vec<(String, u64, Document)>,
    changes: Vec<Change>,
    failed: Vec<(String, ClientError)>,
}

impl<'a> Run<'a> {
    /// From the kept roots, or from the repository's first one where there are none.
    fn open(
        repository: &'a Repository,
        transport: &'a dyn Transport,
        now: Timestamp,
    ) -> Result<Self, ClientError> {
        let state = &repository.state;
        let mut new_roots = Vec::new();
        let mut kept_root = 0;
        let kept = match kept_roots(repository, now)? {
            Some(kept) => {
                kept_root = kept.set.tuf().root().version();
                kept
            }
            None => {
                let limit = countersign_tuf::limits::MAX_ROOT_BYTES as u64;
                let first = fetch(transport, &Wanted { path: "1.root.json".to_owned(), limit })?;
                let set = TransparentSet::new(repository.anchor(), &first, state.lineage()?, now)?;
                new_roots.push((1, first));
                KeptRoots { rests: rests_on(&set, "root").into_iter().collect(), set }
            }
        };
        Ok(Self {
            state,
            transport,
            set: kept.set,
            tiles: Tiles::default(),
            rests: kept.rests,
            kept_root,
            new_roots,
            timestamp: Vec::new(),
            verified: Vec::new(),
            changes: Vec::new(),
            failed: Vec::new(),
        })
    }

    /// 5.3: each next root until there is none. What was verified is kept, also when the walk ends in an error.
    fn walk_roots(&mut self) -> Result<(), ClientError> {
        let walked = self.take_roots();
        self.keep_roots()?;
        walked
    }

    fn take_roots(&mut self) -> Result<(), ClientError> {
        for _ in 0..MAX_ROOTS_PER_RUN {
            let document = match fetch(self.transport, &self.set.tuf().next_root()) {
                Err(ClientError::Fetch(FetchError::NotFound { .. })) => return Ok(()),
                other => other?,
            };
            self.set.update_root(&document)?;
            self.rests.extend(rests_on(&self.set, "root"));
            self.new_roots.push((self.set.tuf().root().version(), document));
        }
        Err(ClientError::ManyRoots { limit: MAX_ROOTS_PER_RUN })
    }

    fn keep_roots(&mut self) -> Result<(), ClientError> {
        if self.new_roots.is_empty() {
            return Ok(());
        }
        self.tiles.prove_links(&mut self.set, self.transport)?;
        self.state.put_lineage(self.set.lineage())?;
        if self.set.tuf().online_keys_since() > self.kept_root {
            // 5.3.11: their keys were rotated, perhaps since somebody else had them and drove their versions up
            // (attack M03). Before the root is kept: after a crash in between, the walk comes by here again.
            self.state.forget_online()?;
        }
        for (version, document) in std::mem::take(&mut self.new_roots) {
            self.state.put_document("root", version, &document)?;
            self.changes.push(Change { role: "root".to_owned(), version });
        }
        Ok(())
    }

    /// Takes up what guards against going back. What does not verify under the newest root (its keys or policy may
    /// have been replaced since) is left out and fetched.
    fn restore(&mut self) -> Result<(), ClientError> {
        if let Some(kept) = self.state.timestamp()?
            && self.set.restore_timestamp(&kept).is_ok()
        {
            self.timestamp = kept;
        }
        // After a crash there may be two: the set's, and that of the set that was being kept.
        for version in self.state.kept_snapshots() {
            if let Some(document) = self.state.document("snapshot", version)?
                && self.set.restore_snapshot(&document).is_ok()
            {
                break;
            }
        }
        Ok(())
    }

    /// 5.4.
    fn timestamp(&mut self) -> Result<(), ClientError> {
        let limit = countersign_tuf::limits::MAX_TIMESTAMP_BYTES as u64;
        let bytes = self.transport.get("metadata/timestamp.json", limit)?;
        if self.set.update_timestamp(&bytes)? == Update::New {
            self.changed("timestamp");
            self.timestamp = bytes;
        }
        Ok(())
    }

    /// 5.5: unless the kept one is the one that the timestamp lists.
    fn snapshot(&mut self) -> Result<(), ClientError> {
        if self.set.tuf().snapshot_is_current() && self.set.logged("snapshot").is_some() {
            return Ok(());
        }
        let wanted = self.set.tuf().wanted_snapshot().ok_or(VerifyError::from(
            countersign_tuf::TufError::Order("the snapshot comes after the timestamp"),
        ))?;
        let document = fetch(self.transport, &wanted)?;
        self.set.update_snapshot(&document)?;
        self.keep("snapshot", document)
    }

    /// 5.6: the kept file if it is still good, else the repository's.
    fn role(&mut self, role: &str, delegator: &str) -> Result<(), ClientError> {
        if let Some(kept) = listed_document(self.state, &self.set, role)? {
            if self.update(role, delegator, &kept).is_ok() {
                return self.keep(role, kept);
            }
            if let Some(version) = listed_version(&self.set, role) {
                self.set.remember_logged(role, version, &kept);
            }
        }
        let wanted = self.set.tuf().wanted_targets(role).map_err(VerifyError::from)?;
        let document = fetch(self.transport, &wanted)?;
        self.update(role, delegator, &document)?;
        self.keep(role, document)
    }

    fn update(&mut self, role: &str, delegator: &str, document: &Document) -> Result<(), VerifyError> {
        match role {
            "targets" => self.set.update_targets(document),
            _ => self.set.update_role(role, delegator, document),
        }
    }

    fn products(&mut self, want: &Want<'_>) -> Result<(), ClientError> {
        let products = delegated(&self.set, want, self.state)?;
        for product in &products {
            self.delegated_role(product, "targets", is_wanted(want, product))?;
        }
        for product in &products {
            self.roles_before(product, is_wanted(want, product))?;
        }
        if let Want::Products(wanted) = want {
            // Before anything is kept. Of a whole repository one product must not spoil the others.
            for product in wanted.iter().filter(|product| self.set.tuf().role(product.as_str()).is_some()) {
                self.set.check_product(product)?;
            }
        }
        Ok(())
    }

    /// A delegated role; one that is not `needed` may fail.
    fn delegated_role(&mut self, role: &str, delegator: &str, needed: bool) -> Result<(), ClientError> {
        match self.role(role, delegator) {
            Ok(()) => {}
            Err(error) if needed => return Err(error),
            // Its checkpoint may be unproven: nothing more can be kept in this run.
            Err(error) if !self.set.lineage().open_links().is_empty() => return Err(error),
            Err(error) => self.failed.push((role.to_owned(), error)),
        }
        Ok(())
    }

    /// 5.6.7: the roles that are asked for a product's paths before the product is.
    fn roles_before(&mut self, product: &str, needed: bool) -> Result<(), ClientError> {
        while let Some((role, delegator)) = self.set.missing_for(product) {
            if self.set.tuf().roles().count() >= MAX_ROLES_PER_RUN {
                return Err(ClientError::TooMany { what: "roles", limit: MAX_ROLES_PER_RUN });
            }
            self.delegated_role(&role, &delegator, needed)?;
            if self.set.tuf().role(&role).is_none() {
                // It failed: it is not heard, and the product's paths are refused.
                break;
            }
        }
        Ok(())
    }

    /// Proves what a verified file rests on. It is kept when the set is complete.
    fn keep(&mut self, role: &str, document: Document) -> Result<(), ClientError> {
        self.tiles.prove_links(&mut self.set, self.transport)?;
        if let Some((version, _)) = self.set.tuf().version_and_expiry(role) {
            self.verified.push((role.to_owned(), version, document));
        }
        Ok(())
    }

    fn changed(&mut self, role: &str) {
        if let Some((version, _)) = self.set.tuf().version_and_expiry(role) {
            self.changes.push(Change { role: role.to_owned(), version });
        }
    }

    /// The set is complete: it is kept, becomes the one that offline runs use, and the one before is swept away.
    fn commit(&mut self) -> Result<(), ClientError> {
        self.state.put_lineage(self.set.lineage())?;
        for (role, version, document) in std::mem::take(&mut self.verified) {
            if self.state.put_document(&role, version, &document)? {
                self.changes.push(Change { role, version });
            }
        }
        if !self.state.commit(&self.timestamp)? && self.changes.is_empty() {
            return Ok(());
        }
        let tuf = self.set.tuf();
        let roots = (1..=tuf.root().version()).map(|version| ("root".to_owned(), version));
        let roles = tuf.roles().map(|(role, targets)| (role.to_owned(), targets.version()));
        let snapshot =
            tuf.version_and_expiry("snapshot").map(|(version, _)| ("snapshot".to_owned(), version));
        let keep: BTreeSet<(String, u64)> = roots.chain(roles).chain(snapshot).collect();
        let failed: Vec<String> = self.failed.iter().map(|(role, _)| role.clone()).collect();
        self.state.sweep(&keep, &failed);
        if self.set.lineage().encode()?.len() > PRUNE_ABOVE_BYTES {
            let rests = keep.iter().filter_map(|(role, _)| rests_on(&self.set, role));
            self.rests.extend(rests);
            self.set.lineage_mut().retain(&self.rests);
            self.state.put_lineage(self.set.lineage())?;
        }
        Ok(())
    }
}

/// A metadata file and its proof from the repository.
fn fetch(transport: &dyn Transport, wanted: &Wanted) -> Result<Document, ClientError> {
    let path = format!("metadata/{}", wanted.path);
    let bytes = transport.get(&path, wanted.limit)?;
    let proof = match transport.get(&format!("{path}{PROOF_SUFFIX}"), MAX_PROOF_BYTES as u64) {
        // The verifier refuses a document without a proof, and says so by its role.
        Err(FetchError::NotFound { .. }) => None,
        // The limit is ours, for any proof, and not what the repository said of this file (attack L09).
        Err(FetchError::TooLarge { what, .. }) => return Err(ClientError::ProofTooLarge { what }),
        other => Some(other?),
    };
    Ok(Document { bytes, proof })
}
