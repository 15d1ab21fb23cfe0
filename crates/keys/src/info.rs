//! What is known about a key without opening it, and the `.pub` file that says so.

use core::fmt;
use core::str::FromStr;

use countersign_base::Timestamp;
use countersign_base::name::{KeyName, ProductName, is_holder};
use countersign_crypto::{Algorithm, PublicKey};
use serde::{Deserialize, Serialize};

use crate::error::KeysError;
use crate::place::Place;

/// Longest time between two rotations, in days.
pub const MAX_CADENCE_DAYS: u32 = 36_500;

const API_VERSION: &str = "0.0.1";
const KIND: &str = "publickey";

/// What a key signs. A key has one stage, so that none is at hand where it is not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// TUF root metadata.
    Root,
    /// TUF top-level targets metadata, which names the products.
    Targets,
    /// A product's metadata.
    Release,
    /// TUF snapshot metadata.
    Snapshot,
    /// TUF timestamp metadata.
    Timestamp,
    /// A log's checkpoints.
    Log,
    /// A witness's cosignatures.
    Witness,
    /// A builder's provenance.
    Build,
    /// Other statements on artifacts.
    Attest,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 9] = [
        Self::Root,
        Self::Targets,
        Self::Release,
        Self::Snapshot,
        Self::Timestamp,
        Self::Log,
        Self::Witness,
        Self::Build,
        Self::Attest,
    ];

    /// Its name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Release => "release",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
            Self::Log => "log",
            Self::Witness => "witness",
            Self::Build => "build",
            Self::Attest => "attest",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = KeysError;

    /// # Errors
    /// `name-invalid`.
    fn from_str(text: &str) -> Result<Self, KeysError> {
        let found = Self::ALL.into_iter().find(|stage| stage.name() == text);
        found.ok_or_else(|| KeysError::Stage { text: text.chars().take(80).collect() })
    }
}

/// What a new key shall be.
#[derive(Debug, Clone)]
pub struct NewKey<'a> {
    /// Its name in the directory.
    pub name: &'a str,
    /// What it signs.
    pub stage: Stage,
    /// The product, for a release key.
    pub product: Option<&'a ProductName>,
    /// The person or machine that holds it; where a product asks for separation, keys of one holder count as one person.
    pub holder: &'a str,
    /// Its scheme.
    pub algorithm: Algorithm,
    /// When it stops signing, if ever. Its signatures live on as long as the metadata that carries them.
    pub expires: Option<Timestamp>,
    /// Days after which it should be rotated: a reminder, and no limit.
    pub cadence_days: Option<u32>,
}

/// What is known about a key without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its name in the directory.
    pub name: KeyName,
    /// What it signs.
    pub stage: Stage,
    /// The product, for a release key.
    pub product: Option<ProductName>,
    /// The person or machine that holds it.
    pub holder: String,
    /// When it was made, or adopted.
    pub created: Timestamp,
    /// When it stops signing; `None` for a key made without a limit.
    pub expires: Option<Timestamp>,
    /// Days after which it should be rotated.
    pub cadence_days: Option<u32>,
    /// Where its secret is.
    pub place: Place,
    /// Its public half.
    pub public: PublicKey,
}

/// The same as JSON. Also a part of the secret file, so that a `.pub` that was changed is noticed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Document {
    api_version: String,
    kind: String,
    name: String,
    stage: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    holder: String,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cadence_days: Option<u32>,
    /// Absent for a key in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    public: String,
}

impl KeyInfo {
    /// Checks what a new key is asked to be. Its place is kept as it may be stored.
    pub(crate) fn new(
        new: &NewKey<'_>,
        created: Timestamp,
        place: &Place,
        public: PublicKey,
    ) -> Result<Self, KeysError> {
        if !lifetime_is_sane(created, new.expires, new.cadence_days) {
            return Err(KeysError::Lifetime);
        }
        Ok(Self {
            name: new.name.parse()?,
            stage: new.stage,
            product: new.product.cloned(),
            holder: check_holder(new.holder)?.to_owned(),
            created,
            expires: new.expires,
            cadence_days: new.cadence_days,
            place: place.stored(),
            public,
        })
    }

    /// Whether it is what `new` asks for; a name says where, not what.
    pub(crate) fn is_what(&self, new: &NewKey<'_>) -> bool {
        self.stage == new.stage
            && self.product.as_ref() == new.product
            && self.holder == new.holder
            && self.public.algorithm() == new.algorithm
            && self.expires == new.expires
            && self.cadence_days == new.cadence_days
    }

    /// Whether its time is over. It signs nothing from the second of its expiry on.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// When it should be rotated, if it has a cadence.
    pub fn rotate_by(&self) -> Option<Timestamp> {
        self.cadence_days.map(|days| self.created.plus_days(days.into()))
    }

    pub(crate) fn to_document(&self) -> Document {
        Document {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            name: self.name.to_string(),
            stage: self.stage.to_string(),
            product: self.product.as_ref().map(ToString::to_string),
            holder: self.holder.clone(),
            created: self.created.to_string(),
            expires: self.expires.map(|expires| expires.to_string()),
            cadence_days: self.cadence_days,
            place: (self.place != Place::File).then(|| self.place.stored().to_string()),
            public: self.public.to_string(),
        }
    }
}

/// Why a document is not a key's: a plain reason, or what is wrong with the key in it.
pub(crate) enum DocumentError {
    Shape(&'static str),
    Key(countersign_crypto::KeyError),
}

impl TryFrom<Document> for KeyInfo {
    type Error = DocumentError;

    fn try_from(document: Document) -> Result<Self, DocumentError> {
        let wrong = DocumentError::Shape;
        if document.api_version != API_VERSION || document.kind != KIND {
            return Err(wrong("it is of another kind or version"));
        }
        let product = document.product.as_deref().map(str::parse).transpose();
        let time = |text: &str| text.parse().map_err(|_| wrong("its time is not valid"));
        let created = time(&document.created)?;
        let expires = document.expires.as_deref().map(time).transpose()?;
        if !lifetime_is_sane(created, expires, document.cadence_days) {
            return Err(wrong("its lifetime or cadence is not valid"));
        }
        let place = match &document.place {
            None => Place::File,
            Some(text) => Place::from_stored(text).map_err(|_| wrong("its place is not valid"))?,
        };
        if document.place.is_some() && place == Place::File {
            return Err(wrong("its place is not valid"));
        }
        Ok(Self {
            name: document.name.parse().map_err(|_| wrong("its name is not a key name"))?,
            stage: document.stage.parse().map_err(|_| wrong("its stage is unknown"))?,
            product: product.map_err(|_| wrong("its product is not a product name"))?,
            holder: check_holder(&document.holder).map_err(|_| wrong("its holder is not valid"))?.to_owned(),
            created,
            expires,
            cadence_days: document.cadence_days,
            place,
            public: document.public.parse().map_err(DocumentError::Key)?,
        })
    }
}

fn check_holder(holder: &str) -> Result<&str, KeysError> {
    if is_holder(holder) { Ok(holder) } else { Err(KeysError::Holder) }
}

/// Whether it is one line, of 1 to `limit` bytes, that shows as what it is.
pub(crate) fn is_line(text: &str, limit: usize) -> bool {
    let plain = countersign_base::text::escape(text) == text && text.trim() == text;
    plain && (1..=limit).contains(&text.len())
}

fn lifetime_is_sane(created: Timestamp, expires: Option<Timestamp>, cadence_days: Option<u32>) -> bool {
    expires.is_none_or(|expires| expires > created)
        && cadence_days.is_none_or(|days| (1..=MAX_CADENCE_DAYS).contains(&days))
}
