//! `countersign key`: the life of a key, a file a subcommand.

mod audit;
mod escrow;
mod found;
mod list;
mod new;
mod recover;
mod revoke;
mod rotate;
mod show;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use countersign_base::text::escape;
use countersign_keys::lifecycle::{Due, KeyState};
use countersign_keys::{KeyDir, KeyInfo};
use countersign_tuf::metadata::key_id;
use serde::Serialize;

use crate::error::CliError;
use crate::site::Site;

/// Make, list, replace, revoke, check and back up signing keys
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    New(new::NewArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Rotate(rotate::RotateArgs),
    Revoke(revoke::RevokeArgs),
    Audit(audit::AuditArgs),
    Escrow(escrow::EscrowArgs),
    Recover(recover::RecoverArgs),
}

pub(crate) fn run(command: &KeyCommand, site: &Site) -> Result<ExitCode, CliError> {
    match command {
        KeyCommand::New(args) => new::run(args, site),
        KeyCommand::List(args) => list::run(args, site),
        KeyCommand::Show(args) => show::run(args, site),
        KeyCommand::Rotate(args) => rotate::run(args, site),
        KeyCommand::Revoke(args) => revoke::run(args, site),
        KeyCommand::Audit(args) => audit::run(args, site),
        KeyCommand::Escrow(args) => escrow::run(args, site),
        KeyCommand::Recover(args) => recover::run(args, site),
    }
}

/// A key as reports show it.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    stage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    holder: String,
    algorithm: String,
    /// Its id in metadata, by which proposals name it.
    id: String,
    public: String,
    /// `file`, or where the secret is.
    place: String,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cadence_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotate_by: Option<String>,
    /// `active`, `expired`, `retired` or `revoked`.
    state: &'static str,
    /// Since when it is retired or revoked, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    overdue: bool,
    /// When it has to be seen to.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
}

impl Shown {
    fn new(due: &Due) -> Self {
        let info = &due.info;
        let text = |time: countersign_base::Timestamp| time.to_string();
        let (state, since, why) = match &due.state {
            KeyState::Active => ("active", None, None),
            KeyState::Expired => ("expired", None, None),
            KeyState::Ended(mark) => (mark.kind.name(), Some(text(mark.at)), Some(mark.why.clone())),
        };
        Self {
            name: info.name.to_string(),
            stage: info.stage.to_string(),
            product: info.product.as_ref().map(ToString::to_string),
            holder: info.holder.clone(),
            algorithm: info.public.algorithm().to_string(),
            id: key_id(&info.public),
            public: info.public.to_string(),
            place: info.place.to_string(),
            created: text(info.created),
            expires: info.expires.map(text),
            cadence_days: info.cadence_days,
            rotate_by: info.rotate_by().map(text),
            state,
            since,
            why,
            overdue: due.overdue,
            due: due.by.map(text),
        }
    }

    /// What has to be done about it next, in a few words.
    fn next(&self) -> String {
        let day =
            |time: &Option<String>| time.as_deref().and_then(|time| time.get(..10)).unwrap_or("").to_owned();
        match self.state {
            "active" if self.overdue => format!("OVERDUE: rotate; was due {}", day(&self.rotate_by)),
            "active" if self.due.is_none() => "-".to_owned(),
            "active" if self.due == self.expires => format!("expires {}", day(&self.expires)),
            "active" => format!("rotate by {}", day(&self.rotate_by)),
            "expired" => format!("EXPIRED {}", day(&self.expires)),
            ended => {
                format!("{ended} {}: {}", day(&self.since), escape(self.why.as_deref().unwrap_or_default()))
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("key       {}", self.name)];
        let product = self.product.as_ref().map_or_else(String::new, |product| format!(" of {product}"));
        lines.push(format!("stage     {}{product}", self.stage));
        lines.push(format!("holder    {}", escape(&self.holder)));
        lines.push(format!("place     {}", escape(&self.place)));
        lines.push(format!("created   {}", self.created));
        lines.push(format!("next      {}", self.next()));
        lines.push(format!("id        {}", self.id));
        // Others are long, and named by their id wherever they are to be compared.
        lines.push(match self.algorithm.as_str() {
            "ed25519" => format!("public    {}", self.public),
            other => format!("public    {other}, in its .pub file"),
        });
        lines
    }
}

/// The key of that name in the directory, with what is due.
fn find(keys: &Path, name: &str, site: &Site) -> Result<(KeyDir, Due), CliError> {
    let dir = KeyDir::open(keys)?;
    let info = dir.find(name)?;
    let due = due_of(&dir, &info, site)?;
    Ok((dir, due))
}

fn due_of(dir: &KeyDir, info: &KeyInfo, site: &Site) -> Result<Due, CliError> {
    let found = dir.due(site.now)?.into_iter().find(|due| due.info.name == info.name);
    found.ok_or_else(|| {
        let (key, dir) = (info.name.to_string(), dir.path().to_owned());
        countersign_keys::KeysError::NotFound { key, dir }.into()
    })
}
