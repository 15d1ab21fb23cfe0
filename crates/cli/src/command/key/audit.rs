//! `countersign key audit`: is the log of key usage whole, and does it have every signature that is out there?

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_base::Explain as _;
use countersign_base::text::escape;
use countersign_keys::KeyDir;
use countersign_keys::usage::{self, Head, Use};
use serde::Serialize;

use super::found::{self, Found};
use crate::error::CliError;
use crate::printer::Report;
use crate::publishing::KeysArgs;
use crate::site::Site;

/// Uses that are printed, the latest.
const SHOWN_USES: usize = 10;

/// Check the log of what the keys of a folder were used for
///
/// Reads the log from its first entry to its last and proves that nothing was changed or cut. With REPO, looks for
/// signatures by these keys in the repository's metadata that the log lacks: somebody else has made those. Keep the
/// head that it prints elsewhere, and give it the next time.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign key audit --keys ./keys\n  countersign key audit ./repo --keys ./keys\n  countersign key audit ./repo --keys ./keys --head 41:5f2c..."
)]
pub(crate) struct AuditArgs {
    /// The repository's folder, whose signatures are looked for in the log
    repo: Option<PathBuf>,
    #[command(flatten)]
    keys: KeysArgs,
    /// The head that an earlier audit printed
    #[arg(long, value_name = "SIZE:ROOT")]
    head: Option<Head>,
}

#[derive(Serialize)]
struct Audited {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    uses: u64,
    head: String,
    /// Entries whose clock was set back.
    clock_back: Vec<u64>,
    /// The latest uses.
    latest: Vec<Used>,
    /// How many signatures of the repository were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<usize>,
    missing: Vec<Missing>,
}

#[derive(Serialize)]
struct Used {
    index: u64,
    when: String,
    key: String,
    holder: String,
    role: String,
    why: String,
    sha256: String,
}

#[derive(Serialize)]
struct Missing {
    key: String,
    file: String,
    sha256: String,
}

impl Report for Audited {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("the log of key usage is whole; uses in it: {}", self.uses)];
        for used in &self.latest {
            let (key, role) = (escape(&used.key), escape(&used.role));
            let holder = match &used.holder {
                holder if *holder == used.key => String::new(),
                holder => format!(" ({})", escape(holder)),
            };
            lines.push(format!(
                "  {}  {key}{holder}  {role}  {}",
                used.when,
                escape(&short_digests(&used.why))
            ));
        }
        if !self.clock_back.is_empty() {
            lines.push(format!("note      the clock was set back before {} of them", self.clock_back.len()));
        }
        if let Some(compared) = self.compared {
            lines.push(match self.missing.len() {
                0 => format!("compared  {compared} signatures of the repository: all are in the log"),
                missing => {
                    format!("compared  {compared} signatures of the repository: {missing} ARE NOT IN THE LOG")
                }
            });
        }
        for missing in &self.missing {
            lines.push(format!(
                "MISSING   {} signed {}, SHA-256 {}",
                missing.key, missing.file, missing.sha256
            ));
        }
        if !self.missing.is_empty() {
            lines.push("fix       somebody may have a copy of the key:".to_owned());
            lines.push(
                "          countersign key revoke REPO NAME --reason compromised --keys DIR".to_owned(),
            );
        }
        lines.push(format!("head      {}", self.head));
        lines.push("note      keep the head elsewhere, and give it with --head the next time".to_owned());
        lines
    }
}

pub(super) fn run(args: &AuditArgs, site: &Site) -> Result<ExitCode, CliError> {
    let dir = KeyDir::open(&args.keys.keys)?;
    let keys = dir.list()?;
    let mut latest = VecDeque::new();
    let audit = usage::audit(&dir.usage_path(), args.head.as_ref(), site.now, &mut |index, used| {
        if latest.len() == SHOWN_USES {
            latest.pop_front();
        }
        latest.push_back(Used::new(index, used));
    })?;
    let found = args.repo.as_deref().map(|repo| found::signatures(repo, &keys)).transpose()?;
    let signed: Vec<_> = found.iter().flatten().map(|one| one.signed.clone()).collect();
    let missing: Vec<Missing> = found
        .iter()
        .flatten()
        .filter(|one| !audit.missing(std::slice::from_ref(&one.signed)).is_empty())
        .map(Missing::new)
        .collect();
    let error = audit.check(&signed).err();
    let report = Audited {
        ok: error.is_none(),
        code: error.as_ref().map(|error| error.code().name()),
        uses: audit.head.size,
        head: audit.head.to_string(),
        clock_back: audit.clock_back.clone(),
        latest: latest.into(),
        compared: found.as_ref().map(Vec::len),
        missing,
    };
    site.out.report(&report)?;
    Ok(match error {
        None => ExitCode::SUCCESS,
        Some(error) => site.out.exit(&error.into()),
    })
}

impl Used {
    fn new(index: u64, used: &Use) -> Self {
        Self {
            index,
            when: used.when.to_string(),
            key: used.key.clone(),
            holder: used.holder.clone(),
            role: used.role.clone(),
            why: used.why.clone(),
            sha256: used.digest.to_string(),
        }
    }
}

impl Missing {
    fn new(found: &Found) -> Self {
        Self { key: found.key.clone(), file: found.file.clone(), sha256: found.signed.1.to_string() }
    }
}

/// A reason with its digests cut to what tells two apart, for a line on a terminal.
fn short_digests(why: &str) -> String {
    let short = |word: &str| {
        let hex = word.trim_end_matches(':');
        let is_digest = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_digest { format!("{}...{}", &hex[..8], &word[64..]) } else { word.to_owned() }
    };
    why.split(' ').map(short).collect::<Vec<_>>().join(" ")
}
