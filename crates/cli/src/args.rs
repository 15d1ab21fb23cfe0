//! The command line as a whole: the options that every command has, and the list of commands.

use clap::Parser;

use crate::command::Command;
use crate::global::Global;

/// Carries software from its source to the machine that runs it so that nobody in between can change it unseen
///
/// Exit status: 0 done and trusted; 1 refused, something is not trustworthy and nothing was installed or
/// published; 2 usage or configuration; 3 unavailable, which says nothing about trust.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, arg_required_else_help = true)]
#[command(
    after_help = "Start with `countersign quickstart`. Ask `countersign explain CODE` about any error."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}
