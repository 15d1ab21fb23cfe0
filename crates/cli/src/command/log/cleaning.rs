//! A running log's old partial tiles: removed some time after the full ones are published.

use std::path::Path;
use std::thread;
use std::time::Duration;

use countersign_base::code;
use countersign_log::Cleaner;
use countersign_tlog::VerifierKey;

use crate::error::CliError;
use crate::printer::Printer;

/// How often; so long, at least, a partial tile is served beside the full one.
const EVERY: Duration = Duration::from_secs(600);

/// Cleans the log's public folder now and then, as long as the process lives. What cannot be removed is told, and does
/// the log no harm.
pub(super) fn keep_clean(public: &Path, key: VerifierKey, out: Printer) -> Result<(), CliError> {
    let mut cleaner = Cleaner::new(public, key)?;
    let work = move || {
        let mut told = false;
        loop {
            match cleaner.clean() {
                Ok(_) => told = false,
                Err(error) if !told => {
                    told = true;
                    let error = CliError::from(error);
                    let causes = error.causes.iter().map(|cause| format!(": {cause}")).collect::<String>();
                    out.warn_now(&format!("old partial tiles are not removed: {}{causes}", error.what));
                }
                Err(_) => {}
            }
            thread::sleep(EVERY);
        }
    };
    let spawned = thread::Builder::new().name("log-clean".to_owned()).spawn(work);
    spawned
        .map(drop)
        .map_err(|error| CliError::new(code::SERVE_FAILED, "no thread can be started").because(error))
}
