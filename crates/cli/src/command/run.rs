//! `countersign run`: hash a program's open file, then execute that very file.

use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use clap::Args;
use countersign_base::code;
use countersign_base::name::{ProductName, TargetPath};
use countersign_client::{Hearing, Panel};
use countersign_install::{OpenFile, View};
use countersign_verify::Claim;
use rustix::io::{FdFlags, fcntl_setfd};

use crate::error::CliError;
use crate::machine::{self, RootArgs, Target};
use crate::site::Site;

/// Check an installed program and run it
///
/// The open file is hashed and then executed, so nothing can be put in its place in between. Its exit status is
/// the program's own; 1 with an error on standard error if the program was changed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign run acme/node -- --data-dir /var/lib/node\n  countersign run acme/node --file node-cli -- status"
)]
pub(crate) struct RunArgs {
    /// The product
    #[arg(value_name = "NAME/PRODUCT")]
    target: Target,
    #[command(flatten)]
    root: RootArgs,
    /// Which of its files [default: the one named like the product]
    #[arg(long, value_name = "NAME")]
    file: Option<String>,
    /// Arguments for the program
    #[arg(last = true, value_name = "ARG")]
    args: Vec<std::ffi::OsString>,
}

pub(crate) fn run(args: &RunArgs, site: &Site) -> Result<ExitCode, CliError> {
    let product = &args.target.product;
    let name = args.file.as_deref().unwrap_or(product.as_str());
    let opened = View::open(&args.root.path(site)?).open_verified(product, name)?;
    check_agreement(product, &opened, site)?;
    // A script's interpreter opens the descriptor again by its path, so it has to survive the exec.
    fcntl_setfd(&opened.file, FdFlags::empty()).map_err(|error| {
        CliError::new(code::FILE_UNREADABLE, "the program cannot be handed on").because(error)
    })?;
    let descriptor = format!("/proc/self/fd/{}", opened.file.as_raw_fd());
    let error = Command::new(descriptor).arg0(name).args(&args.args).exec();
    // Who has it open for writing could change it after it was hashed (attack D11).
    if error.kind() == std::io::ErrorKind::ExecutableFileBusy {
        let what = format!("another process has {} open for writing", opened.path.display());
        return Err(CliError::new(code::INSTALL_CONTENT_CHANGED, what)
            .because(error)
            .fix("end that process, then install the product again"));
    }
    Err(CliError::new(code::FILE_UNREADABLE, format!("{} cannot be executed", opened.path.display()))
        .because(error))
}

/// Where several repositories must agree on the product's files, they must on this one: also if it was installed
/// before that was asked for.
fn check_agreement(product: &ProductName, opened: &OpenFile, site: &Site) -> Result<(), CliError> {
    let home = machine::home(site)?;
    let mut panel = Panel::open(&home, Hearing::Proven, site.now)?;
    let (generation, entry) = (&opened.generation, &opened.entry);
    let path = TargetPath {
        product: product.clone(),
        version: generation.version.clone(),
        platform: generation.platform.clone(),
        name: entry.name.clone(),
    };
    panel.check(&Claim { path, length: entry.length, sha256: entry.sha256, sha512: None })?;
    Ok(())
}
