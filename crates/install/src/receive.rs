//! Taking in a released file: hashed while it is written, kept only if it is the one that was released.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;

use countersign_base::{Sha256Digest, Sha512Digest};
use countersign_crypto::{Sha256, Sha512};
use countersign_store::{Disk, DiskFile, durable};
use countersign_verify::{FileMode, Release, Verified};

use crate::content::{inspect, open, read_through};
use crate::error::InstallError;
use crate::installer::Installer;
use crate::layout::{bits_on_disk, content_name};
use crate::state::InstalledFile;

/// The components of the store below a root.
pub(crate) const STORE: [&str; 2] = [".countersign", "store"];

/// A released file on its way into the store.
///
/// Memory does not grow with the file. A write that would exceed the listed length fails at once; [`Incoming::finish`]
/// then says why. Dropped without `finish` the bytes so far stay as `<sha256>.partial`: the next
/// [`Installer::receive`] hashes them again and goes on behind them, and the final digest decides over all.
#[derive(Debug)]
pub struct Incoming<'i> {
    installer: &'i Installer,
    want: InstalledFile,
    /// The other digest that the release lists, if it does.
    sha512: Option<Sha512Digest>,
    /// `None` once it is renamed or removed.
    file: Option<DiskFile>,
    hasher: Hasher,
    written: u64,
    resumed_from: u64,
    failure: Option<InstallError>,
}

/// The digests that are compared: SHA-256 names the content, SHA-512 may be listed beside it (attack M20).
#[derive(Debug)]
struct Hasher {
    sha256: Sha256,
    sha512: Option<Sha512>,
}

impl Hasher {
    fn new(listed: Option<Sha512Digest>) -> Self {
        Self { sha256: Sha256::new(), sha512: listed.map(|_| Sha512::new()) }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    fn finish(self) -> (Sha256Digest, Option<Sha512Digest>) {
        (self.sha256.finish(), self.sha512.map(Sha512::finish))
    }
}

impl Installer {
    /// Prepares to take in the bytes of a verified release. `None` if the store has them, by hashing them now.
    ///
    /// # Errors
    /// `install-storage-failed`; `install-state-damaged` if something that is not ours stands in the way.
    pub fn receive(&self, release: &Verified<Release>) -> Result<Option<Incoming<'_>>, InstallError> {
        self.receive_release(release.value())
    }

    pub(crate) fn receive_release(&self, release: &Release) -> Result<Option<Incoming<'_>>, InstallError> {
        let want = InstalledFile::of(release);
        if self.store_holds(&want)? {
            return Ok(None);
        }
        // The same bytes may be there with the other mode: a mistake that the publisher has corrected.
        let other = match want.mode {
            FileMode::Plain => FileMode::Executable,
            FileMode::Executable => FileMode::Plain,
        };
        let twin = InstalledFile { mode: other, ..want.clone() };
        let name = content_name(twin.sha256, twin.mode);
        let held = inspect(&self.layout().root, &[STORE[0], STORE[1], &name], &twin)?;
        let mut incoming = Incoming::begin(self, want, release.sha512)?;
        if let Ok(mut file) = held {
            incoming.restart()?;
            // Whatever goes wrong here, `finish` knows it.
            let _ = io::copy(&mut file, &mut incoming);
            incoming.finish()?;
            return Ok(None);
        }
        Ok(Some(incoming))
    }

    /// Whether the store has this content, by hashing it. Content that is not what its name says is removed.
    fn store_holds(&self, want: &InstalledFile) -> Result<bool, InstallError> {
        let name = content_name(want.sha256, want.mode);
        match inspect(&self.layout().root, &[STORE[0], STORE[1], &name], want)? {
            Ok(_) => return Ok(true),
            Err(_) => {
                let path = self.layout().content(want.sha256, want.mode);
                // Installed generations keep their links to it, so that `fsck` can still name them.
                if fs::symlink_metadata(&path).is_ok() {
                    crate::layout::remove_tree(self.disk(), &path)?;
                    durable::sync_dir(self.disk(), &self.layout().store())?;
                }
            }
        }
        Ok(false)
    }
}

impl InstalledFile {
    pub(crate) fn of(release: &Release) -> Self {
        Self {
            name: release.path.name.clone(),
            sha256: release.sha256,
            length: release.length,
            mode: release.mode,
        }
    }
}

impl<'i> Incoming<'i> {
    fn begin(
        installer: &'i Installer,
        want: InstalledFile,
        sha512: Option<Sha512Digest>,
    ) -> Result<Self, InstallError> {
        let path = installer.layout().partial(want.sha256);
        let mut incoming = Self {
            installer,
            want,
            sha512,
            file: None,
            hasher: Hasher::new(sha512),
            written: 0,
            resumed_from: 0,
            failure: None,
        };
        if !incoming.resume()? {
            if fs::symlink_metadata(&path).is_ok() {
                crate::layout::remove_tree(installer.disk(), &path)?;
            }
            incoming.create()?;
        }
        Ok(incoming)
    }

    fn create(&mut self) -> Result<(), InstallError> {
        let path = self.installer.layout().partial(self.want.sha256);
        // Nobody else may open it while it is not yet what it will be called.
        let file = self.disk().create_new(&path, 0o600);
        self.file = Some(file.map_err(InstallError::storage("create", &path))?);
        Ok(())
    }

    /// Goes on behind what an interrupted download left, if that can be part of the file.
    fn resume(&mut self) -> Result<bool, InstallError> {
        let name = format!("{}.partial", self.want.sha256);
        let Some(mut left) = open(&self.installer.layout().root, &[STORE[0], STORE[1], &name])? else {
            return Ok(false);
        };
        let path = self.installer.layout().partial(self.want.sha256);
        let info = left.metadata().map_err(InstallError::storage("look at", &path))?;
        // A second name means that somebody else has it too.
        if info.len() > self.want.length || info.nlink() != 1 {
            return Ok(false);
        }
        let mut hasher = Hasher::new(self.sha512);
        let written = read_through(&mut left, info.len(), |bytes| hasher.update(bytes))
            .map_err(InstallError::storage("read", &path))?;
        let file = self.disk().open_append(&path).map_err(InstallError::storage("open", &path))?;
        let now = file.file.metadata().map_err(InstallError::storage("look at", &path))?;
        if (now.dev(), now.ino(), now.len()) != (info.dev(), info.ino(), written) {
            return Ok(false);
        }
        (self.file, self.hasher, self.written, self.resumed_from) = (Some(file), hasher, written, written);
        Ok(true)
    }

    /// Forgets what is there and begins at byte 0: for a server that cannot send a part, or after a resumed
    /// download turned out to be wrong.
    ///
    /// # Errors
    /// `install-storage-failed`
    pub fn restart(&mut self) -> Result<(), InstallError> {
        self.discard()?;
        (self.hasher, self.written, self.resumed_from, self.failure) = (Hasher::new(self.sha512), 0, 0, None);
        self.create()
    }

    /// How many bytes are there already: the offset from which to send. 0 for a fresh download.
    pub const fn resumed_from(&self) -> u64 {
        self.resumed_from
    }

    /// Bytes there so far, the resumed ones included.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// The listed length in bytes.
    pub const fn length(&self) -> u64 {
        self.want.length
    }

    /// All bytes were sent: keeps the content durably in the store, or refuses it and leaves nothing of it.
    ///
    /// After a failed write this gives the reason. When it refuses a download that was resumed, the part from
    /// before may be to blame: receive again, from the start.
    ///
    /// # Errors
    /// `fetch-too-large`, `artifact-digest-mismatch`, `tuf-target-mismatch` if the file of the listed SHA-256 has
    /// another length or SHA-512 than is listed, `install-storage-failed`
    pub fn finish(mut self) -> Result<(), InstallError> {
        match self.judge().and_then(|()| self.keep()) {
            Ok(()) => Ok(()),
            Err(error) => {
                // What the disk says to the removal matters less than the reason for it.
                let _ = self.discard();
                Err(error)
            }
        }
    }

    fn judge(&mut self) -> Result<(), InstallError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let (name, length) = (self.want.name.clone(), self.want.length);
        let (sha256, sha512) = std::mem::replace(&mut self.hasher, Hasher::new(None)).finish();
        let is_listed = sha256 == self.want.sha256;
        if self.written != length {
            return Err(match is_listed {
                true => InstallError::EntryWrong { name, what: "length" },
                false => InstallError::TooShort { name, length, got: self.written },
            });
        }
        if !is_listed {
            return Err(InstallError::DigestMismatch { name, listed: self.want.sha256, got: sha256 });
        }
        if sha512 != self.sha512 {
            return Err(InstallError::EntryWrong { name, what: "SHA-512" });
        }
        Ok(())
    }

    fn keep(&mut self) -> Result<(), InstallError> {
        let store = self.installer.layout();
        let (from, to) = (store.partial(self.want.sha256), store.content(self.want.sha256, self.want.mode));
        let Some(file) = &self.file else { return Ok(()) };
        let failed = InstallError::storage;
        self.disk().set_mode(file, bits_on_disk(self.want.mode)).map_err(failed("set the mode of", &from))?;
        self.disk().sync(file).map_err(failed("sync", &from))?;
        self.disk().rename(&from, &to).map_err(failed("rename", &from))?;
        self.file = None;
        Ok(durable::sync_dir(self.disk(), &store.store())?)
    }

    /// Removes the unfinished file.
    fn discard(&mut self) -> Result<(), InstallError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        self.disk().remove_file(&file.path).map_err(InstallError::storage("remove", &file.path))
    }

    fn disk(&self) -> &'i dyn Disk {
        self.installer.disk()
    }

    fn take_in(&mut self, bytes: &[u8]) -> Result<(), InstallError> {
        let room = self.want.length - self.written;
        if bytes.len() as u64 > room {
            return Err(InstallError::TooLarge { name: self.want.name.clone(), length: self.want.length });
        }
        let disk = self.installer.disk();
        let Some(file) = &mut self.file else { return Ok(()) };
        disk.write(file, bytes).map_err(|source| InstallError::storage("write", &file.path)(source))?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl Write for Incoming<'_> {
    /// # Errors
    /// Of kind `Other`; the reason is what [`Incoming::finish`] returns.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failure.is_none() {
            self.failure = self.take_in(bytes).err();
        }
        match &self.failure {
            None => Ok(bytes.len()),
            Some(failure) => Err(io::Error::other(failure.to_string())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        // A part is worth keeping only if there is something in it and nothing is wrong with it.
        if self.failure.is_some() || self.written == 0 {
            let _ = self.discard();
        }
    }
}
