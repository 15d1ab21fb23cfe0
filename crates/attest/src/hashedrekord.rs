//! `hashedrekord` 0.0.2: a digest, a signature over it, and the key that made it.
//!
//! Spec: <https://github.com/sigstore/rekor-tiles/blob/main/api/proto/rekor/v2/hashedrekord.proto>.
//! Input: `CreateEntryRequest` in protobuf JSON, from anybody. What is logged is made here from what was understood, in
//! the canonical form of RFC 8785, byte for byte as rekor-tiles makes it: verifiers make the same bytes from a bundle.
//!
//! Not supported: Ed25519ph, which the cryptographic provider lacks, and what signs no digest.

use countersign_base::{Json, canonical, json};
use countersign_crypto::{Prehash, PrehashKey};

use crate::certificate;
use crate::error::RekorError;
use crate::protojson::{self, Name, base64, bytes, field, message, plain};

/// Largest request that is read, in bytes: the entry made of it is smaller, and a log takes 65,535.
pub const MAX_REQUEST_BYTES: usize = 96 * 1024;

/// The kind in an entry.
pub const KIND: &str = "hashedrekord";
/// The version of that kind.
pub const VERSION: &str = "0.0.2";

const REQUEST: Name = Name { json: "hashedRekordRequestV002", proto: "hashed_rekord_request_v002" };
const DSSE: Name = Name { json: "dsseRequestV002", proto: "dsse_request_v002" };
const KEY_DETAILS: Name = Name { json: "keyDetails", proto: "key_details" };
const PUBLIC_KEY: Name = Name { json: "publicKey", proto: "public_key" };
const CERTIFICATE: Name = Name { json: "x509Certificate", proto: "x509_certificate" };
const RAW_BYTES: Name = Name { json: "rawBytes", proto: "raw_bytes" };

/// A scheme as `PublicKeyDetails` names it.
struct Scheme {
    name: &'static str,
    /// Its number, which protobuf JSON allows for the name.
    number: i64,
    prehash: Prehash,
    /// The hash function's name in `HashAlgorithm`.
    hash: &'static str,
    rsa_bits: Option<usize>,
}

/// What Rekor v2 takes by default, without Ed25519ph.
const SCHEMES: [Scheme; 6] = [
    scheme("PKIX_ECDSA_P256_SHA_256", 5, Prehash::EcdsaP256Sha256, "SHA2_256", None),
    scheme("PKIX_ECDSA_P384_SHA_384", 12, Prehash::EcdsaP384Sha384, "SHA2_384", None),
    scheme("PKIX_ECDSA_P521_SHA_512", 13, Prehash::EcdsaP521Sha512, "SHA2_512", None),
    scheme("PKIX_RSA_PKCS1V15_2048_SHA256", 9, Prehash::RsaPkcs1Sha256, "SHA2_256", Some(2048)),
    scheme("PKIX_RSA_PKCS1V15_3072_SHA256", 10, Prehash::RsaPkcs1Sha256, "SHA2_256", Some(3072)),
    scheme("PKIX_RSA_PKCS1V15_4096_SHA256", 11, Prehash::RsaPkcs1Sha256, "SHA2_256", Some(4096)),
];

const fn scheme(
    name: &'static str,
    number: i64,
    prehash: Prehash,
    hash: &'static str,
    rsa_bits: Option<usize>,
) -> Scheme {
    Scheme { name, number, prehash, hash, rsa_bits }
}

/// A record whose signature was checked: only [`HashedRekord::admit`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedRekord {
    entry: Vec<u8>,
}

/// Who signed, in either form.
enum Verifier {
    PublicKey(Vec<u8>),
    Certificate(Vec<u8>),
}

impl Verifier {
    fn parse(verifier: &Json) -> Result<Self, RekorError> {
        match (field(verifier, PUBLIC_KEY)?, field(verifier, CERTIFICATE)?) {
            (Some(_), Some(_)) => Err(RekorError::Twice("verifier")),
            (Some(key), None) => bytes(key, RAW_BYTES).map(Self::PublicKey),
            (None, Some(certificate)) => bytes(certificate, RAW_BYTES).map(Self::Certificate),
            (None, None) => Err(RekorError::Missing(PUBLIC_KEY.json)),
        }
    }

    /// The DER `SubjectPublicKeyInfo`.
    fn spki(&self) -> Result<&[u8], RekorError> {
        match self {
            Self::PublicKey(der) => Ok(der),
            Self::Certificate(der) => certificate::public_key(der).ok_or(RekorError::Certificate),
        }
    }

    fn to_json(&self, scheme: &Scheme) -> Json {
        let (name, der) = match self {
            Self::PublicKey(der) => (PUBLIC_KEY, der),
            Self::Certificate(der) => (CERTIFICATE, der),
        };
        let raw = Json::object([(RAW_BYTES.json, Json::from(base64(der)))]);
        Json::object([(KEY_DETAILS.json, Json::from(scheme.name)), (name.json, raw)])
    }
}

impl HashedRekord {
    /// Reads a request and checks its signature over its digest.
    ///
    /// # Errors
    /// `log-entry-too-large`, `log-entry-malformed`, `key-malformed`, `key-weak`; `log-entry-unauthorised` if the
    /// signature does not verify.
    pub fn admit(request: &[u8]) -> Result<Self, RekorError> {
        if request.len() > MAX_REQUEST_BYTES {
            return Err(RekorError::TooLarge(request.len()));
        }
        let request = json::parse(request)?;
        if field(&request, DSSE)?.is_some() || field(&request, REQUEST)?.is_none() {
            return Err(RekorError::Kind);
        }
        let request = message(&request, REQUEST)?;
        let digest = bytes(request, plain("digest"))?;
        let signature = message(request, plain("signature"))?;
        let content = bytes(signature, plain("content"))?;
        let verifier = message(signature, plain("verifier"))?;
        let scheme = scheme_of(verifier)?;
        let verifier = Verifier::parse(verifier)?;
        check(scheme, &verifier, &digest, &content)?;
        Ok(Self { entry: entry(scheme, &verifier, &digest, &content) })
    }

    /// The bytes that the log holds.
    pub fn entry(&self) -> &[u8] {
        &self.entry
    }

    /// The bytes that the log holds.
    pub fn into_entry(self) -> Vec<u8> {
        self.entry
    }
}

/// What an entry of a log says, of this kind or of none. Nothing is verified: the log did that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The digest that was signed.
    pub digest: Vec<u8>,
    /// The key that signed it, or its certificate, in DER.
    pub verifier: Vec<u8>,
}

impl Recorded {
    /// Reads an entry; `None` for one of any other kind or version.
    pub fn read(entry: &[u8]) -> Option<Self> {
        let value = json::parse(entry).ok()?;
        let is = |key: &str, wanted: &str| value.get(key).and_then(Json::as_str) == Some(wanted);
        if !is("kind", KIND) || !is("apiVersion", VERSION) {
            return None;
        }
        let record = value.get("spec")?.get("hashedRekordV002")?;
        let of = |name: Name| record.get("signature")?.get("verifier")?.get(name.json);
        let holder = of(PUBLIC_KEY).or_else(|| of(CERTIFICATE))?;
        let digest = bytes(record.get("data")?, plain("digest")).ok()?;
        Some(Self { digest, verifier: bytes(holder, RAW_BYTES).ok()? })
    }
}

fn scheme_of(verifier: &Json) -> Result<&'static Scheme, RekorError> {
    let named = protojson::field(verifier, KEY_DETAILS)?.ok_or(RekorError::Missing(KEY_DETAILS.json))?;
    let (found, shown) = match named {
        Json::String(name) => (SCHEMES.iter().find(|scheme| scheme.name == name), name.clone()),
        Json::Integer(number) => (SCHEMES.iter().find(|scheme| scheme.number == *number), number.to_string()),
        _ => return Err(RekorError::Member(KEY_DETAILS.json)),
    };
    found.ok_or_else(|| RekorError::Scheme(shown.chars().take(40).collect()))
}

fn check(scheme: &Scheme, verifier: &Verifier, digest: &[u8], signature: &[u8]) -> Result<(), RekorError> {
    let want = scheme.prehash.digest_len();
    if digest.len() != want {
        return Err(RekorError::DigestLength { got: digest.len(), want, scheme: scheme.name });
    }
    let key = PrehashKey::from_spki_der(scheme.prehash, verifier.spki()?).map_err(RekorError::Key)?;
    if let Some(bits) = key.rsa_bits().filter(|bits| scheme.rsa_bits != Some(*bits)) {
        return Err(RekorError::KeyLength { bits, scheme: scheme.name });
    }
    key.verify(digest, signature).map_err(RekorError::Signature)
}

fn entry(scheme: &Scheme, verifier: &Verifier, digest: &[u8], signature: &[u8]) -> Vec<u8> {
    let data = Json::object([("algorithm", Json::from(scheme.hash)), ("digest", Json::from(base64(digest)))]);
    let signature =
        Json::object([("content", Json::from(base64(signature))), ("verifier", verifier.to_json(scheme))]);
    let record = Json::object([("data", data), ("signature", signature)]);
    canonical::rfc8785(&Json::object([
        ("apiVersion", Json::from(VERSION)),
        ("kind", Json::from(KIND)),
        ("spec", Json::object([("hashedRekordV002", record)])),
    ]))
}
