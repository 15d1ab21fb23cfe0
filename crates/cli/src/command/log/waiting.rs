//! An entry that is durable and not published yet: waiting for the checkpoint, and who it is that is waited for.

use std::thread;
use std::time::{Duration, Instant};

use countersign_base::text::escape;
use countersign_base::{Code, Explain as _, code};
use countersign_client::{BaseUrl, HttpTransport, Transport as _};
use countersign_log::LogError;
use countersign_server::WITNESS_FAILING;

use super::reader::{Head, Reader};
use crate::error::CliError;

/// How long a checkpoint that covers the entry is waited for.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// How long, where the log says that witnesses fail it.
const MAX_WAIT_FAILING: Duration = Duration::from_secs(5);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(20);
/// How often the log is asked which witnesses fail it.
const ASK: Duration = Duration::from_millis(500);
/// Of a log's metrics so much is read.
const MAX_METRICS_BYTES: u64 = 64 * 1024;

/// A witness, and how it fails the log.
type Failing = (String, Code);

/// The log's checkpoint, as soon as it covers the entry. `url` is where the log answers, if it is not a folder.
pub(super) fn covering(reader: &Reader, url: Option<&str>, index: u64) -> Result<Head, CliError> {
    let start = Instant::now();
    let (mut asked, mut failing) = (start, Vec::new());
    loop {
        match reader.head() {
            Ok(head) if head.size() > index => return Ok(head),
            // Before the first publication there is no checkpoint.
            Err(error) if error.code != code::FETCH_NOT_FOUND => return Err(error),
            _ => {}
        }
        let waited = start.elapsed();
        if waited > MAX_WAIT || (!failing.is_empty() && waited > MAX_WAIT_FAILING) {
            let fix = "nothing is lost: the log publishes it by itself once enough witnesses cosign\n\
                       run the same command again then; it finds the entry and proves it";
            return Err(advised(unpublished(index, &failing), fix));
        }
        if let Some(url) = url.filter(|_| asked.elapsed() > ASK) {
            (asked, failing) = (Instant::now(), ask(url));
        }
        thread::sleep(POLL);
    }
}

/// What is said where a log of this machine could not publish what it has made durable.
pub(super) fn explain(index: u64, error: LogError) -> CliError {
    let LogError::Quorum { failed, .. } = &error else { return error.into() };
    let failing: Vec<Failing> = failed.iter().map(|(name, why)| (name.clone(), why.code())).collect();
    let told = CliError::from(error);
    let error = CliError { code: told.code, class: told.class, ..unpublished(index, &failing) };
    let fix = "nothing is lost: once enough witnesses cosign, run the same command again\n\
               it finds the entry, publishes it and proves it";
    advised(error.because(told.what), fix)
}

/// What to do, and first what the witness's operator has to do.
fn advised(error: CliError, fix: &str) -> CliError {
    if error.code == code::WITNESS_INCONSISTENT {
        return error.fix(
            "the log has two histories, as its witness sees it: waiting does not help, and the entry counts for nothing\n\
             whoever runs the log must stop it: `countersign explain witness-inconsistent`",
        );
    }
    if error.code == code::WITNESS_LOG_UNKNOWN {
        return error.fix(format!("the witness must be given the log's vkey, by whoever runs it\n{fix}"));
    }
    error.fix(fix)
}

fn unpublished(index: u64, failing: &[Failing]) -> CliError {
    let what = format!("entry {index} is durable in the log and not published yet");
    // Who does not know the log must be told of it; waiting for them does not help.
    let refused = failing.iter().map(|(_, code)| *code).find(|code| *code != code::WITNESS_UNAVAILABLE);
    let code = refused.unwrap_or(code::WITNESS_UNAVAILABLE);
    if failing.is_empty() {
        return CliError::new(code, what).because("no checkpoint that covers it came in time");
    }
    let said = |(name, code): &Failing| {
        let name = escape(name);
        match *code {
            code::WITNESS_UNAVAILABLE => format!("witness `{name}` cannot be reached"),
            code::WITNESS_LOG_UNKNOWN => format!("witness `{name}` does not know the log"),
            other => format!("witness `{name}` does not cosign it ({other})"),
        }
    };
    CliError::new(code, format!("{what}: {}", failing.iter().map(said).collect::<Vec<_>>().join(", ")))
}

/// The witnesses that fail the log, as its metrics say; none where it shows no metrics.
fn ask(url: &str) -> Vec<Failing> {
    let Ok(base) = url.parse::<BaseUrl>() else { return Vec::new() };
    let Ok(page) = HttpTransport::new(&base).get("metrics", MAX_METRICS_BYTES) else { return Vec::new() };
    String::from_utf8_lossy(&page).lines().filter_map(read_line).collect()
}

/// `NAME{witness="..",code=".."} 1`.
fn read_line(line: &str) -> Option<Failing> {
    let (name, rest) = quoted(line.strip_prefix(WITNESS_FAILING)?.strip_prefix("{witness=")?)?;
    let (code, _) = quoted(rest.strip_prefix(",code=")?)?;
    let known = code::ALL.iter().copied().find(|known| known.name() == code);
    Some((name, known.unwrap_or(code::WITNESS_UNAVAILABLE)))
}

/// A label's value, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let text = text.strip_prefix('"')?;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_tell_which_witness_fails() {
        let line = r#"countersign_log_witness_failing{witness="a \"b\" \\c",code="witness-log-unknown"} 1"#;
        assert_eq!(read_line(line), Some(("a \"b\" \\c".to_owned(), code::WITNESS_LOG_UNKNOWN)));
        let line = r#"countersign_log_witness_failing{witness="w",code="of tomorrow"} 1"#;
        assert_eq!(read_line(line), Some(("w".to_owned(), code::WITNESS_UNAVAILABLE)));
        for line in [
            "countersign_log_failed 0",
            "countersign_log_witness_failing{",
            r#"countersign_log_witness_failing{witness="w"#,
        ] {
            assert_eq!(read_line(line), None, "{line}");
        }
    }
}
