//! Ceremonies in one process, and clients that keep a home.

use std::path::{Path, PathBuf};

use countersign_base::{Anchor, Explain as _, Timestamp};
use countersign_client::{ClientError, FileTransport, Home, Repository, Trusted, Want, refresh};
use countersign_crypto::{Algorithm, PublicKey, Signer};
use countersign_keys::{KeyDir, KeyInfo, KeysError, NewKey, Passphrase, Protection, Stage};
use countersign_publish::proposal::{
    Member, RevokeIntent, RevokeReason, RoleChange, RootChange, RotateIntent,
};
use countersign_publish::{Intent, Proposal, ProposedBy, Publication, PublishError};
use countersign_tuf::Role as _;

pub(crate) use crate::support::temp;
use crate::support::{PRODUCT, Site};

fn info(site: &Site, name: &str) -> KeyInfo {
    let all = KeyDir::open(site.keys()).unwrap().list().unwrap();
    all.into_iter().find(|info| info.name.as_str() == name).unwrap_or_else(|| panic!("no key {name}"))
}

/// The secret key of that name.
pub(crate) fn signer(site: &Site, name: &str) -> Box<dyn Signer> {
    let mut ask = |info: &KeyInfo| -> Result<Passphrase, KeysError> { panic!("asked for {}", info.name) };
    KeyDir::open(site.keys()).unwrap().signer(&info(site, name), &mut ask, site.now).unwrap()
}

/// A new key in the keys directory.
pub(crate) fn new_key(site: &Site, name: &str, stage: Stage) -> PublicKey {
    let product = PRODUCT.parse().unwrap();
    let new = NewKey {
        name,
        stage,
        product: (stage == Stage::Release).then_some(&product),
        holder: name,
        algorithm: Algorithm::Ed25519,
        expires: None,
        cadence_days: None,
    };
    KeyDir::open(site.keys()).unwrap().create(&new, site.now, Protection::Unencrypted).unwrap().public
}

/// Takes a key's files out of the keys directory, as if it were lost or with somebody else.
pub(crate) fn lose(site: &Site, name: &str) {
    for suffix in ["key", "pub"] {
        std::fs::remove_file(site.keys().join(format!("{name}.{suffix}"))).unwrap();
    }
}

/// The public key of that name in the keys directory.
pub(crate) fn public(site: &Site, name: &str) -> PublicKey {
    info(site, name).public
}

/// A new holder of two keys, the second named `<name>-pq`.
pub(crate) fn pair(site: &Site, name: &str, stage: Stage) -> Member {
    let key = new_key(site, name, stage);
    let product = PRODUCT.parse().unwrap();
    let second = format!("{name}-pq");
    let new = NewKey {
        name: &second,
        stage,
        product: (stage == Stage::Release).then_some(&product),
        holder: name,
        algorithm: Algorithm::MlDsa44,
        expires: None,
        cadence_days: None,
    };
    let second = KeyDir::open(site.keys()).unwrap().create(&new, site.now, Protection::Unencrypted).unwrap();
    Member { key, pair: Some(second.public), holder: name.to_owned() }
}

pub(crate) fn member(key: &PublicKey, holder: &str) -> Member {
    Member { key: key.clone(), pair: None, holder: holder.to_owned() }
}

/// The rotation of the key `from` to a new one called `to`.
pub(crate) fn rotation(site: &Site, from: &str, to: &str) -> Intent {
    let old = info(site, from);
    let new = new_key(site, to, old.stage);
    Intent::Rotate(RotateIntent { from: old.public, to: member(&new, to) })
}

pub(crate) fn revocation(site: &Site, key: &str, replacement: Option<&str>) -> Intent {
    let old = info(site, key);
    let replacement = replacement.map(|name| member(&new_key(site, name, old.stage), name));
    Intent::Revoke(RevokeIntent { key: old.public, reason: RevokeReason::Compromised, replacement })
}

/// Other keys for one top-level role.
pub(crate) fn role_change(role: &str, threshold: u32, keys: &[(&PublicKey, &str)]) -> RootChange {
    let signers = keys.iter().map(|(key, holder)| member(key, holder)).collect();
    let change = RoleChange { threshold, signers };
    RootChange { roles: [(role.to_owned(), change)].into(), ..RootChange::default() }
}

/// A proposal signed by all keys at hand that have a say.
pub(crate) fn signed(site: &mut Site, intent: &Intent) -> Result<Proposal, PublishError> {
    let count = std::fs::read_dir(&site.root).unwrap().count();
    let out = site.root.join(format!("proposal-{count}"));
    let mut proposal =
        site.act(|publisher| publisher.propose(intent, &ProposedBy::new("alice", "a test"), &out))?;
    let dir = KeyDir::open(site.keys()).unwrap();
    let mut ask = |info: &KeyInfo| -> Result<Passphrase, KeysError> { panic!("asked for {}", info.name) };
    let awaited = proposal.awaited()?;
    for info in dir.list().unwrap() {
        if awaited.contains(&info.public) {
            let signer = dir.signer(&info, &mut ask, site.now).unwrap();
            proposal.sign(&*signer)?;
        }
    }
    Ok(proposal)
}

/// Proposes, signs and publishes.
pub(crate) fn change(site: &mut Site, intent: &Intent) -> Result<Publication, PublishError> {
    let proposal = signed(site, intent)?;
    site.act(|publisher| publisher.publish_proposal(&proposal))
}

/// A client with a home of its own.
pub(crate) struct Client {
    home: PathBuf,
}

impl Client {
    /// A home that trusts the repository as it is now.
    pub(crate) fn new(site: &Site, anchor: Anchor, name: &str) -> Self {
        let client = Self { home: site.root.join(name) };
        let location = format!("file://{}", site.repo().display()).parse().unwrap();
        let transport = FileTransport::new(site.repo());
        let added =
            Home::new(&client.home).add(&"repo".parse().unwrap(), &location, anchor, &transport, site.now);
        added.unwrap_or_else(|error| panic!("{name}: {}: {error}", error.code()));
        client
    }

    /// Another one that is at the same point.
    pub(crate) fn twin(&self, name: &str) -> Self {
        let home = self.home.with_file_name(name);
        crate::support::copy(&self.home, &home);
        Self { home }
    }

    /// The client with the home at that path.
    pub(crate) fn at(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    fn repository(&self) -> Repository {
        Home::new(&self.home).repository(&"repo".parse().unwrap()).unwrap()
    }

    pub(crate) fn try_refresh(&self, repo: &Path, now: Timestamp) -> Result<Trusted, ClientError> {
        refresh(&self.repository(), &FileTransport::new(repo), &Want::All, now)
    }

    /// The versions of root and of the product after a refresh that must work.
    pub(crate) fn refresh(&self, site: &Site) -> (u64, u64) {
        let trusted = self.try_refresh(&site.repo(), site.now);
        let trusted =
            trusted.unwrap_or_else(|error| panic!("{}: {}: {error}", self.home.display(), error.code()));
        let tuf = trusted.set.tuf();
        (tuf.root().version(), tuf.version_and_expiry(PRODUCT).unwrap().0)
    }

    /// The code of a refresh.
    pub(crate) fn code(&self, repo: &Path, now: Timestamp) -> &'static str {
        self.try_refresh(repo, now).map_or_else(|error| error.code().name(), |_| "ok")
    }
}

/// The stage of each key that `init` and `product add` make and that a test rotates.
pub(crate) const ROTATED: [(&str, Stage); 6] = [
    ("root-1", Stage::Root),
    ("snapshot", Stage::Snapshot),
    ("timestamp", Stage::Timestamp),
    ("log", Stage::Log),
    ("witness", Stage::Witness),
    ("node-1", Stage::Release),
];
