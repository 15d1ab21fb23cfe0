//! `countersign man DIR`: a manual page for every command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use countersign_base::code;
use serde::Serialize;

use crate::error::CliError;
use crate::printer::Report;
use crate::site::Site;

/// The section of the manual for programs.
const SECTION: &str = "1";
/// What `after_help` begins with where it has examples.
const EXAMPLES: [&str; 2] = ["Examples:\n", "Example:\n"];

/// Write a manual page for every command
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign man ~/.local/share/man/man1\n  man countersign-key-new")]
pub(crate) struct ManArgs {
    /// Folder for the pages, made if it is not there; pages of the same names are replaced
    dir: PathBuf,
}

#[derive(Serialize)]
struct Written {
    ok: bool,
    dir: String,
    pages: Vec<String>,
}

impl Report for Written {
    fn lines(&self) -> Vec<String> {
        vec![
            format!("{} pages are in {}", self.pages.len(), self.dir),
            format!("read one  man -l {}", Path::new(&self.dir).join("countersign.1").display()),
        ]
    }
}

pub(crate) fn run(args: &ManArgs, program: Command, site: &Site) -> Result<ExitCode, CliError> {
    let writing = |error: io::Error| {
        let what = format!("cannot write manual pages to {}", args.dir.display());
        CliError::new(code::STORAGE_FAILED, what).because(error)
    };
    fs::create_dir_all(&args.dir).map_err(writing)?;
    let mut command = program.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    write(&command, &args.dir, &mut pages).map_err(writing)?;
    let dir = args.dir.display().to_string();
    site.out.report(&Written { ok: true, dir, pages })?;
    Ok(ExitCode::SUCCESS)
}

/// The page of a command and those of all below it.
fn write(command: &Command, dir: &Path, pages: &mut Vec<String>) -> io::Result<()> {
    let source = concat!("countersign ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).section(SECTION).source(source).manual("Countersign");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(help) = command.get_after_help() {
        after_help(&help.to_string()).to_writer(&mut page)?;
    }
    let name = man.get_filename();
    fs::write(dir.join(&name), page)?;
    pages.push(name);
    command.get_subcommands().try_for_each(|below| write(below, dir, pages))
}

/// Examples as they are typed; anything else as text.
fn after_help(text: &str) -> Roff {
    let mut roff = Roff::new();
    match EXAMPLES.iter().find_map(|head| text.strip_prefix(head)) {
        Some(examples) => {
            roff.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in examples.lines() {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
        }
        None => {
            roff.control("SH", ["NOTES"]).text([roman(text)]);
        }
    }
    roff
}
