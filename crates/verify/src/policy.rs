//! The transparency policy that a root carries in `x-countersign`, so that log and witness keys change with root.
//!
//! Spec: C2SP tlog-policy, for its text. Here it is a list of lines.

use countersign_base::Json;
use countersign_tlog::policy::Policy;
use countersign_tuf::metadata::EXTENSION;
use countersign_tuf::{Role as _, Root};

use crate::error::VerifyError;

/// Version of the form of `x-countersign` in a root.
const API_VERSION: &str = "0.0.1";

/// What a root carries in `x-countersign`: the policy's lines.
///
/// Lines and not one text, because canonical JSON as TUF signs it leaves a newline in a string unescaped.
///
/// `None` if a name in the policy is not UTF-8, which JSON cannot carry.
pub fn policy_extension(policy: &Policy) -> Option<Json> {
    let text = String::from_utf8(policy.encode()).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    Some(Json::object([("apiVersion", Json::from(API_VERSION)), ("policy", Json::from(lines))]))
}

/// The transparency policy that a root carries in `x-countersign`.
///
/// # Errors
/// `log-policy-invalid`: absent, another `apiVersion`, not a policy, without a log, or without witnesses.
pub fn root_policy(root: &Root) -> Result<Policy, VerifyError> {
    let invalid = |source| VerifyError::PolicyInvalid { version: root.version(), source };
    let extension = root.extension(EXTENSION).ok_or_else(|| invalid(None))?;
    if extension.get("apiVersion").and_then(Json::as_str) != Some(API_VERSION) {
        return Err(invalid(None));
    }
    let lines = extension.get("policy").and_then(Json::as_array).ok_or_else(|| invalid(None))?;
    let mut text = String::new();
    for line in lines {
        let line = line.as_str().filter(|line| !line.contains('\n')).ok_or_else(|| invalid(None))?;
        text.push_str(line);
        text.push('\n');
    }
    let policy = Policy::parse(text.as_bytes()).map_err(|source| invalid(Some(source)))?;
    policy.require_witnesses().map_err(|source| invalid(Some(source)))?;
    Ok(policy)
}
