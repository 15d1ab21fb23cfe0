//! `countersign renew`: a fresh timestamp, before clients refuse the old one; and what else has to be renewed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_base::text::escape;
use countersign_keys::KeyDir;
use countersign_publish::{Due, RenewedBy};
use serde::Serialize;

use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::printer::Report;
use crate::publishing::{self, Published};
use crate::site::Site;

/// Sign the timestamp anew, and the snapshot when it is near its end
///
/// Run it from a timer, daily or so: clients refuse a repository whose timestamp has expired, because somebody
/// could be holding back what is newer. Needs only the online keys. With --check nothing is signed: it says what has to
/// be renewed, by whom and by when, and exits with 1 if anything is due.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign renew ./repo --keys ./online-keys\n  countersign renew ./repo --check\n  countersign renew ./repo --check --keys ./keys"
)]
pub(crate) struct RenewArgs {
    /// The repository's folder
    repo: PathBuf,
    /// Folder of the online keys; with --check, keys whose rotation is due are told as well
    ///
    /// Their passphrase is typed, or it is the first line of the file that COUNTERSIGN_PASSPHRASE_FILE names.
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    keys: Option<PathBuf>,
    /// This machine's clock is right now, and was ahead when something was published: what is dated in the future is
    /// made anew
    ///
    /// Look at the clock first. With a clock that is behind, what witnesses have proven would be dated back.
    #[arg(long, conflicts_with = "check")]
    clock_was_ahead: bool,
    /// Only say what is due
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
struct Renewed {
    ok: bool,
    repository: String,
    #[serde(flatten)]
    published: Published,
}

impl Report for Renewed {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("repository {} is renewed", self.repository)];
        lines.extend(self.published.lines());
        lines
    }
}

#[derive(Serialize)]
struct Check {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    roles: Vec<RoleDue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<KeyDue>,
}

#[derive(Serialize)]
struct RoleDue {
    role: String,
    version: u64,
    expires: String,
    renew_from: String,
    due: bool,
    /// `machine`, by `countersign renew`, or `people`, by a proposal.
    by: &'static str,
}

#[derive(Serialize)]
struct KeyDue {
    key: String,
    by: String,
    due: bool,
}

impl Report for Check {
    fn lines(&self) -> Vec<String> {
        let role = |role: &RoleDue| (role.due, format!("{} {}", escape(&role.role), role.version));
        let key = |key: &KeyDue| (key.due, format!("key {}", key.key));
        let names: Vec<_> = self.roles.iter().map(role).chain(self.keys.iter().map(key)).collect();
        let ends = self
            .roles
            .iter()
            .map(|role| format!("expires {}  renewed by {}", role.expires, role.by))
            .chain(self.keys.iter().map(|key| format!("to be seen to by {}", key.by)));
        let width = names.iter().map(|(_, name)| name.chars().count()).max().unwrap_or(0);
        let state = |due| if due { "DUE" } else { "ok " };
        let line =
            |((due, name), end): (&(bool, String), String)| format!("{}  {name:width$}  {end}", state(*due));
        names.iter().zip(ends).map(line).collect()
    }
}

impl RoleDue {
    fn new(due: Due) -> Self {
        Self {
            role: due.role,
            version: due.version,
            expires: due.expires.to_string(),
            renew_from: due.from.to_string(),
            due: due.is_due,
            by: match due.by {
                RenewedBy::Machine => "machine",
                RenewedBy::People => "people",
            },
        }
    }
}

pub(crate) fn run(args: &RenewArgs, site: &Site) -> Result<ExitCode, CliError> {
    let keys = match &args.keys {
        Some(keys) if !args.check => keys,
        keys => return check(&args.repo, keys.as_deref(), site),
    };
    let mut passphrases = Passphrases::new(&site.out);
    let done = publishing::publish(&args.repo, keys, &mut passphrases, site, |publisher| {
        if args.clock_was_ahead {
            publisher.clock_was_ahead();
        }
        publisher.renew()
    })?;
    let repository = args.repo.display().to_string();
    site.out.report(&Renewed { ok: true, repository, published: Published::new(&done) })?;
    Ok(ExitCode::SUCCESS)
}

fn check(repo: &Path, keys: Option<&Path>, site: &Site) -> Result<ExitCode, CliError> {
    let due = publishing::without_keys(repo, site, |publisher| publisher.due())?;
    let keys = match keys {
        Some(keys) => KeyDir::open(keys)?.due(site.now)?,
        None => Vec::new(),
    };
    let keys = keys.into_iter().filter_map(|key| {
        let by = key.by?;
        Some(KeyDue { key: key.info.name.to_string(), by: by.to_string(), due: by <= site.now })
    });
    let (roles, keys): (Vec<_>, Vec<_>) = (due.into_iter().map(RoleDue::new).collect(), keys.collect());
    let names = roles.iter().filter(|role| role.due).map(|role| (role.by, role.role.clone()));
    let names =
        names.chain(keys.iter().filter(|key| key.due).map(|key| ("people", format!("key {}", key.key))));
    let (machine, people): (Vec<_>, Vec<_>) = names.partition(|(by, _)| *by == "machine");
    let ok = machine.is_empty() && people.is_empty();
    let code = (!ok).then_some(code::PUBLISH_RENEWAL_DUE.name());
    site.out.report(&Check { ok, code, roles, keys })?;
    if ok {
        return Ok(ExitCode::SUCCESS);
    }
    let join =
        |names: &[(&str, String)]| names.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
    let fix = match (machine.is_empty(), people.is_empty()) {
        (false, true) => "`countersign renew` does it, with the online keys",
        (true, false) => {
            "it takes people: `countersign propose renew REPO`, or `countersign key rotate` for a key"
        }
        _ => {
            "`countersign renew` does the online ones\nthe others take people: `countersign propose renew REPO`, or `countersign key rotate` for a key"
        }
    };
    let what = format!("has to be renewed: {}", join(&[machine, people].concat()));
    Ok(site.out.exit(&CliError::new(code::PUBLISH_RENEWAL_DUE, what).fix(fix)))
}
