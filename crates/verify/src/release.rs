//! A released file, as a product's signers describe it.

use core::fmt;

use countersign_base::json::Json;
use countersign_base::name::{Channel, TargetPath, Version};
use countersign_base::{Anchor, Sha256Digest, Sha512Digest};
use countersign_tuf::metadata::EXTENSION;

use crate::error::VerifyError;

/// Largest file that can be released: 1 TiB.
pub const MAX_ARTIFACT_BYTES: u64 = 1 << 40;

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The repository that lists it.
    pub repository: Anchor,
    /// Product, version, platform and file name.
    pub path: TargetPath,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of the content.
    pub sha256: Sha256Digest,
    /// SHA-512 of the content, if it is listed: then whoever takes the content in must compare it too.
    pub sha512: Option<Sha512Digest>,
    /// The channel it was released to.
    pub channel: Channel,
    /// Whether it is a program.
    pub mode: FileMode,
    /// The newest version of the product on this channel and platform.
    pub newest: Version,
    /// The lowest version that the publisher allows to be installed, if it says so.
    pub floor: Option<Version>,
    /// Why its publisher has taken it back, if it has: then it is not to be installed.
    pub yanked: Option<String>,
}

impl Release {
    /// Where its bytes lie in the repository: `targets/<dir>/<sha256>.<name>` (TUF 1.0.34 section 6.2).
    pub fn file_path(&self) -> String {
        let path = self.path.to_string();
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        format!("targets/{dir}/{}.{}", self.sha256, self.path.name)
    }

    /// Whether no newer version was released to its channel for its platform.
    pub fn is_newest(&self) -> bool {
        self.path.version >= self.newest
    }
}

/// The permission bits that a released file is installed with. Nothing else survives a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileMode {
    /// Data: 0644.
    Plain,
    /// A program: 0755.
    Executable,
}

impl FileMode {
    /// From the bits of a file on disk: executable if its owner may execute it.
    pub const fn from_bits(mode: u32) -> Self {
        if mode & 0o100 == 0 { Self::Plain } else { Self::Executable }
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Plain => 0o644,
            Self::Executable => 0o755,
        }
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:o}", self.bits())
    }
}

/// What a release's target entry carries in `custom.x-countersign`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseInfo {
    /// The channel.
    pub channel: Channel,
    /// Permission bits.
    pub mode: FileMode,
}

impl ReleaseInfo {
    /// As a target's `custom`.
    pub fn to_custom(&self) -> Json {
        let info =
            [("channel", Json::from(self.channel.as_str())), ("mode", Json::from(self.mode.to_string()))];
        Json::object([(EXTENSION, Json::object(info))])
    }

    /// From a target's `custom`. Unknown members are left for later versions.
    ///
    /// # Errors
    /// `tuf-target-mismatch` if it is missing or not understood.
    pub fn from_custom(path: &TargetPath, custom: Option<&Json>) -> Result<Self, VerifyError> {
        let malformed = |reason| VerifyError::ReleaseMalformed { path: path.to_string(), reason };
        let info =
            custom.and_then(|custom| custom.get(EXTENSION)).ok_or(malformed("it has no x-countersign"))?;
        let channel = info.get("channel").and_then(Json::as_str).and_then(|text| text.parse().ok());
        let mode = match info.get("mode").and_then(Json::as_str) {
            Some("644") => FileMode::Plain,
            Some("755") => FileMode::Executable,
            _ => return Err(malformed("its mode is neither 644 nor 755")),
        };
        Ok(Self { channel: channel.ok_or(malformed("its channel is not a name"))?, mode })
    }
}
