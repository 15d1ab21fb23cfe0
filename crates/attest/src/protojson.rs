//! Reading messages in protobuf's JSON form.
//!
//! Spec: <https://protobuf.dev/programming-guides/json/>: a field is named in lowerCamelCase or as in the message's
//! definition, `null` is a field that is not set, bytes are base64 of either alphabet with or without padding, and
//! members that are not known are left alone.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use countersign_base::Json;

use crate::error::RekorError;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A field's two names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    /// lowerCamelCase.
    pub(crate) json: &'static str,
    /// As in the message's definition.
    pub(crate) proto: &'static str,
}

/// A name that is the same in both forms.
pub(crate) const fn plain(name: &'static str) -> Name {
    Name { json: name, proto: name }
}

/// The field of a message, `None` if it is not set.
pub(crate) fn field(message: &Json, name: Name) -> Result<Option<&Json>, RekorError> {
    let set = |name: &str| message.get(name).filter(|value| **value != Json::Null);
    match (set(name.json), set(name.proto)) {
        (Some(_), Some(_)) if name.json != name.proto => Err(RekorError::Twice(name.json)),
        (found, other) => Ok(found.or(other)),
    }
}

/// A field that is a message and must be set.
pub(crate) fn message(parent: &Json, name: Name) -> Result<&Json, RekorError> {
    let value = field(parent, name)?.ok_or(RekorError::Missing(name.json))?;
    if value.as_object().is_some() { Ok(value) } else { Err(RekorError::Member(name.json)) }
}

/// A field of bytes that must be set and not empty.
pub(crate) fn bytes(parent: &Json, name: Name) -> Result<Vec<u8>, RekorError> {
    let value = field(parent, name)?.ok_or(RekorError::Missing(name.json))?;
    let text = value.as_str().ok_or(RekorError::Member(name.json))?;
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &PLAIN };
    let bytes = engine.decode(text).map_err(|_| RekorError::Base64(name.json))?;
    if bytes.is_empty() { Err(RekorError::Missing(name.json)) } else { Ok(bytes) }
}

/// Bytes as they are written: the standard alphabet, padded.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
