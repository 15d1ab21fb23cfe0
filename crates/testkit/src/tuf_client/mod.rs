//! A plain TUF client: the client workflow of specification section 5 over [`TrustedSet`], without a log.
//!
//! For the public conformance suite and for repositories that others publish. The product's client is
//! `countersign_client::refresh`, which wants proofs of logging too; both stand on the same state machine.
//!
//! Each file is kept as soon as it is verified (5.3.8, 5.4.5, 5.5.7, 5.6.6), in one durable step, so an interrupted run
//! leaves a state that some shorter run would have left.

mod cache;
#[cfg(test)]
mod crashes;
mod error;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use countersign_base::Timestamp;
use countersign_client::{FetchError, Transport};
use countersign_crypto::{Sha256, Sha512, sha256};
use countersign_store::durable;
use countersign_tuf::limits::{MAX_ROOTS_PER_WALK, MAX_TIMESTAMP_BYTES};
use countersign_tuf::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TargetFile};
use countersign_tuf::name::target_url_path;
use countersign_tuf::{Search, TrustedSet, Update};

pub use cache::Cache;
pub use error::ClientError;

/// Longest file name that is written, in bytes; most file systems hold 255.
const MAX_FILE_NAME_BYTES: usize = 240;
/// Largest target that is kept in the same place as an earlier one without fetching it again, in bytes.
const MAX_KEPT_TARGET_BYTES: u64 = 1 << 30;

/// A client whose top-level metadata is verified and current.
pub struct Client<'a> {
    cache: &'a Cache<'a>,
    metadata: &'a dyn Transport,
    set: TrustedSet,
}

impl<'a> Client<'a> {
    /// Brings the top-level metadata up to date: 5.2 to 5.6. `metadata` takes URL paths.
    ///
    /// # Errors
    /// What is refused, cannot be fetched or cannot be kept. What was verified before is kept.
    pub fn refresh(
        cache: &'a Cache<'a>,
        metadata: &'a dyn Transport,
        now: Timestamp,
    ) -> Result<Self, ClientError> {
        let root = cache.read(ROOT)?.ok_or(ClientError::NoRoot)?;
        let mut client = Self { cache, metadata, set: TrustedSet::new(&root, now)? };
        client.restore()?;
        client.walk_roots()?;
        client.timestamp()?;
        client.snapshot()?;
        client.load(TARGETS, ROOT)?;
        Ok(client)
    }

    /// What is trusted.
    pub const fn trusted(&self) -> &TrustedSet {
        &self.set
    }

    /// Finds `path` (5.6.7), fetches it (5.7) and keeps it in `folder`, under one name without folders; where it is kept.
    /// A kept file that is the listed one is not fetched again. `targets` takes URL paths.
    ///
    /// # Errors
    /// As [`Client::refresh`]; `tuf-target-not-found`, `tuf-target-mismatch`.
    pub fn download(
        &mut self,
        path: &str,
        targets: &dyn Transport,
        folder: &Path,
    ) -> Result<PathBuf, ClientError> {
        let file = self.find(path)?;
        let to = folder.join(kept_name(path)?);
        if is_kept(&to, path, &file) {
            return Ok(to);
        }
        let wanted = self.set.wanted_target(path, &file)?;
        let disk = self.cache.disk();
        let staged = durable::Staged::create(disk, folder, 0o644)?;
        let mut sink = Hashing { sink: staged, sha256: Sha256::new(), sha512: Sha512::new(), length: 0 };
        targets.download(&wanted.path, file.length, 0, &mut sink, &mut |_| {})?;
        let Hashing { sink: staged, sha256, sha512, length } = sink;
        file.check(path, length, &sha256.finish(), Some(&sha512.finish()))?;
        staged.replace(&to)?;
        Ok(to)
    }

    fn find(&mut self, path: &str) -> Result<TargetFile, ClientError> {
        loop {
            match self.set.find_target(path)? {
                Search::Found(found) => return Ok(found.file.clone()),
                Search::Load { role, delegator } => self.load(&role, &delegator)?,
            }
        }
    }

    /// What was trusted before guards against rollback. What does not verify any more is fetched.
    fn restore(&mut self) -> Result<(), ClientError> {
        if let Some(kept) = self.cache.read(TIMESTAMP)? {
            let _ = self.set.restore_timestamp(&kept);
        }
        if let Some(kept) = self.cache.read(SNAPSHOT)? {
            let _ = self.set.restore_snapshot(&kept);
        }
        Ok(())
    }

    /// 5.3.
    fn walk_roots(&mut self) -> Result<(), ClientError> {
        for _ in 0..MAX_ROOTS_PER_WALK {
            let next = self.set.next_root();
            let bytes = match self.metadata.get(&next.path, next.limit) {
                Err(FetchError::NotFound { .. }) => return Ok(()),
                other => other?,
            };
            let before = self.set.online_keys_since();
            self.set.update_root(&bytes)?;
            // 5.3.11, before the root is kept: after a crash in between the walk comes by here again.
            if self.set.online_keys_since() != before {
                self.cache.remove(TIMESTAMP)?;
                self.cache.remove(SNAPSHOT)?;
            }
            self.cache.write(ROOT, &bytes)?;
        }
        // 5.3.3: so many are enough for one run; the root at hand is judged by its expiry.
        Ok(())
    }

    /// 5.4.
    fn timestamp(&mut self) -> Result<(), ClientError> {
        let bytes = self.metadata.get("timestamp.json", MAX_TIMESTAMP_BYTES as u64)?;
        if self.set.update_timestamp(&bytes)? == Update::New {
            self.cache.write(TIMESTAMP, &bytes)?;
        }
        Ok(())
    }

    /// 5.5.
    fn snapshot(&mut self) -> Result<(), ClientError> {
        if self.set.snapshot_is_current() {
            return Ok(());
        }
        let Some(wanted) = self.set.wanted_snapshot() else { return Ok(()) };
        let bytes = self.metadata.get(&wanted.path, wanted.limit)?;
        self.set.update_snapshot(&bytes)?;
        self.cache.write(SNAPSHOT, &bytes)
    }

    /// 5.6: the kept file if it is the listed one.
    fn load(&mut self, role: &str, delegator: &str) -> Result<(), ClientError> {
        let wanted = self.set.wanted_targets(role)?;
        if let Some(kept) = self.cache.read(role)?
            && self.set.update_delegated(role, delegator, &kept).is_ok()
        {
            return Ok(());
        }
        let bytes = self.metadata.get(&wanted.path, wanted.limit)?;
        self.set.update_delegated(role, delegator, &bytes)?;
        self.cache.write(role, &bytes)
    }
}

/// A target's path as one file name.
fn kept_name(path: &str) -> Result<String, ClientError> {
    let name = target_url_path(path, None)?.replace('/', "%2F");
    let short = name.len() <= MAX_FILE_NAME_BYTES && !name.starts_with(durable::TEMP_PREFIX);
    Ok(if short { name } else { format!("sha256-{}", sha256(path.as_bytes())) })
}

fn is_kept(at: &Path, path: &str, file: &TargetFile) -> bool {
    let limit = file.length.min(MAX_KEPT_TARGET_BYTES);
    matches!(durable::read(at, limit), Ok(Some(bytes)) if file.check_bytes(path, &bytes).is_ok())
}

/// Hashes what it passes on.
struct Hashing<'d> {
    sink: durable::Staged<'d>,
    sha256: Sha256,
    sha512: Sha512,
    length: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write_all(bytes)?;
        self.sha256.update(bytes);
        self.sha512.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Sets up `cache` with a first root, without looking into it: the user vouches for it.
///
/// # Errors
/// `storage-failed`, and what a folder refuses.
pub fn init(cache: &Cache<'_>, root: &[u8]) -> Result<(), ClientError> {
    cache.write(ROOT, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_names_stay_in_the_folder() {
        assert_eq!(kept_name("a/b c").unwrap(), "a%2Fb%20c");
        assert_eq!(kept_name("sub/..hidden").unwrap(), "sub%2F..hidden");
        for path in ["x".repeat(300), ".tmp-1".to_owned()] {
            assert_eq!(kept_name(&path).unwrap(), format!("sha256-{}", sha256(path.as_bytes())));
        }
        for path in ["../x", "/x", "a/../b", ""] {
            assert!(kept_name(path).is_err(), "{path}");
        }
    }
}
