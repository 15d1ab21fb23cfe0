//! A team and its proposals: made, signed by people on copies, merged, published.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use countersign_base::name::{Channel, Platform, ProductName, Version};
use countersign_base::{Anchor, Explain as _};
use countersign_crypto::{Algorithm, PublicKey, SecretKey};
use countersign_keys::{KeyDir, KeyInfo, KeysError, OpenedKey, Passphrase};
use countersign_publish::proposal::{
    AdvisoryIntent, Intent, Member, ProductIntent, Proposal, ProposedBy, YankIntent,
};
use countersign_publish::{Publication, PublishError, ReleaseOptions};
use countersign_verify::{Wanted, extension};

use crate::support::{PRODUCT, Site, code, copy, load, temp};

/// The people of the product: their keys are not in the keys directory.
pub(crate) struct Team {
    pub(crate) alice: SecretKey,
    pub(crate) bob: SecretKey,
    pub(crate) carol: SecretKey,
}

impl Team {
    pub(crate) fn new() -> Self {
        Self { alice: person(1), bob: person(2), carol: person(3) }
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        [(&self.alice, "alice"), (&self.bob, "bob"), (&self.carol, "carol")]
            .map(|(key, holder)| member(key, holder))
            .to_vec()
    }
}

pub(crate) fn person(seed: u8) -> SecretKey {
    SecretKey::from_seed(Algorithm::Ed25519, &[seed; 32]).unwrap()
}

pub(crate) fn member(key: &SecretKey, holder: &str) -> Member {
    Member { key: key.public_key().clone(), pair: None, holder: holder.to_owned() }
}

/// What a product asks of its signers.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) threshold: u32,
    pub(crate) separation: bool,
}

/// A repository with one product, 2 of 3.
pub(crate) fn with_team(root: &Path) -> (Site, Anchor, Team) {
    with_rules(root, Rules { threshold: 2, separation: false })
}

pub(crate) fn with_rules(root: &Path, rules: Rules) -> (Site, Anchor, Team) {
    let mut site = Site::new(root);
    let (anchor, team) = (site.init().unwrap().anchor, Team::new());
    let intent = product(rules, team.members());
    let mut proposal = site.propose(&intent, "alice").unwrap();
    sign_at_hand(&site, &mut proposal);
    for person in [&team.alice, &team.bob] {
        proposal.sign(person).unwrap();
    }
    site.publish(&proposal).unwrap();
    (site, anchor, team)
}

pub(crate) fn product(rules: Rules, signers: Vec<Member>) -> Intent {
    let Rules { threshold, separation } = rules;
    Intent::Product(ProductIntent {
        name: PRODUCT.parse().unwrap(),
        threshold: Some(threshold),
        signers,
        separation: Some(separation),
        drop_pairs: BTreeSet::new(),
    })
}

/// Signs with every key of the keys directory that has a say.
pub(crate) fn sign_at_hand(site: &Site, proposal: &mut Proposal) {
    let dir = KeyDir::open(site.keys()).unwrap();
    for key in proposal.awaited().unwrap() {
        if let Some(opened) = opened(&dir, site, &key) {
            proposal.sign_with(opened).unwrap();
        }
    }
}

fn opened(dir: &KeyDir, site: &Site, key: &PublicKey) -> Option<OpenedKey> {
    let info = dir.find_public(key).unwrap()?;
    let mut ask = |info: &KeyInfo| -> Result<Passphrase, KeysError> { panic!("asked for {}", info.name) };
    let signer = dir.signer(&info, &mut ask, site.now).unwrap();
    Some(OpenedKey { info: Some(info), signer, usage_dir: Some(dir.usage_path()) })
}

impl Site {
    /// Where the next proposal goes.
    pub(crate) fn out(&self) -> PathBuf {
        let taken = |number: &u32| self.root.join(format!("proposal-{number}")).exists();
        let free = (1..).find(|number| !taken(number)).unwrap();
        self.root.join(format!("proposal-{free}"))
    }

    pub(crate) fn propose(&mut self, intent: &Intent, proposer: &str) -> Result<Proposal, PublishError> {
        let (out, by) = (self.out(), ProposedBy::new(proposer, "because we can"));
        self.act(|publisher| publisher.propose(intent, &by, &out))
    }

    pub(crate) fn propose_release(
        &mut self,
        version: &str,
        content: &str,
        proposer: &str,
    ) -> Result<Proposal, PublishError> {
        let out = self.out();
        self.propose_release_in(version, content, proposer, &out)
    }

    pub(crate) fn propose_release_in(
        &mut self,
        version: &str,
        content: &str,
        proposer: &str,
        out: &Path,
    ) -> Result<Proposal, PublishError> {
        let product: ProductName = PRODUCT.parse().unwrap();
        let (version, platform): (Version, Platform) =
            (version.parse().unwrap(), "linux/amd64".parse().unwrap());
        let channel: Channel = "stable".parse().unwrap();
        let files = [self.file(PRODUCT, content.as_bytes())];
        let options = ReleaseOptions {
            product: &product,
            version: &version,
            platform: &platform,
            channel: &channel,
            files: &files,
        };
        let by = ProposedBy::new(proposer, "");
        self.act(|publisher| publisher.propose_release(&options, &by, out, &mut |_| {}))
    }

    pub(crate) fn publish(&mut self, proposal: &Proposal) -> Result<Publication, PublishError> {
        self.act(|publisher| publisher.publish_proposal(proposal))
    }

    pub(crate) fn rebase(&mut self, proposal: &Proposal) -> Result<Proposal, PublishError> {
        let out = self.out();
        self.act(|publisher| publisher.rebase(proposal, &out))
    }

    /// Proposes, has it signed by alice and bob, and publishes.
    pub(crate) fn release_by_team(&mut self, team: &Team, version: &str, content: &str) {
        let mut proposal = self.propose_release(version, content, "alice").unwrap();
        proposal.sign(&team.alice).unwrap();
        proposal.sign(&team.bob).unwrap();
        self.publish(&proposal).unwrap();
    }

    pub(crate) fn opened(&self, dir: &Path) -> Result<Proposal, PublishError> {
        Proposal::open(dir, self.now)
    }
}

#[test]
fn two_of_three_sign_in_any_order() {
    let dir = temp();
    let (mut site, anchor, team) = with_team(dir.path());
    let orders = [[&team.alice, &team.bob], [&team.bob, &team.alice], [&team.carol, &team.bob]];
    for (number, order) in orders.into_iter().enumerate() {
        let (version, content) = (format!("1.{number}.0"), format!("content {number}"));
        let proposal = site.propose_release(&version, &content, "alice").unwrap();
        assert!(!proposal.status().unwrap()[0].is_complete());
        let path = proposal.path().to_owned();
        // Each in a process of its own, so to say.
        for person in order {
            assert_eq!(site.opened(&path).unwrap().sign(person).unwrap(), [PRODUCT]);
        }
        let proposal = site.opened(&path).unwrap();
        assert!(proposal.status().unwrap()[0].is_complete());
        site.publish(&proposal).unwrap();
        assert!(site.view(anchor).releases().contains(&version.as_str()), "{version}");
    }
}

#[test]
fn a_signature_too_few_publishes_nothing() {
    let dir = temp();
    let (mut site, anchor, team) = with_team(dir.path());
    let mut proposal = site.propose_release("1.0.0", "one", "alice").unwrap();
    let before = site.view(anchor);
    assert_eq!(code(site.publish(&proposal)), "publish-threshold-not-met");
    proposal.sign(&team.alice).unwrap();
    // Once more changes nothing.
    proposal.sign(&team.alice).unwrap();
    let error = site.publish(&proposal).unwrap_err();
    assert_eq!(error.code().name(), "publish-threshold-not-met");
    assert_eq!(error.to_string(), "`node` needs 2 signatures, and has 1: alice");
    assert_eq!(error.fix().unwrap(), "who must still sign: node: 1 more of bob, carol");
    assert_eq!(site.view(anchor), before);
    proposal.sign(&team.carol).unwrap();
    site.publish(&proposal).unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
}

#[test]
fn copies_that_were_signed_at_once_merge() {
    let dir = temp();
    let (mut site, anchor, team) = with_team(dir.path());
    let first = site.propose_release("1.0.0", "one", "alice").unwrap();
    let (here, there) = (first.path().to_owned(), dir.path().join("copy"));
    copy(&here, &there);
    site.opened(&here).unwrap().sign(&team.alice).unwrap();
    site.opened(&there).unwrap().sign(&team.bob).unwrap();
    let mut merged = site.opened(&here).unwrap();
    assert_eq!(merged.merge(&site.opened(&there).unwrap()).unwrap(), 1);
    // A second time there is nothing new.
    assert_eq!(merged.merge(&site.opened(&there).unwrap()).unwrap(), 0);
    // Copying the files by hand is the same.
    for entry in fs::read_dir(here.join("signatures")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, there.join("signatures").join(path.file_name().unwrap())).unwrap();
    }
    for path in [here, there] {
        assert!(site.opened(&path).unwrap().status().unwrap()[0].is_complete());
    }
    site.publish(&merged).unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
}

#[test]
fn a_stick_is_enough() {
    let dir = temp();
    let (mut site, anchor, team) = with_team(dir.path());
    let proposal = site.propose_release("1.0.0", "one", "alice").unwrap();
    let (stick, back) = (temp(), dir.path().join("back"));
    copy(proposal.path(), stick.path());
    fs::remove_dir_all(proposal.path()).unwrap();
    // On a machine that has neither repository nor keys directory nor network.
    let hidden = dir.path().join("hidden");
    fs::rename(site.repo(), &hidden).unwrap();
    for person in [&team.bob, &team.carol] {
        let mut there = Proposal::open(stick.path(), site.now).unwrap();
        assert_eq!(there.repository(), anchor);
        there.sign(person).unwrap();
    }
    fs::rename(&hidden, site.repo()).unwrap();
    copy(stick.path(), &back);
    let signed = site.opened(&back).unwrap();
    site.publish(&signed).unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
}

#[test]
fn what_a_signer_reads_is_computed_from_what_is_signed() {
    let dir = temp();
    let (mut site, _, team) = with_team(dir.path());
    let mut proposal = site.propose_release("1.4.0", "four", "alice").unwrap();
    proposal.sign(&team.alice).unwrap();
    let summary = proposal.summary(site.now).unwrap();
    let role = &summary.roles[0];
    let sha256 = countersign_crypto::sha256(b"four");
    assert_eq!(
        role.changes,
        [
            format!("adds node 1.4.0 for linux/amd64, channel stable: `node`, 4 bytes, sha256 {sha256}"),
            "removes nothing".to_owned()
        ]
    );
    assert_eq!(role.status.groups[0].to_string(), "needs 2 of 3, has 1: alice; can still sign: bob, carol");
    let text = fs::read_to_string(proposal.path().join("summary.txt")).unwrap();
    assert_eq!(text, summary.to_string());
    assert!(text.starts_with("release of node 1.4.0 for linux/amd64\n  proposed by alice"), "{text}");
    // What stands in the text for people is never read back.
    fs::write(proposal.path().join("summary.txt"), "adds nothing").unwrap();
    assert_eq!(site.opened(proposal.path()).unwrap().summary(site.now).unwrap(), summary);
}

#[test]
fn every_kind_of_change_is_in_words() {
    let dir = temp();
    let (mut site, _, team) = with_team(dir.path());
    let dave = person(4);
    let members = vec![
        member(&team.alice, "alice"),
        member(&team.bob, "robert"),
        member(&dave, "dave"),
        member(&person(5), "erin"),
    ];
    let intent = product(Rules { threshold: 3, separation: true }, members);
    let proposal = site.propose(&intent, "alice").unwrap();
    let summary = proposal.summary(site.now).unwrap();
    let (bob, carol) = (key_id(&team.bob), key_id(&team.carol));
    let erin = person(5).public_key().clone();
    let expected = [
        format!("lets dave sign the product node: {}", dave.public_key()),
        format!("lets erin sign the product node: {erin}"),
        format!("no longer lets carol sign the product node: key {carol}"),
        "the product node needs 3 of 4 signatures; it was 2 of 3".to_owned(),
        format!("says that the key {bob} is of robert; it was of bob"),
        "asks for another person than the proposer in every change of node".to_owned(),
        "removes nothing".to_owned(),
    ];
    assert_eq!(summary.roles[0].changes, expected);
    assert_eq!(summary.roles[1].changes, ["changes nothing but its version and its expiry"]);
    // The product is signed under the new keys, in the same proposal.
    let names: Vec<_> =
        summary.roles[1].status.groups[0].missing.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["alice", "robert", "dave", "erin"]);
}

fn key_id(key: &SecretKey) -> String {
    countersign_tuf::metadata::key_id(key.public_key())
}

#[test]
fn a_yanked_version_is_not_chosen_and_says_why() {
    let dir = temp();
    let (mut site, anchor, team) = with_team(dir.path());
    site.release_by_team(&team, "1.0.0", "one");
    site.release_by_team(&team, "1.1.0", "two");
    let newest = |site: &Site, version: Option<&str>| {
        let set = load(&site.repo(), anchor, site.now).unwrap();
        let version = version.map(|text| text.parse::<Version>().unwrap());
        let (product, platform, channel) =
            (PRODUCT.parse().unwrap(), "linux/amd64".parse().unwrap(), "stable".parse().unwrap());
        let wanted =
            Wanted { product: &product, platform: &platform, version: version.as_ref(), channel: &channel };
        let found = set.select(&wanted).map(|found| found[0].value().path.version.to_string());
        found.unwrap_or_else(|error| format!("{}: {error}", error.code()))
    };
    assert_eq!(newest(&site, None), "1.1.0");
    let yank = |version: &str| {
        let (product, version) = (PRODUCT.parse().unwrap(), version.parse().unwrap());
        Intent::Yank(YankIntent { product, version, reason: "it eats \u{1b}[31mfiles".to_owned() })
    };
    assert_eq!(code(site.propose(&yank("9.0.0"), "bob")), "publish-version-unknown");
    let mut proposal = site.propose(&yank("1.1.0"), "bob").unwrap();
    let summary = proposal.summary(site.now).unwrap();
    assert_eq!(summary.roles[0].changes, ["removes nothing", "takes 1.1.0 back: it eats \\u{1b}[31mfiles"]);
    proposal.sign(&team.bob).unwrap();
    proposal.sign(&team.carol).unwrap();
    site.publish(&proposal).unwrap();
    assert_eq!(newest(&site, None), "1.0.0");
    assert_eq!(newest(&site, Some("1.0.0")), "1.0.0");
    let refused = "install-yanked: node 1.1.0 has been yanked by its publisher: it eats \\u{1b}[31mfiles";
    assert_eq!(newest(&site, Some("1.1.0")), refused);
    // Who has the file is told why.
    let set = load(&site.repo(), anchor, site.now).unwrap();
    let found = set.find(countersign_crypto::sha256(b"two"), 3).unwrap();
    assert_eq!(found[0].value().yanked.as_deref(), Some("it eats \u{1b}[31mfiles"));
}

#[test]
fn an_advisory_is_published_beside_the_product() {
    let dir = temp();
    let (mut site, anchor, team) = with_team(dir.path());
    site.release_by_team(&team, "1.0.0", "one");
    let osv = |modified: &str| {
        format!(
            r#"{{"id":"ACME-2026-1","modified":"{modified}","affected":[{{"versions":["1.0.0"]}}],"details":"bad"}}"#
        )
    };
    let advise = |site: &mut Site, text: &str| {
        let (file, out) = (site.file("osv.json", text.as_bytes()), site.out());
        let product: ProductName = PRODUCT.parse().unwrap();
        let by = ProposedBy::new("carol", "");
        site.act(|publisher| publisher.propose_advisory(&product, &file, &by, &out))
    };
    for wrong in ["", "[]", "{}", r#"{"id":"X","modified":"2026-11-21T14:00:00Z","affected":[]}"#] {
        assert_eq!(code(advise(&mut site, wrong)), "usage", "{wrong}");
    }
    assert_eq!(code(advise(&mut site, &osv("yesterday"))), "usage");
    let text = osv("2026-11-20T10:00:00.5Z");
    let mut proposal = advise(&mut site, &text).unwrap();
    let change = &proposal.summary(site.now).unwrap().roles[0].changes[0];
    assert!(
        change.starts_with("adds the advisory ACME-2026-1, changed on 2026-11-20T10:00:00Z, "),
        "{change}"
    );
    proposal.sign(&team.alice).unwrap();
    proposal.sign(&team.bob).unwrap();
    site.publish(&proposal).unwrap();
    let digest = countersign_crypto::sha256(text.as_bytes());
    let path = format!("targets/node/advisories/osv/{digest}.ACME-2026-1.json");
    assert_eq!(fs::read_to_string(site.repo().join(path)).unwrap(), text);
    let set = load(&site.repo(), anchor, site.now).unwrap();
    let entry = set.tuf().role(PRODUCT).unwrap().target("node/advisories/osv/ACME-2026-1.json").unwrap();
    assert_eq!(entry.hashes.sha256, Some(digest));
    // It is no release.
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
    // A newer one takes its place, an older one does not.
    assert_eq!(code(advise(&mut site, &osv("2026-11-19T10:00:00Z"))), "usage");
    assert!(advise(&mut site, &osv("2026-11-21T10:00:00Z")).is_ok());
    let intent = AdvisoryIntent::read(&PRODUCT.parse().unwrap(), Path::new("/nowhere")).unwrap_err();
    assert_eq!(intent.code().name(), "file-not-found");
}

#[test]
fn signatures_say_who_proposed_and_which_proposal_it_was() {
    let dir = temp();
    let (mut site, anchor, team) = with_team(dir.path());
    let mut proposal = site.propose_release("1.0.0", "one", "dora the builder").unwrap();
    proposal.sign(&team.alice).unwrap();
    proposal.sign(&team.bob).unwrap();
    site.publish(&proposal).unwrap();
    let set = load(&site.repo(), anchor, site.now).unwrap();
    let role = set.tuf().role(PRODUCT).unwrap();
    assert_eq!(extension::proposer(role), Some("dora the builder"));
    let digest = extension::members(role)["proposal"].as_str().unwrap().to_owned();
    assert_eq!(digest, proposal.digest().to_string());
}

#[test]
fn keys_of_a_directory_sign_with_a_record() {
    let dir = temp();
    let (mut site, _) = crate::support::with_product(dir.path());
    let mut proposal = site.propose_release("1.0.0", "one", "node-1").unwrap();
    sign_at_hand(&site, &mut proposal);
    let head = {
        let (keys, disk) = (KeyDir::open(site.keys()).unwrap(), site.disk.clone());
        let log = countersign_keys::usage::UsageLog::open(&keys.usage_path(), disk, site.now).unwrap();
        log.finish().unwrap()
    };
    assert!(head.size > 2, "{}", head.size);
    site.publish(&proposal).unwrap();
}
