//! `countersign proposal`: look at a proposal, put copies of it together, make it again.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use countersign_base::text::escape;
use countersign_client::{Want, load_as_proven};
use countersign_publish::proposal::{GroupStatus, Person, RoleSummary, Summary};
use countersign_publish::{Proposal, PublishError};
use serde::Serialize;

use crate::error::CliError;
use crate::machine;
use crate::printer::Report;
use crate::publishing;
use crate::site::Site;

/// Look at a proposal, put copies of it together, or make it again
#[derive(Debug, Subcommand)]
pub(crate) enum ProposalCommand {
    Show(ShowArgs),
    Merge(MergeArgs),
    Rebase(RebaseArgs),
}

/// Show what a proposal changes, who has signed it and who may
///
/// Everything is verified and computed from the metadata in it; the summary file is never read.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign proposal show ./release-node-1.4.0-linux-amd64.proposal")]
pub(crate) struct ShowArgs {
    /// The proposal's folder
    proposal: PathBuf,
}

/// Take over the signatures of copies that others have signed
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign proposal merge ./proposal ./from-alice ./from-bob")]
pub(crate) struct MergeArgs {
    /// The proposal's folder; the signatures are added here
    proposal: PathBuf,
    /// Copies of it
    #[arg(required = true, value_name = "COPY")]
    copies: Vec<PathBuf>,
}

/// Make a proposal again on the repository as it stands, after another publication made it stale
///
/// The change is the same; what it was signed for is not, so nobody has signed the new one.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign proposal rebase ./repo ./proposal --out ./proposal-2")]
pub(crate) struct RebaseArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The proposal's folder; it stays as it is
    proposal: PathBuf,
    /// Folder for the new one, new or empty [default: NAME-2.proposal beside NAME.proposal]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A proposal as reports show it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    ok: bool,
    proposal: String,
    kind: &'static str,
    what: String,
    repository: String,
    /// The name under which this machine trusts that repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_as: Option<String>,
    digest: String,
    proposer: String,
    why: String,
    created: String,
    expires: String,
    expired: bool,
    /// Whether enough have signed all of it.
    complete: bool,
    roles: Vec<Role>,
    /// What a signer should know beside the changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// Signatures that do not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bad: Vec<Bad>,
    /// The summary's lines, as the library writes them.
    #[serde(skip)]
    text: Vec<String>,
    /// Whether the path alone is the last line.
    #[serde(skip)]
    is_new: bool,
    /// Whether it is shown to somebody who is to sign it: what to do next is known then.
    #[serde(skip)]
    is_asked: bool,
}

#[derive(Debug, Serialize)]
struct Role {
    role: String,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<u64>,
    good_until: String,
    changes: Vec<String>,
    groups: Vec<Group>,
    /// Why the signatures are not enough although there are as many as must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_rule: Option<String>,
}

#[derive(Debug, Serialize)]
struct Group {
    #[serde(skip_serializing_if = "str::is_empty")]
    by: &'static str,
    threshold: u32,
    signed: Vec<String>,
    missing: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    halves: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Bad {
    role: String,
    name: String,
    reason: &'static str,
}

impl Shown {
    pub(crate) fn new(proposal: &Proposal, site: &Site) -> Result<Self, CliError> {
        let summary = proposal.summary(site.now)?;
        let text = summary.to_string().lines().map(str::to_owned).collect();
        let complete = summary.is_complete();
        let Summary { what, proposer, why, expired, roles, bad, notes, .. } = summary;
        // The home may be missing on an offline machine: then there is nothing to compare with.
        let repositories = machine::home(site).and_then(|home| Ok(home.repositories()?)).unwrap_or_default();
        let trusted = repositories.iter().find(|one| one.anchor() == proposal.repository());
        Ok(Self {
            ok: true,
            proposal: proposal.path().display().to_string(),
            kind: proposal.intent().kind(),
            what,
            repository: proposal.repository().to_string(),
            trusted_as: trusted.map(|one| one.name().to_string()),
            digest: proposal.digest().to_string(),
            proposer,
            why,
            created: proposal.created().to_string(),
            expires: proposal.expires().to_string(),
            expired,
            complete,
            roles: roles.iter().map(Role::new).collect(),
            notes,
            bad: bad
                .into_iter()
                .map(|one| Bad { role: one.role, name: one.name, reason: one.reason })
                .collect(),
            text,
            is_new: false,
            is_asked: false,
        })
    }

    /// A proposal that was just made: its path is the last line.
    pub(crate) fn proposed(proposal: &Proposal, site: &Site) -> Result<Self, CliError> {
        Ok(Self { is_new: true, ..Self::new(proposal, site)? })
    }

    /// For somebody who is to sign it.
    pub(crate) fn asked(proposal: &Proposal, site: &Site) -> Result<Self, CliError> {
        Ok(Self { is_asked: true, ..Self::new(proposal, site)? })
    }

    /// What is left to do, a line for each group of people.
    pub(crate) fn next(&self) -> Vec<String> {
        if self.complete {
            return vec![format!(
                "enough have signed: countersign publish REPO {} --keys DIR",
                self.proposal
            )];
        }
        let group = |role: &Role, group: &Group| {
            let by = if group.by.is_empty() { String::new() } else { format!(" by {}", group.by) };
            let lacks = group.threshold as usize - group.signed.len();
            format!("{}{by} needs {lacks} more of {}", escape(&role.role), escape(&group.missing.join(", ")))
        };
        let groups = self.roles.iter().flat_map(|role| role.groups.iter().map(move |group| (role, group)));
        let mut lines: Vec<String> =
            groups.filter(|(_, one)| one.lacks()).map(|(role, one)| group(role, one)).collect();
        lines.extend(self.roles.iter().filter(|role| role.broken_rule.is_some()).map(Role::next_person));
        lines
    }
}

impl Report for Shown {
    fn lines(&self) -> Vec<String> {
        let mut lines = self.text.clone();
        lines.push(String::new());
        match &self.trusted_as {
            Some(name) => lines.push(format!("repository {}, trusted here", escape(name))),
            // Who proposes has the repository at hand.
            None if self.is_new => {}
            None => {
                lines.push("warning: this machine does not know the repository; compare".to_owned());
                lines.push(format!("  {} with the anchor", self.repository));
                lines.push("  that you were given; `countersign trust add` makes it known here".to_owned());
            }
        }
        if self.is_asked {
            return lines;
        }
        if self.is_new {
            lines.push(format!("let them sign it: countersign sign {} --key KEY", self.proposal));
            lines.push(self.proposal.clone());
        } else {
            lines.extend(self.next());
        }
        lines
    }
}

impl Role {
    fn new(role: &RoleSummary) -> Self {
        Self {
            role: role.status.role.clone(),
            version: role.status.version,
            replaces: role.replaces,
            good_until: role.good_until.to_string(),
            changes: role.changes.clone(),
            groups: role.status.groups.iter().map(Group::new).collect(),
            broken_rule: role.status.broken_rule.clone(),
        }
    }
}

impl Role {
    /// Who can help where a rule about people is not met: those who have not signed.
    fn next_person(&self) -> String {
        let others: Vec<&str> =
            self.groups.iter().flat_map(|group| &group.missing).map(String::as_str).collect();
        let others = if others.is_empty() { "nobody is left".to_owned() } else { others.join(", ") };
        format!("{} needs another person: {}", escape(&self.role), escape(&others))
    }
}

impl Group {
    fn new(group: &GroupStatus) -> Self {
        let names = |people: &[Person]| people.iter().map(|person| person.name.clone()).collect();
        Self {
            by: group.by,
            threshold: group.threshold,
            signed: names(&group.signed),
            missing: names(&group.missing),
            halves: names(&group.halves),
        }
    }

    fn lacks(&self) -> bool {
        self.signed.len() < self.threshold as usize
    }
}

#[derive(Serialize)]
struct Merged {
    /// How many signatures came from the copies.
    merged: usize,
    #[serde(flatten)]
    proposal: Shown,
}

impl Report for Merged {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("signatures taken over: {}", self.merged), String::new()];
        lines.extend(self.proposal.lines());
        lines
    }
}

/// Refuses to sign on top of metadata that this machine has seen newer versions of.
///
/// Whoever proposes chooses what the proposal builds on: an old copy would take back, unseen, what was published since.
/// A machine that does not trust the repository, or has nothing of it, cannot tell.
pub(crate) fn check_base(proposal: &Proposal, site: &Site) -> Result<(), CliError> {
    let repositories = machine::home(site).and_then(|home| Ok(home.repositories()?)).unwrap_or_default();
    let Some(repository) = repositories.iter().find(|one| one.anchor() == proposal.repository()) else {
        return Ok(());
    };
    // However old it is: a version that was seen stays seen.
    let Ok(seen) = load_as_proven(repository, &Want::Products(&[])) else { return Ok(()) };
    for role in proposal.summary(site.now)?.roles {
        let (name, before) = (&role.status.role, role.replaces.unwrap_or(0));
        let now = seen.set.tuf().version_and_expiry(name).map_or(0, |(version, _)| version);
        if now > before {
            let name = escape(name);
            let what =
                format!("this machine has seen version {now} of {name}, and it builds on version {before}");
            return Err(PublishError::ProposalStale { what }.into());
        }
    }
    Ok(())
}

pub(crate) fn run(command: &ProposalCommand, site: &Site) -> Result<ExitCode, CliError> {
    match command {
        ProposalCommand::Show(args) => {
            let proposal = Proposal::open(&args.proposal, site.now)?;
            site.out.report(&Shown::new(&proposal, site)?)?;
        }
        ProposalCommand::Merge(args) => {
            let mut proposal = Proposal::open(&args.proposal, site.now)?;
            let mut merged = 0;
            for copy in &args.copies {
                merged += proposal.merge(&Proposal::open(copy, site.now)?)?;
            }
            site.out.report(&Merged { merged, proposal: Shown::new(&proposal, site)? })?;
        }
        ProposalCommand::Rebase(args) => {
            let old = Proposal::open(&args.proposal, site.now)?;
            let out = args.out.clone().unwrap_or_else(|| {
                let name = args.proposal.file_name().unwrap_or_default().to_string_lossy();
                let stem = name.strip_suffix(".proposal").unwrap_or(&name);
                args.proposal.with_file_name(format!("{stem}-2.proposal"))
            });
            let new = publishing::without_keys(&args.repo, site, |publisher| publisher.rebase(&old, &out))?;
            site.out.report(&Shown::proposed(&new, site)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
