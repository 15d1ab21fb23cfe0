//! `countersign key escrow`: a key as shares, of which some give it back.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_keys::KeyDir;
use countersign_store::{RealDisk, durable};
use serde::Serialize;

use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::printer::Report;
use crate::publishing::KeysArgs;
use crate::site::Site;

/// Split a key's secret into shares, so that a lost key can be recovered and nobody alone has it
///
/// Any K of the N shares give the key back with `key recover`; fewer tell nothing. Each share is a small text file that
/// can be printed: give each to another person, and delete the files. The key stays where it is.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign key escrow root-1 --keys ./keys --shares 5 --threshold 3 \\\n      --out ./shares"
)]
pub(crate) struct EscrowArgs {
    /// The key's name
    name: String,
    #[command(flatten)]
    keys: KeysArgs,
    /// How many shares to make, at most 16
    #[arg(long, value_name = "N", default_value_t = 5)]
    shares: u8,
    /// How many of them give the key back, at least 2
    #[arg(long, value_name = "K", default_value_t = 3)]
    threshold: u8,
    /// Folder for the shares; it must be new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Split {
    ok: bool,
    key: String,
    threshold: u8,
    shares: Vec<String>,
}

impl Report for Split {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "key {} is split: any {} of {} shares give it back",
            self.key,
            self.threshold,
            self.shares.len()
        )];
        lines.extend(self.shares.iter().map(|share| format!("share     {share}")));
        lines.push("next      give each to another person, then delete these files".to_owned());
        lines
    }
}

pub(super) fn run(args: &EscrowArgs, site: &Site) -> Result<ExitCode, CliError> {
    let dir = KeyDir::open(&args.keys.keys)?;
    let info = dir.find(&args.name)?;
    if std::fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some()) {
        let what = format!("{} is not empty", args.out.display());
        return Err(CliError::new(code::USAGE, what).fix("name a new folder with --out"));
    }
    let mut passphrases = Passphrases::new(&site.out);
    let shares = dir
        .split(&info, passphrases.asker(), args.threshold, args.shares)
        .map_err(|error| passphrases.advise(error.into()))?;
    durable::create_dir_all(&RealDisk, &args.out)?;
    let mut written = Vec::new();
    for share in &shares {
        let name = format!("{}.share-{}-of-{}.txt", info.name, share.index(), share.count());
        let path = args.out.join(name);
        durable::write_atomic(&RealDisk, &path, share.to_text().as_bytes(), 0o600)?;
        written.push(path.display().to_string());
    }
    let key = info.name.to_string();
    site.out.report(&Split { ok: true, key, threshold: args.threshold, shares: written })?;
    Ok(ExitCode::SUCCESS)
}
