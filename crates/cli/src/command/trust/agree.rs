//! `countersign trust agree`: several repositories must list the same file before it is taken.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use countersign_base::code;
use countersign_base::name::{ProductName, RepoName};
use countersign_client::{ClientError, Home, Want, load, load_as_proven};
use countersign_verify::{MAX_MAP_BYTES, RepositoryMap, Unmapped};
use serde::Serialize;

use crate::error::CliError;
use crate::machine::{self, Target};
use crate::printer::Report;
use crate::site::Site;

/// Have several repositories agree on a product before any file of it is taken
///
/// `install`, `update`, `verify` and `run` then take a file of the product only if as many of the repositories as
/// --threshold says list it, with the same length and digests: whoever breaks into one of them alone reaches no one.
/// Without arguments, shows what is set. Kept as a map file of TUF's TAP 4.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign trust agree acme/node audit\n  countersign trust agree acme/node audit mirror --threshold 2\n  countersign trust agree acme/node --forget\n  countersign trust agree --map map.json"
)]
pub(crate) struct AgreeArgs {
    /// The product, and the first of the repositories
    #[arg(value_name = "NAME/PRODUCT")]
    target: Option<Target>,
    /// The other repositories, by the names that they are trusted under
    #[arg(value_name = "OTHER")]
    others: Vec<RepoName>,
    /// How many of the repositories must list the same file [default: all of them]
    #[arg(long, value_name = "K")]
    threshold: Option<usize>,
    /// Let the repository that is named decide alone again
    #[arg(long, conflicts_with_all = ["others", "threshold"])]
    forget: bool,
    /// Take over a TAP 4 map file, in place of all that was set
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "others", "threshold", "forget"])]
    map: Option<PathBuf>,
}

#[derive(Serialize)]
struct Agreements {
    ok: bool,
    agreements: Vec<Agreement>,
    /// Whether a path that none of them covers is refused.
    others_refused: bool,
}

#[derive(Serialize)]
struct Agreement {
    paths: Vec<String>,
    repositories: Vec<String>,
    threshold: usize,
    terminating: bool,
}

impl Agreements {
    fn of(map: &RepositoryMap) -> Self {
        let agreements = map.mappings.iter().map(|mapping| Agreement {
            paths: mapping.paths.clone(),
            repositories: mapping.repositories.iter().map(ToString::to_string).collect(),
            threshold: mapping.threshold,
            terminating: mapping.terminating,
        });
        let others_refused = map.unmapped == Unmapped::Refused;
        Self { ok: true, agreements: agreements.collect(), others_refused }
    }
}

impl Report for Agreements {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .agreements
            .iter()
            .map(|one| {
                let (paths, names) = (one.paths.join(" "), one.repositories.join(", "));
                let else_ask = if one.terminating { "" } else { "; if they do not, the next line is asked" };
                let (threshold, all) = (one.threshold, one.repositories.len());
                format!("{paths}  {threshold} of {all} must list the same file: {names}{else_ask}")
            })
            .collect();
        if self.agreements.is_empty() {
            lines.push("each repository decides alone".to_owned());
        }
        if self.others_refused {
            lines.push("everything else is refused".to_owned());
        }
        lines
    }
}

pub(super) fn run(args: &AgreeArgs, site: &Site) -> Result<(), CliError> {
    let home = machine::home(site)?;
    let map = match (&args.map, &args.target) {
        (Some(path), _) => home.replace_map(&read(path)?)?,
        (None, None) => home.map()?.unwrap_or_default(),
        (None, Some(target)) if args.forget => home.change_map(|map| {
            map.unset(&target.product);
            Ok(())
        })?,
        (None, Some(target)) => {
            let Some(first) = &target.repository else {
                let what = "the first repository is named with the product, as NAME/PRODUCT";
                return Err(CliError::new(code::USAGE, what));
            };
            if args.others.is_empty() {
                let what = "name the other repositories that must agree";
                return Err(CliError::new(code::USAGE, what)
                    .fix("`countersign trust agree NAME/PRODUCT OTHER..`, or --forget to end it"));
            }
            let names: Vec<_> = std::iter::once(first).chain(&args.others).cloned().collect();
            let threshold = args.threshold.unwrap_or(names.len());
            check_known(&home, &target.product, &names, site)?;
            home.change_map(|map| map.set(&target.product, names, threshold).map_err(ClientError::from))?
        }
    };
    site.out.report(&Agreements::of(&map))
}

/// Refuses a product that none of these repositories has, by the metadata at hand, and tells which of them have it not.
///
/// A mistyped name would be kept, and the product that was meant would go on being taken from one repository alone. Of a
/// repository whose metadata is not at hand nothing is known.
fn check_known(home: &Home, product: &ProductName, names: &[RepoName], site: &Site) -> Result<(), CliError> {
    let (mut having, mut lacking) = (0, Vec::new());
    for name in names {
        let repository = home.repository(name)?;
        let want = Want::Products(&[]);
        let known = load(&repository, &want, site.now).or_else(|_| load_as_proven(&repository, &want));
        match known {
            Ok(known) if known.set.products().contains(product) => having += 1,
            Ok(_) => lacking.push(name),
            Err(_) => {}
        }
    }
    if having == 0 && lacking.len() == names.len() {
        let what = format!("none of these repositories has a product `{product}`");
        return Err(
            CliError::new(code::INSTALL_PRODUCT_UNKNOWN, what).fix("`countersign list` shows what there is")
        );
    }
    for name in lacking {
        site.out.warn(&format!("{name} has no product `{product}` yet, and can agree to nothing of it"));
    }
    Ok(())
}

fn read(path: &PathBuf) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    // One byte more than is allowed tells a file that is too long.
    let read = File::open(path).and_then(|file| file.take(MAX_MAP_BYTES as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| CliError::reading(path, &error))?;
    Ok(bytes)
}
