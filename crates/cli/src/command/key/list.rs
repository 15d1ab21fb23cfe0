//! `countersign key list`: the keys of a directory, and what has to be done about them next.

use std::process::ExitCode;

use clap::Args;
use countersign_base::text::escape;
use countersign_keys::KeyDir;
use serde::Serialize;

use super::Shown;
use crate::error::CliError;
use crate::printer::Report;
use crate::publishing::KeysArgs;
use crate::site::Site;

/// List the keys of a directory: what expires next, what is overdue
///
/// No secret is opened. What has to be seen to first comes first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign key list --keys ./keys")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    keys: KeysArgs,
}

#[derive(Serialize)]
struct Listing {
    ok: bool,
    keys: Vec<Shown>,
    /// How many should have been rotated by now.
    overdue: usize,
    /// How many have expired and are neither retired nor revoked.
    expired: usize,
}

impl Report for Listing {
    fn lines(&self) -> Vec<String> {
        if self.keys.is_empty() {
            return vec!["there are no keys here".to_owned()];
        }
        let row = |key: &Shown| {
            let stage = match &key.product {
                Some(product) => format!("{} {product}", key.stage),
                None => key.stage.clone(),
            };
            let place = key.place.split(':').next().unwrap_or_default().to_owned();
            [key.name.clone(), stage, escape(&key.holder), place, key.next()]
        };
        let head = ["NAME", "STAGE", "HOLDER", "PLACE", "NEXT"].map(str::to_owned);
        let rows: Vec<[String; 5]> = std::iter::once(head).chain(self.keys.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2), width(3)];
        let line = |row: &[String; 5]| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("{}  {}", cells.collect::<Vec<_>>().join("  "), row[4])
        };
        rows.iter().map(line).collect()
    }
}

pub(super) fn run(args: &ListArgs, site: &Site) -> Result<ExitCode, CliError> {
    let due = KeyDir::open(&args.keys.keys)?.due(site.now)?;
    let keys: Vec<Shown> = due.iter().map(Shown::new).collect();
    let count = |wanted: fn(&Shown) -> bool| keys.iter().filter(|key| wanted(key)).count();
    let (overdue, expired) = (count(|key| key.overdue), count(|key| key.state == "expired"));
    site.out.report(&Listing { ok: true, overdue, expired, keys })?;
    Ok(ExitCode::SUCCESS)
}
