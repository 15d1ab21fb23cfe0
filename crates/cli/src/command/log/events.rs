//! What `log serve` says while it runs, on standard error: one line a change.

use countersign_base::text::escape;
use countersign_server::LogEvent;

use crate::printer::Printer;

/// Says a change to whoever runs the log, on standard error.
pub(super) fn say(out: &Printer, event: &LogEvent<'_>) {
    match event {
        LogEvent::Leads { epoch, recovered } => {
            out.step(&format!("leading the log (epoch {epoch})"));
            if *recovered > 0 {
                out.step(&format!("{recovered} entries that the leader before had acknowledged are signed now"));
            }
        }
        LogEvent::Follows { epoch, url: Some(url) } => {
            out.step(&format!("front end of {} (epoch {epoch})", escape(url)));
        }
        LogEvent::Follows { epoch, url: None } => out.warn(&format!(
            "front end without a leader to pass submissions on to: the one of epoch {epoch} has no --advertise"
        )),
        LogEvent::Blind { error } => out.warn(&format!("who leads the log cannot be read: {}", chain(error))),
        LogEvent::Sees => out.step("who leads the log can be read again"),
        LogEvent::WitnessFails { name, error } => {
            out.warn(&format!("witness `{}` does not cosign: {error}", escape(name)));
        }
        LogEvent::WitnessCosigns { name } => out.step(&format!("witness `{}` cosigns again", escape(name))),
        LogEvent::Unpublished { .. } => {
            out.warn("entries are taken and not published: too few witnesses cosign; trying again");
        }
        LogEvent::Published { size } => out.step(&format!("published again, {size} entries")),
        _ => {}
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
