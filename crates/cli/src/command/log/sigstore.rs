//! `countersign log trusted-root` and `signing-config`: what makes Sigstore's clients use a log.

use std::process::ExitCode;
use std::str::FromStr as _;

use clap::Args;
use countersign_attest::trust;
use countersign_base::{Timestamp, code};
use countersign_client::BaseUrl;
use countersign_tlog::VerifierKey;

use crate::error::CliError;
use crate::site::Site;

/// Print a Sigstore trusted root with a log, for those who verify
///
/// `cosign verify-blob --trusted-root` then accepts bundles whose entry is in the log. Certificate and timestamp
/// authorities are not in it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign log trusted-root \\\n      --vkey log.example.com+1a2b3c4d+AaBb... > trusted_root.json\n  cosign verify-blob --key cosign.pub --bundle app.sigstore.json \\\n      --trusted-root trusted_root.json app"
)]
pub(crate) struct TrustedRootArgs {
    /// The vkey of a log; may be given several times
    #[arg(long, value_name = "VKEY", required = true)]
    vkey: Vec<String>,
    /// Since when the keys are valid [default: always]
    #[arg(long, value_name = "TIME")]
    valid_from: Option<Timestamp>,
}

/// Print a Sigstore signing configuration that sends to a log, for those who sign
///
/// `cosign sign-blob --signing-config` then has each signature logged there.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign log signing-config https://log.example.com \\\n      --vkey log.example.com+1a2b3c4d+AaBb... > signing_config.json\n  cosign sign-blob --key cosign.key --signing-config signing_config.json \\\n      --bundle app.sigstore.json app"
)]
pub(crate) struct SigningConfigArgs {
    /// Where the log takes entries
    url: String,
    /// The log's vkey
    #[arg(long, value_name = "VKEY")]
    vkey: String,
    /// Since when it takes entries [default: always]
    #[arg(long, value_name = "TIME")]
    valid_from: Option<Timestamp>,
}

pub(crate) fn trusted_root(args: &TrustedRootArgs, site: &Site) -> Result<ExitCode, CliError> {
    let keys = args.vkey.iter().map(|text| vkey(text)).collect::<Result<Vec<_>, _>>()?;
    site.out.raw(&trust::trusted_root(&keys, args.valid_from.unwrap_or(Timestamp::EPOCH))?)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn signing_config(args: &SigningConfigArgs, site: &Site) -> Result<ExitCode, CliError> {
    let url: BaseUrl = args.url.parse()?;
    let url = url.to_string();
    let key = vkey(&args.vkey)?;
    let valid_from = args.valid_from.unwrap_or(Timestamp::EPOCH);
    site.out.raw(&trust::signing_config(&key, url.trim_end_matches('/'), valid_from)?)?;
    Ok(ExitCode::SUCCESS)
}

/// A log's key as it is given out.
pub(super) fn vkey(text: &str) -> Result<VerifierKey, CliError> {
    VerifierKey::from_str(text).map_err(|error| {
        CliError::new(code::USAGE, "the log's key is not a vkey")
            .because(error)
            .fix("`log serve` prints it in its second line: NAME+HASH+KEY")
    })
}
