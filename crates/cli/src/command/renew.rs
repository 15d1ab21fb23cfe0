//! `countersign renew`: a fresh timestamp, before clients refuse the old one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::printer::Report;
use crate::publishing::{self, KeysArgs, Published};
use crate::site::Site;

/// Sign the timestamp anew, and the snapshot when it is near its end
///
/// Run it from a timer, daily or so: clients refuse a repository whose timestamp has expired, because somebody
/// could be holding back what is newer. Needs only the online keys.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign renew ./repo --keys ./online-keys")]
pub(crate) struct RenewArgs {
    /// The repository's folder
    repo: PathBuf,
    #[command(flatten)]
    keys: KeysArgs,
}

#[derive(Serialize)]
struct Renewed {
    ok: bool,
    repository: String,
    #[serde(flatten)]
    published: Published,
}

impl Report for Renewed {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("repository {} is renewed", self.repository)];
        lines.extend(self.published.lines());
        lines
    }
}

pub(crate) fn run(args: &RenewArgs, site: &Site) -> Result<ExitCode, CliError> {
    let mut passphrases = Passphrases::new(&site.out);
    let done = publishing::publish(&args.repo, &args.keys.keys, &mut passphrases, site, |publisher| {
        publisher.renew()
    })?;
    let repository = args.repo.display().to_string();
    site.out.report(&Renewed { ok: true, repository, published: Published::new(&done) })?;
    Ok(ExitCode::SUCCESS)
}
