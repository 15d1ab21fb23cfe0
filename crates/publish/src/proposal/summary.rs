//! What a proposal changes, for whoever signs it. Computed from the old and the new metadata, never read from a file.

use core::fmt;

use countersign_base::text::escape;
use countersign_base::{Anchor, Sha256Digest, Timestamp};
use countersign_tuf::Role as _;
use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::{ROOT, TARGETS, TIMESTAMP};

use super::Proposal;
use super::approval::BadApproval;
use super::authority::{Authority, GroupStatus, Person, RoleStatus};
use super::diff::changes;
use super::statement::Statement;
use crate::current::Current;
use crate::error::PublishError;

/// Columns that lines are folded to. A word that no line has room for is broken: a terminal would break it too, and what
/// then begins a line would look like one of the summary's own.
const COLUMNS: usize = 80;
/// Columns that what does not fit into a line is moved in by.
const INDENT: usize = 5;

/// Stands for `sha256` and a space while words are counted; no text has it, for control characters are escaped.
const GLUED: &str = "\u{0}";

/// A proposal in plain words. All text in it is safe on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What it is for, in a few words.
    pub what: String,
    /// The repository that it is for.
    pub repository: Anchor,
    /// Which proposal it is.
    pub digest: Sha256Digest,
    /// Who proposes it.
    pub proposer: String,
    /// Why.
    pub why: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it can no longer be signed or published.
    pub expires: Timestamp,
    /// Whether that time has come.
    pub expired: bool,
    /// What to look at before signing, beside the changes.
    pub notes: Vec<String>,
    /// What changes, role by role.
    pub roles: Vec<RoleSummary>,
    /// Signatures that do not count.
    pub bad: Vec<BadApproval>,
}

/// What changes in one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSummary {
    /// The version that it follows; `None` if the role is new.
    pub replaces: Option<u64>,
    /// When the new version expires.
    pub good_until: Timestamp,
    /// The changes, a line each.
    pub changes: Vec<String>,
    /// Who has signed, and who may.
    pub status: RoleStatus,
}

impl Summary {
    pub(super) fn of(proposal: &Proposal, now: Timestamp) -> Result<Self, PublishError> {
        let mut summary = new(&proposal.statement, &proposal.old, &proposal.drafts, now)?;
        summary.bad = proposal.bad()?;
        Ok(summary)
    }

    /// Whether enough have signed all of it.
    pub fn is_complete(&self) -> bool {
        self.roles.iter().all(|role| role.status.is_complete())
    }
}

/// The text for a new proposal, which nobody has signed.
pub(super) fn text(
    statement: &Statement,
    old: &Current,
    drafts: &[Draft],
    now: Timestamp,
) -> Result<String, PublishError> {
    Ok(new(statement, old, drafts, now)?.to_string())
}

fn new(
    statement: &Statement,
    old: &Current,
    drafts: &[Draft],
    now: Timestamp,
) -> Result<Summary, PublishError> {
    let authority = Authority::new(old, drafts)?;
    let mut roles = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let role = draft.role();
        let before = match role {
            ROOT => Some(old.root().signed()),
            TARGETS => Some(old.targets()?.signed()),
            _ => old.product(role).ok().map(|file| file.signed()),
        };
        let expires = draft.signed().get("expires").and_then(|text| text.as_str());
        roles.push(RoleSummary {
            replaces: before.map(|_| old.version(role)),
            good_until: expires.and_then(|text| text.parse().ok()).unwrap_or(Timestamp::EPOCH),
            changes: skipped(before.map_or(0, |_| old.version(role)), draft.version())
                .into_iter()
                .chain(changes(role, before, draft.signed()))
                .collect(),
            status: authority.status(draft),
        });
    }
    Ok(Summary {
        what: statement.intent.describe(),
        repository: statement.repository,
        digest: statement.digest()?,
        proposer: escape(&statement.proposer),
        why: escape(&statement.why),
        created: statement.created,
        expires: statement.expires,
        expired: statement.expires <= now,
        notes: stale(old, now).into_iter().collect(),
        roles,
        bad: Vec::new(),
    })
}

/// Numbers that no version ever had: they show that something was logged and not published, or that somebody wants the
/// numbers used up.
fn skipped(before: u64, version: u64) -> Option<String> {
    let numbers = match (before.saturating_add(1), version.saturating_sub(1)) {
        (first, last) if first > last => return None,
        (first, last) if first == last => format!("the version number {first}"),
        (first, last) => format!("the version numbers {first} to {last}"),
    };
    Some(format!("skips {numbers}: ask why, if no change was interrupted after it was logged"))
}

/// What a proposal builds on is known to be the newest only while its timestamp is good.
fn stale(old: &Current, now: Timestamp) -> Option<String> {
    let (_, expires) = old.version_and_expiry(TIMESTAMP).filter(|(_, expires)| *expires <= now)?;
    Some(format!(
        "NOTE: the timestamp of what this builds on expired on {expires}: there may be newer metadata, which this \
         machine cannot tell from the proposal"
    ))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        writeln!(f, "  proposed by {} on {}", self.proposer, self.created)?;
        if !self.why.is_empty() {
            fold(f, &format!("because: {}", self.why))?;
        }
        let expires = if self.expired { "expired on" } else { "can be signed until" };
        writeln!(f, "  {expires} {}", self.expires)?;
        writeln!(f, "  repository {}", self.repository)?;
        writeln!(f, "  proposal   {}", self.digest)?;
        for note in &self.notes {
            fold(f, note)?;
        }
        for role in &self.roles {
            writeln!(f)?;
            write!(f, "{role}")?;
        }
        for bad in &self.bad {
            let (name, role) = (escape(&bad.name), escape(&bad.role));
            writeln!(f, "\nthe signature of {name} on {role} does not count: {}", bad.reason)?;
        }
        Ok(())
    }
}

impl fmt::Display for RoleSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RoleStatus { role, version, groups, broken_rule } = &self.status;
        let follows = self.replaces.map_or_else(|| ", new".to_owned(), |old| format!(", after {old}"));
        writeln!(f, "{} version {version}{follows}, good until {}", escape(role), self.good_until)?;
        for change in &self.changes {
            fold(f, change)?;
        }
        groups.iter().try_for_each(|group| fold(f, &group.to_string()))?;
        broken_rule.iter().try_for_each(|rule| fold(f, &format!("and this does not count yet: {rule}")))
    }
}

/// Writes a line of the summary, what does not fit into it below. Several spaces count as one: they could move what
/// follows them to where a line begins.
fn fold(f: &mut fmt::Formatter<'_>, line: &str) -> fmt::Result {
    f.write_str(" ")?;
    let mut column = 1;
    // A digest stands beside its name.
    let glued = line.replace("sha256 ", GLUED);
    let words = glued.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace(GLUED, "sha256 "));
    for (number, word) in words.enumerate() {
        for (part, piece) in pieces(&word).into_iter().enumerate() {
            let width = width(piece);
            if part > 0 || (number > 0 && column + 1 + width > COLUMNS) {
                write!(f, "\n{:INDENT$}", "")?;
                column = INDENT;
            }
            write!(f, " {piece}")?;
            column += 1 + width;
        }
    }
    writeln!(f)
}

/// A word in pieces that a line has room for.
fn pieces(word: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut wide) = (Vec::new(), 0, 0);
    for (at, character) in word.char_indices() {
        let more = columns_of(character);
        if wide + more > COLUMNS - INDENT - 1 {
            pieces.push(&word[start..at]);
            (start, wide) = (at, 0);
        }
        wide += more;
    }
    pieces.push(&word[start..]);
    pieces
}

fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// The most columns that a character takes up. Beyond ASCII many take two, and none takes more.
const fn columns_of(character: char) -> usize {
    if character.is_ascii() { 1 } else { 2 }
}

impl fmt::Display for GroupStatus {
    /// `needs 2 of 3, has 1: alice; can still sign: bob, carol`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.signed.len() + self.missing.len();
        let by = if self.by.is_empty() { String::new() } else { format!(" of {}", self.by) };
        write!(f, "needs {} of {all}{by}, has {}", self.threshold, self.signed.len())?;
        if !self.signed.is_empty() {
            write!(f, ": {}", names(&self.signed))?;
        }
        if !self.halves.is_empty() {
            write!(f, "; with one key of two: {}", names(&self.halves))?;
        }
        if self.lacks() > 0 {
            write!(f, "; can still sign: {}", names(&self.missing))?;
        }
        Ok(())
    }
}

fn names(people: &[Person]) -> String {
    people.iter().map(|person| escape(&person.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folded<'a>(&'a str);

    impl fmt::Display for Folded<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fold(f, self.0)
        }
    }

    /// No text can begin a line of its own: neither by a word that the terminal breaks, nor by spaces.
    #[test]
    fn every_line_of_free_text_is_moved_in() {
        let (long, wide, spaces) = ("x".repeat(300), "\u{65e5}".repeat(100), " ".repeat(75));
        for text in [
            format!("because: {long}"),
            format!("because: {wide}"),
            format!("because: ok{spaces}needs 2 of 3, has 2: alice, bob{spaces}x"),
            long.clone(),
        ] {
            let folded = Folded(&text).to_string();
            for (number, line) in folded.lines().enumerate() {
                assert!(width(line) <= COLUMNS, "{line}");
                assert!(line.starts_with(if number == 0 { "  " } else { "      " }), "{line}");
                assert!(!line.trim_start().contains("  "), "{line}");
            }
            let kept: String = folded.split_whitespace().collect();
            assert_eq!(kept, text.split(' ').collect::<String>(), "nothing is left out");
        }
        let digest = format!("adds a file with sha256 {}", "a".repeat(64));
        assert!(Folded(&digest).to_string().contains(&format!("\n      sha256 {}\n", "a".repeat(64))));
    }
}
