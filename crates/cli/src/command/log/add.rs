//! `countersign log add`: an entry into a log, and the proof that it is there.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use countersign_base::{Code, code};
use countersign_client::{BaseUrl, HttpTransport};
use countersign_log::{MAX_ENTRY_BYTES, Submission};
use countersign_store::{RealDisk, durable};
use countersign_tlog::merkle::leaf_hash;
use countersign_tlog::policy::Policy;
use countersign_tuf::limits::MAX_TARGETS_BYTES;
use serde_json::Value;

use super::local::{Admit, LocalArgs, LocalLog, connect};
use super::proof::Proven;
use super::reader::{LogArgs, Reader};
use super::shared::bucket_url;
use super::waiting::{covering, explain};
use crate::error::CliError;
use crate::site::Site;

/// Largest answer to a submission, in bytes: an entry in base64 and what stands around it.
const MAX_ANSWER_BYTES: u64 = 256 * 1024;

/// What a log for Rekor's records is filled by.
const COSIGN: &str = "cosign makes and submits them: `cosign sign-blob --signing-config FILE`, with what `countersign log \
                      signing-config` prints";

/// Add an entry to a log, and prove that it is there
///
/// LOG is the URL of a log that takes entries, or a log's folder, which is then opened: a log that a server has open is
/// added to by its URL. An entry that is there already is found, not added again. What the log says is verified: the
/// checkpoint, and that it covers the entry.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign log add http://127.0.0.1:8080 note.txt \\
      --vkey log.example.com+1a2b3c4d+AaBb... --proof note.tlog-proof
  countersign log add ./log - < note.txt")]
pub(crate) struct AddArgs {
    #[command(flatten)]
    log: LogArgs,
    /// The file with the entry; `-` is standard input
    file: PathBuf,
    /// Submit the file as TUF metadata of this role, to a log that admits metadata
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Write the proof to this file, as C2SP tlog-proof
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten, next_help_heading = "For a log's folder")]
    local: LocalArgs,
}

/// An entry that is in the log.
struct Added {
    index: u64,
    entry: Vec<u8>,
    /// It was published before.
    duplicate: bool,
}

pub(crate) fn run(args: &AddArgs, site: &Site) -> Result<ExitCode, CliError> {
    let limit = if args.role.is_some() { MAX_TARGETS_BYTES } else { MAX_ENTRY_BYTES };
    let bytes = read_entry(&args.file, limit)?;
    let (added, reader) = match args.log.folder() {
        Some(folder) => {
            let mut local = open_here(folder, args, site)?;
            // Whose word counts is settled before anything is added.
            let own = local.log.key().verifier().clone();
            let reader = Reader::knowing(&args.log, || Ok(own), site)?;
            (add_here(&mut local, args, bytes, site)?, reader)
        }
        None if bucket_url(Path::new(&args.log.log))?.is_some() => {
            let what = "entries of a log in a bucket come in through a process that serves it";
            return Err(CliError::new(code::USAGE, what)
                .fix("run `countersign log serve` on the bucket, and name the URL at which it listens"));
        }
        None => {
            let reader = Reader::open(&args.log, site)?;
            // What is published before is told from what is added now. A log that cannot say takes it all the same.
            let size = reader.head().map_or(0, |head| head.size());
            let mut added = submit(&args.log.log, args.role.as_deref(), bytes)?;
            added.duplicate = added.index < size;
            (added, reader)
        }
    };
    let url = args.log.folder().is_none().then_some(args.log.log.as_str());
    let head = covering(&reader, url, added.index)?;
    let inclusion = reader.prove(&head, added.index)?;
    if inclusion.leaf != leaf_hash(&added.entry) {
        let what =
            format!("the log said that entry {} is the one that was added, and it is not", added.index);
        return Err(CliError::new(code::LOG_INCLUSION_INVALID, what));
    }
    if let Some(path) = &args.proof {
        durable::write_atomic(&RealDisk, path, &inclusion.proof(&head).encode(), 0o644)?;
    }
    site.out.report(&Proven::new(&head, &inclusion).of_added(added.duplicate))?;
    Ok(ExitCode::SUCCESS)
}

/// What `-` or a file has; of more than `limit` bytes one more, to tell.
pub(super) fn read_at_most(path: &Path, limit: usize) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let most = limit as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| CliError::reading(path, &error))?;
    Ok(bytes)
}

/// An entry of at most `limit` bytes.
pub(super) fn read_entry(path: &Path, limit: usize) -> Result<Vec<u8>, CliError> {
    let bytes = read_at_most(path, limit)?;
    if bytes.len() > limit {
        let name = path.display();
        let what = format!("`{name}` has more than {limit} bytes");
        let error = CliError::new(code::LOG_ENTRY_TOO_LARGE, what);
        return Err(match limit {
            MAX_ENTRY_BYTES => error.fix(format!(
                "log its digest instead: `sha256sum {name} > {name}.sum`, and add `{name}.sum`"
            )),
            _ => error,
        });
    }
    Ok(bytes)
}

/// Opens a log of this machine.
fn open_here(folder: &Path, args: &AddArgs, site: &Site) -> Result<LocalLog, CliError> {
    let first = if args.role.is_some() { Admit::Metadata } else { Admit::Any };
    LocalLog::open(folder, &args.local, None, first, site).map_err(|error| {
        if error.code == code::LOG_WRITER_CONFLICT {
            return error.fix("a server has the log open: name its URL instead of the folder");
        }
        error
    })
}

/// Adds to a log of this machine, and publishes.
fn add_here(local: &mut LocalLog, args: &AddArgs, bytes: Vec<u8>, site: &Site) -> Result<Added, CliError> {
    let takes_anything = local.takes_anything();
    let size = local.log.size();
    let added = match (&args.role, &mut local.admission) {
        (Some(role), Some(admission)) => {
            let submission = Submission { role: role.clone(), bytes };
            let admitted = admission.admit(&mut local.log, &[submission], site.now)?.pop();
            let admitted =
                admitted.ok_or_else(|| CliError::new(code::INTERNAL_ERROR, "nothing was logged"))?;
            Added { index: admitted.index, entry: admitted.leaf, duplicate: admitted.index < size }
        }
        (None, None) if takes_anything => {
            let indices = local.log.append(std::slice::from_ref(&bytes), site.now)?;
            let index = indices.first().copied();
            let index = index.ok_or_else(|| CliError::new(code::INTERNAL_ERROR, "nothing was logged"))?;
            Added { index, entry: bytes, duplicate: index < size }
        }
        (Some(_), None) => return Err(closed("metadata")),
        (None, _) if matches!(local.admits, Admit::Rekor) => {
            return Err(closed("bytes: it takes signature records of Rekor only").fix(COSIGN));
        }
        (None, _) => return Err(closed("entries that it does not make itself")),
    };
    let policies: Vec<&Policy> = local.policy.iter().collect();
    if local.policy.is_some() {
        site.out.step(&format!("entry {} is durable in the log; asking its witnesses", added.index));
    }
    let mut cosigners = connect(local.policy.as_ref());
    let published = local.log.publish_under(&mut cosigners, &policies, site.now);
    published.map_err(|error| explain(added.index, error))?;
    Ok(added)
}

fn closed(what: &str) -> CliError {
    CliError::new(code::LOG_ENTRY_UNAUTHORISED, format!("this log takes no {what}"))
}

/// Sends the entry to a server.
fn submit(url: &str, role: Option<&str>, bytes: Vec<u8>) -> Result<Added, CliError> {
    let transport = HttpTransport::new(&url.parse::<BaseUrl>()?);
    let path = role.map_or_else(|| "add".to_owned(), |role| format!("metadata/{role}"));
    let answer = transport.post(&path, &bytes, MAX_ANSWER_BYTES)?;
    if answer.status != 200 {
        let error = refused(answer.status, &answer.body);
        if error.code != code::LOG_ENTRY_UNAUTHORISED || role.is_some() {
            return Err(error);
        }
        let rekor = error.causes.iter().any(|cause| cause.contains("Rekor"));
        return Err(error.fix(if rekor {
            COSIGN
        } else {
            "a repository's log takes metadata, with `--role ROLE`; one that takes any bytes is made with `--admit any`"
        }));
    }
    let duplicate = false;
    let unclear = || CliError::new(code::FETCH_FAILED, format!("{url} did not answer as a log does"));
    if role.is_none() {
        let index = std::str::from_utf8(&answer.body).ok().and_then(|text| text.trim().parse().ok());
        return Ok(Added { index: index.ok_or_else(unclear)?, entry: bytes, duplicate });
    }
    let document: Value = serde_json::from_slice(&answer.body).map_err(|_| unclear())?;
    let index = document["index"].as_u64().ok_or_else(unclear)?;
    let entry = document["leaf"].as_str().and_then(|leaf| STANDARD.decode(leaf).ok()).ok_or_else(unclear)?;
    Ok(Added { index, entry, duplicate })
}

/// What a log's server said, with its code if that is one of ours.
fn refused(status: u16, body: &[u8]) -> CliError {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = document["code"].as_str().unwrap_or_default();
    let known: Option<Code> = code::ALL.iter().copied().find(|code| code.name() == said);
    let error = CliError::new(known.unwrap_or(code::FETCH_FAILED), format!("the log answered {status}"));
    match document["message"].as_str() {
        Some(message) => error.because(countersign_base::text::escape(message)),
        None => error,
    }
}
