//! `countersign log`: run a transparency log, add to it, prove what is in it.

mod add;
mod cleaning;
mod events;
mod evidence;
mod fsck;
mod index;
mod local;
mod making;
mod mirror;
mod proof;
mod reader;
mod repair;
mod serve;
mod shared;
mod sigstore;
mod source;
mod verify;
mod waiting;

use std::process::ExitCode;

use clap::Subcommand;
use countersign_base::code;

use crate::error::CliError;
use crate::site::Site;

/// Run and look after a transparency log
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    Serve(serve::ServeArgs),
    Add(add::AddArgs),
    Proof(proof::ProofArgs),
    Verify(verify::VerifyArgs),
    Mirror(mirror::MirrorArgs),
    Fsck(fsck::FsckArgs),
    Repair(repair::RepairArgs),
    Index(index::IndexArgs),
    Evidence(evidence::EvidenceArgs),
    TrustedRoot(sigstore::TrustedRootArgs),
    SigningConfig(sigstore::SigningConfigArgs),
}

pub(crate) fn run(command: &LogCommand, site: &Site) -> Result<ExitCode, CliError> {
    let done = match command {
        LogCommand::Serve(args) => serve::run(args, site),
        LogCommand::Add(args) => add::run(args, site),
        LogCommand::Proof(args) => proof::run(args, site),
        LogCommand::Verify(args) => verify::run(args, site),
        LogCommand::Mirror(args) => mirror::run(args, site),
        LogCommand::Fsck(args) => fsck::run(args, site),
        LogCommand::Repair(args) => repair::run(args, site),
        LogCommand::Index(args) => index::run(args, site),
        LogCommand::Evidence(args) => evidence::run(args, site),
        LogCommand::TrustedRoot(args) => sigstore::trusted_root(args, site),
        LogCommand::SigningConfig(args) => sigstore::signing_config(args, site),
    };
    done.map_err(of_a_log)
}

/// The transport's advice speaks of repositories; here a log was asked.
fn of_a_log(error: CliError) -> CliError {
    if error.fix.is_none() {
        return error;
    }
    let code = error.code;
    if code == code::FETCH_FAILED || code == code::FETCH_TOO_SLOW {
        error.fix("check that the log is up and reachable, then try again")
    } else if code == code::FETCH_TLS_REQUIRED {
        error.fix("use the https:// address of the log")
    } else if code == code::FETCH_URL_REFUSED {
        error.fix("a log is at https://HOST/PATH, http://127.0.0.1:PORT, file:///DIR or DIR")
    } else {
        error
    }
}
