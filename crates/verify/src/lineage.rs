//! Every checkpoint ever accepted, in one line of descent per log.
//!
//! Witnesses keep a log from forking; a client that remembers what it saw need not take even their word.
//! Each checkpoint that it accepts must be consistent with the newest one, by a proof, before anything that
//! rests on it is used or stored. Pure: the caller fetches tiles for [`Lineage::open_links`] and brings proofs.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::json::{self, Json};
use countersign_base::{Sha256Digest, Timestamp, canonical};
use countersign_tlog::merkle;

use crate::error::VerifyError;

/// Longest encoded lineage in bytes.
pub const MAX_LINEAGE_BYTES: usize = 256 * 1024;
/// How far a witness's clock may be ahead of ours before its word counts as being from the future.
pub const MAX_CLOCK_SKEW_SECONDS: u64 = 300;

/// The checkpoints accepted so far, per log origin, and the latest time that witnesses have proven.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    logs: BTreeMap<String, View>,
    proven_time: Option<Timestamp>,
}

/// One log as this client knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct View {
    /// Every accepted checkpoint: tree size to root hash.
    roots: BTreeMap<u64, Sha256Digest>,
    /// Sizes not yet proven consistent with the newest.
    open: BTreeSet<u64>,
}

/// A pair of checkpoints of one log that must be shown to be consistent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The log.
    pub origin: String,
    /// Size of the smaller tree.
    pub old_size: u64,
    /// Size of the larger tree, the newest known.
    pub new_size: u64,
    /// Root hash of the larger tree: tiles are checked against it.
    pub new_root: Sha256Digest,
}

impl Lineage {
    /// Size of the newest accepted checkpoint of `origin`; 0 if none was.
    pub fn newest_size(&self, origin: &str) -> u64 {
        self.logs.get(origin).and_then(View::newest).map_or(0, |(size, _)| size)
    }

    /// The latest time that trusted witnesses have vouched for.
    pub const fn proven_time(&self) -> Option<Timestamp> {
        self.proven_time
    }

    /// Fails if `now` is before a time that witnesses have proven already (attack M05).
    ///
    /// # Errors
    /// `clock-behind-evidence`.
    pub fn check_clock(&self, now: Timestamp) -> Result<(), VerifyError> {
        match self.proven_time {
            Some(proven) if now.plus_seconds(MAX_CLOCK_SKEW_SECONDS) < proven => {
                Err(VerifyError::ClockBehind { now, proven })
            }
            _ => Ok(()),
        }
    }

    /// Takes note of a checkpoint whose signatures and quorum were checked.
    ///
    /// # Errors
    /// `log-split-view` if another root hash is known for this size.
    pub(crate) fn note(&mut self, origin: &str, size: u64, root: Sha256Digest) -> Result<(), VerifyError> {
        let view = self.logs.entry(origin.to_owned()).or_default();
        if let Some(known) = view.roots.get(&size) {
            if *known != root {
                return Err(VerifyError::SplitView { origin: origin.to_owned(), size });
            }
            return Ok(());
        }
        match view.newest() {
            Some((newest, _)) if newest < size => {
                // What was proven against the old newest follows from the one link old -> new.
                view.open.insert(newest);
            }
            Some(_) => {
                view.open.insert(size);
            }
            None => {}
        }
        view.roots.insert(size, root);
        Ok(())
    }

    /// Takes note of a time that a quorum has proven to be past.
    pub(crate) fn note_time(&mut self, time: Timestamp) {
        self.proven_time = self.proven_time.max(Some(time));
    }

    /// The pairs that still need a consistency proof, smallest first.
    pub fn open_links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        for (origin, view) in &self.logs {
            let Some((new_size, new_root)) = view.newest() else { continue };
            links.extend(view.open.iter().map(|&old_size| Link {
                origin: origin.clone(),
                old_size,
                new_size,
                new_root,
            }));
        }
        links
    }

    /// Discharges one of [`Lineage::open_links`] with an RFC 6962 consistency proof.
    ///
    /// # Errors
    /// `log-consistency-invalid` if the proof does not show it.
    pub fn prove(&mut self, link: &Link, proof: &[Sha256Digest]) -> Result<(), VerifyError> {
        let failed = || VerifyError::Inconsistent {
            origin: link.origin.clone(),
            old_size: link.old_size,
            new_size: link.new_size,
        };
        let view = self.logs.get_mut(&link.origin).ok_or_else(failed)?;
        let old_root = *view.roots.get(&link.old_size).ok_or_else(failed)?;
        if view.newest() != Some((link.new_size, link.new_root)) {
            return Err(failed());
        }
        merkle::verify_consistency(link.old_size, link.new_size, &old_root, &link.new_root, proof)
            .map_err(|_| failed())?;
        view.open.remove(&link.old_size);
        Ok(())
    }

    /// The form to keep on disk, once nothing is open.
    ///
    /// # Errors
    /// `log-consistency-invalid` if a link is still open: an unproven view is never kept.
    pub fn encode(&self) -> Result<Vec<u8>, VerifyError> {
        self.require_proven()?;
        let logs = self.logs.iter().map(|(origin, view)| {
            let roots =
                view.roots.iter().map(|(size, root)| (size.to_string(), Json::from(root.to_string())));
            (origin.clone(), Json::object(roots))
        });
        let mut members = vec![("logs", Json::object(logs))];
        if let Some(time) = self.proven_time {
            members.push(("provenTime", Json::from(time.to_string())));
        }
        Ok(canonical::rfc8785(&Json::object(members)))
    }

    /// Reads what [`Lineage::encode`] wrote on this machine.
    ///
    /// # Errors
    /// `state-damaged` for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, VerifyError> {
        Self::parse_inner(bytes).ok_or(VerifyError::LineageDamaged)
    }

    fn parse_inner(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_LINEAGE_BYTES {
            return None;
        }
        let value = json::parse(bytes).ok()?;
        let proven_time = match value.get("provenTime") {
            Some(time) => Some(time.as_str()?.parse().ok()?),
            None => None,
        };
        let mut logs = BTreeMap::new();
        for (origin, roots) in value.get("logs")?.as_object()? {
            let mut view = View::default();
            for (size, root) in roots.as_object()? {
                view.roots.insert(size.parse().ok()?, root.as_str()?.parse().ok()?);
            }
            logs.insert(origin.clone(), view);
        }
        let lineage = Self { logs, proven_time };
        (lineage.encode().ok()? == bytes).then_some(lineage)
    }

    /// Forgets checkpoints that nothing in `keep` (origin, size) rests on; the newest of each log stays.
    pub fn retain(&mut self, keep: &BTreeSet<(String, u64)>) {
        for (origin, view) in &mut self.logs {
            let newest = view.newest().map(|(size, _)| size);
            view.roots.retain(|size, _| Some(*size) == newest || keep.contains(&(origin.clone(), *size)));
            view.open.retain(|size| view.roots.contains_key(size));
        }
    }

    /// Fails unless every accepted checkpoint is proven consistent with the newest.
    pub(crate) fn require_proven(&self) -> Result<(), VerifyError> {
        match self.open_links().into_iter().next() {
            None => Ok(()),
            Some(link) => Err(VerifyError::Inconsistent {
                origin: link.origin,
                old_size: link.old_size,
                new_size: link.new_size,
            }),
        }
    }
}

impl View {
    fn newest(&self) -> Option<(u64, Sha256Digest)> {
        self.roots.last_key_value().map(|(size, root)| (*size, *root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_base::Explain;

    const ORIGIN: &str = "log.example/prod";

    fn root(byte: u8) -> Sha256Digest {
        Sha256Digest([byte; 32])
    }

    #[test]
    fn two_roots_of_one_size_are_a_split_view() {
        let mut lineage = Lineage::default();
        lineage.note(ORIGIN, 3, root(1)).unwrap();
        lineage.note(ORIGIN, 3, root(1)).unwrap();
        lineage.note("log.example/other", 3, root(2)).unwrap();
        assert_eq!(lineage.note(ORIGIN, 3, root(2)).unwrap_err().code().name(), "log-split-view");
    }

    #[test]
    fn an_unproven_link_is_never_kept() {
        let mut lineage = Lineage::default();
        let leaves: Vec<_> = (0u8..2).map(|byte| merkle::leaf_hash(&[byte])).collect();
        let both = merkle::node_hash(&leaves[0], &leaves[1]);
        lineage.note(ORIGIN, 1, leaves[0]).unwrap();
        assert_eq!(Lineage::parse(&lineage.encode().unwrap()).unwrap(), lineage);
        lineage.note(ORIGIN, 2, both).unwrap();
        assert_eq!(lineage.encode().unwrap_err().code().name(), "log-consistency-invalid");
        let link = lineage.open_links().remove(0);
        assert_eq!((link.old_size, link.new_size), (1, 2));
        assert_eq!(lineage.prove(&link, &[leaves[0]]).unwrap_err().code().name(), "log-consistency-invalid");
        lineage.prove(&link, &[leaves[1]]).unwrap();
        assert_eq!(Lineage::parse(&lineage.encode().unwrap()).unwrap(), lineage);
    }

    #[test]
    fn a_clock_behind_proven_time_is_found() {
        let mut lineage = Lineage::default();
        let proven = Timestamp::EPOCH.plus_days(10);
        lineage.note_time(proven);
        assert!(lineage.check_clock(proven).is_ok());
        let behind = Timestamp::EPOCH.plus_days(9);
        assert_eq!(lineage.check_clock(behind).unwrap_err().code().name(), "clock-behind-evidence");
    }
}
