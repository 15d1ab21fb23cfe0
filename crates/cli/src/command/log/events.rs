//! What `log serve` says while it runs, on standard error: one line a change.

use std::error::Error;

use countersign_base::text::escape;
use countersign_log::LogError;
use countersign_server::LogEvent;

use super::proof::entries;
use crate::printer::Printer;

/// Says a change to whoever runs the log, on standard error.
pub(super) fn say(out: &Printer, event: &LogEvent<'_>) {
    match event {
        LogEvent::Leads { epoch, recovered } => {
            out.step_now(&format!("leading the log (epoch {epoch})"));
            if *recovered > 0 {
                out.step_now(&format!(
                    "took over {} that the leader before had not signed",
                    entries(*recovered as u64)
                ));
            }
        }
        LogEvent::Follows { epoch, url: Some(url) } => {
            out.step_now(&format!("front end of {} (epoch {epoch})", escape(url)));
        }
        LogEvent::Follows { epoch, url: None } => out.warn_now(&format!(
            "front end that takes no submissions, as the leader (epoch {epoch}) has no --advertise"
        )),
        LogEvent::Waits { epoch } => {
            out.step_now(&format!(
                "waiting for the lead, which an earlier run has not given back (epoch {epoch})"
            ));
        }
        LogEvent::Blind { error } => {
            let error: &dyn Error = match error {
                LogError::Storage(below) => below,
                other => other,
            };
            out.warn_now(&format!("the bucket does not say who leads: {}", chain(error)));
        }
        LogEvent::Sees => out.step_now("the bucket says again who leads"),
        LogEvent::WitnessFails { name, error } => {
            out.warn_now(&format!("witness `{}` does not cosign: {error}", escape(name)));
        }
        LogEvent::WitnessCosigns { name } => {
            out.step_now(&format!("witness `{}` cosigns again", escape(name)))
        }
        LogEvent::Unpublished { error } => {
            out.warn_now(&format!("entries are taken and not published{}; trying again", want(error)));
        }
        LogEvent::Published { size } => out.step_now(&format!("published again, {}", entries(*size))),
        _ => {}
    }
}

/// For want of whom there is no quorum.
fn want(error: &LogError) -> String {
    match error {
        LogError::Quorum { failed, .. } if !failed.is_empty() => {
            let names: Vec<_> = failed.iter().map(|(name, _)| format!("`{}`", escape(name))).collect();
            format!(", for want of {}", names.join(", "))
        }
        other => format!(": {}", chain(other)),
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
