//! Immutable objects in a bucket.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use countersign_store::{MAX_OBJECT_BYTES, Objects, Put, StoreError};

use crate::bucket::{Bucket, MAX_LISTED, outcome};
use crate::wire::{If, Kind};

/// Requests that are under way at the same time for one caller.
pub(crate) const MAX_TOGETHER: usize = 32;
/// Pages of one listing, empty ones included. Servers give a thousand names with each.
const MAX_PAGES: usize = 5 * (MAX_LISTED / 1000);

impl Objects for Bucket {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = self.key(name)?;
        Ok(self.repeat("read", name, || self.wire.get(&key))?.map(|stored| stored.bytes))
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let place = || self.place(name);
        if bytes.len() as u64 > MAX_OBJECT_BYTES {
            return Err(StoreError::TooLarge { path: place(), limit: MAX_OBJECT_BYTES });
        }
        outcome(self.write(name, bytes, If::Absent, Kind::Object)?, bytes, place)
    }

    /// As many requests at a time as [`MAX_TOGETHER`]; the first error ends it.
    fn put_all_if_absent(&self, objects: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let work = || {
            while let Some((name, bytes)) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.put_if_absent(name, bytes) {
                    // The others find nothing left to do.
                    next.store(objects.len(), Ordering::Relaxed);
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..objects.len().min(MAX_TOGETHER) {
                // Where no thread is to be had, fewer do the work.
                if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn at_once(&self) -> usize {
        MAX_TOGETHER
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        self.listed(folder, None)
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, StoreError> {
        let mut names = self.listed(folder, Some(self.key(after)?.as_ref()))?;
        // A server that does not know where to begin gives all.
        names.retain(|name| name.as_str() > after);
        Ok(names)
    }
}

impl Bucket {
    /// Names below a folder whose keys come after `after`.
    fn listed(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        let mut prefix = if folder.is_empty() {
            object_store::path::Path::from(self.url().prefix()).to_string()
        } else {
            self.key(folder)?.to_string()
        };
        if !prefix.is_empty() {
            prefix.push('/');
        }
        let mut names = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = self.repeat("list", folder, || self.wire.page(&prefix, after, token.as_deref()))?;
            names.extend(page.keys.iter().filter_map(|key| self.name_of(key)));
            if names.len() > MAX_LISTED {
                break;
            }
            let Some(next) = page.next else {
                names.sort();
                names.dedup();
                return Ok(names);
            };
            if token.as_ref() == Some(&next) {
                // What it has not shown is not known.
                let why = "a page of the listing is said to be followed by itself";
                let source = io::Error::new(io::ErrorKind::InvalidData, why);
                return Err(StoreError::Io { operation: "list", path: self.place(folder), source });
            }
            token = Some(next);
        }
        Err(StoreError::TooLarge { path: self.place(folder), limit: MAX_LISTED as u64 })
    }
}
