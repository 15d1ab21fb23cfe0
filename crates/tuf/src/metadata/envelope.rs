//! The envelope around all metadata: signatures and what they are on (specification 4.2.1).

use countersign_base::canonical::olpc;
use countersign_base::{Json, json};

use super::Role;
use super::fields::Fields;
use crate::error::{TufError, check_count, check_size};
use crate::limits::{MAX_KEY_ID_BYTES, MAX_SIGNATURES};

/// One signature, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Which key is said to have made it.
    pub keyid: String,
    /// Its bytes; empty where a signer is still awaited (python-tuf and tuf-on-ci write such).
    pub bytes: Vec<u8>,
}

/// A metadata file that parses. Nothing about it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<T> {
    /// Signatures in the order of the file.
    pub signatures: Vec<Signature>,
    /// What they are on.
    pub signed: T,
}

impl<T: Role> Envelope<T> {
    /// Reads a file that should hold `role`, whole before any signature is looked at.
    ///
    /// # Errors
    /// `limit-exceeded`, `tuf-malformed`, `tuf-spec-unsupported`, `tuf-role-confusion` for a file of another type,
    /// and the codes of the type's own rules.
    pub fn parse(role: &str, bytes: &[u8]) -> Result<Self, TufError> {
        check_size("metadata", bytes, T::MAX_BYTES)?;
        let value = json::parse(bytes).map_err(|error| explain(T::TYPE, bytes, &error))?;
        let fields = Fields::new(&value, "")?;
        let signatures = read_signatures(&fields)?;
        let kind = Fields::new(fields.required("signed")?, "signed")?.text("_type")?;
        if kind != T::TYPE {
            let got = kind.chars().take(40).collect();
            return Err(TufError::WrongType { role: role.to_owned(), want: T::TYPE, got });
        }
        // Moved, not copied: targets are large.
        let signed = match value {
            Json::Object(mut members) => members.remove("signed").unwrap_or(Json::Null),
            _ => Json::Null,
        };
        Ok(Self { signatures, signed: T::from_signed(signed)? })
    }

    /// The bytes that signatures are made on: canonical JSON of the parsed `signed` object.
    pub fn message(&self) -> Vec<u8> {
        olpc(self.signed.signed())
    }
}

fn read_signatures(fields: &Fields<'_>) -> Result<Vec<Signature>, TufError> {
    let items = fields.array("signatures")?;
    check_count("the number of signatures", items.len(), MAX_SIGNATURES)?;
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let item = Fields::new(item, "signatures")?;
        let keyid = item.text("keyid")?;
        if keyid.is_empty() || keyid.len() > MAX_KEY_ID_BYTES {
            return Err(item.error("keyid", "is empty or too long"));
        }
        let bytes = hex::decode(item.text("sig")?).map_err(|_| item.error("sig", "is not hex"))?;
        out.push(Signature { keyid: keyid.to_owned(), bytes });
    }
    Ok(out)
}

/// Why `bytes` are not strict JSON. A threshold that is a fraction or too large an integer is no JSON here, yet its
/// error is about the threshold (attack M11). This decides between two refusals only.
fn explain(role: &'static str, bytes: &[u8], error: &json::JsonError) -> TufError {
    let lax: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let signed = lax.as_ref().and_then(|value| value.get("signed"));
    match signed.and_then(odd_threshold) {
        Some(role) => TufError::ThresholdInvalid { role },
        None => TufError::Json { role, reason: error.to_string() },
    }
}

fn odd_threshold(signed: &serde_json::Value) -> Option<String> {
    let odd = |role: &serde_json::Value| {
        role.get("threshold").is_some_and(|threshold| threshold.is_number() && !threshold.is_i64())
    };
    let named = |role: &serde_json::Value| role.get("name").and_then(|name| name.as_str()).map(str::to_owned);
    let top_level = signed.get("roles").and_then(|roles| roles.as_object());
    let top_level = top_level.into_iter().flatten().find(|(_, role)| odd(role)).map(|(name, _)| name.clone());
    let delegations = signed.get("delegations");
    let roles = delegations.and_then(|all| all.get("roles")).and_then(|roles| roles.as_array());
    let delegated = roles.into_iter().flatten().find(|role| odd(role)).and_then(named);
    let succinct = delegations.and_then(|all| all.get("succinct_roles")).filter(|role| odd(role));
    top_level.or(delegated).or_else(|| succinct.map(|_| "succinct_roles".to_owned()))
}
