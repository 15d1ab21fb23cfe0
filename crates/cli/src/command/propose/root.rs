//! `countersign propose root`: who signs the repository itself, for how long, and its transparency policy.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_publish::PolicyEdit;
use countersign_publish::proposal::{Intent, Member, RoleChange, RootChange};

use super::{ProposeArgs, propose};
use crate::error::CliError;
use crate::member;
use crate::publishing;
use crate::site::Site;

/// Longest policy file, in bytes.
const MAX_POLICY_BYTES: u64 = 64 * 1024;

/// Propose a new root: its signers, threshold, online keys, expiry, or the transparency policy
///
/// What is not named stays. With nothing named, root is signed anew for another term. The root keys sign root and the
/// list of products; the threshold of the present root and that of the new one must both sign.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign propose root ./repo --why 'yearly renewal'\n  countersign propose root ./repo --threshold 3 \\\n      --signer alice.pub bob.pub carol.pub dave.pub erin.pub\n  countersign propose root ./repo --timestamp-key timestamp-2.pub\n  countersign propose root ./repo --policy policy.txt"
)]
pub(crate) struct RootArgs {
    /// The repository's folder
    repo: PathBuf,
    /// All who sign root: a .pub file, or HOLDER=KEY; may be given several times
    #[arg(long, value_name = "KEY", num_args = 1..)]
    signer: Vec<String>,
    /// How many of them must sign
    #[arg(long, value_name = "K", requires = "signer")]
    threshold: Option<u32>,
    /// The online key that signs the snapshot from now on
    #[arg(long, value_name = "KEY")]
    snapshot_key: Option<String>,
    /// The online key that signs the timestamp from now on
    #[arg(long, value_name = "KEY")]
    timestamp_key: Option<String>,
    /// Days for which the new root is good [default: 730]
    #[arg(long, value_name = "DAYS")]
    expires_days: Option<u32>,
    /// The new transparency policy: log and witness keys and the quorum, as a C2SP tlog-policy file
    #[arg(long, value_name = "FILE", conflicts_with = "edit")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    edit: PolicyArgs,
    #[command(flatten)]
    propose: ProposeArgs,
}

/// What changes in the transparency policy, where the whole new one is not given.
#[derive(Debug, Args)]
#[group(id = "edit", multiple = true)]
struct PolicyArgs {
    /// A witness that comes in: its vkey and URL, separated by a space; in place of one of its name
    #[arg(long, value_name = "'VKEY URL'")]
    add_witness: Vec<String>,
    /// The name of a witness that goes
    #[arg(long, value_name = "NAME")]
    remove_witness: Vec<String>,
    /// A further key of the log: its .pub file, or the public key
    #[arg(long, value_name = "KEY")]
    add_log_key: Vec<String>,
    /// A key of the log that goes
    #[arg(long, value_name = "KEY")]
    remove_log_key: Vec<String>,
    /// How many witnesses must cosign
    #[arg(long, value_name = "K")]
    quorum: Option<usize>,
}

impl PolicyArgs {
    /// The new policy's lines, if anything of it changes.
    fn apply(&self, repo: &Path, site: &Site) -> Result<Option<Vec<String>>, CliError> {
        let Self { add_witness, remove_witness, add_log_key, remove_log_key, quorum } = self;
        let lists = [add_witness, remove_witness, add_log_key, remove_log_key];
        if lists.iter().all(|list| list.is_empty()) && quorum.is_none() {
            return Ok(None);
        }
        let edit = PolicyEdit {
            add_log_keys: add_log_key.iter().map(|text| member::new_key(text)).collect::<Result<_, _>>()?,
            remove_log_keys: remove_log_key
                .iter()
                .map(|text| member::public_key(text))
                .collect::<Result<_, _>>()?,
            add_witnesses: add_witness
                .iter()
                .map(|text| publishing::witness(text))
                .collect::<Result<_, _>>()?,
            remove_witnesses: remove_witness.clone(),
            quorum: *quorum,
        };
        publishing::without_keys(repo, site, |publisher| edit.apply(&publisher.policy()?)).map(Some)
    }
}

pub(super) fn run(args: &RootArgs, site: &Site) -> Result<ExitCode, CliError> {
    let mut roles = BTreeMap::new();
    if !args.signer.is_empty() {
        let signers = args.signer.iter().map(|text| member::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let Some(threshold) = args.threshold else {
            return Err(CliError::new(
                code::USAGE,
                "say how many of the signers must sign, with --threshold",
            ));
        };
        for role in ["root", "targets"] {
            roles.insert(role.to_owned(), RoleChange { threshold, signers: signers.clone() });
        }
    }
    for (role, key) in [("snapshot", &args.snapshot_key), ("timestamp", &args.timestamp_key)] {
        if let Some(key) = key {
            let signers: Vec<Member> = vec![member::parse(key)?];
            roles.insert(role.to_owned(), RoleChange { threshold: 1, signers });
        }
    }
    let policy = match &args.policy {
        Some(path) => Some(read_policy(path)?),
        None => args.edit.apply(&args.repo, site)?,
    };
    let intent =
        Intent::Root(RootChange { roles, expires_days: args.expires_days, policy, ..RootChange::default() });
    propose(&args.repo, &intent, "root", &args.propose.by_user()?, site)
}

fn read_policy(path: &Path) -> Result<Vec<String>, CliError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_POLICY_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| CliError::reading(path, &error))?;
    if text.len() as u64 > MAX_POLICY_BYTES {
        let what = format!("{} is longer than any policy ({MAX_POLICY_BYTES} bytes)", path.display());
        return Err(CliError::new(code::LIMIT_EXCEEDED, what));
    }
    Ok(text.lines().map(str::to_owned).collect())
}
