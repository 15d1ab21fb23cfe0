//! `countersign log evidence`: what two checkpoints that a mirror kept prove to anybody.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_log::mirror::{Evidence, MAX_EVIDENCE_BYTES, Shown};
use countersign_store::durable;
use serde::Serialize;

use super::sigstore::vkey;
use crate::error::CliError;
use crate::printer::Report;
use crate::site::Site;

/// Check evidence that a log has signed two histories
///
/// Needs the file and the log's key alone, and no network. `log mirror` writes such a file when a log shows two trees
/// that are not one history.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign log evidence \\\n      ./mirror/.countersign/evidence/5891b5....json \\\n      --vkey log.example.com+1a2b3c4d+AaBb..."
)]
pub(crate) struct EvidenceArgs {
    /// The evidence
    file: PathBuf,
    /// The log's key; several if it has changed its key
    #[arg(long, value_name = "VKEY", required = true)]
    vkey: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    ok: bool,
    origin: String,
    /// Whether the log has signed two histories.
    split_view: bool,
    first: Tree,
    second: Tree,
}

#[derive(Serialize)]
struct Tree {
    size: u64,
    root: String,
}

impl From<Shown> for Found {
    fn from(shown: Shown) -> Self {
        let tree = |size, root: countersign_tlog::Hash| Tree { size, root: root.to_string() };
        Self {
            ok: true,
            origin: shown.origin,
            split_view: shown.proves_split_view,
            first: tree(shown.sizes.0, shown.first_root),
            second: tree(shown.sizes.1, shown.second_root),
        }
    }
}

impl Report for Found {
    fn lines(&self) -> Vec<String> {
        let what = if self.split_view {
            format!("log {} has signed two trees that are not one history", self.origin)
        } else {
            format!("log {} was shown at an older state; that alone proves no second history", self.origin)
        };
        let tree = |tree: &Tree| format!("  {} entries, root {}", tree.size, tree.root);
        vec![what, tree(&self.first), tree(&self.second)]
    }
}

pub(crate) fn run(args: &EvidenceArgs, site: &Site) -> Result<ExitCode, CliError> {
    let keys = args.vkey.iter().map(|text| vkey(text)).collect::<Result<Vec<_>, _>>()?;
    let missing =
        || CliError::new(code::FILE_NOT_FOUND, format!("there is no file `{}`", args.file.display()));
    let bytes = durable::read(&args.file, MAX_EVIDENCE_BYTES as u64)?.ok_or_else(missing)?;
    let shown = Evidence::parse(&bytes)?.verify(&keys)?;
    site.out.report(&Found::from(shown))?;
    Ok(ExitCode::SUCCESS)
}
