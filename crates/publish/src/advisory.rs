//! An advisory: what is known about a vulnerability, as an OSV file that the product's signers stand behind.
//!
//! It is a target of the product's role, `<product>/advisories/osv/<id>.json`, so every TUF client can fetch it, and
//! none takes it for a release: its second part is no version. Form: <https://ossf.github.io/osv-schema/>.

use std::path::Path;

use countersign_base::Timestamp;
use countersign_base::json::{self, Json};
use countersign_base::name::{FileName, ProductName};
use countersign_crypto::sha256;
use countersign_store::durable;
use countersign_tuf::editor::TargetsEditor;
use countersign_tuf::metadata::{Hashes, TargetFile};
use countersign_verify::EXTENSION;

use crate::error::PublishError;
use crate::proposal::{AdvisoryIntent, Plan, PlannedFile, Planning};

/// Largest advisory, in bytes.
pub const MAX_ADVISORY_BYTES: u64 = 256 * 1024;
/// The member of a target's `x-countersign` that says when its advisory was last changed.
const MODIFIED: &str = "modified";

impl AdvisoryIntent {
    /// Reads an OSV file that is about `product`: it must say its `id`, when it was `modified`, and what is `affected`.
    ///
    /// # Errors
    /// `file-not-found`, `file-unreadable`, `limit-exceeded`; `usage` for anything but an OSV advisory.
    pub fn read(product: &ProductName, path: &Path) -> Result<Self, PublishError> {
        let bytes = durable::read(path, MAX_ADVISORY_BYTES)?;
        let bytes = bytes.ok_or_else(|| PublishError::FileNotFound { path: path.to_owned() })?;
        let malformed = |reason: &str| PublishError::AdvisoryMalformed {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let (id, modified) = parse(&bytes).map_err(|reason| malformed(&reason))?;
        Ok(Self {
            product: product.clone(),
            id,
            modified,
            length: bytes.len() as u64,
            sha256: sha256(&bytes),
        })
    }

    /// Its target path.
    pub(crate) fn target(&self) -> String {
        format!("{}/advisories/osv/{}.json", self.product, self.id)
    }
}

/// The members that every OSV file has.
fn parse(bytes: &[u8]) -> Result<(FileName, Timestamp), String> {
    let value = json::parse(bytes).map_err(|error| error.to_string())?;
    let text = |member: &str| value.get(member).and_then(Json::as_str);
    let id = text("id").ok_or("it has no `id`")?;
    let id: FileName = id.parse().map_err(|error| format!("its `id` cannot be a file name: {error}"))?;
    // The file's name is the id with an ending, and must be a name too.
    format!("{id}.json").parse::<FileName>().map_err(|_| "its `id` is too long")?;
    let modified = text("modified").ok_or("it has no `modified`")?;
    let modified = seconds(modified).ok_or("its `modified` is not a time in UTC")?;
    let affected = value.get("affected").and_then(Json::as_array).unwrap_or_default();
    if affected.is_empty() || affected.iter().any(|one| one.as_object().is_none()) {
        return Err("its `affected` does not list what it is about".to_owned());
    }
    Ok((id, modified))
}

/// A time in UTC. OSV allows fractions of a second, which are left out.
fn seconds(text: &str) -> Option<Timestamp> {
    let whole = match text.split_once('.') {
        Some((whole, fraction)) => {
            let digits = fraction.strip_suffix('Z')?;
            if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            format!("{whole}Z")
        }
        None => text.to_owned(),
    };
    whole.parse().ok()
}

/// The product's next file, which lists the advisory, new or newer than the one of its id.
pub(crate) fn plan(planning: &Planning<'_>, intent: &AdvisoryIntent) -> Result<Plan, PublishError> {
    let name = intent.product.as_str();
    let (role, target) = (planning.current.product(name)?, intent.target());
    let listed = role.target(&target).and_then(|entry| entry.custom.as_ref());
    let before = listed.and_then(|custom| custom.get(EXTENSION)?.get(MODIFIED)?.as_str());
    if before.and_then(|text| text.parse::<Timestamp>().ok()).is_some_and(|before| before >= intent.modified)
    {
        let reason = "the advisory that is published was changed at that time or later";
        return Err(PublishError::ProposalUsage { reason });
    }
    let custom = Json::object([(MODIFIED, Json::from(intent.modified.to_string()))]);
    // One hash, as for releases: a copy must be served under each that is listed (6.2.1).
    let hashes = Hashes { sha256: Some(intent.sha256), sha512: None, others: false };
    let custom = Some(Json::object([(EXTENSION, custom)]));
    let mut editor = TargetsEditor::next(name, role);
    editor
        .set_version((planning.version)(name))
        .set_expires(planning.now.plus_days(planning.expiries.product_days))
        .set_target(&target, &TargetFile { length: intent.length, hashes, custom })?;
    let file = PlannedFile { target, length: intent.length, sha256: intent.sha256 };
    Ok(Plan { drafts: vec![editor.finish()?], files: vec![file] })
}
