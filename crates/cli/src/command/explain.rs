//! `countersign explain CODE`: the page of an error code, from the binary itself.

use std::process::ExitCode;

use clap::Args;
use countersign_base::{Code, code};
use serde::Serialize;

use crate::error::CliError;
use crate::printer::Report;
use crate::site::Site;

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Say what an error code means and what to do about it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign explain log-quorum-not-met")]
pub(crate) struct ExplainArgs {
    /// The code in the brackets of `error[CODE]`; without it, all codes are listed
    #[arg(value_name = "CODE")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Explanation {
    code: &'static str,
    exit: u8,
    summary: &'static str,
    page: &'static str,
}

impl Report for One {
    fn lines(&self) -> Vec<String> {
        self.explanation.page.trim_end().lines().map(str::to_owned).collect()
    }
}

/// One page.
#[derive(Serialize)]
struct One {
    ok: bool,
    #[serde(flatten)]
    explanation: Explanation,
}

#[derive(Serialize)]
struct Index {
    ok: bool,
    codes: Vec<Explanation>,
}

impl Report for Index {
    fn lines(&self) -> Vec<String> {
        let width = self.codes.iter().map(|entry| entry.code.len()).max().unwrap_or(0);
        self.codes
            .iter()
            .map(|entry| format!("{:width$}  {}  {}", entry.code, entry.exit, entry.summary))
            .collect()
    }
}

pub(crate) fn run(args: &ExplainArgs, site: &Site) -> Result<ExitCode, CliError> {
    match &args.name {
        None => {
            let codes = code::ALL.iter().map(|&code| explanation(code)).collect::<Result<_, _>>()?;
            site.out.report(&Index { ok: true, codes })?;
        }
        Some(name) => {
            // People paste what they see.
            let name = name.trim_start_matches("error[").trim_end_matches([']', ':']);
            let code = Code::find(name).ok_or_else(|| unknown(name))?;
            site.out.report(&One { ok: true, explanation: explanation(code)? })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn explanation(code: Code) -> Result<Explanation, CliError> {
    let found = PAGES.binary_search_by_key(&code.name(), |(name, _)| *name);
    let index =
        found.map_err(|_| CliError::new(code::INTERNAL_ERROR, format!("the page of {code} is missing")))?;
    Ok(Explanation {
        code: code.name(),
        exit: code.class().exit_status(),
        summary: code.summary(),
        page: PAGES[index].1,
    })
}

fn unknown(name: &str) -> CliError {
    let near =
        code::ALL.iter().map(|code| code.name()).filter(|known| known.contains(name) && !name.is_empty());
    let near: Vec<_> = near.take(5).collect();
    let fix = if near.is_empty() {
        "`countersign explain` lists all codes".to_owned()
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    CliError::new(code::EXPLAIN_UNKNOWN, format!("there is no error code `{name}`")).fix(fix)
}
