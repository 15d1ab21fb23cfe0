//! What a run knows of its surroundings: the instant, the client's folder, the printer.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use countersign_base::{Timestamp, code};

use crate::error::CliError;
use crate::global::Global;
use crate::printer::Printer;

/// One run's surroundings.
#[derive(Debug)]
pub(crate) struct Site {
    /// The instant of this run, read once.
    pub(crate) now: Timestamp,
    /// The way to the user.
    pub(crate) out: Printer,
    home: Option<PathBuf>,
}

impl Site {
    pub(crate) fn new(global: &Global, out: Printer) -> Result<Self, CliError> {
        Ok(Self { now: now()?, out, home: global.home.clone() })
    }

    /// The folder of this machine's trust: `--home`, else the platform's convention.
    pub(crate) fn home(&self) -> Result<PathBuf, CliError> {
        if let Some(home) = &self.home {
            return Ok(home.clone());
        }
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .map(|data| data.join("countersign"))
            .ok_or_else(|| {
                CliError::new(
                    code::USAGE,
                    "neither HOME nor XDG_DATA_HOME names a folder for this machine's trust",
                )
                .fix("name one with `--home DIR` or COUNTERSIGN_HOME")
            })
    }
}

/// The machine's clock, in whole seconds.
///
/// The only place in the product that reads it for a decision about trust.
pub(crate) fn now() -> Result<Timestamp, CliError> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| Timestamp::from_unix(since.as_secs()))
        .ok_or_else(|| {
            CliError::new(code::CLOCK_BEHIND_EVIDENCE, "this machine's clock is before 1970 or after 9999")
                .fix("set the clock and try again")
        })
}
