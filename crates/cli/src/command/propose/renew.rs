//! `countersign propose renew`: the same content for another term.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_publish::RenewedBy;
use countersign_publish::proposal::{Intent, RenewIntent};

use super::{ProposeArgs, propose};
use crate::error::CliError;
use crate::publishing;
use crate::site::Site;

/// Propose to sign root, targets or products for another term, as they are
///
/// For what expires before anything else changes it: `renew --check` says what is due. Snapshot and timestamp need no
/// people, `countersign renew` signs those.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign propose renew ./repo\n  countersign propose renew ./repo targets node"
)]
pub(crate) struct RenewArgs {
    /// The repository's folder
    repo: PathBuf,
    /// `root`, `targets` or a product; may be given several times [default: all that is due]
    #[arg(value_name = "ROLE")]
    roles: Vec<String>,
    #[command(flatten)]
    propose: ProposeArgs,
}

pub(super) fn run(args: &RenewArgs, site: &Site) -> Result<ExitCode, CliError> {
    let roles = if args.roles.is_empty() { due(&args.repo, site)? } else { args.roles.clone() };
    let intent = Intent::Renew(RenewIntent { roles: roles.into_iter().collect() });
    propose(&args.repo, &intent, "renew", &args.propose.by_user()?, site)
}

/// What people have to renew by now.
fn due(repo: &Path, site: &Site) -> Result<Vec<String>, CliError> {
    let due = publishing::without_keys(repo, site, |publisher| publisher.due())?;
    let due = due.into_iter().filter(|due| due.is_due && due.by == RenewedBy::People);
    let roles: Vec<String> = due.map(|due| due.role).collect();
    if roles.is_empty() {
        return Err(CliError::new(code::USAGE, "nothing that takes people is due")
            .fix("`countersign renew REPO --check` shows when it is; to renew something now, name it"));
    }
    Ok(roles)
}
