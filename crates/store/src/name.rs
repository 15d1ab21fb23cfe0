//! Object names: plain relative paths with `/` between components.

use countersign_base::text;

use crate::durable::TEMP_PREFIX;
use crate::error::StoreError;

/// Longest object name, in bytes.
pub const MAX_NAME_BYTES: usize = 1024;
/// Longest component of one, in bytes; what common file systems allow.
pub const MAX_COMPONENT_BYTES: usize = 255;

/// Refuses a name that could mean another file than it says: absolute, with `..`, `.` or an empty component, with
/// a backslash or control character, or one that looks like an unfinished file.
pub fn check(name: &str) -> Result<(), StoreError> {
    match broken_rule(name) {
        None => Ok(()),
        Some(why) => {
            let shown: String = name.chars().take(200).collect();
            Err(StoreError::Name { name: text::escape(&shown), why })
        }
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Some("it is empty or too long");
    }
    if name.chars().any(|c| c.is_control() || c == '\\') {
        return Some("it has a control character or backslash");
    }
    name.split('/').find_map(|component| match component {
        "" => Some("it is absolute or has an empty component"),
        "." | ".." => Some("it has a `.` or `..` component"),
        long if long.len() > MAX_COMPONENT_BYTES => Some("a component is too long"),
        temp if temp.starts_with(TEMP_PREFIX) => Some("it looks like an unfinished file"),
        _ => None,
    })
}
