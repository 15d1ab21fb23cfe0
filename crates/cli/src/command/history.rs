//! `countersign history`: what was active when, and which generations are on the disk.

use std::process::ExitCode;

use clap::Args;
use countersign_install::{EventKind, View};
use serde::Serialize;

use crate::error::CliError;
use crate::machine::{RootArgs, Target};
use crate::printer::Report;
use crate::site::Site;

/// Show which versions of a product were active when
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign history acme/node")]
pub(crate) struct HistoryArgs {
    /// The product
    #[arg(value_name = "NAME/PRODUCT")]
    target: Target,
    #[command(flatten)]
    root: RootArgs,
}

#[derive(Serialize)]
struct Past {
    ok: bool,
    product: String,
    events: Vec<Event>,
    generations: Vec<Generation>,
}

#[derive(Serialize)]
struct Event {
    time: String,
    event: &'static str,
    version: String,
    generation: u64,
}

#[derive(Serialize)]
struct Generation {
    number: u64,
    version: String,
    active: bool,
}

impl Report for Past {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .events
            .iter()
            .map(|one| {
                format!("{}  {:8} {} (generation {})", one.time, one.event, one.version, one.generation)
            })
            .collect();
        let on_disk = self.generations.iter().map(|one| {
            let mark = if one.active { "*" } else { "" };
            format!("{}{mark}", one.version)
        });
        lines.push(format!("on disk: {} (* active)", on_disk.collect::<Vec<_>>().join(", ")));
        lines
    }
}

pub(crate) fn run(args: &HistoryArgs, site: &Site) -> Result<ExitCode, CliError> {
    let product = &args.target.product;
    let history = View::open(&args.root.path(site)?).history(product)?;
    let events = history.events.iter().map(|event| Event {
        time: event.at.to_string(),
        event: match event.kind {
            EventKind::Install => "install",
            EventKind::Rollback => "rollback",
        },
        version: event.version.to_string(),
        generation: event.generation,
    });
    let generations = history.generations.iter().map(|one| Generation {
        number: one.number,
        version: one.version.to_string(),
        active: history.active == Some(one.number),
    });
    site.out.report(&Past {
        ok: true,
        product: product.to_string(),
        events: events.collect(),
        generations: generations.collect(),
    })?;
    Ok(ExitCode::SUCCESS)
}
