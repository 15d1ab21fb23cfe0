//! The `pkcs11:` URI, which names a token and a key on it.
//!
//! Spec: RFC 7512. Read are the attributes `token`, `manufacturer`, `model`, `serial`, `slot-id`, `object`, `id` and
//! `type` of the path, `module-path` and `pin-source` of the query. Any other is refused by name, because leaving out
//! what narrows a choice would widen it; `pin-value` is, because arguments are there for every process to read.
//! A URI displays in one form: attributes in a fixed order, and percent-encoding only where it is needed.

use core::fmt;
use core::str::FromStr;
use std::path::{Path, PathBuf};

use countersign_base::text::percent_decode;

use super::error::PlaceError;

/// Longest URI of any kind of place, in bytes.
pub const MAX_PLACE_BYTES: usize = 2048;
/// Longest label of a key on a token, in bytes.
pub const MAX_OBJECT_BYTES: usize = 128;
/// Longest `CKA_ID`, in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// Scheme and colon.
pub(super) const SCHEME: &str = "pkcs11:";
/// Width of the label and manufacturer fields of a token (`CK_TOKEN_INFO`), in bytes.
const LABEL_BYTES: usize = 32;
/// Width of the serial number and model fields of a token, in bytes.
const SERIAL_BYTES: usize = 16;

/// A key on a PKCS#11 token, as RFC 7512 writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pkcs11Uri {
    /// The token's label.
    pub token: Option<String>,
    /// The token's manufacturer.
    pub manufacturer: Option<String>,
    /// The token's model.
    pub model: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
    /// The slot. Numbers change from day to day with many modules: prefer label or serial number.
    pub slot_id: Option<u64>,
    /// The key's label, `CKA_LABEL`.
    pub object: Option<String>,
    /// The key's `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// The module to load. Only a person's own words may say so: it is code.
    pub module_path: Option<PathBuf>,
    /// The file whose first line is the PIN.
    pub pin_source: Option<PathBuf>,
}

impl Pkcs11Uri {
    /// The same token and key, without what belongs to this machine: the module and where the PIN is.
    #[must_use]
    pub fn without_query(&self) -> Self {
        Self { module_path: None, pin_source: None, ..self.clone() }
    }

    fn set_path_attribute(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "token" => fill(&mut self.token, text(value, LABEL_BYTES)?),
            "manufacturer" => fill(&mut self.manufacturer, text(value, LABEL_BYTES)?),
            "model" => fill(&mut self.model, text(value, SERIAL_BYTES)?),
            "serial" => fill(&mut self.serial, text(value, SERIAL_BYTES)?),
            "slot-id" => fill(&mut self.slot_id, number(value)?),
            "object" => fill(&mut self.object, text(value, MAX_OBJECT_BYTES)?),
            "id" => fill(&mut self.id, bytes(value, MAX_ID_BYTES)?),
            "type" if value == "private" => Ok(()),
            "type" => Err("its type must be `private`: it has to name a key that signs"),
            _ => Err("it has an attribute that is not understood here"),
        }
    }

    fn set_query_attribute(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "module-path" => fill(&mut self.module_path, absolute(&text(value, MAX_PLACE_BYTES)?)?),
            "pin-source" => {
                let source = text(value, MAX_PLACE_BYTES)?;
                let path = source.strip_prefix("file:").ok_or("its pin-source must be `file:` and a path")?;
                // RFC 8089: `file:///p`, `file://localhost/p` and `file:/p` are one file.
                let path =
                    path.strip_prefix("//localhost").or_else(|| path.strip_prefix("//")).unwrap_or(path);
                let path = absolute(path)?;
                // More slashes at its beginning would read as a host when it is written down.
                let rest = path.strip_prefix("/").unwrap_or(&path);
                fill(&mut self.pin_source, Path::new("/").join(rest))
            }
            "pin-value" => Err("a PIN in the URI can be read by every process: use pin-source"),
            "module-name" => Err("the module is named by its whole path: use module-path"),
            _ => Err("it has an attribute that is not understood here"),
        }
    }
}

impl FromStr for Pkcs11Uri {
    type Err = PlaceError;

    /// # Errors
    /// `key-place-invalid`.
    fn from_str(whole: &str) -> Result<Self, PlaceError> {
        let invalid = |reason| PlaceError::invalid(whole, reason);
        if whole.len() > MAX_PLACE_BYTES {
            return Err(invalid("it is too long"));
        }
        let rest = whole.strip_prefix(SCHEME).ok_or_else(|| invalid("it does not begin with `pkcs11:`"))?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut uri = Self::default();
        let mut typed = false;
        for attribute in path.split(';').filter(|_| !path.is_empty()) {
            let (name, value) = pair(attribute).map_err(invalid)?;
            if name == "type" && core::mem::replace(&mut typed, true) {
                return Err(invalid(TWICE));
            }
            uri.set_path_attribute(name, value).map_err(invalid)?;
        }
        for attribute in query.into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = pair(attribute).map_err(invalid)?;
            uri.set_query_attribute(name, value).map_err(invalid)?;
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(invalid("it names no key: add `object=` or `id=`"));
        }
        // As it is written down, where it must be read again.
        if uri.to_string().len() > MAX_PLACE_BYTES {
            return Err(invalid("it is too long"));
        }
        Ok(uri)
    }
}

impl fmt::Display for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = SCHEME;
        let mut put = |f: &mut fmt::Formatter<'_>, next, name: &str, value: &[u8]| {
            write!(f, "{separator}{name}=")?;
            separator = next;
            percent_encode(value, f)
        };
        let texts = [
            ("token", &self.token),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("serial", &self.serial),
            ("object", &self.object),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                put(f, ";", name, value.as_bytes())?;
            }
        }
        if let Some(slot) = self.slot_id {
            put(f, ";", "slot-id", slot.to_string().as_bytes())?;
        }
        if let Some(id) = &self.id {
            write!(f, "{separator}id=")?;
            for byte in id {
                write!(f, "%{byte:02X}")?;
            }
        }
        let mut separator = '?';
        if let Some(module) = &self.module_path {
            write!(f, "{separator}module-path=")?;
            percent_encode(module.as_os_str().as_encoded_bytes(), f)?;
            separator = '&';
        }
        if let Some(source) = &self.pin_source {
            write!(f, "{separator}pin-source=file:")?;
            percent_encode(source.as_os_str().as_encoded_bytes(), f)?;
        }
        Ok(())
    }
}

const TWICE: &str = "it has an attribute twice";

fn pair(attribute: &str) -> Result<(&str, &str), &'static str> {
    attribute.split_once('=').ok_or("an attribute has no value")
}

/// RFC 7512 section 2.3: no attribute twice.
fn fill<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    if place.replace(value).is_some() { Err(TWICE) } else { Ok(()) }
}

fn bytes(value: &str, limit: usize) -> Result<Vec<u8>, &'static str> {
    // What RFC 3986 has no place for, and what could end or reorder the line that a person reads.
    let plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`');
    if !value.bytes().all(plain) {
        return Err("it has a character that must be percent-encoded");
    }
    let bytes = percent_decode(value).ok_or("it has a bad percent-encoding")?;
    if bytes.is_empty() {
        return Err("an attribute is empty");
    }
    if bytes.len() > limit { Err("an attribute is too long") } else { Ok(bytes) }
}

fn text(value: &str, limit: usize) -> Result<String, &'static str> {
    let text = String::from_utf8(bytes(value, limit)?).map_err(|_| "an attribute is not UTF-8")?;
    if text.chars().any(char::is_control) { Err("an attribute has a control character") } else { Ok(text) }
}

fn number(value: &str) -> Result<u64, &'static str> {
    let number: u64 = value.parse().map_err(|_| "its slot-id is not a number")?;
    if number.to_string() == value { Ok(number) } else { Err("its slot-id is not a number") }
}

fn absolute(path: &str) -> Result<PathBuf, &'static str> {
    if Path::new(path).is_absolute() { Ok(PathBuf::from(path)) } else { Err("a path in it is not absolute") }
}

/// Percent-encodes all but RFC 3986's unreserved characters and what RFC 7512 section 2.3 leaves as it is, of which
/// only those are kept that no shell reads.
fn percent_encode(bytes: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'+' | b',')
        {
            out.write_char(char::from(byte))?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}
