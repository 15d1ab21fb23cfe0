//! The commands, a file each.

mod completions;
mod explain;
mod fsck;
mod history;
mod init;
mod install;
mod key;
mod list;
mod log;
mod man;
mod product;
mod proposal;
mod propose;
mod publish;
mod quickstart;
mod release;
mod renew;
mod rollback;
mod run;
mod serve;
mod sign;
mod status;
mod trust;
mod update;
mod verify;
mod witness;

use std::process::ExitCode;

use clap::Subcommand;

use crate::error::CliError;
use crate::site::Site;

/// Every command, in the order of `--help`: first look, use, publish, operate, help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Quickstart(quickstart::QuickstartArgs),
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    Verify(verify::VerifyArgs),
    Install(install::InstallArgs),
    Update(update::UpdateArgs),
    Rollback(rollback::RollbackArgs),
    List(list::ListArgs),
    Status(status::StatusArgs),
    History(history::HistoryArgs),
    Fsck(fsck::FsckArgs),
    Run(run::RunArgs),
    Init(init::InitArgs),
    #[command(subcommand)]
    Product(product::ProductCommand),
    Release(release::ReleaseArgs),
    #[command(subcommand)]
    Propose(propose::ProposeCommand),
    Sign(sign::SignArgs),
    Publish(publish::PublishArgs),
    #[command(subcommand)]
    Proposal(proposal::ProposalCommand),
    Renew(renew::RenewArgs),
    #[command(subcommand)]
    Key(key::KeyCommand),
    Serve(serve::ServeArgs),
    #[command(subcommand)]
    Log(log::LogCommand),
    #[command(subcommand)]
    Witness(witness::WitnessCommand),
    Explain(explain::ExplainArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs one command to its exit status. `program` makes the whole command line anew, for those who describe it.
pub(crate) fn dispatch(
    command: Command,
    program: fn() -> clap::Command,
    site: &Site,
) -> Result<ExitCode, CliError> {
    match command {
        Command::Quickstart(args) => quickstart::run(&args, site),
        Command::Trust(command) => trust::run(&command, site),
        Command::Verify(args) => verify::run(&args, site),
        Command::Install(args) => install::run(&args, site),
        Command::Update(args) => update::run(&args, site),
        Command::Rollback(args) => rollback::run(&args, site),
        Command::List(args) => list::run(&args, site),
        Command::Status(args) => status::run(&args, site),
        Command::History(args) => history::run(&args, site),
        Command::Fsck(args) => fsck::run(&args, site),
        Command::Run(args) => run::run(&args, site),
        Command::Init(args) => init::run(&args, site),
        Command::Product(command) => product::run(&command, site),
        Command::Release(args) => release::run(&args, site),
        Command::Propose(command) => propose::run(&command, site),
        Command::Sign(args) => sign::run(&args, site),
        Command::Publish(args) => publish::run(&args, site),
        Command::Proposal(command) => proposal::run(&command, site),
        Command::Key(command) => key::run(&command, site),
        Command::Renew(args) => renew::run(&args, site),
        Command::Serve(args) => serve::run(&args, site),
        Command::Log(command) => log::run(&command, site),
        Command::Witness(command) => witness::run(&command, site),
        Command::Explain(args) => explain::run(&args, site),
        Command::Completions(args) => completions::run(&args, program(), site),
        Command::Man(args) => man::run(&args, program(), site),
    }
}
