//! What a proposal is for, in typed words: the new metadata follows from this and the old metadata alone.
//!
//! It stands in `proposal.json` as JSON. A member that is not known here is refused, since it could mean more than
//! what the new metadata shows.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::name::{Channel, FileName, Platform, ProductName, Version};
use countersign_base::text::escape;
use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::PublicKey;
use countersign_verify::FileMode;
use serde::{Deserialize, Serialize};

use super::text;

/// A change that people decide on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Intent {
    /// Files of one version of a product, for one platform.
    Release(ReleaseIntent),
    /// A version that shall no longer be installed.
    Yank(YankIntent),
    /// A description of a vulnerability (OSV).
    Advisory(AdvisoryIntent),
    /// A new product, or other signers of one.
    Product(ProductIntent),
    /// Another key in place of one, wherever it is used.
    Rotate(RotateIntent),
    /// A key that shall no longer be used.
    Revoke(RevokeIntent),
    /// Who signs the top-level roles, for how long root is good, and the transparency policy.
    Root(RootChange),
    /// The same content for another term.
    Renew(RenewIntent),
}

/// See [`Intent::Release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReleaseIntent {
    /// The product.
    #[serde(with = "text")]
    pub product: ProductName,
    /// The version.
    #[serde(with = "text")]
    pub version: Version,
    /// The platform.
    #[serde(with = "text")]
    pub platform: Platform,
    /// The channel.
    #[serde(with = "text")]
    pub channel: Channel,
    /// The files, at least one.
    pub files: Vec<FileIntent>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileIntent {
    /// Its name.
    #[serde(with = "text")]
    pub name: FileName,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256.
    #[serde(with = "text")]
    pub sha256: Sha256Digest,
    /// Whether it is a program: `644` or `755`.
    #[serde(with = "text::mode")]
    pub mode: FileMode,
}

/// See [`Intent::Yank`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct YankIntent {
    /// The product.
    #[serde(with = "text")]
    pub product: ProductName,
    /// The version, of all channels and platforms.
    #[serde(with = "text")]
    pub version: Version,
    /// Why, in a line for those who have it installed.
    pub reason: String,
}

/// See [`Intent::Advisory`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdvisoryIntent {
    /// The product.
    #[serde(with = "text")]
    pub product: ProductName,
    /// The advisory's own identifier, such as `GHSA-...`; `.json` is added for its file name.
    #[serde(with = "text")]
    pub id: FileName,
    /// When it was last changed, as it says itself.
    #[serde(with = "text")]
    pub modified: Timestamp,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256.
    #[serde(with = "text")]
    pub sha256: Sha256Digest,
}

/// See [`Intent::Product`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProductIntent {
    /// Its name, which is its role's too.
    #[serde(with = "text")]
    pub name: ProductName,
    /// How many of the signers must sign; as many as before, or two for a new product, if it is not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// Who may sign.
    pub signers: Vec<Member>,
    /// Whether who proposes a change of it needs another person's approval; as before, if it is not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separation: Option<bool>,
    /// Ids of signers' keys that count without a second key from now on, for all products that list them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub drop_pairs: BTreeSet<String>,
}

/// See [`Intent::Rotate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RotateIntent {
    /// The key that goes.
    #[serde(with = "text")]
    pub from: PublicKey,
    /// The key that comes in its place.
    pub to: Member,
}

/// See [`Intent::Revoke`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RevokeIntent {
    /// The key.
    #[serde(with = "text")]
    pub key: PublicKey,
    /// Why.
    pub reason: RevokeReason,
    /// The key that comes in its place; without one, its roles have a key less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<Member>,
}

/// Why a key is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevokeReason {
    /// Somebody else has it, or may have it.
    Compromised,
    /// Its holder has left, or it is replaced in good order.
    Retired,
    /// Nobody has it any more.
    Lost,
}

/// See [`Intent::Root`]. What is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RootChange {
    /// Keys and threshold of these top-level roles, in place of those they had.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, RoleChange>,
    /// Days from the proposal until the new root expires; the usual number if it is not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_days: Option<u32>,
    /// The lines of the new transparency policy (C2SP tlog-policy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Vec<String>>,
    /// Ids of keys that count without a second key from now on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub drop_pairs: BTreeSet<String>,
}

/// See [`Intent::Renew`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RenewIntent {
    /// `root`, `targets` and products, at least one.
    pub roles: BTreeSet<String>,
}

/// Keys and threshold of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RoleChange {
    /// How many must sign.
    pub threshold: u32,
    /// Who may sign.
    pub signers: Vec<Member>,
}

/// Someone who may sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Member {
    /// The key.
    #[serde(with = "text")]
    pub key: PublicKey,
    /// The ML-DSA half of a hybrid pair; without one, the key keeps the one that it has, if any.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub pair: Option<PublicKey>,
    /// Whose it is: two keys of one holder are one person where separation is asked for.
    pub holder: String,
}

impl RevokeReason {
    /// Its name, in proposals and in metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compromised => "compromised",
            Self::Retired => "retired",
            Self::Lost => "lost",
        }
    }
}

impl Intent {
    /// The kind, in a word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Release(_) => "release",
            Self::Yank(_) => "yank",
            Self::Advisory(_) => "advisory",
            Self::Product(_) => "product",
            Self::Rotate(_) => "rotate",
            Self::Revoke(_) => "revoke",
            Self::Root(_) => "root",
            Self::Renew(_) => "renew",
        }
    }

    /// What it is, in a few words that are safe on a terminal: `release of node 1.4.0 for linux/amd64`.
    pub fn describe(&self) -> String {
        match self {
            Self::Release(release) => {
                format!("release of {} {} for {}", release.product, release.version, release.platform)
            }
            Self::Yank(yank) => format!("yank of {} {}", yank.product, yank.version),
            Self::Advisory(advisory) => format!("advisory {} on {}", advisory.id, advisory.product),
            Self::Product(product) => format!("product {}", product.name),
            Self::Rotate(rotate) => format!("rotation to a key of {}", escape(&rotate.to.holder)),
            Self::Revoke(revoke) => {
                format!("revocation of a key that is {}", revoke.reason.name())
            }
            Self::Root(_) => "change of root".to_owned(),
            Self::Renew(renew) => {
                let roles: Vec<&str> = renew.roles.iter().map(String::as_str).collect();
                format!("renewal of {}", escape(&roles.join(", ")))
            }
        }
    }

    /// The product that it is about, of those that are about one.
    pub const fn product(&self) -> Option<&ProductName> {
        match self {
            Self::Release(release) => Some(&release.product),
            Self::Yank(yank) => Some(&yank.product),
            Self::Advisory(advisory) => Some(&advisory.product),
            Self::Product(product) => Some(&product.name),
            Self::Rotate(_) | Self::Revoke(_) | Self::Root(_) | Self::Renew(_) => None,
        }
    }
}
