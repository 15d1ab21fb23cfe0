//! A file that collects signatures.

use std::collections::BTreeMap;

use countersign_base::canonical::{olpc, rfc8785};
use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;
use countersign_base::{Json, json};
use countersign_crypto::{PublicKey, Signer, SignerError};

use crate::error::TufError;
use crate::metadata::{
    Envelope, KeyTable, ROOT, Role, RoleKeys, Root, SNAPSHOT, Signature, Snapshot, TIMESTAMP, Targets,
    Timestamp, key_id, payload,
};
use crate::trusted::{Delegator, Signed, Signers};

/// Why a file could not be made or signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// A client would refuse it.
    #[error(transparent)]
    Invalid(#[from] TufError),
    /// A signer failed.
    #[error("`{}` could not be signed", escape(.role))]
    Signer {
        /// Role of the file.
        role: String,
        /// What the signer says.
        source: SignerError,
    },
    /// A signer's signature does not verify with its own public key.
    #[error("a signer's signature on `{}` does not verify with its key", escape(.role))]
    BadSignature {
        /// Role of the file.
        role: String,
    },
}

impl Explain for EditError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(error) => error.code(),
            Self::Signer { source, .. } => source.code(),
            Self::BadSignature { .. } => code::SIGNATURE_INVALID,
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Invalid(error) => error.fix(),
            Self::Signer { source, .. } => source.fix(),
            Self::BadSignature { .. } => None,
        }
    }
}

/// A well-formed file of `role` with the signatures it has so far, perhaps none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    role: String,
    version: u64,
    signed: Json,
    /// The RFC 8785 form of `signed`: targets and snapshots are large, and every file needs it more than once.
    written: Vec<u8>,
    signatures: BTreeMap<String, Vec<u8>>,
}

impl Draft {
    /// Reads a file that may still lack signatures. Nothing is verified.
    ///
    /// # Errors
    /// As [`Envelope::parse`]; `tuf-threshold` for two signatures of one key id.
    pub fn parse(role: &str, bytes: &[u8]) -> Result<Self, TufError> {
        fn read<T: Role>(role: &str, bytes: &[u8]) -> Result<(u64, Vec<Signature>, Json), TufError> {
            let file = Envelope::<T>::parse(role, bytes)?;
            Ok((file.signed.version(), file.signatures, file.signed.signed().clone()))
        }
        let (version, found, signed) = match role {
            ROOT => read::<Root>(role, bytes)?,
            TIMESTAMP => read::<Timestamp>(role, bytes)?,
            SNAPSHOT => read::<Snapshot>(role, bytes)?,
            _ => read::<Targets>(role, bytes)?,
        };
        let mut signatures = BTreeMap::new();
        for signature in found {
            let keyid = signature.keyid.clone();
            if signatures.insert(signature.keyid, signature.bytes).is_some() {
                return Err(TufError::DuplicateSignature { role: role.to_owned(), keyid });
            }
        }
        let written = rfc8785(&signed);
        Ok(Self { role: role.to_owned(), version, signed, written, signatures })
    }

    /// An unsigned file that parses as `T`.
    pub(super) fn new<T: Role>(role: &str, signed: Json) -> Result<(Self, T), TufError> {
        let written = rfc8785(&signed);
        // What clients read is the file, not the value: a text that does not survive is found here.
        let read = json::parse(&written)
            .map_err(|error| TufError::Json { role: T::TYPE, reason: error.to_string() })?;
        let parsed = T::from_signed(read)?;
        let version = parsed.version();
        let draft = Self { role: role.to_owned(), version, signed, written, signatures: BTreeMap::new() };
        draft.to_bytes()?;
        Ok((draft, parsed))
    }

    /// Role that the file is for.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Its version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The `signed` object.
    pub const fn signed(&self) -> &Json {
        &self.signed
    }

    /// The canonical JSON of the `signed` object, which signatures are about.
    pub fn message(&self) -> Vec<u8> {
        olpc(&self.signed)
    }

    /// The bytes that `key` signs, for a signature made elsewhere; see [`payload`].
    pub fn message_for(&self, key: &PublicKey) -> Vec<u8> {
        payload(key, &self.message()).into_owned()
    }

    /// Signatures so far, by key id.
    pub fn signatures(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.signatures.iter().map(|(keyid, bytes)| (keyid.as_str(), bytes.as_slice()))
    }

    /// Adds the signature of each of `signers` under the id that [`key_id`] gives its key.
    ///
    /// # Errors
    /// [`EditError::Signer`], [`EditError::BadSignature`]; then none of the later ones has signed.
    pub fn sign(&mut self, signers: &[&dyn Signer]) -> Result<(), EditError> {
        signers.iter().try_for_each(|signer| self.sign_as(&key_id(signer.public_key()), *signer))
    }

    /// Adds the signature of `signer` under an id of the delegator's choice.
    ///
    /// # Errors
    /// [`EditError::Signer`], [`EditError::BadSignature`].
    pub fn sign_as(&mut self, keyid: &str, signer: &dyn Signer) -> Result<(), EditError> {
        let message = self.message_for(signer.public_key());
        let signature =
            signer.sign(&message).map_err(|source| EditError::Signer { role: self.role.clone(), source })?;
        // A token that signs with another key than it shows must not go unnoticed until clients refuse.
        if signer.public_key().verify(&message, &signature).is_err() {
            return Err(EditError::BadSignature { role: self.role.clone() });
        }
        self.add_signature(keyid, signature);
        Ok(())
    }

    /// Adds a signature made elsewhere, in place of an earlier one of that key id.
    pub fn add_signature(&mut self, keyid: &str, signature: Vec<u8>) {
        self.signatures.insert(keyid.to_owned(), signature);
    }

    /// Who has signed, of the keys that `keys` lists, who with one key of two, and how many are missing. For root, ask
    /// for the old and for the new root's keys.
    pub fn status(&self, table: &KeyTable, keys: &RoleKeys) -> Signers {
        let message = self.message();
        let signatures: Vec<Signature> = self
            .signatures()
            .map(|(keyid, bytes)| Signature { keyid: keyid.to_owned(), bytes: bytes.to_vec() })
            .collect();
        let signed = Signed { signatures: &signatures, message: &message };
        let nobody = Signers { unsigned: keys.keyids.clone(), ..Signers::none(keys.threshold) };
        // Ids are unique in a map, the one thing that counting refuses.
        Delegator { table, keys }.count(&self.role, signed).unwrap_or(nobody)
    }

    /// The file: canonical JSON (RFC 8785), signatures sorted by key id.
    ///
    /// OLPC's form, which signatures are on, leaves control characters in strings bare, so it is no JSON once a key
    /// in PEM is in it. Without such characters the two forms are the same.
    ///
    /// # Errors
    /// `limit-exceeded` if clients would not read a file so large.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TufError> {
        let signatures: Vec<Json> = self
            .signatures()
            .map(|(keyid, bytes)| {
                Json::object([("keyid", Json::from(keyid)), ("sig", Json::from(hex::encode(bytes)))])
            })
            .collect();
        // As RFC 8785 has the whole of it.
        let mut bytes = b"{\"signatures\":".to_vec();
        bytes.extend(rfc8785(&Json::from(signatures)));
        bytes.extend(b",\"signed\":");
        bytes.extend(&self.written);
        bytes.push(b'}');
        let max = match self.role.as_str() {
            ROOT => Root::MAX_BYTES,
            TIMESTAMP => Timestamp::MAX_BYTES,
            SNAPSHOT => Snapshot::MAX_BYTES,
            _ => Targets::MAX_BYTES,
        };
        crate::error::check_size("metadata", &bytes, max)?;
        Ok(bytes)
    }

    /// Signs with all of `signers` and gives the file.
    ///
    /// # Errors
    /// As [`Draft::sign`] and [`Draft::to_bytes`].
    pub fn signed_by(mut self, signers: &[&dyn Signer]) -> Result<Vec<u8>, EditError> {
        self.sign(signers)?;
        Ok(self.to_bytes()?)
    }

    /// What a parent lists for this file: version, length and SHA-256.
    ///
    /// # Errors
    /// As [`Draft::to_bytes`].
    pub fn describe(&self) -> Result<crate::metadata::MetaFile, TufError> {
        Ok(crate::metadata::MetaFile::describe(self.version, &self.to_bytes()?))
    }
}
