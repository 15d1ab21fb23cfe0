//! The command line as a whole: the options that every command has, and the list of commands.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::command::Command;

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

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print one JSON document on standard output, errors too
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Folder of this machine's trust: repositories, metadata, checkpoints [default: ~/.local/share/countersign]
    #[arg(long, global = true, value_name = "DIR", env = "COUNTERSIGN_HOME")]
    pub(crate) home: Option<PathBuf>,
    /// Print nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour; `NO_COLOR` is respected
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
