//! What the commands of a publisher share: keys, passphrases, witnesses.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use clap::Args;
use countersign_base::code;
use countersign_base::text::escape;
use countersign_client::HttpCosigner;
use countersign_client::transport::BaseUrl;
use countersign_keys::{Passphrase, Protection};
use countersign_log::{CosignError, Cosigner};
use countersign_publish::{Publication, PublishError, Publisher, WitnessSpec};
use countersign_tlog::policy::PolicyWitness;
use countersign_tlog::witness::AddCheckpoint;
use countersign_tlog::{NoteSignature, VerifierKey};
use serde::Serialize;

use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::printer::Notice;
use crate::site::Site;

/// Where the secret keys are.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// Folder of the secret keys; keep it off the machine that serves the repository
    ///
    /// Their passphrase is typed, or it is the first line of the file that COUNTERSIGN_PASSPHRASE_FILE names.
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: PathBuf,
}

/// Where the secret keys are, and how new ones are kept.
#[derive(Debug, Args)]
pub(crate) struct NewKeysArgs {
    #[command(flatten)]
    pub(crate) keys: KeysArgs,
    /// Keep new keys without a passphrase: for tests, and for machines that no one types at
    #[arg(long)]
    pub(crate) unencrypted: bool,
}

impl NewKeysArgs {
    /// The passphrase for new keys, unless they are to have none.
    pub(crate) fn passphrase(&self, passphrases: &mut Passphrases) -> Result<Option<Passphrase>, CliError> {
        if self.unencrypted { Ok(None) } else { passphrases.create().map(Some) }
    }
}

pub(crate) const fn protection(passphrase: Option<&Passphrase>) -> Protection<'_> {
    match passphrase {
        None => Protection::Unencrypted,
        Some(passphrase) => Protection::Passphrase(passphrase),
    }
}

/// Does one act of publishing in the repository at `repository`.
pub(crate) fn publish<T>(
    repository: &Path,
    keys: &Path,
    passphrases: &mut Passphrases,
    site: &Site,
    act: impl FnOnce(&mut Publisher<'_>) -> Result<T, PublishError>,
) -> Result<T, CliError> {
    let mut connect = |witness: &PolicyWitness| -> Box<dyn Cosigner> { connect(witness) };
    let mut publisher = Publisher::new(repository, keys, site.now, passphrases.asker(), &mut connect);
    let done = act(&mut publisher);
    done.map_err(|error| passphrases.advise(error.into()))
}

/// Does what needs no keys with the repository at `repository`: looking at it, proposing.
pub(crate) fn without_keys<T>(
    repository: &Path,
    site: &Site,
    act: impl FnOnce(&mut Publisher<'_>) -> Result<T, PublishError>,
) -> Result<T, CliError> {
    publish(repository, Path::new(""), &mut Passphrases::new(&site.out), site, act)
}

/// `VKEY URL`, as `witness serve` prints it.
pub(crate) fn witness(text: &str) -> Result<WitnessSpec, CliError> {
    let malformed = |reason: String| {
        CliError::new(code::USAGE, "a witness is named by its vkey and its URL, separated by a space")
            .because(reason)
            .fix("--witness 'NAME+HASH+KEY https://witness.example'")
    };
    let (key, url) =
        text.trim().split_once(' ').ok_or_else(|| malformed(format!("`{text}` has no space")))?;
    let key = VerifierKey::from_str(key).map_err(|error| malformed(error.to_string()))?;
    let url = url.trim();
    url.parse::<BaseUrl>()?;
    Ok(WitnessSpec { key, url: url.to_owned() })
}

/// The HTTP client of a witness that the policy gives a URL.
pub(crate) fn connect(witness: &PolicyWitness) -> Box<dyn Cosigner + Send> {
    let name = witness.key.name().to_owned();
    let url = witness.url.as_ref().and_then(|url| url.as_str()).unwrap_or_default();
    match url.parse::<BaseUrl>() {
        Ok(url) => Box::new(HttpCosigner::new(name, &url)),
        Err(error) => Box::new(Unreachable { name, reason: error.to_string() }),
    }
}

/// A witness whose URL in the policy cannot be used.
struct Unreachable {
    name: String,
    reason: String,
}

impl Cosigner for Unreachable {
    fn name(&self) -> &str {
        &self.name
    }

    fn cosign(&mut self, _: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
        Err(CosignError::Unavailable(self.reason.clone()))
    }
}

/// What was logged and witnessed, for reports.
#[derive(Debug, Serialize)]
pub(crate) struct Published {
    documents: Vec<Document>,
    timestamp_expires: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree_size: Option<u64>,
    witnesses: Vec<String>,
    /// What else happened that is no error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notices: Vec<Notice>,
}

#[derive(Debug, Serialize)]
struct Document {
    role: String,
    version: u64,
    log_index: u64,
}

impl Published {
    pub(crate) fn new(publication: &Publication) -> Self {
        Self {
            documents: publication
                .documents
                .iter()
                .map(|one| Document { role: one.role.clone(), version: one.version, log_index: one.index })
                .collect(),
            timestamp_expires: publication.timestamp_expires.to_string(),
            tree_size: publication.tree_size,
            witnesses: publication.cosigners.clone(),
            notices: notices(publication),
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(size) = self.tree_size {
            let names: Vec<String> =
                self.documents.iter().map(|one| format!("{} {}", escape(&one.role), one.version)).collect();
            lines.push(format!("logged    {} (tree size {size})", names.join(", ")));
            lines.push(format!("witnessed {}", self.witnesses.join(", ")));
        }
        lines.push(format!("fresh     until {}; `countersign renew` extends it", self.timestamp_expires));
        lines.extend(
            self.notices.iter().map(|notice| format!("note      {}: {}", notice.code, notice.message)),
        );
        lines
    }
}

fn notices(publication: &Publication) -> Vec<Notice> {
    if publication.recovered == 0 {
        return Vec::new();
    }
    let message = format!(
        "an earlier run was interrupted; the entries that it had promised are in the log now ({})",
        publication.recovered
    );
    vec![Notice { code: code::LOG_RECOVERED.name(), message }]
}
