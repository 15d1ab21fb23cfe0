//! `countersign serve`: a repository or a mirror of a log over HTTP, for tests, small teams, and behind a proxy.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_server::{Listening, ServeError, Until, serve_log_files, serve_repository};
use serde_json::json;

use crate::error::CliError;
use crate::site::Site;

/// Serve a repository, or a mirror of a log, over HTTP
///
/// Prints `listening on http://ADDRESS` and goes on until Ctrl-C. Only public files are served; any static web
/// server does as well, and nothing depends on trusting it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign serve ./repo --listen 127.0.0.1:8080")]
pub(crate) struct ServeArgs {
    /// The repository's folder, or one that `log mirror` made
    repo: PathBuf,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: String,
}

pub(crate) fn run(args: &ServeArgs, site: &Site) -> Result<ExitCode, CliError> {
    // Before anybody is told that there is something to fetch.
    let is_repository = args.repo.join("metadata").is_dir();
    if !is_repository && !args.repo.join("checkpoint").is_file() {
        return Err(ServeError::NoRepository { path: args.repo.clone() }.into());
    }
    let listening = Listening::bind(&args.listen)?;
    let url = listening.url();
    if site.out.is_json() {
        site.out.json_line(&json!({ "listening": url }))?;
    } else {
        site.out.raw(&format!("listening on {url}\n"))?;
    }
    if is_repository {
        serve_repository(&args.repo, listening, Until::Interrupted)?;
    } else {
        serve_log_files(&args.repo, listening, Until::Interrupted)?;
    }
    Ok(ExitCode::SUCCESS)
}
