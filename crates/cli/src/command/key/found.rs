//! Signatures by known keys in a repository's metadata, for comparing with the log of key usage.

use std::path::Path;

use countersign_base::code;
use countersign_crypto::sha256;
use countersign_keys::KeyInfo;
use countersign_keys::usage::Signed;
use countersign_store::durable;
use countersign_tuf::editor::Draft;
use countersign_tuf::limits::MAX_TARGETS_BYTES;
use countersign_tuf::metadata::key_id;

use crate::error::CliError;

/// Most metadata files that are read.
const MAX_FILES: usize = 100_000;

/// A good signature by one of the keys.
pub(super) struct Found {
    /// The key's name.
    pub(super) key: String,
    /// The metadata file.
    pub(super) file: String,
    /// The public key and SHA-256 of what it signed.
    pub(super) signed: Signed,
}

/// Every good signature by one of `keys` on metadata of the repository at `repo`.
pub(super) fn signatures(repo: &Path, keys: &[KeyInfo]) -> Result<Vec<Found>, CliError> {
    let folder = repo.join("metadata");
    let reading = |error: std::io::Error| {
        CliError::new(code::PUBLISH_REPO_MISSING, format!("there is no repository at {}", repo.display()))
            .because(error)
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(reading)? {
        let name = entry.map_err(reading)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".json") {
            names.push(name);
        }
        if names.len() > MAX_FILES {
            let what = format!("{} has more than {MAX_FILES} files", folder.display());
            return Err(CliError::new(code::LIMIT_EXCEEDED, what));
        }
    }
    names.sort_unstable();
    let mut found = Vec::new();
    for name in names {
        if let Some(bytes) = durable::read(&folder.join(&name), MAX_TARGETS_BYTES as u64)? {
            in_file(&name, &bytes, keys, &mut found)?;
        }
    }
    Ok(found)
}

fn in_file(name: &str, bytes: &[u8], keys: &[KeyInfo], found: &mut Vec<Found>) -> Result<(), CliError> {
    let stem = name.trim_end_matches(".json");
    let role = stem.split_once('.').map_or(stem, |(_, role)| role);
    let draft = Draft::parse(role, bytes)?;
    for (keyid, signature) in draft.signatures() {
        for key in keys.iter().filter(|key| key_id(&key.public) == keyid) {
            let message = draft.message_for(&key.public);
            if key.public.verify(&message, signature).is_ok() {
                let (key_name, public) = (key.name.to_string(), key.public.clone());
                found.push(Found {
                    key: key_name,
                    file: name.to_owned(),
                    signed: (public, sha256(&message)),
                });
            }
        }
    }
    Ok(())
}
