//! `countersign propose`: a change that several people look at and sign, a file a kind of change.

mod advisory;
mod product;
mod release;
mod renew;
mod revoke;
mod root;
mod rotate;
mod yank;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use countersign_publish::{Intent, ProposedBy};
use countersign_verify::extension::is_holder;

use crate::command::proposal::Shown;
use crate::error::CliError;
use crate::member;
use crate::publishing;
use crate::site::Site;

pub(crate) use revoke::Reason;

/// Propose a change of a repository, for others to look at and sign
///
/// Makes a folder with the old metadata, the new metadata without signatures, and what it changes in plain words. Let
/// everyone who has a say `countersign sign` it, in any order, on one copy or several; then `countersign publish` it.
/// The last line of standard output is the folder's path.
#[derive(Debug, Subcommand)]
pub(crate) enum ProposeCommand {
    Release(release::ReleaseArgs),
    Product(product::ProductArgs),
    Rotate(rotate::RotateArgs),
    Revoke(revoke::RevokeArgs),
    Yank(yank::YankArgs),
    Root(root::RootArgs),
    Renew(renew::RenewArgs),
    Advisory(advisory::AdvisoryArgs),
}

pub(crate) fn run(command: &ProposeCommand, site: &Site) -> Result<ExitCode, CliError> {
    match command {
        ProposeCommand::Release(args) => release::run(args, site),
        ProposeCommand::Product(args) => product::run(args, site),
        ProposeCommand::Rotate(args) => rotate::run(args, site),
        ProposeCommand::Revoke(args) => revoke::run(args, site),
        ProposeCommand::Yank(args) => yank::run(args, site),
        ProposeCommand::Root(args) => root::run(args, site),
        ProposeCommand::Renew(args) => renew::run(args, site),
        ProposeCommand::Advisory(args) => advisory::run(args, site),
    }
}

/// What every proposal is given.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The proposal")]
pub(crate) struct ProposeArgs {
    /// Folder for the proposal, new or empty [default: in this folder, named after the change]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Why, for those who sign
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// Who proposes it: a holder of a key by name, or the .pub file of a key of theirs [default: this machine's user]
    ///
    /// Where a product asks that a change is not approved by its proposer alone, the default is taken only if a signer
    /// of the product is called so.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Days until it can no longer be signed and published
    #[arg(long, value_name = "DAYS", default_value_t = countersign_publish::proposal::DEFAULT_VALID_DAYS)]
    valid_days: u32,
}

/// Who proposes a change and where to.
pub(crate) struct By {
    proposer: String,
    /// Nobody has named them.
    is_assumed: bool,
    args: ProposeArgs,
}

impl ProposeArgs {
    /// Proposed by this machine's user, unless another is named.
    pub(crate) fn by_user(&self) -> Result<By, CliError> {
        let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
        let user = user.filter(|user| is_holder(user));
        let user = user.unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()));
        Ok(By { is_assumed: self.by.is_none(), ..self.by_holder(&user)? })
    }

    /// Proposed by the holder of the key that is used, unless another is named.
    pub(crate) fn by_holder(&self, holder: &str) -> Result<By, CliError> {
        let proposer = match self.by.as_deref() {
            Some(by) if Path::new(by).extension().is_some_and(|ending| ending == "pub") => {
                member::parse(by)?.holder
            }
            Some(by) => by.to_owned(),
            None => holder.to_owned(),
        };
        Ok(By { proposer, is_assumed: false, args: self.clone() })
    }
}

impl By {
    /// As the library takes it.
    pub(crate) fn proposed(&self) -> ProposedBy<'_> {
        let ProposeArgs { why, valid_days, .. } = &self.args;
        ProposedBy {
            is_assumed: self.is_assumed,
            valid_days: *valid_days,
            ..ProposedBy::new(&self.proposer, why)
        }
    }

    /// Where to: as asked, or named after the change.
    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.proposal")))
    }
}

/// Proposes a change that publishes no files, and prints it.
pub(crate) fn propose(
    repo: &Path,
    intent: &Intent,
    name: &str,
    by: &By,
    site: &Site,
) -> Result<ExitCode, CliError> {
    let proposal = publishing::without_keys(repo, site, |publisher| {
        publisher.propose(intent, &by.proposed(), &by.out(name))
    })?;
    site.out.report(&Shown::proposed(&proposal, site)?)?;
    Ok(ExitCode::SUCCESS)
}
