//! Where passphrases come from: a file that `COUNTERSIGN_PASSPHRASE_FILE` names, or a prompt on the terminal.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use countersign_base::code;
use countersign_keys::{KeyInfo, KeysError, Passphrase};

use crate::error::CliError;
use crate::printer::Printer;

/// Names a file whose first line is the passphrase.
const FILE: &str = "COUNTERSIGN_PASSPHRASE_FILE";
/// Longest file that is read for its first line, in bytes.
const MAX_FILE_BYTES: u64 = 4096;

/// Asks once a run and remembers: one person's keys usually share a passphrase.
pub(crate) struct Passphrases {
    out: Printer,
    known: Option<Passphrase>,
}

impl Passphrases {
    pub(crate) fn new(out: &Printer) -> Self {
        Self { out: out.clone(), known: None }
    }

    /// The passphrase that opens `key`.
    pub(crate) fn open(&mut self, key: &KeyInfo) -> Result<Passphrase, KeysError> {
        if let Some(known) = &self.known {
            return Ok(known.clone());
        }
        let missing = |reason: String| KeysError::PassphraseMissing { key: key.name.to_string(), reason };
        let text = match from_file() {
            Some(text) => text.map_err(|error| missing(error.what))?,
            None => prompt(&self.out, &format!("Passphrase of the key `{}`: ", key.name)).map_err(missing)?,
        };
        let passphrase = Passphrase::new(text)?;
        self.known = Some(passphrase.clone());
        Ok(passphrase)
    }

    /// The passphrase for new keys: typed twice, or from the file.
    pub(crate) fn create(&mut self) -> Result<Passphrase, CliError> {
        let missing = |reason: String| {
            CliError::new(code::KEY_PASSPHRASE_MISSING, format!("new keys need a passphrase: {reason}")).fix(format!(
                "name a file that holds it with {FILE}, or add --unencrypted for keys that only tests and machines use"
            ))
        };
        let text = match from_file() {
            Some(text) => text?,
            None => {
                let first = prompt(&self.out, "Passphrase for the new keys: ").map_err(missing)?;
                let second = prompt(&self.out, "The same again: ").map_err(missing)?;
                if first != second {
                    return Err(CliError::new(code::KEY_PASSPHRASE_WRONG, "the two passphrases differ")
                        .fix("run the command again; nothing was made"));
                }
                first
            }
        };
        let passphrase = Passphrase::new(text)?;
        self.known = Some(passphrase.clone());
        if self.out.shows_progress() {
            self.out.step("making the keys takes some seconds");
        }
        Ok(passphrase)
    }

    /// Says where the passphrase of an existing key was to come from, if that is what went wrong.
    pub(crate) fn advise(&self, error: CliError) -> CliError {
        let from_file = std::env::var_os(FILE).is_some();
        match error.code {
            code::KEY_PASSPHRASE_WRONG if from_file => error.fix(format!(
                "the first line of the file that {FILE} names is tried on every key of a run, and must open each"
            )),
            code::KEY_PASSPHRASE_WRONG => {
                error.fix("one passphrase is asked for in a run and tried on every key, and must open each")
            }
            code::KEY_PASSPHRASE_MISSING => {
                error.fix(format!("name a file whose first line is the passphrase with {FILE}, or use a terminal"))
            }
            _ => error,
        }
    }
}

fn from_file() -> Option<Result<String, CliError>> {
    std::env::var_os(FILE).map(|path| first_line(Path::new(&path)))
}

/// A file's first line. The bytes are counted as they are read: a pipe or device does not say how many it has.
fn first_line(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| CliError::reading(path, &error))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let what = format!("{} is too long to hold a passphrase", path.display());
        return Err(CliError::new(code::USAGE, what));
    }
    text.truncate(text.lines().next().map_or(0, str::len));
    Ok(text)
}

fn prompt(out: &Printer, question: &str) -> Result<String, String> {
    if out.is_json() || !std::io::stdin().is_terminal() {
        return Err("there is no terminal to ask on".to_owned());
    }
    rpassword::prompt_password(question).map_err(|error| error.to_string())
}
