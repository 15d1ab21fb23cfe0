//! Where things are in a repository's directory.
//!
//! Everything outside `.countersign` is public and static: any web server, bucket or mirror can serve it. File
//! names of metadata follow TUF 1.0.34 section 6 (consistent snapshots). Pure: paths in, paths out.

use std::path::{Path, PathBuf};

use countersign_base::Sha256Digest;
use countersign_base::name::TargetPath;

/// Ending of the transparency proof that lies beside a metadata file.
pub const PROOF_SUFFIX: &str = ".tlog-proof";
/// The folder that is never served: the log's private state, the lock, files on their way in.
pub const PRIVATE_DIR: &str = ".countersign";

/// Path functions of one repository directory.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout of the repository at `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The repository's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the metadata files and their proofs.
    pub fn metadata(&self) -> PathBuf {
        self.root.join("metadata")
    }

    /// The metadata file of one version of a role that is not `timestamp`.
    pub fn role_file(&self, role: &str, version: u64) -> PathBuf {
        self.metadata().join(role_file_name(role, version))
    }

    /// The one metadata file that is replaced: the timestamp role's.
    pub fn timestamp(&self) -> PathBuf {
        self.metadata().join("timestamp.json")
    }

    /// The folder of the released files.
    pub fn targets(&self) -> PathBuf {
        self.root.join("targets")
    }

    /// A released file: the SHA-256 stands in front of its name.
    pub fn target_file(&self, path: &TargetPath, sha256: &Sha256Digest) -> PathBuf {
        self.targets()
            .join(path.product.as_str())
            .join(path.version.to_string())
            .join(path.platform.path_component())
            .join(format!("{sha256}.{}", path.name))
    }

    /// The log's public folder: `checkpoint` and `tile/`.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The folder that is never served.
    pub fn private(&self) -> PathBuf {
        self.root.join(PRIVATE_DIR)
    }

    /// The log's private state.
    pub fn private_log(&self) -> PathBuf {
        self.private().join("log")
    }

    /// Files on their way in; whatever is here when nobody holds the lock is a leftover.
    pub fn staging(&self) -> PathBuf {
        self.private().join("staging")
    }

    /// Held by whoever publishes.
    pub fn lock(&self) -> PathBuf {
        self.private().join("lock")
    }

    /// There while `init` is unfinished: empty, then the bytes of the first root.
    pub fn unfinished(&self) -> PathBuf {
        self.private().join("unfinished")
    }
}

/// `N.<role>.json`.
pub fn role_file_name(role: &str, version: u64) -> String {
    format!("{version}.{role}.json")
}

/// The proof's path beside a metadata file.
pub fn proof_path(metadata: &Path) -> PathBuf {
    let mut path = metadata.as_os_str().to_owned();
    path.push(PROOF_SUFFIX);
    path.into()
}
