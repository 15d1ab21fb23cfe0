//! `countersign product`: what a repository releases, and who signs it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use countersign_base::name::ProductName;
use countersign_publish::ProductOptions;
use serde::Serialize;

use crate::error::CliError;
use crate::member;
use crate::passphrase::Passphrases;
use crate::printer::Report;
use crate::publishing::{self, NewKeysArgs, Published};
use crate::site::Site;

/// Add products to a repository
#[derive(Debug, Subcommand)]
pub(crate) enum ProductCommand {
    Add(AddArgs),
}

/// Add a product with signers of its own
///
/// Without --signer, as many new keys as the threshold are made, and all of them must sign each release.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign product add ./repo node --keys ./keys\n  countersign product add ./repo node --keys ./keys \\\n      --threshold 2 --signer ed25519:1a2b... --signer bob.pub"
)]
pub(crate) struct AddArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The product's name: a-z, 0-9, `.`, `_`, `-`
    name: ProductName,
    #[command(flatten)]
    keys: NewKeysArgs,
    /// How many signers must sign each release
    #[arg(long, value_name = "K", default_value_t = 2)]
    threshold: u32,
    /// A public key, or its .pub file, that may sign; may be given several times
    #[arg(long, value_name = "PUBKEY", num_args = 1..)]
    signer: Vec<String>,
}

#[derive(Serialize)]
struct Added {
    ok: bool,
    product: String,
    threshold: u32,
    signers: Vec<String>,
    #[serde(flatten)]
    published: Published,
}

impl Report for Added {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "product {} is added; {} of {} keys must sign its releases",
            self.product,
            self.threshold,
            self.signers.len()
        )];
        lines.extend(self.signers.iter().map(|key| format!("signer    {key}")));
        lines.extend(self.published.lines());
        lines
    }
}

pub(crate) fn run(command: &ProductCommand, site: &Site) -> Result<ExitCode, CliError> {
    let ProductCommand::Add(args) = command;
    let signers = args.signer.iter().map(|text| member::new_key(text)).collect::<Result<Vec<_>, _>>()?;
    let mut passphrases = Passphrases::new(&site.out);
    // Keys are made only where no signers are named.
    let passphrase = if signers.is_empty() { args.keys.passphrase(&mut passphrases)? } else { None };
    let options = ProductOptions {
        threshold: args.threshold,
        signers,
        ..ProductOptions::new(&args.name, publishing::protection(passphrase.as_ref()))
    };
    let keys = &args.keys.keys.keys;
    let done = publishing::publish(&args.repo, keys, &mut passphrases, site, |publisher| {
        publisher.product_add(&options)
    })?;
    site.out.report(&Added {
        ok: true,
        product: args.name.to_string(),
        threshold: done.threshold,
        signers: done.signers.iter().map(ToString::to_string).collect(),
        published: Published::new(&done.publication),
    })?;
    Ok(ExitCode::SUCCESS)
}
