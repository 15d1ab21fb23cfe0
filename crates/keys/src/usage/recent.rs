//! Uses that are durable and not in the tree yet: `KEYS/usage/recent`.
//!
//! A line each, as in the tree. Those that were recorded together are followed by `= ` and the SHA-256 of their lines:
//!
//! ```text
//! countersign key-usage 1
//! {"apiVersion":"0.0.1","holder":"alice", ...}
//! {"apiVersion":"0.0.1","holder":"alice", ...}
//! = 5f70bf18...
//! ```
//!
//! A group is one write and one fsync, and what it is for may happen only after that. So only the last group can be
//! torn, and nothing was ever done on a torn one: reading drops it. The tree is made later, of many groups at a time,
//! since its tiles and checkpoint cost a dozen fsyncs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_crypto::sha256;
use countersign_log::LogError;
use countersign_store::{Disk, DiskFile, StoreError, durable};

/// Name of the file.
pub(super) const RECENT: &str = "recent";
/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
const MODE: u32 = 0o600;
const HEAD: &str = "countersign key-usage 1\n";
const SEAL: &str = "= ";

/// The file, open for more.
#[derive(Debug)]
pub(super) struct Recent {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// `None` before the first write.
    file: Option<DiskFile>,
    /// The whole file: what was read, and what was written since.
    bytes: Vec<u8>,
    /// What this value has made durable. What was read may be in the page cache only, after a sync that failed.
    recorded: HashSet<Vec<u8>>,
    /// A write failed: what is in the file is known when it is opened again.
    stopped: bool,
}

/// Why the file cannot be used.
pub(super) enum Unusable {
    Store(StoreError),
    /// A group that was durable once is damaged.
    Damaged(&'static str),
}

impl Recent {
    /// Reads the file in `dir`; it need not be there.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, Unusable> {
        let path = dir.join(RECENT);
        let mut bytes = durable::read(&path, MAX_BYTES).map_err(Unusable::Store)?.unwrap_or_default();
        bytes.truncate(whole(&bytes).map_err(Unusable::Damaged)?);
        Ok(Self { disk, path, file: None, bytes, recorded: HashSet::new(), stopped: false })
    }

    /// Makes uses durable, together. Those that this value has recorded before are left out.
    pub(super) fn record(&mut self, entries: Vec<Vec<u8>>) -> Result<(), LogError> {
        if self.stopped {
            return Err(LogError::Stopped);
        }
        let mut fresh = Vec::new();
        for entry in entries {
            if self.recorded.insert(entry.clone()) {
                fresh.push(entry);
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let written = self.write(&group(&fresh));
        self.stopped = written.is_err();
        written.map_err(LogError::Storage)
    }

    fn write(&mut self, group: &[u8]) -> Result<(), StoreError> {
        let begin = self.bytes.len();
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(HEAD.as_bytes());
        }
        self.bytes.extend_from_slice(group);
        let path = &self.path;
        // What was read is written over with the same bytes, which makes it durable with the rest.
        let (file, from) = match self.file.take() {
            Some(file) => (file, begin),
            None if begin == 0 => {
                durable::write_atomic(&*self.disk, path, &self.bytes, MODE)?;
                self.file = Some(self.disk.open_write(path).map_err(StoreError::io("open", path))?);
                return Ok(());
            }
            None => {
                let file = self.disk.open_write(path).map_err(StoreError::io("open", path))?;
                self.cut(&file, begin)?;
                (file, 0)
            }
        };
        let bytes = self.bytes.get(from..).unwrap_or_default();
        self.disk.write_at(&file, from as u64, bytes).map_err(StoreError::io("write", path))?;
        self.disk.sync(&file).map_err(StoreError::io("sync", path))?;
        self.file = Some(file);
        Ok(())
    }

    /// Takes away a torn group: what is written in its place may be shorter.
    fn cut(&self, file: &DiskFile, len: usize) -> Result<(), StoreError> {
        let found = std::fs::metadata(&self.path).map_err(StoreError::io("look at", &self.path))?.len();
        if found != len as u64 {
            self.disk.set_len(file, len as u64).map_err(StoreError::io("cut", &self.path))?;
        }
        Ok(())
    }

    /// Bytes in the file.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Its entries, in order.
    pub(super) fn entries(&self) -> Vec<Vec<u8>> {
        let lines = self.bytes.split(|byte| *byte == b'\n').skip(1);
        let entries = lines.filter(|line| !line.is_empty() && !line.starts_with(SEAL.as_bytes()));
        entries.map(<[u8]>::to_vec).collect()
    }

    /// Begins anew, when all of it is in the tree.
    pub(super) fn clear(&mut self) -> Result<(), StoreError> {
        self.file = None;
        if !self.bytes.is_empty() || self.path.exists() {
            durable::remove(&*self.disk, &self.path)?;
        }
        self.bytes.clear();
        Ok(())
    }
}

fn group(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut lines = Vec::new();
    for entry in entries {
        lines.extend_from_slice(entry);
        lines.push(b'\n');
    }
    let seal = format!("{SEAL}{}\n", sha256(&lines));
    lines.extend_from_slice(seal.as_bytes());
    lines
}

/// How many of the bytes are whole groups.
fn whole(bytes: &[u8]) -> Result<usize, &'static str> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let Some(groups) = bytes.strip_prefix(HEAD.as_bytes()) else {
        return Err("`recent` does not begin as it must");
    };
    let changed = "a group of uses in `recent` was changed";
    let (mut good, mut end, mut torn) = (0, 0, false);
    // Where the lines of the group begin.
    let mut begins = Vec::new();
    for line in groups.split_inclusive(|byte| *byte == b'\n') {
        if torn {
            return Err(changed);
        }
        let lines_end = end;
        begins.push(end);
        end += line.len();
        let Some(seal) = line.strip_prefix(SEAL.as_bytes()) else { continue };
        let is_of = |begin: usize| {
            let lines = groups.get(begin..lines_end).unwrap_or_default();
            seal.strip_suffix(b"\n") == Some(sha256(lines).to_string().as_bytes())
        };
        match begins.iter().position(|begin| is_of(*begin)) {
            Some(0) => good = end,
            // A group is good, and what is before it is none.
            Some(_) => return Err(changed),
            // Nothing may follow it.
            None => torn = true,
        }
        if good == end {
            begins.clear();
        }
    }
    Ok(HEAD.len() + good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_group_can_be_torn() {
        let groups = [group(&[b"{1}".to_vec(), b"{2}".to_vec()]), group(&[b"{3}".to_vec()])];
        let file = [HEAD.as_bytes(), &groups[0], &groups[1]].concat();
        let first = HEAD.len() + groups[0].len();
        assert_eq!(whole(&file), Ok(file.len()));
        for cut in first..file.len() {
            assert_eq!(whole(&file[..cut]), Ok(first), "{cut}");
        }
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 1;
            match whole(&bad) {
                Ok(len) => assert!(len == first && at >= first, "{at}"),
                Err(_) => assert!(at < first, "{at}"),
            }
        }
        assert_eq!(whole(b""), Ok(0));
        assert_eq!(whole(HEAD.as_bytes()), Ok(HEAD.len()));
    }
}
