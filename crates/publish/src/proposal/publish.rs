//! Proposals and the repository: making one, publishing one, making one again.

use std::path::Path;

use countersign_base::Anchor;
use countersign_base::text::escape;
use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::{ROOT, TARGETS};
use countersign_verify::extension::is_holder;

use super::authority::Authority;
use super::folder::Folder;
use super::plan::{Plan, PlannedFile, Planning, make, plan, touched};
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
    /// `proposal-stale` if the metadata that it builds on is no longer the newest, also when it was published before;
    /// `proposal-expired`; `publish-threshold-not-met`, or `approval-invalid` if signatures are there that do not
    /// count; `approval-self` by the rule of separation; codes of keys, log and witnesses.
    pub fn publish_proposal(&mut self, proposal: &Proposal) -> Result<Publication, PublishError> {
        let site = &self.site;
        let lock = act::lock(&site.layout)?;
        let mut current = Current::read(site)?;
        check_repository(proposal, current.anchor)?;
        let drafts = check_on(proposal, &mut current, site)?;
        proposal.check_time(site.now)?;
        let fresh = [ROOT, TARGETS];
        let fresh: Vec<_> =
            fresh.into_iter().filter(|role| drafts.iter().all(|draft| draft.role() != *role)).collect();
        current.check_fresh(&fresh, site.now)?;
        let keyring = Keyring::open(&site.keys, &mut *self.ask, site.now)?;
        let why = format!("publication of proposal {}", proposal.digest);
        let mut keyring = keyring.because(&why);
        let online = Online { site, root: current.root(), current: Some(&current) };
        let act =
            Act::begin(site, lock, current.anchor, &current.policy, online.snapshot_version(), &mut keyring)?;
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
fn fill(
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

fn check_repository(proposal: &Proposal, anchor: Anchor) -> Result<(), PublishError> {
    if proposal.statement.repository == anchor {
        return Ok(());
    }
    Err(invalid(format!(
        "the proposal is for the repository {}, and this is {anchor}",
        proposal.statement.repository
    )))
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
    let mut drafts = make(statement, current, &site.expiries).map_err(stale)?.drafts;
    let same = |made: &[Draft]| made.iter().map(Draft::signed).eq(proposal.drafts.iter().map(Draft::signed));
    if !same(&drafts) {
        let what = "what it would publish has changed with the repository".to_owned();
        return Err(PublishError::ProposalStale { what });
    }
    let authority = Authority::new(current, &drafts)?;
    let checked: Vec<_> = proposal
        .approvals
        .iter()
        .map(|approval| (approval, approval.check(proposal.digest, &drafts, &authority)))
        .collect();
    let mut signed = drafts.clone();
    let mut bad = Vec::new();
    for (approval, checked) in checked {
        match checked {
            Ok(signature) => {
                if let Some(draft) = signed.iter_mut().find(|draft| draft.role() == approval.role) {
                    draft.add_signature(&approval.keyid, signature);
                }
            }
            Err(reason) => bad.push(reason),
        }
    }
    match (authority.check(&signed), bad.first()) {
        (Ok(()), _) => {}
        // Somebody thinks that they have approved it, and have not.
        (Err(PublishError::ApprovalsMissing { .. }), Some(first)) => {
            return Err(invalid(format!(
                "the signature of {} on {} does not count: {}",
                escape(&first.name),
                escape(&first.role),
                first.reason
            )));
        }
        (Err(error), _) => return Err(error),
    }
    drop(authority);
    drafts = signed;
    Ok(drafts)
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
    let role = escape(role);
    let what = match (published, base) {
        (true, _) => format!("it was published already, as version {now} of {role}"),
        (false, 0) => format!("{role} is there already, at version {now}"),
        (false, _) => format!("{role} is at version {now} now, and it builds on version {base}"),
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
        if let Some(logged) = act.logged_as(role, version)? {
            if Draft::parse(role, &logged.bytes)?.signed() == draft.signed() {
                documents.push(logged);
                continue;
            }
        }
        let next = act.next_version(role, current.version(role));
        let free = version >= next || (role == ROOT && version == current.version(ROOT) + 1);
        if !free {
            let what = format!("the log has a version {version} of {} already", escape(role));
            return Err(PublishError::ProposalStale { what });
        }
        documents.push(Signed { role: role.to_owned(), version, bytes: draft.to_bytes()? });
    }
    Ok(documents)
}

/// A change that whoever asks for it also signs: the same plan, the same signatures, the same rules.
pub(crate) struct AtOnce<'a> {
    /// Place and time.
    pub site: &'a Site,
    /// The repository as it stands, with the products that the intent touches.
    pub current: &'a Current,
    /// What is wanted.
    pub intent: &'a Intent,
}

impl AtOnce<'_> {
    /// The documents, signed by all keys at hand that have a say, and the ids of those that signed each.
    ///
    /// # Errors
    /// As [`Publisher::propose`] and [`Publisher::publish_proposal`].
    pub(crate) fn sign(
        &self,
        act: &Act<'_>,
        keyring: &mut Keyring<'_>,
    ) -> Result<(Vec<Signed>, Plan), PublishError> {
        let proposer = self.proposer(keyring)?;
        let by = ProposedBy::new(&proposer, "");
        let (current, site) = (self.current, self.site);
        let mut statement = Statement::new(current.anchor, &by, self.intent, site.now)?;
        fill(&mut statement, current, site, &|role| act.next_version(role, current.version(role)))?;
        let mut plan = make(&statement, current, &site.expiries)?;
        let authority = Authority::new(current, &plan.drafts)?;
        let mut signed = plan.drafts.clone();
        for draft in &mut signed {
            for key in authority.keys(draft.role()) {
                let keyid = authority.keyid(draft.role(), &key);
                if let Some((keyid, signer)) = keyid.zip(keyring.signer_of(draft.role(), &key)?) {
                    draft.sign_as(&keyid, &signer)?;
                }
            }
        }
        authority.check(&signed)?;
        drop(authority);
        let document = |draft: &Draft| {
            let (role, version) = (draft.role().to_owned(), draft.version());
            Ok(Signed { role, version, bytes: draft.to_bytes()? })
        };
        let documents = signed.iter().map(document).collect::<Result<_, PublishError>>()?;
        plan.drafts = signed;
        Ok((documents, plan))
    }

    /// Who acts: the holder of the first key at hand that signs the product.
    fn proposer(&self, keyring: &Keyring<'_>) -> Result<String, PublishError> {
        let authority = Authority::new(self.current, &[])?;
        let role = self.intent.product().map_or(ROOT, |product| product.as_str());
        let role = if self.current.has_product(role) { role } else { TARGETS };
        let keys = authority.keys(role);
        let key = keys.iter().find(|key| keyring.has(key));
        let name = key.map(|key| match authority.keyid(role, key) {
            Some(keyid) => authority.name(role, &keyid),
            None => String::new(),
        });
        Ok(name.filter(|name| is_holder(name)).unwrap_or_else(|| "publisher".to_owned()))
    }
}
