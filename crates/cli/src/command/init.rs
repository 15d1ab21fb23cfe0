//! `countersign init`: a new repository, its keys, its log and its first publication.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_publish::InitOptions;
use serde::Serialize;

use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::printer::Report;
use crate::publishing::{self, NewKeysArgs, Published};
use crate::site::Site;

/// Make a new repository; prints its trust anchor on the last line
///
/// Makes three root keys, of which two must sign, keys for snapshot, timestamp and the log, and, unless witnesses
/// are named, a witness of its own. The anchor is what users trust: publish it where they will look for it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign init ./repo --keys ./keys\n  countersign init ./repo --keys ./keys \\\n      --witness 'witness.example/w1+1a2b3c4d+BAA... https://witness.example'"
)]
pub(crate) struct InitArgs {
    /// Folder of the new repository; any web server can serve it
    repo: PathBuf,
    #[command(flatten)]
    keys: NewKeysArgs,
    /// A witness that must cosign: its vkey and URL, separated by a space; may be given several times
    #[arg(long, value_name = "'VKEY URL'")]
    witness: Vec<String>,
    /// The log's origin [default: from the folder's name and the log's key]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// How many root keys to make
    #[arg(long, value_name = "N", default_value_t = 3)]
    root_keys: u32,
    /// How many of them must sign
    #[arg(long, value_name = "K", default_value_t = 2)]
    root_threshold: u32,
}

#[derive(Serialize)]
struct Initialised {
    ok: bool,
    repository: String,
    keys: String,
    log: String,
    witness_keys: Vec<String>,
    local_witness: bool,
    /// Keys that were there already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    found_keys: Vec<String>,
    #[serde(flatten)]
    published: Published,
    anchor: String,
}

impl Report for Initialised {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("repository {} is ready", self.repository),
            format!("keys      {}: guard them, and keep the root keys apart", self.keys),
        ];
        lines.extend(self.published.lines());
        if !self.found_keys.is_empty() {
            let names = self.found_keys.join(", ");
            lines.push(format!("note      keys that were in {} already are used: {names}", self.keys));
        }
        if self.local_witness {
            lines.push(
                "note      the only witness is this machine's own: it gives no independence".to_owned(),
            );
        }
        lines.push("the trust anchor, for your users:".to_owned());
        lines.push(self.anchor.clone());
        lines
    }
}

pub(crate) fn run(args: &InitArgs, site: &Site) -> Result<ExitCode, CliError> {
    let witnesses =
        args.witness.iter().map(|text| publishing::witness(text)).collect::<Result<Vec<_>, _>>()?;
    let local_witness = witnesses.is_empty();
    let mut passphrases = Passphrases::new(&site.out);
    let passphrase = args.keys.passphrase(&mut passphrases)?;
    let options = InitOptions {
        witnesses,
        origin: args.origin.clone(),
        root_keys: args.root_keys,
        root_threshold: args.root_threshold,
        ..InitOptions::new(publishing::protection(passphrase.as_ref()))
    };
    let keys = &args.keys.keys.keys;
    let done =
        publishing::publish(&args.repo, keys, &mut passphrases, site, |publisher| publisher.init(&options))?;
    site.out.report(&Initialised {
        ok: true,
        repository: args.repo.display().to_string(),
        keys: keys.display().to_string(),
        log: done.policy.logs().iter().map(|log| log.key.to_string()).collect::<Vec<_>>().join(" "),
        witness_keys: done.policy.witnesses().iter().map(|one| one.key.to_string()).collect(),
        local_witness,
        found_keys: done.found_keys,
        published: Published::new(&done.publication),
        anchor: done.anchor.to_string(),
    })?;
    Ok(ExitCode::SUCCESS)
}
