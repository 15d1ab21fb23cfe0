//! `countersign trust`: which repositories this machine trusts, each by its anchor.

mod agree;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use countersign_base::code;
use countersign_base::name::RepoName;
use countersign_base::{Anchor, Timestamp};
use countersign_client::transport::{self, Location};
use countersign_client::{Repository, Want, load};
use serde::Serialize;

use crate::error::CliError;
use crate::machine;
use crate::printer::Report;
use crate::site::Site;

/// Choose the repositories that this machine trusts
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    Add(AddArgs),
    SetUrl(SetUrlArgs),
    Agree(agree::AgreeArgs),
    List(ListArgs),
    Remove(RemoveArgs),
}

/// Trust the repository at URL that ANCHOR names
///
/// Fetches and verifies its current metadata and proofs, so that `verify` works offline from then on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign trust add acme https://dl.example.com/acme csn1...")]
pub(crate) struct AddArgs {
    /// Name for it on this machine
    name: RepoName,
    /// https://..., http://127.0.0.1..., or file:///...
    url: String,
    /// The line beginning with csn1 that the publisher gives out
    anchor: Option<String>,
}

/// Fetch a trusted repository from other places: mirrors, a new host
///
/// The anchor and everything accepted so far stay, so a new place cannot offer anything that the old could not. Several
/// places are asked in the order given: where one does not answer, or what it sends does not verify, the next one is
/// asked, and you are told.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign trust set-url acme https://mirror.example.org/acme \\\n      https://dl.example.com/acme"
)]
pub(crate) struct SetUrlArgs {
    /// Its name on this machine
    name: RepoName,
    /// The places, the one to ask first first
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
}

/// List the trusted repositories
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign trust list")]
pub(crate) struct ListArgs {}

/// Stop trusting a repository; what is installed from it stays
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign trust remove acme")]
pub(crate) struct RemoveArgs {
    /// Its name on this machine
    name: RepoName,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    url: String,
    /// Where it is fetched from if that place fails, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<String>,
    anchor: String,
    added: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    products: Vec<String>,
}

impl Entry {
    fn of(repository: &Repository, products: Vec<String>) -> Self {
        let mut urls = repository.locations().iter().map(ToString::to_string);
        Self {
            name: repository.name().to_string(),
            url: urls.next().unwrap_or_default(),
            mirrors: urls.collect(),
            anchor: repository.anchor().to_string(),
            added: repository.added().to_string(),
            products,
        }
    }
}

impl Report for One {
    fn lines(&self) -> Vec<String> {
        let Entry { name, url, mirrors, products, .. } = &self.entry;
        let products = if products.is_empty() { "none yet".to_owned() } else { products.join(", ") };
        let mut lines = vec![format!("trusted {name} at {url}")];
        lines.extend(mirrors.iter().map(|mirror| format!("or else at {mirror}")));
        lines.push(format!("products: {products}"));
        lines
    }
}

/// What `add` and `set-url` print.
#[derive(Serialize)]
struct One {
    ok: bool,
    #[serde(flatten)]
    entry: Entry,
}

#[derive(Serialize)]
struct Entries {
    ok: bool,
    repositories: Vec<Entry>,
}

impl Report for Entries {
    fn lines(&self) -> Vec<String> {
        if self.repositories.is_empty() {
            return vec!["no repository is trusted yet: countersign trust add NAME URL ANCHOR".to_owned()];
        }
        self.repositories
            .iter()
            .map(|entry| format!("{}  {}  {}", entry.name, entry.url, entry.anchor))
            .collect()
    }
}

#[derive(Serialize)]
struct Removed {
    ok: bool,
    removed: String,
}

impl Report for Removed {
    fn lines(&self) -> Vec<String> {
        vec![format!("{} is no longer trusted; what is installed from it stays", self.removed)]
    }
}

pub(crate) fn run(command: &TrustCommand, site: &Site) -> Result<ExitCode, CliError> {
    match command {
        TrustCommand::Add(args) => add(args, site)?,
        TrustCommand::SetUrl(args) => set_url(args, site)?,
        TrustCommand::Agree(args) => agree::run(args, site)?,
        TrustCommand::List(ListArgs {}) => {
            let repositories = machine::home(site)?.repositories()?;
            let repositories = repositories.iter().map(|one| Entry::of(one, Vec::new())).collect();
            site.out.report(&Entries { ok: true, repositories })?;
        }
        TrustCommand::Remove(args) => {
            machine::home(site)?.remove(&args.name)?;
            site.out.report(&Removed { ok: true, removed: args.name.to_string() })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn add(args: &AddArgs, site: &Site) -> Result<(), CliError> {
    let anchor = args.anchor.as_deref().ok_or_else(|| {
        CliError::new(code::TRUST_ANCHOR_MISSING, "a repository is trusted by its anchor, and none was given")
            .fix("get the line beginning with csn1 from the publisher, by another way than the repository itself")
    })?;
    let anchor: Anchor = anchor.parse().map_err(|error| {
        CliError::from(error)
            .fix("copy the line again, from csn1 to its last character; no part of it can be guessed")
    })?;
    let location: Location = args.url.parse()?;
    let transport = transport::open(&location);
    let home = machine::home(site)?;
    let (repository, trusted) = home.add(&args.name, &location, anchor, &*transport, site.now)?;
    let products = trusted.set.products().iter().map(ToString::to_string).collect();
    site.out.report(&One { ok: true, entry: Entry::of(&repository, products) })
}

fn set_url(args: &SetUrlArgs, site: &Site) -> Result<(), CliError> {
    let locations: Vec<Location> = args.urls.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
    let repository = machine::home(site)?.set_locations(&args.name, &locations)?;
    let entry = Entry::of(&repository, products(&repository, site.now));
    site.out.report(&One { ok: true, entry })
}

/// The products of the metadata at hand, if it is still good.
fn products(repository: &Repository, now: Timestamp) -> Vec<String> {
    load(repository, &Want::All, now)
        .map(|trusted| trusted.set.products().iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}
