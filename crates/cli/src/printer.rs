//! The one place that writes to the terminal.
//!
//! Standard output carries results only: text for people, or with `--json` one document. Steps, hints,
//! warnings and errors go to standard error. Whatever arrives here as untrusted text was escaped by its
//! `Display`; [`Printer`] escapes once more what could still move the cursor.

use std::error::Error as _;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::error::{ContextValue, ErrorKind};
use countersign_base::name::NameError;
use countersign_base::text::without_password;
use countersign_base::{Explain as _, code};
use serde::Serialize;
use serde_json::json;

use crate::error::CliError;
use crate::global::{Color, Global};

/// Most warnings that one JSON document carries.
const MAX_WARNINGS: usize = 100;
/// Longest answer that is read from a terminal, in bytes.
const MAX_ANSWER_BYTES: u64 = 256;

/// A command's result: serialised for `--json`, and as lines for people.
pub(crate) trait Report: Serialize {
    /// The lines for people, without a trailing newline each.
    fn lines(&self) -> Vec<String>;
}

/// Something that happened beside the result and is no error, in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Notice {
    /// The code whose page tells more.
    pub(crate) code: &'static str,
    /// What happened.
    pub(crate) message: String,
}

/// What a line of a story is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Line {
    /// A heading.
    Title,
    /// Something was done.
    Done,
    /// Something was refused, as it should be.
    Refused,
    /// The command that did it.
    Command,
    /// A detail.
    Note,
}

/// Writes results, steps and errors in the form that the user asked for.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    json: bool,
    quiet: bool,
    /// On standard error.
    color: bool,
    /// On standard output, which may go to a file while standard error does not.
    story_color: bool,
    /// With `--json`: what was warned of since the last document.
    warnings: Arc<Mutex<Warnings>>,
}

/// Warnings on their way into a JSON document.
#[derive(Debug, Default)]
struct Warnings {
    kept: Vec<String>,
    /// How many more there were.
    dropped: usize,
}

impl Warnings {
    fn push(&mut self, text: String) {
        if self.kept.len() < MAX_WARNINGS { self.kept.push(text) } else { self.dropped += 1 }
    }

    /// What was kept, and a line about the rest.
    fn into_lines(self) -> Vec<String> {
        let rest = (self.dropped > 0).then(|| format!("{} more warnings are left out", self.dropped));
        self.kept.into_iter().chain(rest).collect()
    }
}

/// A report with what every document has.
#[derive(Serialize)]
struct Document<'a, R> {
    #[serde(flatten)]
    report: &'a R,
    warnings: Vec<String>,
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        let color = |is_terminal| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && is_terminal,
        };
        Self {
            json: global.json,
            quiet: global.quiet,
            color: color(io::stderr().is_terminal()),
            story_color: color(io::stdout().is_terminal()),
            warnings: Arc::default(),
        }
    }

    /// For errors in the arguments themselves: looks for `--json` before anything could be parsed.
    pub(crate) fn from_raw_args() -> Self {
        let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
        Self { json, quiet: false, color: false, story_color: false, warnings: Arc::default() }
    }

    /// Whether results are printed as JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a progress bar may be drawn.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// The command's one result, on standard output.
    pub(crate) fn report(&self, report: &impl Report) -> Result<(), CliError> {
        let text = if self.json {
            let document = Document { report, warnings: self.take_warnings() };
            let text = serde_json::to_string_pretty(&document).map_err(|error| {
                CliError::new(code::INTERNAL_ERROR, "a report cannot be written").because(error)
            })?;
            printable_json(&text)
        } else {
            report.lines().iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n")
        };
        if !text.is_empty() {
            write_stdout(&format!("{text}\n"))?;
        }
        Ok(())
    }

    /// One JSON document in a line, of a command that writes several.
    pub(crate) fn json_line(&self, document: &serde_json::Value) -> Result<(), CliError> {
        write_stdout(&format!("{}\n", printable_json(&document.to_string())))
    }

    /// Raw text that is the result itself: completions, a page, the address of a server.
    pub(crate) fn raw(&self, text: &str) -> Result<(), CliError> {
        write_stdout(text)
    }

    /// One line about what is being done, on standard error.
    pub(crate) fn step(&self, text: &str) {
        if !self.quiet && !self.json {
            write_stderr(&format!("{}\n", printable(text)));
        }
    }

    /// A line of a story that is the command's result as it goes along, on standard output.
    pub(crate) fn story(&self, line: Line, text: &str) -> Result<(), CliError> {
        if self.quiet || self.json {
            return Ok(());
        }
        let text = printable(text);
        let paint = |style, text: &str| styled(self.story_color, style, text);
        write_stdout(&match line {
            Line::Title => format!("\n{}\n", paint("1", &text)),
            Line::Done => format!("  {}  {text}\n", paint("32;1", "ok")),
            Line::Refused => format!("  {}  {text}\n", paint("33;1", "NO")),
            Line::Command => format!("      {}\n", paint("2", &format!("$ {text}"))),
            Line::Note => format!("      {text}\n"),
        })
    }

    /// Shows `lines` and asks for a yes on the terminal; `None` where nobody is at one, and then nothing is shown.
    ///
    /// They go to standard error with the question, also with `--json` and `--quiet`: what is asked for must be seen.
    pub(crate) fn confirm(&self, lines: &[String], question: &str) -> Result<Option<bool>, CliError> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(None);
        }
        let text: String = lines.iter().map(|line| format!("{}\n", printable(line))).collect();
        write_stderr(&format!("{text}\n{} ", self.paint("1", &format!("{} [yes/no]", printable(question)))));
        let mut answer = String::new();
        io::stdin()
            .lock()
            .take(MAX_ANSWER_BYTES)
            .read_line(&mut answer)
            .map_err(|error| CliError::new(code::USAGE, "the answer cannot be read").because(error))?;
        // A whole word: nobody types it by mistake.
        Ok(Some(answer.trim() == "yes"))
    }

    /// Something the user should know although the command goes on. With `--json` it is in the next document.
    pub(crate) fn warn(&self, text: &str) {
        if self.json {
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        } else {
            self.warn_now(text);
        }
    }

    /// The same for a command that runs on after its document, such as a server: on standard error in any case.
    pub(crate) fn warn_now(&self, text: &str) {
        write_stderr(&format!("{} {}\n", self.paint("33;1", "warning:"), printable(text)));
    }

    /// One line about what has changed in a command that runs on, on standard error, with `--json` as well.
    pub(crate) fn step_now(&self, text: &str) {
        if !self.quiet {
            write_stderr(&format!("{}\n", printable(text)));
        }
    }

    /// What no document told, at the end of a run.
    pub(crate) fn finish(&self) {
        self.take_warnings().iter().for_each(|text| self.warn_now(text));
    }

    fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner)).into_lines()
    }

    /// The end of a command that failed: prints the error and gives the exit status.
    pub(crate) fn error(&self, error: &CliError) -> ExitCode {
        if self.json {
            let document = json!({
                "ok": false,
                "code": error.code.name(),
                "message": error.what,
                "causes": error.causes,
                "fix": error.fix,
                "exit": error.class.exit_status(),
                "warnings": self.take_warnings(),
            });
            // A reader that went away cannot be told anything.
            let _ = write_stdout(&format!("{}\n", printable_json(&format!("{document:#}"))));
        } else {
            let head = format!("error[{}]:", error.code);
            let mut text = format!("{} {}\n", self.paint("31;1", &head), printable(&error.what));
            for cause in &error.causes {
                text.push_str(&format!("{} {}\n", self.paint("1", "cause:"), printable(cause)));
            }
            match &error.fix {
                Some(fix) => {
                    let mut lines = fix.lines();
                    let first = printable(lines.next().unwrap_or_default());
                    text.push_str(&format!("{} {first}\n", self.paint("32;1", "fix:")));
                    lines.for_each(|line| text.push_str(&format!("     {}\n", printable(line))));
                }
                None => {
                    let fix = self.paint("32;1", "fix:");
                    text.push_str(&format!(
                        "{fix} `countersign explain {}` says what can be done\n",
                        error.code
                    ));
                }
            }
            write_stderr(&text);
        }
        ExitCode::from(error.class.exit_status())
    }

    /// The end of a command whose report has told what is wrong: its code on standard error, and the exit status.
    pub(crate) fn exit(&self, error: &CliError) -> ExitCode {
        if self.json { ExitCode::from(error.class.exit_status()) } else { self.error(error) }
    }

    /// What clap has to say of a use of `program`: help and version are results, everything else a usage error.
    pub(crate) fn usage(&self, error: &clap::Error, mut program: clap::Command) -> ExitCode {
        if !error.use_stderr() {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let code = match error.source().and_then(|source| source.downcast_ref::<NameError>()) {
            Some(name) => name.code(),
            None => code::USAGE,
        };
        // Nothing was asked for, so nothing was misunderstood.
        if !self.json && error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            let _ = error.print();
            return ExitCode::from(code.class().exit_status());
        }
        // Neither when the only argument came from the environment.
        if std::env::args_os().len() <= 1 {
            write_stderr(&program.render_help().to_string());
            return ExitCode::from(code.class().exit_status());
        }
        let text = told_without_passwords(error);
        let mut paragraphs = text.split("\n\n").map(|lines| {
            lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
        });
        let what = paragraphs.next().unwrap_or_default();
        let told = |text: String| {
            let tip = text.strip_prefix("tip:").map(str::trim).map(str::to_owned);
            tip.or_else(|| {
                text.strip_prefix("Usage:").map(|usage| format!("it is used as `{}`", usage.trim()))
            })
        };
        let mut fix: Vec<String> = paragraphs.filter_map(told).collect();
        fix.push("`--help` after any command tells what it takes".to_owned());
        self.error(&CliError::new(code, what.trim_start_matches("error: ")).fix(fix.join("\n")))
    }

    /// `text` for standard error in the colour of the SGR `style`, if colour is on there.
    fn paint(&self, style: &str, text: &str) -> String {
        styled(self.color, style, text)
    }
}

fn styled(color: bool, style: &str, text: &str) -> String {
    if color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}

/// What clap says about arguments, without the passwords of URLs among them (attack D04).
fn told_without_passwords(error: &clap::Error) -> String {
    let mut text = error.render().to_string();
    for (_, value) in error.context() {
        let values = match value {
            ContextValue::String(one) => std::slice::from_ref(one),
            ContextValue::Strings(many) => many.as_slice(),
            _ => continue,
        };
        for value in values.iter().filter(|value| is_url(value)) {
            text = text.replace(value.as_str(), &without_password(value));
        }
    }
    text
}

/// Whether a text is a URL, or what may be one whose scheme was forgotten: `user:password@host`.
fn is_url(text: &str) -> bool {
    text.contains("://") || text.rfind('@').is_some_and(|at| text[..at].contains(':'))
}

/// `line` with control and other invisible characters escaped.
fn printable(line: &str) -> String {
    countersign_base::text::escape(line)
}

/// A JSON document of the same value, in which what [`printable`] escapes is written as JSON escapes it (RFC 8259 section
/// 7): a document is shown on terminals as well. Outside of strings JSON has none of it but newlines.
fn printable_json(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    let (mut utf8, mut utf16) = ([0; 4], [0; 2]);
    for character in document.chars() {
        let plain = matches!(character, ' '..='~' | '\n') || {
            let text: &str = character.encode_utf8(&mut utf8);
            printable(text) == text
        };
        if plain {
            out.push(character);
        } else {
            character
                .encode_utf16(&mut utf16)
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

fn write_stdout(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `countersign ... | head` is no error of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::new(code::STORAGE_FAILED, "cannot write to standard output").because(error))
        }
        _ => Ok(()),
    }
}

fn write_stderr(text: &str) {
    // There is nowhere left to report a failure to.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_json_document_moves_no_cursor_and_says_the_same() {
        let hostile = "a\u{9b}31m\u{1b}]8;;\u{7}\u{7f}\u{202e}\u{2066}\u{feff}\u{e0041}\r\n\t\\u202e\"";
        let plain = "añejo 日本語 שלום 🦀 ~";
        let document = json!({ hostile: [hostile, plain], "n": 1 });
        for text in [format!("{document:#}"), document.to_string()] {
            let shown = printable_json(&text);
            assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), document);
            assert!(shown.lines().all(|line| printable(line) == line), "{shown:?}");
            assert!(
                shown.contains(plain) && shown.contains("\\u009b31m") && shown.contains("\\udb40\\udc41")
            );
            assert_eq!(shown.lines().count(), text.lines().count());
        }
        // The twin: what has nothing of the kind stays as it is.
        let text = format!("{:#}", json!({ "ok": true, "name": plain }));
        assert_eq!(printable_json(&text), text);
    }
}
