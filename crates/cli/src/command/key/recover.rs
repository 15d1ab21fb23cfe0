//! `countersign key recover`: a key from its shares.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_keys::KeyDir;
use countersign_keys::escrow::{self, MAX_SHARE_BYTES, Share};
use serde::Serialize;
use zeroize::Zeroizing;

use super::Shown;
use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::printer::Report;
use crate::publishing::{self, NewKeysArgs};
use crate::site::Site;

/// Put a key together from its shares
///
/// Each share is checked by itself and against the others: one that was changed, or is of another key, is named. With
/// too few nothing is learnt about the key.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign key recover a.txt c.txt e.txt --keys ./recovered")]
pub(crate) struct RecoverArgs {
    /// The shares' files
    #[arg(required = true, value_name = "SHARE")]
    shares: Vec<PathBuf>,
    #[command(flatten)]
    keys: NewKeysArgs,
}

#[derive(Serialize)]
struct Recovered {
    ok: bool,
    #[serde(flatten)]
    key: Shown,
}

impl Report for Recovered {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("key {} is recovered", self.key.name)];
        lines.extend(self.key.lines().into_iter().skip(1));
        lines
    }
}

pub(super) fn run(args: &RecoverArgs, site: &Site) -> Result<ExitCode, CliError> {
    let shares = args.shares.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    // Before anybody is asked for a passphrase.
    escrow::recover(&shares)?;
    let dir = KeyDir::open_or_create(&args.keys.keys.keys)?;
    let mut passphrases = Passphrases::new(&site.out);
    let passphrase = args.keys.passphrase(&mut passphrases)?;
    let info = dir.recover(&shares, publishing::protection(passphrase.as_ref()))?;
    let due = super::due_of(&dir, &info, site)?;
    site.out.report(&Recovered { ok: true, key: Shown::new(&due) })?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Share, CliError> {
    // Looked at before it is opened: opening a FIFO waits for whoever writes to it.
    if !std::fs::metadata(path).map_err(|error| CliError::reading(path, &error))?.is_file() {
        let what = format!("{} is not a regular file", path.display());
        return Err(CliError::new(code::FILE_NOT_REGULAR, what));
    }
    // All of its room at once: growing would leave copies of the secret behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_SHARE_BYTES + 1));
    let read =
        File::open(path).and_then(|file| file.take(MAX_SHARE_BYTES as u64 + 1).read_to_string(&mut text));
    read.map_err(|error| CliError::reading(path, &error))?;
    Ok(Share::parse(&path.display().to_string(), &text)?)
}
