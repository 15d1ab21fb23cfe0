//! Where passphrases and PINs come from: files that the environment names, or a prompt on the terminal.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use countersign_base::code;
use countersign_keys::place::{PlaceError, Settings, TokenLabel};
use countersign_keys::{Asker, KeyInfo, KeysError, Passphrase, Remembering};

use crate::error::CliError;
use crate::printer::Printer;

/// Names a file whose first line is the passphrase.
const FILE: &str = "COUNTERSIGN_PASSPHRASE_FILE";
/// Names a file whose first line is the PIN of the token.
const PIN_FILE: &str = "COUNTERSIGN_PIN_FILE";
/// Longest file that is read for its first line, in bytes.
const MAX_FILE_BYTES: u64 = 4096;
/// The bits that let anyone but the owner in.
const OTHERS: u32 = 0o077;
/// How often a person may mistype a passphrase. A PIN is asked for once: tokens count.
const TRIES: u32 = 3;

/// Asks, and remembers in a run which passphrases opened a key: one person's keys often share one.
pub(crate) struct Passphrases {
    out: Printer,
    asker: Remembering<Prompter>,
}

/// Reads the file, else asks.
struct Prompter {
    out: Printer,
}

impl Passphrases {
    pub(crate) fn new(out: &Printer) -> Self {
        Self { out: out.clone(), asker: Remembering::new(Prompter { out: out.clone() }) }
    }

    /// Who is asked for the passphrases of existing keys and the PINs of tokens.
    pub(crate) fn asker(&mut self) -> &mut dyn Asker {
        &mut self.asker
    }

    /// The passphrase for new keys: typed twice, or from the file.
    pub(crate) fn create(&mut self) -> Result<Passphrase, CliError> {
        let missing = |reason: String| {
            CliError::new(code::KEY_PASSPHRASE_MISSING, format!("new keys need a passphrase: {reason}")).fix(format!(
                "name a file that holds it with {FILE}, or add --unencrypted for keys that only tests and machines use"
            ))
        };
        let text = match from_file(FILE) {
            Some(text) => text.map_err(|error| match error {
                Unread::Exposed(error) => CliError::from(error),
                Unread::Other(reason) => CliError::new(code::FILE_UNREADABLE, reason),
            })?,
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
        self.asker.opened(&passphrase);
        if self.out.shows_progress() {
            self.out.step("making the keys takes some seconds");
        }
        Ok(passphrase)
    }

    /// Says where the passphrase of an existing key was to come from, if that is what went wrong.
    pub(crate) fn advise(&self, error: CliError) -> CliError {
        match error.code {
            code::KEY_PASSPHRASE_WRONG if std::env::var_os(FILE).is_some() => error.fix(format!(
                "the first line of the file that {FILE} names is tried on every key of a run, and must open each"
            )),
            code::KEY_PASSPHRASE_MISSING if error.fix.is_none() => {
                error.fix(format!("name a file whose first line is the passphrase with {FILE}, or use a terminal"))
            }
            _ => error,
        }
    }
}

impl Asker for Prompter {
    fn passphrase(&mut self, key: &KeyInfo) -> Result<Passphrase, KeysError> {
        let missing = |reason: String| KeysError::PassphraseMissing { key: key.name.to_string(), reason };
        let text = match from_file(FILE) {
            Some(text) => text.map_err(|error| error.or(missing))?,
            None => prompt(&self.out, &format!("Passphrase of the key `{}`: ", key.name)).map_err(missing)?,
        };
        Passphrase::new(text)
    }

    fn pin(&mut self, token: &TokenLabel) -> Result<Passphrase, KeysError> {
        let missing = |reason: String| KeysError::PinMissing { token: token.label.clone(), reason };
        if let Some(text) = from_file(PIN_FILE) {
            // Nobody looks at what a file has before it is sent; the last try is for a person.
            if token.final_try {
                return Err(PlaceError::PinFinalTry { token: token.label.clone() }.into());
            }
            return Passphrase::new(text.map_err(|error| error.or(missing))?);
        }
        let caution = match (token.final_try, token.count_low) {
            (true, _) => " (the next wrong PIN locks it)",
            (false, true) => " (a wrong PIN was given before)",
            (false, false) => "",
        };
        let text = prompt(&self.out, &format!("PIN of the token `{token}`{caution}: ")).map_err(missing)?;
        Passphrase::new(text)
    }

    fn settings(&self) -> Settings {
        Settings::from_env()
    }

    fn tries(&self) -> u32 {
        if std::env::var_os(FILE).is_none() && can_ask(&self.out) { TRIES } else { 1 }
    }
}

/// Why a file gave no secret.
enum Unread {
    /// Others can get at it.
    Exposed(KeysError),
    /// Which variable names it, and what is wrong.
    Other(String),
}

impl Unread {
    fn or(self, missing: impl FnOnce(String) -> KeysError) -> KeysError {
        match self {
            Self::Exposed(error) => error,
            Self::Other(reason) => missing(reason),
        }
    }
}

/// The secret in the file that a variable names.
///
/// The name of a file that cannot be read is not said: it may be the secret, put there by mistake.
fn from_file(variable: &str) -> Option<Result<String, Unread>> {
    let path = std::env::var_os(variable)?;
    Some(first_line(Path::new(&path)).map_err(|error| match error {
        Unread::Other(reason) => {
            Unread::Other(format!("the file that {variable} names cannot be read: {reason}"))
        }
        exposed @ Unread::Exposed(_) => exposed,
    }))
}

/// A file's first line. The bytes are counted as they are read: a pipe or device does not say how many it has.
fn first_line(path: &Path) -> Result<String, Unread> {
    let other = |error: std::io::Error| Unread::Other(error.to_string());
    let file = File::open(path).map_err(other)?;
    let info = file.metadata().map_err(other)?;
    let mode = info.mode() & 0o7777;
    // As for a key file. What another user put there for this one, such as a system that hands out secrets, has the
    // mode that it needs; a pipe has no mode that matters.
    if info.is_file() && info.uid() == rustix::process::geteuid().as_raw() && mode & OTHERS != 0 {
        return Err(Unread::Exposed(KeysError::AnswerExposed { path: path.to_owned(), mode }));
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(other)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(Unread::Other("it is too long".to_owned()));
    }
    text.truncate(text.lines().next().map_or(0, str::len));
    Ok(text)
}

fn can_ask(out: &Printer) -> bool {
    !out.is_json() && std::io::stdin().is_terminal()
}

fn prompt(out: &Printer, question: &str) -> Result<String, String> {
    if !can_ask(out) {
        return Err("there is no terminal to ask on".to_owned());
    }
    rpassword::prompt_password(question).map_err(|error| error.to_string())
}
