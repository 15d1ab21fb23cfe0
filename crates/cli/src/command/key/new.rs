//! `countersign key new`: a key in a file, on a token, in an SSH agent or at a remote signer.

use std::process::ExitCode;

use clap::Args;
use countersign_base::name::ProductName;
use countersign_base::{Timestamp, code};
use countersign_crypto::Algorithm;
use countersign_keys::place::{self, Place};
use countersign_keys::{KeyDir, KeyInfo, NewKey, Stage};
use serde::Serialize;

use super::Shown;
use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::printer::Report;
use crate::publishing::{self, NewKeysArgs};
use crate::site::Site;

/// Make a key, or take up one that is on a token, in an SSH agent or at a remote signer
///
/// A key in a file is sealed with a passphrase. Of a key elsewhere only its public half is written down here, and its
/// secret stays where it is. Give the .pub file to whoever sets up the product or root.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign key new alice --keys ./keys --stage release \\\n      --product node --holder alice\n  countersign key new alice --keys ./keys --stage release \\\n      --product node --holder alice \\\n      --place 'pkcs11:token=alice;object=node' --generate\n  countersign key new root-a --keys ./keys --stage root --holder alice \\\n      --cadence 365 --expires-days 400\n  countersign key new alice --keys ./keys --stage release \\\n      --product node --holder alice --pair ml-dsa-44"
)]
pub(crate) struct NewArgs {
    /// The key's name in the folder
    name: String,
    #[command(flatten)]
    keys: NewKeysArgs,
    /// What it signs: root, targets, release, snapshot, timestamp, log, witness, build or attest
    #[arg(long)]
    stage: Stage,
    /// The product, for a release key
    #[arg(long, value_name = "NAME")]
    product: Option<ProductName>,
    /// The person or machine that holds it [default: the key's name]
    ///
    /// Where a product asks for separation, keys of one holder count as one person.
    #[arg(long, value_name = "NAME")]
    holder: Option<String>,
    /// ed25519, ecdsa-p256, ecdsa-p384, ml-dsa-44 or ml-dsa-65 [default: ed25519, or what the key elsewhere is of]
    #[arg(long, value_name = "SCHEME")]
    algorithm: Option<Algorithm>,
    /// Make a hybrid pair: a second key of ml-dsa-44 or ml-dsa-65, named NAME-pq; both must sign to count once
    #[arg(long, value_name = "SCHEME", conflicts_with = "place")]
    pair: Option<Algorithm>,
    /// Days until it signs nothing more
    #[arg(long, value_name = "DAYS")]
    expires_days: Option<u32>,
    /// Days after which `key list` says that it should be rotated
    #[arg(long, value_name = "DAYS")]
    cadence: Option<u32>,
    /// Where the key is: pkcs11:..., ssh-agent:... or https://...
    // As text: what the argument parser says of a bad value repeats all of it, and there may be a PIN in it.
    #[arg(long, value_name = "URI", conflicts_with = "unencrypted")]
    place: Option<String>,
    /// Make it there, on the PKCS#11 token
    #[arg(long, requires = "place")]
    generate: bool,
}

#[derive(Serialize)]
struct Made {
    ok: bool,
    #[serde(flatten)]
    key: Shown,
    /// The second key of a hybrid pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<Shown>,
    public_file: String,
}

impl Report for Made {
    fn lines(&self) -> Vec<String> {
        let mut lines = self.key.lines();
        lines.extend(self.pair.iter().map(|pair| format!("pair      {} ({})", pair.name, pair.algorithm)));
        lines.push(format!("give out  {}", self.public_file));
        lines
    }
}

pub(super) fn run(args: &NewArgs, site: &Site) -> Result<ExitCode, CliError> {
    if args.stage == Stage::Release && args.product.is_none() {
        return Err(CliError::new(code::USAGE, "a release key is for one product: name it with --product"));
    }
    let dir = KeyDir::open_or_create(&args.keys.keys.keys)?;
    let expires = args.expires_days.map(|days| site.now.plus_days(days.into()));
    let mut passphrases = Passphrases::new(&site.out);
    let made =
        make(args, expires, &dir, &mut passphrases, site).map_err(|error| passphrases.advise(error))?;
    let (key, pair) = made;
    let due = super::due_of(&dir, &key, site)?;
    let pair = pair.map(|pair| super::due_of(&dir, &pair, site)).transpose()?;
    site.out.report(&Made {
        ok: true,
        public_file: dir.path().join(format!("{}.pub", key.name)).display().to_string(),
        key: Shown::new(&due),
        pair: pair.as_ref().map(Shown::new),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn make(
    args: &NewArgs,
    expires: Option<Timestamp>,
    dir: &KeyDir,
    passphrases: &mut Passphrases,
    site: &Site,
) -> Result<(KeyInfo, Option<KeyInfo>), CliError> {
    let new = NewKey {
        name: &args.name,
        stage: args.stage,
        product: args.product.as_ref(),
        holder: args.holder.as_deref().unwrap_or(&args.name),
        algorithm: args.algorithm.unwrap_or(Algorithm::Ed25519),
        expires,
        cadence_days: args.cadence,
    };
    if let Some(place) = &args.place {
        return Ok((elsewhere(args, &new, &place.parse::<Place>()?, dir, passphrases, site)?, None));
    }
    let passphrase = args.keys.passphrase(passphrases)?;
    let protection = publishing::protection(passphrase.as_ref());
    match args.pair {
        Some(second) => {
            let (key, pair) = dir.create_pair(&new, second, site.now, protection)?;
            Ok((key, Some(pair)))
        }
        None => Ok((dir.create(&new, site.now, protection)?, None)),
    }
}

/// Takes up a key that is elsewhere, or makes it there first.
fn elsewhere(
    args: &NewArgs,
    new: &NewKey<'_>,
    place: &Place,
    dir: &KeyDir,
    passphrases: &mut Passphrases,
    site: &Site,
) -> Result<KeyInfo, CliError> {
    let public = match place {
        Place::Pkcs11(uri) if args.generate => {
            place::create_on_token(uri, new.algorithm, passphrases.asker())?
        }
        _ if args.generate => {
            return Err(CliError::new(
                code::USAGE,
                "only a PKCS#11 token makes keys; name one with `pkcs11:`",
            ));
        }
        _ => place::open(place, None, passphrases.asker())?.public_key().clone(),
    };
    // What is there decides, unless the scheme was asked for by name.
    let algorithm = args.algorithm.unwrap_or_else(|| public.algorithm());
    Ok(dir.adopt(&NewKey { algorithm, ..new.clone() }, place, &public, site.now)?)
}
