//! Proposals and the repository: making one, publishing one, making one again.

use std::path::Path;

use countersign_base::Anchor;
use countersign_base::text::escape;
use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::{ROOT, TARGETS};

use super::approval::{Approval, BadApproval};
use super::authority::Authority;
use super::folder::Folder;
use super::plan::{PlannedFile, Planning, make, plan, touched};
use super::statement::{ProposedBy, Statement};
use super::write::{self, Sources};
use super::{AdvisoryIntent, Intent, Proposal, base, invalid};
use crate::act::{self, Act, Change, Publication, Signed, Site, StagedTarget};
use crate::current::Current;
use crate::error::PublishError;
use crate::keyring::Keyring;
use crate::layout::Layout;
use crate::online::Online;
use crate::publisher::Publisher;
use crate::release::{Progress, ReleaseOptions, read_release};

impl Publisher<'_> {
    /// Makes a proposal in the directory `out`, which must be new or empty. It reads the repository's public files and
    /// needs no key. A release or advisory has its own: [`Publisher::propose_release`], [`Publisher::propose_advisory`].
    ///
    /// # Errors
    /// Why the change cannot be made on the repository as it stands; `publish-dir-not-empty`; `usage`.
    pub fn propose(
        &mut self,
        intent: &Intent,
        by: &ProposedBy<'_>,
        out: &Path,
    ) -> Result<Proposal, PublishError> {
        if matches!(intent, Intent::Release(_) | Intent::Advisory(_)) {
            let reason = "a proposal that publishes files is made with its files";
            return Err(PublishError::ProposalUsage { reason });
        }
        self.write_proposal(intent, by, out, &Sources::None)
    }

    /// Makes the proposal of a release. The files are copied into it.
    ///
    /// # Errors
    /// As [`Publisher::propose`] and [`Publisher::release`].
    pub fn propose_release(
        &mut self,
        options: &ReleaseOptions<'_>,
        by: &ProposedBy<'_>,
        out: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Proposal, PublishError> {
        let current = Current::read_public(&self.site.layout, self.site.now)?;
        by.check()?;
        if !current.has_product(options.product.as_str()) {
            return Err(PublishError::ProductUnknown { product: options.product.to_string() });
        }
        let folder = Folder::new(out);
        write::check_outside(&self.site, out)?;
        folder.create(&*self.site.disk)?;
        let intent = read_release(&*self.site.disk, options, &folder.files(), progress)?;
        self.write_proposal(&Intent::Release(intent), by, out, &Sources::Written)
    }

    /// Makes the proposal of an advisory: an OSV file about `product`, which is copied into it.
    ///
    /// # Errors
    /// As [`Publisher::propose`] and [`AdvisoryIntent::read`].
    pub fn propose_advisory(
        &mut self,
        product: &countersign_base::name::ProductName,
        file: &Path,
        by: &ProposedBy<'_>,
        out: &Path,
    ) -> Result<Proposal, PublishError> {
        let intent = AdvisoryIntent::read(product, file)?;
        self.write_proposal(&Intent::Advisory(intent), by, out, &Sources::Files(vec![file.to_owned()]))
    }

    /// Makes a proposal again in the directory `out`, on the repository as it stands today, for as long again. Nobody
    /// has signed it: what they signed was another change.
    ///
    /// # Errors
    /// As [`Publisher::propose`]; `approval-invalid` for a proposal for another repository.
    pub fn rebase(&mut self, proposal: &Proposal, out: &Path) -> Result<Proposal, PublishError> {
        let current = Current::read_public(&self.site.layout, self.site.now)?;
        check_repository(proposal, current.anchor)?;
        let statement = &proposal.statement;
        let seconds = statement.expires.seconds_since(statement.created);
        let by = ProposedBy {
            proposer: &statement.proposer,
            is_assumed: false,
            why: &statement.why,
            valid_days: u32::try_from(seconds / 86_400).unwrap_or(super::DEFAULT_VALID_DAYS),
        };
        let path = |file: &PlannedFile| proposal.folder.files().join(file.sha256.to_string());
        let sources = Sources::Files(proposal.files.iter().map(path).collect());
        self.write_proposal(&statement.intent, &by, out, &sources)
    }

    /// Publishes what enough people have signed. Their signatures are in the proposal; the keys directory has those of
    /// the online roles and the log.
    ///
    /// Who has a say is judged by the repository as it stands: a signature of a key that was removed since does not
    /// count.
    ///
    /// # Errors
    /// `proposal-stale` if the metadata that it builds on is no longer the newest, also when it was published before,
    /// or `approval-invalid` if somebody who signed it has lost their say since; `proposal-expired`;
    /// `publish-threshold-not-met`, or `approval-invalid` if signatures are there that do not count; `approval-self` by
    /// the rule of separation; codes of keys, log and witnesses.
    pub fn publish_proposal(&mut self, proposal: &Proposal) -> Result<Publication, PublishError> {
        let site = &self.site;
        let lock = act::lock(&site.layout)?;
        let mut current = Current::read(site)?;
        check_repository(proposal, current.anchor)?;
        let drafts = check_on(proposal, &mut current, site);
        let drafts = drafts.map_err(|error| removed_or(error, proposal, &current))?;
        proposal.check_time(site.now)?;
        let fresh = [ROOT, TARGETS];
        let fresh: Vec<_> =
            fresh.into_iter().filter(|role| drafts.iter().all(|draft| draft.role() != *role)).collect();
        current.check_fresh(&fresh, site.now)?;
        let keyring = Keyring::open(&site.keys, &mut *self.ask, site.now)?;
        let why = format!("publication of proposal {}", proposal.digest);
        let mut keyring = keyring.because(&why);
        let online = Online::of(site, &current);
        if drafts.iter().all(|draft| draft.role() != ROOT) {
            online.check_keys(&keyring)?;
        }
        let act = Act::on(site, lock, &current, &mut keyring)?;
        let documents = number(&act, &current, &drafts)?;
        let mut targets = Vec::with_capacity(proposal.files.len());
        for file in &proposal.files {
            let from = proposal.folder.files().join(file.sha256.to_string());
            let copy = act.staging().copy(&from, &mut |_, _| {})?;
            if !copy.digests.is(file) {
                return Err(invalid(format!(
                    "the proposal's file for `{}` has changed",
                    escape(&file.target)
                )));
            }
            targets.push(StagedTarget { from: copy.path, to: file.place(&site.layout) });
        }
        let change = Change { documents, targets, renew_snapshot: false };
        act.publish(change, &online, &mut keyring, &mut *self.connect)
    }

    fn write_proposal(
        &mut self,
        intent: &Intent,
        by: &ProposedBy<'_>,
        out: &Path,
        sources: &Sources,
    ) -> Result<Proposal, PublishError> {
        let site = &self.site;
        write::check_outside(site, out)?;
        let mut current = Current::read_public(&site.layout, site.now)?;
        for product in touched(intent, &current)? {
            current.load_public(&site.layout, site.now, &product)?;
        }
        let mut statement = Statement::new(current.anchor, by, intent, site.now)?;
        let next = |role: &str| next_version(&site.layout, role, current.version(role));
        fill(&mut statement, &current, site, &next)?;
        let plan = make(&statement, &current, &site.expiries)?;
        if by.is_assumed {
            Authority::new(&current, &plan.drafts)?.check_assumed(by.proposer, &plan.drafts)?;
        }
        write::write(site, &Folder::new(out), &statement, &current, &plan, sources)?;
        Proposal::open_on(std::sync::Arc::clone(&site.disk), out, site.now)
    }
}

/// The number after the newest that is there; roots have no gaps.
fn next_version(layout: &Layout, role: &str, seen: u64) -> u64 {
    let mut version = seen + 1;
    while role != ROOT && layout.role_file(role, version).exists() {
        version += 1;
    }
    version
}

/// Says in a statement which files it builds on, and numbers the new ones.
pub(super) fn fill(
    statement: &mut Statement,
    current: &Current,
    site: &Site,
    next: &dyn Fn(&str) -> u64,
) -> Result<(), PublishError> {
    let planning = Planning { current, expiries: &site.expiries, now: statement.created, version: next };
    let drafts = plan(&planning, &statement.intent)?.drafts;
    if drafts.is_empty() {
        return Err(PublishError::ProposalUsage { reason: "there is nothing to change" });
    }
    statement.base = base(current, &drafts);
    statement.versions = drafts.iter().map(|draft| (draft.role().to_owned(), draft.version())).collect();
    Ok(())
}

/// Of a stale proposal: that somebody who signed it has no say any more comes first. Whoever makes it again would find
/// out only then.
fn removed_or(error: PublishError, proposal: &Proposal, current: &Current) -> PublishError {
    if !matches!(error, PublishError::ProposalStale { .. }) {
        return error;
    }
    match removed(proposal, current) {
        Ok(Some((name, role))) => PublishError::ApproverRemoved { name, role, stale: Box::new(error) },
        _ => error,
    }
}

/// Who has signed for which role and has no say in it any more.
fn removed(proposal: &Proposal, current: &Current) -> Result<Option<(String, String)>, PublishError> {
    // By what was and is published: a say that the proposal itself would bring or end is not one that was lost.
    let (then, now) = (Authority::new(&proposal.old, &[])?, Authority::new(current, &[])?);
    let lost =
        |(role, keyid): &(&str, &str)| then.key(role, keyid).is_some() && now.key(role, keyid).is_none();
    let found = proposal.signatures().find(lost);
    Ok(found.map(|(role, keyid)| (then.name(role, keyid), role.to_owned())))
}

fn check_repository(proposal: &Proposal, anchor: Anchor) -> Result<(), PublishError> {
    if proposal.statement.repository == anchor {
        return Ok(());
    }
    let meant = proposal.statement.repository;
    let what = format!("the proposal is for the repository {meant}, and this is {anchor}");
    Err(PublishError::ApprovalInvalid { what, fix: "name the repository that the proposal was made for" })
}

/// Judges a proposal by the repository as it stands, and gives its new files with the signatures that count.
fn check_on(proposal: &Proposal, current: &mut Current, site: &Site) -> Result<Vec<Draft>, PublishError> {
    let statement = &proposal.statement;
    for (role, base) in &statement.base {
        check_unchanged(proposal, role, base.version, current, site)?;
    }
    for role in statement.versions.keys().filter(|role| !statement.base.contains_key(*role)) {
        check_unchanged(proposal, role, 0, current, site)?;
    }
    let stale = |error: PublishError| match error {
        PublishError::Storage(_) | PublishError::Damaged { .. } => error,
        other => PublishError::ProposalStale { what: format!("it cannot be made any more: {other}") },
    };
    for product in touched(&statement.intent, current).map_err(stale)? {
        current.load_product(site, &product)?;
    }
    for (role, base) in &statement.base {
        if current.digest(role) != Some(base.sha256) {
            let what = format!("it builds on another version {} of {}", base.version, escape(role));
            return Err(PublishError::ProposalStale { what });
        }
    }
    // The same intent on the same metadata: anything else that it depends on shows here.
    let drafts = make(statement, current, &site.expiries).map_err(stale)?.drafts;
    let same = |made: &[Draft]| made.iter().map(Draft::signed).eq(proposal.drafts.iter().map(Draft::signed));
    if !same(&drafts) {
        let what = "what it would publish has changed with the repository".to_owned();
        return Err(PublishError::ProposalStale { what });
    }
    sign_again(proposal, current, drafts)
}

/// Puts the signatures that count today on `drafts`, which must be enough.
fn sign_again(
    proposal: &Proposal,
    current: &Current,
    mut drafts: Vec<Draft>,
) -> Result<Vec<Draft>, PublishError> {
    let authority = Authority::new(current, &drafts)?;
    let check = |approval: &Approval| {
        let signature = approval.check(proposal.digest, &drafts, &authority)?;
        Ok((approval.role.clone(), approval.keyid.clone(), signature))
    };
    let checked: Vec<Result<_, BadApproval>> = proposal.approvals.iter().map(check).collect();
    for (role, keyid, signature) in checked.iter().flatten() {
        if let Some(draft) = drafts.iter_mut().find(|draft| draft.role() == role) {
            draft.add_signature(keyid, signature.clone());
        }
    }
    let bad = checked.iter().find_map(|checked| checked.as_ref().err());
    match (authority.check(&drafts), bad) {
        // Somebody thinks that they have approved it, and have not.
        (Err(PublishError::ApprovalsMissing { .. }), Some(bad)) => {
            let (name, role) = (escape(&bad.name), escape(&bad.role));
            let what = format!("the signature of {name} on {role} does not count: {}", bad.reason);
            let fix = "let them sign it again, on a copy of this proposal, or let another sign who may";
            Err(PublishError::ApprovalInvalid { what, fix })
        }
        (outcome, _) => outcome.map(|()| drafts),
    }
}

/// Refuses a proposal whose base is no longer what clients see.
fn check_unchanged(
    proposal: &Proposal,
    role: &str,
    base: u64,
    current: &Current,
    site: &Site,
) -> Result<(), PublishError> {
    let now = current.version(role);
    if now == base {
        return Ok(());
    }
    let published = proposal.drafts.iter().find(|draft| draft.role() == role).is_some_and(|draft| {
        let path = site.layout.role_file(role, draft.version());
        draft.version() <= now && holds(&path, draft)
    });
    if published {
        let version = proposal.statement.versions.get(role).copied().unwrap_or(now);
        return Err(PublishError::ProposalPublished { role: role.to_owned(), version });
    }
    let role = escape(role);
    let what = match base {
        0 => format!("{role} is there already, at version {now}"),
        _ => format!("{role} is at version {now} now, and it builds on version {base}"),
    };
    Err(PublishError::ProposalStale { what })
}

/// Whether the file at `path` says what `draft` says.
fn holds(path: &Path, draft: &Draft) -> bool {
    let limit = countersign_tuf::limits::MAX_TARGETS_BYTES as u64;
    let bytes = countersign_store::durable::read(path, limit).ok().flatten();
    let read = bytes.and_then(|bytes| Draft::parse(draft.role(), &bytes).ok());
    read.is_some_and(|read| read.signed() == draft.signed())
}

/// The documents to publish. A number that was logged for this very draft, by a run that was interrupted, is gone on
/// with, in the file that was logged; one that was logged for anything else is used up.
fn number(act: &Act<'_>, current: &Current, drafts: &[Draft]) -> Result<Vec<Signed>, PublishError> {
    let mut documents = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let (role, version) = (draft.role(), draft.version());
        if let Some(logged) = act.logged_as(role, version)?
            && Draft::parse(role, &logged.bytes)?.signed() == draft.signed()
        {
            documents.push(logged);
            continue;
        }
        // The numbers of roots have no gaps: whether one is free is for the act to say.
        if role != ROOT && version != act.next_version(role, current.version(role)) {
            let what = format!("version {version} of {} is not the next that the log takes", escape(role));
            return Err(PublishError::ProposalStale { what });
        }
        documents.push(Signed { role: role.to_owned(), version, bytes: draft.to_bytes()? });
    }
    Ok(documents)
}
