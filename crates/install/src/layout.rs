//! Where everything is below a root, and the rule that none of its folders is a link.
//!
//! ```text
//! ROOT/.countersign/lock                          held by whoever changes something
//! ROOT/.countersign/products/PRODUCT.json         the record of a product
//! ROOT/.countersign/store/<sha256>[-x]            released files by content, read-only; -x: executable
//! ROOT/.countersign/store/<sha256>.partial        a download under way
//! ROOT/PRODUCT/history.json                       second copy of the record
//! ROOT/PRODUCT/generations/<n>/NAME               hard links into the store
//! ROOT/PRODUCT/current -> generations/<n>         what is active
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use countersign_base::Sha256Digest;
use countersign_base::name::ProductName;
use countersign_store::{Disk, durable};
use countersign_verify::FileMode;

use crate::error::InstallError;

/// The folder of a generation that is not finished.
pub(crate) const UNFINISHED: &str = ".tmp-generation";

/// The paths below one root.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join(".countersign/lock")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.root.join(".countersign/store")
    }

    pub(crate) fn products(&self) -> PathBuf {
        self.root.join(".countersign/products")
    }

    pub(crate) fn record(&self, product: &ProductName) -> PathBuf {
        self.products().join(format!("{product}.json"))
    }

    pub(crate) fn content(&self, sha256: Sha256Digest, mode: FileMode) -> PathBuf {
        self.store().join(content_name(sha256, mode))
    }

    pub(crate) fn partial(&self, sha256: Sha256Digest) -> PathBuf {
        self.store().join(format!("{sha256}.partial"))
    }

    pub(crate) fn product(&self, product: &ProductName) -> PathBuf {
        self.root.join(product.as_str())
    }

    pub(crate) fn record_copy(&self, product: &ProductName) -> PathBuf {
        self.product(product).join("history.json")
    }

    pub(crate) fn generations(&self, product: &ProductName) -> PathBuf {
        self.product(product).join("generations")
    }

    pub(crate) fn generation(&self, product: &ProductName, number: u64) -> PathBuf {
        self.generations(product).join(number.to_string())
    }

    pub(crate) fn current(&self, product: &ProductName) -> PathBuf {
        self.product(product).join("current")
    }

    /// The folders above and including a product's generations, outermost first.
    pub(crate) fn product_folders(&self, product: &ProductName) -> [PathBuf; 2] {
        [self.product(product), self.generations(product)]
    }

    /// The folders that every root has, outermost first.
    pub(crate) fn own_folders(&self) -> [PathBuf; 3] {
        [self.root.join(".countersign"), self.products(), self.store()]
    }

    /// What `current` says.
    pub(crate) fn link(&self, product: &ProductName) -> Result<Link, InstallError> {
        let path = self.current(product);
        let target = match fs::read_link(&path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Link::Absent),
            // EINVAL: there is something, and it is no link. ENOTDIR: the product's folder is none.
            Err(error) if matches!(error.raw_os_error(), Some(22)) => return Ok(Link::Other),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Link::Other),
            Err(source) => return Err(InstallError::Storage { action: "read the link", path, source }),
        };
        let number = target.to_str().and_then(|text| text.strip_prefix("generations/")).and_then(number);
        Ok(number.map_or(Link::Other, Link::Generation))
    }
}

/// What stands at `current`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Nothing.
    Absent,
    /// A link of ours to this generation.
    Generation(u64),
    /// Something that we did not make.
    Other,
}

/// The name in the store of content with this digest and mode.
pub(crate) fn content_name(sha256: Sha256Digest, mode: FileMode) -> String {
    match mode {
        FileMode::Plain => sha256.to_string(),
        FileMode::Executable => format!("{sha256}-x"),
    }
}

/// The permission bits of installed files: those of the release, and writable by nobody.
pub(crate) const fn bits_on_disk(mode: FileMode) -> u32 {
    mode.bits() & !0o222
}

/// A generation's number as a folder's name: decimal without leading zeros.
pub(crate) fn number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}

/// Whether there is a folder at `path`; an error if there is something else, also a link to a folder.
pub(crate) fn is_folder(path: &Path) -> Result<bool, InstallError> {
    let found = match fs::symlink_metadata(path) {
        Ok(info) if info.is_dir() => return Ok(true),
        Ok(info) if info.is_symlink() => "a symbolic link",
        Ok(_) => "a file",
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => {
            return Err(InstallError::Storage { action: "look at", path: path.to_owned(), source });
        }
    };
    Err(InstallError::Planted { path: path.to_owned(), found })
}

/// Makes sure that there is a folder at `path`, durably. Never goes through a link.
pub(crate) fn ensure_folder(disk: &dyn Disk, path: &Path) -> Result<(), InstallError> {
    is_folder(path)?;
    durable::create_dir_all(disk, path)?;
    is_folder(path).map(drop)
}

/// Removes what is at `path` with everything below; follows no link. Not durable until the parent is synced.
pub(crate) fn remove_tree(disk: &dyn Disk, path: &Path) -> Result<(), InstallError> {
    if !fs::symlink_metadata(path).map_err(InstallError::storage("look at", path))?.is_dir() {
        return disk.remove_file(path).map_err(InstallError::storage("remove", path));
    }
    for entry in entries(path)? {
        remove_tree(disk, &path.join(entry))?;
    }
    disk.remove_dir(path).map_err(InstallError::storage("remove the folder", path))
}

/// The names in a folder, sorted; none if it is absent. A name that is not UTF-8 is shown lossily: it is not ours.
pub(crate) fn entries(path: &Path) -> Result<Vec<String>, InstallError> {
    let failed = |source| InstallError::Storage { action: "list", path: path.to_owned(), source };
    let listing = match fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut names = Vec::new();
    for entry in listing {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
