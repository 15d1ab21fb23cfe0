//! `countersign witness`: cosign other people's logs, so that they cannot show two histories.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use countersign_base::text::escape;
use countersign_base::{Timestamp, code};
use countersign_crypto::{Algorithm, SEED_BYTES, SecretKey, Signer};
use countersign_keys::{KeyDir, KeyInfo, NewKey, Stage};
use countersign_log::witness::Rate;
use countersign_log::{LogList, Witness};
use countersign_server::{Hangup, Listening, Until, WitnessService, serve_witness};
use countersign_store::{RealDisk, durable};
use countersign_tlog::VerifierKey;
use serde_json::json;

use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::printer::Printer;
use crate::publishing::protection;
use crate::site::{self, Site};

/// File names of the witness's keys in its folder.
const KEY: &str = "witness";
const POST_QUANTUM_KEY: &str = "witness-ml-dsa-44";
/// Who its keys are of, in their files: C2SP names can hold what the name of a holder cannot.
const HOLDER: &str = "witness";
/// File with the name that the witness cosigns under, in its folder.
const NAME: &str = "name";
/// Longest such file, in bytes.
const MAX_NAME_BYTES: u64 = 1024;
/// Permission bits of that file, which is no secret.
const NAME_MODE: u32 = 0o644;
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
    after_help = "Example:\n  countersign witness serve ./witness --name witness.example/w1 \\\n      --listen 127.0.0.1:8081 --log 'example.com/log+1a2b3c4d+AaBb...'"
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
    /// A file with the vkey of a log on each line, or a witness network's list (`logs/v0`); it is read again when it
    /// changes, and at SIGHUP
    #[arg(long, visible_alias = "logs", value_name = "FILE")]
    log_list: Option<PathBuf>,
    /// New checkpoints a second that a log may have cosigned, unless its list says otherwise; ten seconds' worth at once
    #[arg(long, value_name = "N", default_value_t = 100)]
    per_log: u32,
    /// Requests a second that an address may make; ten seconds' worth at once
    #[arg(long, value_name = "N", default_value_t = 500)]
    per_address: u32,
    /// Cosign with an ML-DSA-44 key as well, made if there is none: two lines in each answer
    #[arg(long)]
    post_quantum: bool,
    /// Keep a new key without a passphrase: for tests, and for machines that no one types at
    #[arg(long)]
    unencrypted: bool,
}

pub(crate) fn run(command: &WitnessCommand, site: &Site) -> Result<ExitCode, CliError> {
    let WitnessCommand::Serve(args) = command;
    // Before it is read: what changes from here on is seen to have changed.
    let seen = args.log_list.as_deref().and_then(state);
    let logs = read_logs(&args.log, args.log_list.as_deref())?;
    // An address that cannot be had is told before a key is made.
    let listening = Listening::bind(&args.listen)?;
    let keys = KeyDir::open_or_create(&args.dir)?;
    let mut passphrases = Passphrases::new(&site.out);
    let (name, signers) = signers(&keys, args, &mut passphrases, site)?;
    tell_skipped(&logs, &site.out);
    let witness = Witness::open(&args.dir.join(STATE), &name, signers, logs)?;
    let witness = Arc::new(witness.with_rate(Rate::per_second(args.per_log)));
    let url = listening.url();
    let vkeys: Vec<String> = witness.verifiers().iter().map(ToString::to_string).collect();
    if args.log.is_empty() && args.log_list.is_none() {
        let what = "no log is named yet, so everything will be refused; add --log VKEY or --log-list FILE";
        site.out.warn_now(what);
    }
    if site.out.is_json() {
        site.out.json_line(&json!({ "listening": url, "vkeys": vkeys }))?;
    } else {
        let lines: String = vkeys.iter().map(|vkey| format!("vkey {vkey}\n")).collect();
        site.out.raw(&format!("listening on {url}\n{lines}"))?;
    }
    let start = site.now;
    // A clock that breaks while serving must not date cosignatures before the start.
    let clock = Arc::new(move || -> Timestamp { site::now().map_or(start, |now| now.max(start)) });
    let reload = reload(args, &witness, site);
    if let Some(path) = args.log_list.clone() {
        follow(path, seen, Arc::clone(&reload))?;
    }
    let out = site.out.clone();
    let service = WitnessService::new(witness, clock)
        .with_address_rate(Rate::per_second(args.per_address))
        .on_hangup(reload)
        .on_failure(Arc::new(move |error| out.warn_now(&error.to_string())));
    serve_witness(service, listening, Until::Interrupted)?;
    Ok(ExitCode::SUCCESS)
}

/// Logs of a list that were left out.
fn tell_skipped(logs: &LogList, out: &Printer) {
    if let Some(first) = logs.skipped().first() {
        let count = logs.skipped().len();
        out.warn_now(&format!("{count} logs of the list are left out, the first on line {first}"));
    }
}

/// The logs that are named; none yet is fine, since a log's key may be made only with this witness's.
fn read_logs(named: &[String], file: Option<&Path>) -> Result<LogList, CliError> {
    let mut logs = match file {
        Some(path) => LogList::read(path)?,
        None => LogList::default(),
    };
    for text in named {
        logs.add(
            VerifierKey::from_str(text)
                .map_err(|error| CliError::new(code::USAGE, "a log is named by its vkey").because(error))?,
        );
    }
    Ok(logs)
}

/// Reads the list of logs again. One that does not read leaves the list as it was.
fn reload(args: &ServeArgs, witness: &Arc<Witness>, site: &Site) -> Hangup {
    let (named, path) = (args.log.clone(), args.log_list.clone());
    let (witness, out) = (Arc::clone(witness), site.out.clone());
    Arc::new(move || match read_logs(&named, path.as_deref()) {
        Ok(logs) => {
            tell_skipped(&logs, &out);
            witness.replace_logs(logs);
        }
        Err(error) => out.warn_now(&format!("the list of logs is used as it was: {}", error.what)),
    })
}

/// What tells that a file is another one than before.
type State = (SystemTime, u64, u64);

fn state(path: &Path) -> Option<State> {
    let metadata = std::fs::metadata(path).ok()?;
    // A file that is replaced within the clock's resolution is another one, or has another length.
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// Reads the list of logs again whenever its file is not what was `seen`.
fn follow(path: PathBuf, mut seen: Option<State>, reload: Hangup) -> Result<(), CliError> {
    let watch = move || {
        loop {
            std::thread::sleep(RELOAD);
            let now = state(&path);
            if now != seen {
                seen = now;
                reload();
            }
        }
    };
    let spawned = std::thread::Builder::new().name("logs".to_owned()).spawn(watch);
    spawned
        .map(drop)
        .map_err(|error| CliError::new(code::SERVE_FAILED, "cannot start a thread").because(error))
}

/// The name that the witness cosigns under, and its keys: the one made at the first start, and the one for ML-DSA-44 if
/// there is one or it is wanted.
fn signers(
    keys: &KeyDir,
    args: &ServeArgs,
    passphrases: &mut Passphrases,
    site: &Site,
) -> Result<(String, Vec<Box<dyn Signer>>), CliError> {
    let mut found: Vec<KeyInfo> =
        keys.list()?.into_iter().filter(|key| key.stage == Stage::Witness).collect();
    let (name, is_new) = name(args)?;
    let wanted = [
        (KEY, Algorithm::Ed25519, found.is_empty()),
        (POST_QUANTUM_KEY, Algorithm::MlDsa44, {
            args.post_quantum && !found.iter().any(|key| key.public.algorithm() == Algorithm::MlDsa44)
        }),
    ];
    for (file, algorithm, is_wanted) in wanted {
        if is_wanted {
            found.push(make(keys, file, algorithm, args, passphrases, site)?);
        }
    }
    if is_new {
        let path = args.dir.join(NAME);
        durable::write_atomic(&RealDisk, &path, format!("{name}\n").as_bytes(), NAME_MODE)?;
    }
    found.sort_by_key(|key| key.public.algorithm() == Algorithm::MlDsa44);
    let open = |key: &KeyInfo| keys.signer(key, passphrases.asker(), site.now);
    let signers = found.iter().map(open).collect::<Result<_, _>>()?;
    Ok((name, signers))
}

/// The name that the witness has, or gets now and for ever; and whether it is a new one.
fn name(args: &ServeArgs) -> Result<(String, bool), CliError> {
    let path = args.dir.join(NAME);
    let held = durable::read(&path, MAX_NAME_BYTES)?.map(String::from_utf8).transpose();
    let held = held.map_err(|error| {
        CliError::new(code::KEY_MALFORMED, format!("{} is not the name of a witness", path.display()))
            .because(error)
    })?;
    let held = held.map(|name| name.trim_end_matches('\n').to_owned());
    match (held, &args.name) {
        (Some(held), Some(name)) if held != *name => {
            let what = format!("the witness in {} is called {}", args.dir.display(), escape(&held));
            Err(CliError::new(code::USAGE, what)
                .fix("leave --name out, or name another folder for another witness"))
        }
        (Some(held), _) => Ok((held, false)),
        (None, None) => Err(CliError::new(code::USAGE, "a new witness needs a name")
            .fix("--name witness.example/w1, a URL without scheme that is yours")),
        (None, Some(name)) => {
            // A vkey of any key shows whether the name can stand in one: before a key is made.
            let any = SecretKey::from_seed(Algorithm::Ed25519, &[1; SEED_BYTES])?;
            VerifierKey::for_witness(name, any.public_key()).map_err(|error| {
                CliError::new(code::USAGE, "a witness cannot have that name").because(error)
            })?;
            Ok((name.clone(), true))
        }
    }
}

fn make(
    keys: &KeyDir,
    file: &str,
    algorithm: Algorithm,
    args: &ServeArgs,
    passphrases: &mut Passphrases,
    site: &Site,
) -> Result<KeyInfo, CliError> {
    let passphrase = if args.unencrypted { None } else { Some(passphrases.create()?) };
    let new = NewKey {
        name: file,
        stage: Stage::Witness,
        product: None,
        holder: HOLDER,
        algorithm,
        expires: None,
        cadence_days: None,
    };
    Ok(keys.create(&new, site.now, protection(passphrase.as_ref()))?)
}
