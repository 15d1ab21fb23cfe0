//! `countersign propose product`: a new product, or other signers of one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_base::name::ProductName;
use countersign_publish::proposal::{Intent, ProductIntent};

use super::{ProposeArgs, propose};
use crate::error::CliError;
use crate::member;
use crate::site::Site;

/// Propose a new product, or other signers or another threshold for one that there is
///
/// All of the signers are named: those that are left out have no say any more.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign propose product ./repo node --threshold 2 \\\n      --signer alice.pub bob.pub carol.pub\n  countersign propose product ./repo node --threshold 2 \\\n      --signer alice.pub bob.pub --separation"
)]
pub(crate) struct ProductArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The product's name: a-z, 0-9, `.`, `_`, `-`
    name: ProductName,
    /// How many signers must sign each release; without it as many as now, or 2 for a new product
    #[arg(long, value_name = "K")]
    threshold: Option<u32>,
    /// Who may sign: a .pub file, or HOLDER=KEY; may be given several times
    #[arg(long, value_name = "KEY", num_args = 1.., required = true)]
    signer: Vec<String>,
    /// Ask for two people: whoever proposes a release cannot be the only one to approve it
    #[arg(long)]
    separation: bool,
    /// Ask for two people no more; without this and without --separation the rule stays as it is
    #[arg(long, conflicts_with = "separation")]
    no_separation: bool,
    #[command(flatten)]
    propose: ProposeArgs,
}

pub(super) fn run(args: &ProductArgs, site: &Site) -> Result<ExitCode, CliError> {
    let signers = args.signer.iter().map(|text| member::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let ProductArgs { name, threshold, separation, no_separation, .. } = args;
    let intent = Intent::Product(ProductIntent {
        name: name.clone(),
        threshold: *threshold,
        signers,
        separation: match (separation, no_separation) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        },
        drop_pairs: BTreeSet::new(),
    });
    propose(&args.repo, &intent, &format!("product-{name}"), &args.propose.by_user()?, site)
}
