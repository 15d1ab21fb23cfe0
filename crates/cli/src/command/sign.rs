//! `countersign sign`: look at a proposal and add one's signature.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_base::text::escape;
use countersign_crypto::PublicKey;
use countersign_keys::{KeyDir, KeyInfo, KeyRef};
use countersign_publish::{Proposal, PublishError};
use serde::Serialize;

use crate::command::proposal::{self, Shown};
use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::printer::Report;
use crate::site::Site;

/// Sign a proposal, after showing what it changes
///
/// On a terminal it asks first; without one it prints what the proposal changes and signs. Needs no network and no
/// repository: the proposal's folder is enough. A key that has no say is refused.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign sign ./proposal --key ./keys/alice.key\n  countersign sign ./proposal --key ./keys/alice.pub\n  countersign sign ./proposal --key 'pkcs11:token=alice;object=node'\n  countersign sign ./proposal --key ssh-agent:alice@laptop"
)]
pub(crate) struct SignArgs {
    /// The proposal's folder
    proposal: PathBuf,
    /// The key: the path of its .key or .pub file, pkcs11:..., ssh-agent:... or https://...
    ///
    /// With a .pub file it is found where that says. Of a hybrid pair, the first key's file brings the second with it.
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Signed {
    signed: Vec<Signature>,
    #[serde(flatten)]
    proposal: Shown,
}

#[derive(Serialize)]
struct Signature {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    roles: Vec<String>,
    /// Whether its signature was there before.
    already: bool,
    /// Whether its use is in a log of key usage.
    recorded: bool,
}

impl Report for Signed {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for one in &self.signed {
            let holder = one.holder.as_ref().filter(|holder| **holder != one.key);
            let who = holder.map_or_else(String::new, |holder| format!(" of {}", escape(holder)));
            lines.push(if one.already {
                format!("signed    nothing: the key {}{who} had signed already", one.key)
            } else {
                format!("signed    {} with the key {}{who}", one.roles.join(", "), one.key)
            });
            if !one.recorded && !one.already {
                lines.push(
                    "note      the key was named by its place alone, so its use is in no log;".to_owned(),
                );
                lines.push(
                    "          `countersign key new --place` takes it up, and then sign with its .pub"
                        .to_owned(),
                );
            }
        }
        let next = self.proposal.next().into_iter().enumerate();
        lines.extend(next.map(|(at, line)| format!("{:10}{line}", if at == 0 { "next" } else { "" })));
        lines
    }
}

/// A key to sign with.
struct Named {
    reference: KeyRef,
    /// `None` for a key of which only the place is known.
    info: Option<KeyInfo>,
}

pub(crate) fn run(args: &SignArgs, site: &Site) -> Result<ExitCode, CliError> {
    let mut proposal = Proposal::open(&args.proposal, site.now)?;
    proposal.check_time(site.now)?;
    proposal::check_base(&proposal, site)?;
    let keys = named(&args.key)?;
    let mut passphrases = Passphrases::new(&site.out);
    // Those of which the public half is known are judged before anybody is asked for anything.
    for public in keys.iter().filter_map(|key| key.info.as_ref()).map(|info| &info.public) {
        has_signed(&mut proposal, public)?;
    }
    consent(&proposal, args.yes, site)?;
    let mut signed = Vec::new();
    for key in &keys {
        let made = sign(&mut proposal, key, &mut passphrases, site);
        signed.push(made.map_err(|error| passphrases.advise(error))?);
    }
    site.out.report(&Signed { signed, proposal: Shown::new(&proposal, site)? })?;
    Ok(ExitCode::SUCCESS)
}

/// Shows what it changes, and asks on a terminal.
fn consent(proposal: &Proposal, yes: bool, site: &Site) -> Result<(), CliError> {
    let shown = Shown::asked(proposal, site)?;
    let answer = if yes { None } else { site.out.confirm(&shown.lines(), "Sign this?")? };
    match answer {
        Some(true) => Ok(()),
        Some(false) => Err(CliError::new(code::USAGE, "nothing is signed: the answer was not `yes`")
            .fix("if you want to sign, run the command again")),
        // With --json it is part of the one document.
        None if site.out.is_json() => Ok(()),
        None => site.out.report(&shown),
    }
}

/// The keys that are named, each with the other half of its hybrid pair.
fn named(texts: &[String]) -> Result<Vec<Named>, CliError> {
    let mut keys = Vec::new();
    for text in texts {
        let reference = KeyRef::parse(text)?;
        let KeyRef::Described { dir: path, name } = &reference else {
            keys.push(Named { reference, info: None });
            continue;
        };
        let dir = KeyDir::open(path)?;
        let info = dir.find(name.as_str())?;
        let pair = dir.find_pair(&info)?;
        let path = path.clone();
        keys.push(Named { reference, info: Some(info) });
        keys.extend(pair.map(|pair| Named {
            reference: KeyRef::Described { dir: path, name: pair.name.clone() },
            info: Some(pair),
        }));
    }
    Ok(keys)
}

/// Whether the key's signature is there already.
///
/// # Errors
/// `approval-invalid` for a key that has no say.
fn has_signed(proposal: &mut Proposal, public: &PublicKey) -> Result<bool, CliError> {
    if proposal.awaited()?.contains(public) {
        return Ok(false);
    }
    // Whoever has a say and is not awaited has signed; the others are refused before a signer is asked for.
    let mut has_say = false;
    let outcome = proposal.sign_each(public, &mut |_| {
        has_say = true;
        Err(PublishError::ApprovalInvalid { what: "it is signed already".to_owned(), fix: "" })
    });
    match outcome {
        Err(error) if !has_say => Err(error.into()),
        _ => Ok(true),
    }
}

fn sign(
    proposal: &mut Proposal,
    key: &Named,
    passphrases: &mut Passphrases,
    site: &Site,
) -> Result<Signature, CliError> {
    let of = |public: &PublicKey, roles: Vec<String>, recorded| Signature {
        key: key.info.as_ref().map_or_else(|| public.to_string(), |info| info.name.to_string()),
        holder: key.info.as_ref().map(|info| info.holder.clone()),
        already: roles.is_empty(),
        roles,
        recorded,
    };
    if let Some(info) = &key.info
        && has_signed(proposal, &info.public)?
    {
        return Ok(of(&info.public, Vec::new(), false));
    }
    let opened = key.reference.open(passphrases.asker(), site.now)?;
    let (public, recorded) = (opened.signer.public_key().clone(), opened.usage_dir.is_some());
    if has_signed(proposal, &public)? {
        return Ok(of(&public, Vec::new(), false));
    }
    Ok(of(&public, proposal.sign_with(opened)?, recorded))
}
