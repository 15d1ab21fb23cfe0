//! `countersign witness`: cosign other people's logs, so that they cannot show two histories.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use countersign_base::{Timestamp, code};
use countersign_crypto::Algorithm;
use countersign_keys::{KeyDir, KeyInfo, NewKey, Stage};
use countersign_log::{LogList, Witness};
use countersign_server::{Listening, Until, serve_witness};
use countersign_tlog::VerifierKey;
use serde_json::json;

use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::publishing::protection;
use crate::site::{self, Site};

/// File name of the witness's key in its folder.
const KEY: &str = "witness";
/// Folder of what the witness has seen, in its folder.
const STATE: &str = "state";
/// How often the list of logs is looked at.
const RELOAD: Duration = Duration::from_secs(1);

/// Witness transparency logs
#[derive(Debug, Subcommand)]
pub(crate) enum WitnessCommand {
    Serve(ServeArgs),
}

/// Run a witness: cosigns each log's checkpoints as long as they extend what it has seen
///
/// Speaks the C2SP tlog-witness protocol. Prints `listening on http://ADDRESS` and then `vkey VKEY`, which
/// publishers pass to `init --witness 'VKEY URL'`. Its key is made at the first start. Never restore its folder
/// from a backup: a witness that forgets can be shown two histories.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign witness serve ./witness --name witness.example/w1 --listen 127.0.0.1:8081 --log 'example.com/log+1a2b3c4d+AaBb...'"
)]
pub(crate) struct ServeArgs {
    /// Folder of the witness's key and state
    dir: PathBuf,
    /// Name in its cosignatures, a URL without scheme; needed at the first start
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: String,
    /// The vkey of a log to witness; may be given several times
    #[arg(long, value_name = "VKEY")]
    log: Vec<String>,
    /// A file with the vkey of a log on each line; it is read again when it changes
    #[arg(long, value_name = "FILE")]
    logs: Option<PathBuf>,
    /// Keep a new key without a passphrase: for tests, and for machines that no one types at
    #[arg(long)]
    unencrypted: bool,
}

pub(crate) fn run(command: &WitnessCommand, site: &Site) -> Result<ExitCode, CliError> {
    let WitnessCommand::Serve(args) = command;
    let logs = read_logs(&args.log, args.logs.as_deref())?;
    // An address that cannot be had is told before a key is made.
    let listening = Listening::bind(&args.listen)?;
    let keys = KeyDir::open_or_create(&args.dir)?;
    let mut passphrases = Passphrases::new(&site.out);
    let key = key(&keys, args, &mut passphrases, site)?;
    let signer = keys.signer(&key, passphrases.asker(), site.now)?;
    let witness = Witness::open(&args.dir.join(STATE), &key.holder, vec![signer], logs)?;
    let url = listening.url();
    let vkeys: Vec<String> = witness.verifiers().iter().map(ToString::to_string).collect();
    if args.log.is_empty() && args.logs.is_none() {
        site.out.warn("no log is named yet, so everything will be refused; add --log VKEY or --logs FILE");
    }
    if site.out.is_json() {
        site.out.raw(&format!("{}\n", json!({ "listening": url, "vkeys": vkeys })))?;
    } else {
        let lines: String = vkeys.iter().map(|vkey| format!("vkey {vkey}\n")).collect();
        site.out.raw(&format!("listening on {url}\n{lines}"))?;
    }
    let start = site.now;
    // A clock that breaks while serving must not date cosignatures before the start.
    let witness = Arc::new(witness);
    if args.logs.is_some() {
        follow(args, &witness, site)?;
    }
    let clock = Arc::new(move || -> Timestamp { site::now().map_or(start, |now| now.max(start)) });
    serve_witness(witness, clock, listening, Until::Interrupted)?;
    Ok(ExitCode::SUCCESS)
}

/// The logs that are named; none yet is fine, since a log's key may be made only with this witness's.
fn read_logs(named: &[String], file: Option<&Path>) -> Result<LogList, CliError> {
    let mut keys = Vec::new();
    for text in named {
        keys.push(
            VerifierKey::from_str(text)
                .map_err(|error| CliError::new(code::USAGE, "a log is named by its vkey").because(error))?,
        );
    }
    if let Some(path) = file {
        keys.extend(listed(path)?);
    }
    Ok(LogList::new(keys))
}

fn listed(path: &Path) -> Result<Vec<VerifierKey>, CliError> {
    if !path.exists() {
        return Err(CliError::new(code::FILE_NOT_FOUND, format!("there is no file {}", path.display())));
    }
    Ok(LogList::read(path)?.iter().flat_map(|log| log.keys.iter().cloned()).collect())
}

/// Reads the list of logs again whenever its file changes. A file that does not read leaves the list as it was.
fn follow(args: &ServeArgs, witness: &Arc<Witness>, site: &Site) -> Result<(), CliError> {
    let Some(path) = args.logs.clone() else { return Ok(()) };
    let named = args.log.clone();
    let (witness, out) = (Arc::clone(witness), site.out.clone());
    let modified = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let mut seen = modified(&path);
    let watch = move || loop {
        std::thread::sleep(RELOAD);
        let now = modified(&path);
        if now == seen {
            continue;
        }
        seen = now;
        match read_logs(&named, Some(&path)) {
            Ok(logs) => witness.replace_logs(logs),
            Err(error) => out.warn(&format!("the list of logs is used as it was: {}", error.what)),
        }
    };
    let spawned = std::thread::Builder::new().name("logs".to_owned()).spawn(watch);
    spawned
        .map(drop)
        .map_err(|error| CliError::new(code::SERVE_FAILED, "cannot start a thread").because(error))
}

/// The witness's key, made at the first start; the name it cosigns under is its holder.
fn key(
    keys: &KeyDir,
    args: &ServeArgs,
    passphrases: &mut Passphrases,
    site: &Site,
) -> Result<KeyInfo, CliError> {
    if let Some(key) = keys.list()?.into_iter().find(|key| key.stage == Stage::Witness) {
        if args.name.as_ref().is_some_and(|name| *name != key.holder) {
            return Err(CliError::new(
                code::USAGE,
                format!("the witness in {} is called {}", args.dir.display(), key.holder),
            )
            .fix("leave --name out, or name another folder for another witness"));
        }
        return Ok(key);
    }
    let name = args.name.as_deref().ok_or_else(|| {
        CliError::new(code::USAGE, "a new witness needs a name")
            .fix("--name witness.example/w1, a URL without scheme that is yours")
    })?;
    let passphrase = if args.unencrypted { None } else { Some(passphrases.create()?) };
    let new = NewKey {
        name: KEY,
        stage: Stage::Witness,
        product: None,
        holder: name,
        algorithm: Algorithm::Ed25519,
        expires: None,
        cadence_days: None,
    };
    Ok(keys.create(&new, site.now, protection(passphrase.as_ref()))?)
}
