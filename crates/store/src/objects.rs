//! The contract of immutable objects, and a directory that keeps it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cell::DirCell;
use crate::disk::{Disk, RealDisk};
use crate::durable::{self, Put, TEMP_PREFIX};
use crate::error::StoreError;
use crate::name;

/// Largest object, in bytes: a full entry bundle of largest entries is under 17 MiB.
pub const MAX_OBJECT_BYTES: u64 = 64 * 1024 * 1024;
/// Objects that are written side by side: each is an open file.
const MAX_TOGETHER: usize = 128;

/// Named byte strings that never change.
///
/// Names are relative paths ([`name::check`]). A reader sees an object whole or not at all. `Ok` from `put` means
/// that the object survives power loss. Any number of processes may put the same object at the same time.
pub trait Objects: Send + Sync + core::fmt::Debug {
    /// The object's bytes, or `None`.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Creates the object; [`StoreError::Different`] if it exists with other bytes, and then it is unchanged.
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError>;
    /// Creates several objects as `put_if_absent` does, waiting for the disk as few times as it can. After an error any
    /// of them may be there.
    fn put_all_if_absent(&self, objects: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        objects.iter().try_for_each(|(name, bytes)| self.put_if_absent(name, bytes).map(drop))
    }
    /// How many requests at a time make reading faster: many where each is waited for, one where it is not.
    fn at_once(&self) -> usize {
        1
    }
    /// Names of all objects below a folder (`""` is the whole store), sorted bytewise.
    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError>;
    /// Those of them that come after `after`, for who cannot wait for all names of a large folder. Only for folders
    /// whose names are letters, digits and `.-_/`: a store may keep others in another order.
    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, StoreError> {
        let mut names = self.list(folder)?;
        names.retain(|name| name.as_str() > after);
        Ok(names)
    }
}

/// A directory as a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dir {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// Permission bits of new files.
    mode: u32,
    /// Folders whose own name this process has made durable; see `durable::create_dir_all`.
    synced: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Dir {
    /// Opens a directory, creating it if needed. New files are readable by all.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(RealDisk), root, 0o644)
    }

    /// Opens a directory on a given disk, with the permission bits of new files.
    pub fn open_on(disk: Arc<dyn Disk>, root: &Path, mode: u32) -> Result<Self, StoreError> {
        durable::create_dir_all(&*disk, root)?;
        Ok(Self { root: root.to_owned(), disk, mode, synced: Arc::default() })
    }

    /// Opens a directory that must exist, for reading: nothing is created and nothing synced.
    pub fn existing(root: &Path) -> Result<Self, StoreError> {
        fs::read_dir(root).map_err(StoreError::io("read the folder", root))?;
        Ok(Self { root: root.to_owned(), disk: Arc::new(RealDisk), mode: 0o644, synced: Arc::default() })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The disk that it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Where the object of that name is.
    pub fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        name::check(name)?;
        Ok(self.root.join(name))
    }

    /// The compare-and-swap cell of that name. Its lock is the file `<name>.lock` beside it.
    pub fn cell(&self, name: &str) -> Result<DirCell, StoreError> {
        let path = self.path(name)?;
        self.make_folders(name)?;
        Ok(DirCell::new(Arc::clone(&self.disk), path, self.mode))
    }

    /// Replaces a file that is not an object: the one mutable thing in a folder of immutable ones.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name)?;
        self.make_folders(name)?;
        durable::write_atomic(&*self.disk, &path, bytes, self.mode)
    }

    /// Removes the unfinished files that a crash left anywhere in the directory. Call it only while holding the lock
    /// of whoever writes here. Returns how many there were.
    pub fn remove_stale(&self) -> Result<usize, StoreError> {
        let mut removed = 0;
        let mut pending = vec![self.root.clone()];
        while let Some(folder) = pending.pop() {
            removed += durable::remove_stale(&*self.disk, &folder)?;
            for entry in fs::read_dir(&folder).map_err(StoreError::io("list", &folder))? {
                let entry = entry.map_err(StoreError::io("list", &folder))?;
                if entry.file_type().map_err(StoreError::io("list", &folder))?.is_dir() {
                    pending.push(entry.path());
                }
            }
        }
        Ok(removed)
    }

    /// Creates the folders on the way to `name`. None of them may be a symbolic link: what is written here must
    /// stay here.
    fn make_folders(&self, name: &str) -> Result<(), StoreError> {
        let mut folder = self.root.clone();
        let mut components: Vec<&str> = name.split('/').collect();
        components.pop();
        for component in components {
            folder.push(component);
            let known = self.synced.lock().unwrap_or_else(PoisonError::into_inner).contains(&folder);
            match fs::symlink_metadata(&folder) {
                Ok(info) if !info.is_dir() => {
                    return Err(StoreError::Name {
                        name: name.to_owned(),
                        why: "it leads through a link or file",
                    });
                }
                Ok(_) if known => continue,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(StoreError::io("read", &folder)(source)),
            }
            durable::create_dir_all(&*self.disk, &folder)?;
            self.synced.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.clone());
        }
        Ok(())
    }
}

impl Objects for Dir {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name)?;
        durable::read(&path, MAX_OBJECT_BYTES)
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let path = self.path(name)?;
        if bytes.len() as u64 > MAX_OBJECT_BYTES {
            return Err(StoreError::TooLarge { path, limit: MAX_OBJECT_BYTES });
        }
        self.make_folders(name)?;
        durable::put_if_absent(&*self.disk, &path, bytes, self.mode)
    }

    fn put_all_if_absent(&self, objects: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        for objects in objects.chunks(MAX_TOGETHER) {
            let mut files = Vec::with_capacity(objects.len());
            for (name, bytes) in objects {
                let path = self.path(name)?;
                if bytes.len() as u64 > MAX_OBJECT_BYTES {
                    return Err(StoreError::TooLarge { path, limit: MAX_OBJECT_BYTES });
                }
                self.make_folders(name)?;
                files.push((path, bytes.as_slice()));
            }
            durable::put_all_if_absent(&*self.disk, &files, self.mode)?;
        }
        Ok(())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let start = if folder.is_empty() { self.root.clone() } else { self.path(folder)? };
        let mut names = Vec::new();
        let mut pending = vec![(folder.to_owned(), start)];
        while let Some((prefix, path)) = pending.pop() {
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(StoreError::io("list", &path)(source)),
            };
            for entry in entries {
                let entry = entry.map_err(StoreError::io("list", &path))?;
                let kind = entry.file_type().map_err(StoreError::io("list", &path))?;
                let Ok(component) = entry.file_name().into_string() else { continue };
                if component.starts_with(TEMP_PREFIX) {
                    continue;
                }
                let name = if prefix.is_empty() { component } else { format!("{prefix}/{component}") };
                if kind.is_dir() {
                    pending.push((name, entry.path()));
                } else if kind.is_file() {
                    names.push(name);
                }
            }
        }
        names.sort();
        Ok(names)
    }
}
