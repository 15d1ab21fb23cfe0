//! Public keys in metadata (specification 4.2.2; ML-DSA as in TAP 21).
//!
//! Ids are opaque when read (TAP 12): real repositories keep an id when a key's description changes. What is
//! counted is the public key itself, whatever its id or encoding.

use std::borrow::Cow;
use std::collections::BTreeMap;

use countersign_base::Json;
use countersign_base::canonical::olpc;
use countersign_crypto::{Algorithm, KeyError, PublicKey, sha256, sha512};

use super::fields::Fields;
use super::pairs::Pair;
use crate::error::{TufError, check_count};
use crate::limits::{MAX_KEY_ID_BYTES, MAX_KEYS};

/// Longest `keyval.public` that is looked at, in bytes; an ML-DSA-65 key in PEM has about 2,750.
const MAX_KEY_TEXT_BYTES: usize = 8192;

/// The keys of a root or a delegating role, by id.
pub type KeyTable = BTreeMap<String, Key>;

/// A key that a file lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    public: Option<PublicKey>,
    usable: bool,
    id_is_digest: bool,
    pair: Option<Pair>,
    json: Json,
}

/// What a `keytype` and `scheme` mean together.
enum Scheme {
    /// A pair that is verified, with where to find the key's bytes.
    Known(Algorithm),
    /// A known type with a scheme that is not known: the key is recognised but verifies nothing.
    KnownType(Algorithm),
    /// A type that is not known: nothing is said about the key.
    Unknown,
    /// A known scheme of another type (attack M12).
    Mismatch,
}

impl Key {
    /// Reads the key listed under `keyid`.
    ///
    /// A type or scheme that is not known here gives a key that verifies nothing, so that a repository may list it.
    ///
    /// # Errors
    /// `tuf-key-invalid` if bytes, type and scheme do not fit, `tuf-malformed` for the shape.
    pub fn read(keyid: &str, json: &Json) -> Result<Self, TufError> {
        let fields = Fields::new(json, format!("keys.{keyid}"))?;
        let (keytype, scheme) = (fields.text("keytype")?, fields.text("scheme")?);
        let keyval = Fields::new(fields.required("keyval")?, fields.path("keyval"))?;
        let form = |reason| TufError::KeyForm { keyid: keyid.to_owned(), reason };
        let (public, usable) = match classify(keytype, scheme) {
            Scheme::Unknown => (None, false),
            Scheme::Mismatch => return Err(form("has a scheme that does not fit its type")),
            Scheme::Known(algorithm) => (Some(read_public(algorithm, keyid, keyval.text("public")?)?), true),
            Scheme::KnownType(algorithm) => {
                (read_public(algorithm, keyid, keyval.text("public")?).ok(), false)
            }
        };
        let id_is_digest = sha256(&olpc(json)).to_string() == keyid;
        Ok(Self { public, usable, id_is_digest, pair: None, json: json.clone() })
    }

    /// The key to verify with, if its type and scheme are known.
    pub const fn usable(&self) -> Option<&PublicKey> {
        if self.usable { self.public.as_ref() } else { None }
    }

    /// The key's bytes for comparison, also where the scheme is not known.
    pub const fn material(&self) -> Option<&PublicKey> {
        self.public.as_ref()
    }

    /// Whether the id is the SHA-256 of the key's canonical JSON, as specification 4.3 asks of repositories.
    pub const fn id_is_digest(&self) -> bool {
        self.id_is_digest
    }

    /// The key object as listed.
    pub const fn json(&self) -> &Json {
        &self.json
    }

    /// The second key of its holder, who counts only if both signed; `None` for a holder of one key.
    pub const fn pair(&self) -> Option<&Pair> {
        self.pair.as_ref()
    }

    pub(super) fn set_pair(&mut self, pair: Pair) {
        self.pair = Some(pair);
    }

    /// Whether the two may stand under one id: the same key, or the same text where neither is known.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        match (&self.public, &other.public) {
            (Some(one), Some(two)) => one == two,
            (None, None) => self.json == other.json,
            _ => false,
        }
    }
}

/// The key object of `key`, as python-tuf writes it: Ed25519 in hex, all others in PEM.
pub fn key_json(key: &PublicKey) -> Json {
    let (keytype, scheme) = names(key.algorithm());
    let public = match key.algorithm() {
        Algorithm::Ed25519 => hex::encode(key.as_raw()),
        _ => key.to_spki_pem(),
    };
    Json::object([
        ("keytype", Json::from(keytype)),
        ("scheme", Json::from(scheme)),
        ("keyval", Json::object([("public", Json::from(public))])),
    ])
}

/// The id of `key`: SHA-256 of its canonical JSON, in hex (specification 4.2.1).
pub fn key_id(key: &PublicKey) -> String {
    sha256(&olpc(&key_json(key))).to_string()
}

/// What `key` signs for the canonical `message`: the message itself, but for ML-DSA, which TAP 21 has sign
/// `tuf`, the byte 1 and the message's SHA-512.
pub fn payload<'a>(key: &PublicKey, message: &'a [u8]) -> Cow<'a, [u8]> {
    match key.algorithm() {
        Algorithm::MlDsa44 | Algorithm::MlDsa65 => {
            let digest = sha512(message);
            Cow::Owned([b"tuf\x01".as_slice(), digest.as_bytes()].concat())
        }
        _ => Cow::Borrowed(message),
    }
}

/// Reads a key table.
pub(super) fn read_table(fields: &Fields<'_>) -> Result<KeyTable, TufError> {
    let members = fields.object("keys")?;
    check_count("the number of keys", members.len(), MAX_KEYS)?;
    let mut out = KeyTable::new();
    for (keyid, json) in members {
        if keyid.is_empty() || keyid.len() > MAX_KEY_ID_BYTES {
            return Err(fields.error("keys", "has an empty or overlong key id"));
        }
        out.insert(keyid.clone(), Key::read(keyid, json)?);
    }
    Ok(out)
}

const fn names(algorithm: Algorithm) -> (&'static str, &'static str) {
    match algorithm {
        Algorithm::EcdsaP256Sha256 => ("ecdsa", "ecdsa-sha2-nistp256"),
        Algorithm::EcdsaP384Sha384 => ("ecdsa", "ecdsa-sha2-nistp384"),
        Algorithm::RsaPssSha256 => ("rsa", "rsassa-pss-sha256"),
        Algorithm::MlDsa44 => ("ml-dsa", "ml-dsa-44/1"),
        Algorithm::MlDsa65 => ("ml-dsa", "ml-dsa-65/1"),
        _ => ("ed25519", "ed25519"),
    }
}

fn classify(keytype: &str, scheme: &str) -> Scheme {
    use Algorithm::{EcdsaP256Sha256, EcdsaP384Sha384, Ed25519, MlDsa44, MlDsa65, RsaPssSha256};
    // Old securesystemslib wrote the scheme as the type of ECDSA keys.
    let fits: &[Algorithm] = match keytype {
        "ed25519" => &[Ed25519],
        "ecdsa" => &[EcdsaP256Sha256, EcdsaP384Sha384],
        "ecdsa-sha2-nistp256" => &[EcdsaP256Sha256],
        "ecdsa-sha2-nistp384" => &[EcdsaP384Sha384],
        "rsa" => &[RsaPssSha256],
        "ml-dsa" => &[MlDsa44, MlDsa65],
        _ => &[],
    };
    let found = Algorithm::ALL.into_iter().find(|&algorithm| names(algorithm).1 == scheme);
    match (fits, found) {
        ([], _) => Scheme::Unknown,
        (fits, Some(found)) if fits.contains(&found) => Scheme::Known(found),
        (_, Some(_)) => Scheme::Mismatch,
        ([first, ..], None) => Scheme::KnownType(*first),
    }
}

/// Reads `keyval.public`: hex or PEM. White space and the case of hex carry no meaning.
fn read_public(algorithm: Algorithm, keyid: &str, text: &str) -> Result<PublicKey, TufError> {
    let invalid = |source| TufError::Key { keyid: keyid.to_owned(), source };
    if text.len() > MAX_KEY_TEXT_BYTES {
        return Err(invalid(KeyError::TooLong));
    }
    let key = if text.trim_ascii_start().starts_with("-----") {
        PublicKey::from_spki_pem(text)
    } else {
        let packed: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        let raw = hex::decode(packed).map_err(|_| invalid(KeyError::Invalid(algorithm)))?;
        PublicKey::from_raw(algorithm, &raw)
    };
    let key = key.map_err(invalid)?;
    if key.algorithm() == algorithm { Ok(key) } else { Err(invalid(KeyError::Invalid(algorithm))) }
}
