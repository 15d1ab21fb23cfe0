//! A repository and its keys in a temporary folder, and a client that checks all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_base::name::{Channel, Platform, ProductName, Version};
use countersign_base::{Anchor, Explain, Sha256Digest, Timestamp};
use countersign_crypto::sha256;
use countersign_keys::{KeyInfo, KeysError, Passphrase, Protection};
use countersign_log::{Cosigner, Trust};
use countersign_publish::{
    InitOptions, Initialised, ProductOptions, Publication, PublishError, Publisher, ReleaseOptions, Released,
};
use countersign_store::{Disk, RealDisk};
use countersign_tlog::policy::PolicyWitness;
use countersign_tlog::tile::{TileSet, needed_for_consistency};
use countersign_verify::{Document, Lineage, Link, TransparentSet, VerifyError};

pub(crate) const PRODUCT: &str = "node";

/// A folder in memory where there is one: nothing here is about the real disk.
pub(crate) fn temp() -> tempfile::TempDir {
    tempfile::tempdir_in(countersign_testkit::faulty_disk::scratch()).unwrap()
}

pub(crate) fn start() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

/// Makes the client of a remote witness, in these tests without HTTP.
pub(crate) type Remote = Box<dyn FnMut(&PolicyWitness) -> Box<dyn Cosigner>>;

/// Where a publisher works, and when.
pub(crate) struct Site {
    pub(crate) root: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) now: Timestamp,
    pub(crate) remote: Option<Remote>,
}

impl Site {
    /// The folders `repo` and `keys` below `root`.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), disk: Arc::new(RealDisk), now: start(), remote: None }
    }

    pub(crate) fn on(root: &Path, disk: Arc<dyn Disk>) -> Self {
        Self { disk, ..Self::new(root) }
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.root.join("repo")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    pub(crate) fn act<T>(&mut self, act: impl FnOnce(&mut Publisher<'_>) -> T) -> T {
        let mut ask = |info: &KeyInfo| -> Result<Passphrase, KeysError> { panic!("asked for {}", info.name) };
        let remote = &mut self.remote;
        let mut connect = |witness: &PolicyWitness| match remote {
            Some(remote) => remote(witness),
            None => panic!("no remote witness here"),
        };
        let (repo, keys) = (self.root.join("repo"), self.root.join("keys"));
        let publisher = Publisher::new(&repo, &keys, self.now, &mut ask, &mut connect);
        act(&mut publisher.on_disk(Arc::clone(&self.disk)))
    }

    pub(crate) fn init(&mut self) -> Result<Initialised, PublishError> {
        self.act(|publisher| publisher.init(&InitOptions::new(Protection::Unencrypted)))
    }

    pub(crate) fn add_product(&mut self) -> Result<Publication, PublishError> {
        let name: ProductName = PRODUCT.parse().unwrap();
        let options = ProductOptions::new(&name, Protection::Unencrypted);
        self.act(|publisher| publisher.product_add(&options)).map(|added| added.publication)
    }

    /// Releases one file, named `node`, with that content.
    pub(crate) fn release(&mut self, version: &str, content: &str) -> Result<Released, PublishError> {
        let file = self.file(PRODUCT, content.as_bytes());
        self.release_files(version, "linux/amd64", &[file])
    }

    pub(crate) fn release_files(
        &mut self,
        version: &str,
        platform: &str,
        files: &[PathBuf],
    ) -> Result<Released, PublishError> {
        let product: ProductName = PRODUCT.parse().unwrap();
        let (version, platform): (Version, Platform) = (version.parse().unwrap(), platform.parse().unwrap());
        let channel: Channel = "stable".parse().unwrap();
        let options = ReleaseOptions {
            product: &product,
            version: &version,
            platform: &platform,
            channel: &channel,
            files,
        };
        self.act(|publisher| publisher.release(&options, &mut |_| {}))
    }

    /// As [`Site::release_files`] for this platform, with a listener that is called after every chunk of a file.
    pub(crate) fn release_hearing(
        &mut self,
        version: &str,
        files: &[PathBuf],
        hear: &mut dyn FnMut(),
    ) -> Result<Released, PublishError> {
        let product: ProductName = PRODUCT.parse().unwrap();
        let (version, platform): (Version, Platform) =
            (version.parse().unwrap(), "linux/amd64".parse().unwrap());
        let channel: Channel = "stable".parse().unwrap();
        let options = ReleaseOptions {
            product: &product,
            version: &version,
            platform: &platform,
            channel: &channel,
            files,
        };
        self.act(|publisher| publisher.release(&options, &mut |_| hear()))
    }

    pub(crate) fn renew(&mut self) -> Result<Publication, PublishError> {
        self.act(|publisher| publisher.renew())
    }

    /// A file to release, outside of the repository.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let folder = self.root.join("files");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// What a client with that anchor sees now.
    pub(crate) fn view(&self, anchor: Anchor) -> View {
        view(&self.repo(), anchor, self.now).unwrap_or_else(|error| panic!("{}: {error}", error.code()))
    }
}

/// A repository of one product without a release.
pub(crate) fn with_product(root: &Path) -> (Site, Anchor) {
    let mut site = Site::new(root);
    let anchor = site.init().unwrap().anchor;
    site.add_product().unwrap();
    (site, anchor)
}

/// Versions by role, and each target's path with the SHA-256 of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) versions: BTreeMap<String, u64>,
    pub(crate) targets: BTreeMap<String, String>,
}

impl View {
    pub(crate) fn version(&self, role: &str) -> u64 {
        self.versions[role]
    }

    /// The product's versions that are released.
    pub(crate) fn releases(&self) -> Vec<&str> {
        self.targets.keys().map(|path| path.split('/').nth(1).unwrap()).collect()
    }
}

/// A first run of a client on a directory: all metadata, all proofs, the log's consistency.
pub(crate) fn load(repo: &Path, anchor: Anchor, now: Timestamp) -> Result<TransparentSet, VerifyError> {
    load_up_to(repo, anchor, now, u64::MAX)
}

/// The same by a client that finds no root after version `last`.
fn load_up_to(repo: &Path, anchor: Anchor, now: Timestamp, last: u64) -> Result<TransparentSet, VerifyError> {
    let document = |role: &str, version: u64| document(repo, role, version);
    let mut set = TransparentSet::new(anchor, &document("root", 1), Lineage::default(), now)?;
    for version in 2..=last {
        if !repo.join(format!("metadata/{version}.root.json")).exists() {
            break;
        }
        set.update_root(&document("root", version))?;
    }
    set.update_timestamp(&fs::read(repo.join("metadata/timestamp.json")).unwrap())?;
    let snapshot = set.tuf().timestamp().unwrap().snapshot().version;
    set.update_snapshot(&document("snapshot", snapshot))?;
    let listed = |set: &TransparentSet, role: &str| set.tuf().snapshot().unwrap().file(role).unwrap().version;
    set.update_targets(&document("targets", listed(&set, "targets")))?;
    let products = set.products();
    for product in &products {
        let version = listed(&set, product.as_str());
        set.update_role(product.as_str(), "targets", &document(product.as_str(), version))?;
    }
    for link in set.lineage().open_links() {
        let proof = consistency(repo, &link);
        set.lineage_mut().prove(&link, &proof)?;
    }
    Ok(set)
}

/// As [`load`], with all targets.
pub(crate) fn view(repo: &Path, anchor: Anchor, now: Timestamp) -> Result<View, VerifyError> {
    view_up_to(repo, anchor, now, u64::MAX)
}

/// The same by a client that finds no root after version `last`.
pub(crate) fn view_up_to(
    repo: &Path,
    anchor: Anchor,
    now: Timestamp,
    last: u64,
) -> Result<View, VerifyError> {
    let set = load_up_to(repo, anchor, now, last)?;
    let products = set.products();
    countersign_log::fsck(&repo.join("log"), Trust::Policy(set.policy(), now)).unwrap();
    let mut targets = BTreeMap::new();
    for product in &products {
        for release in set.all(product)? {
            let release = release.value();
            let bytes = fs::read(repo.join(release.file_path())).unwrap();
            assert_eq!((sha256(&bytes), bytes.len() as u64), (release.sha256, release.length));
            let path = release.path.to_string();
            let entry = set.tuf().role(product.as_str()).unwrap().target(&path).unwrap();
            assert_eq!(entry.hashes.sha256, Some(sha256(&bytes)));
            targets.insert(path, release.sha256.to_string());
        }
    }
    let names = ["root", "timestamp", "snapshot", "targets"].map(str::to_owned).into_iter();
    let names = names.chain(products.iter().map(ToString::to_string));
    let versions = names.map(|name| (name.clone(), set.tuf().version_and_expiry(&name).unwrap().0)).collect();
    Ok(View { versions, targets })
}

fn document(repo: &Path, role: &str, version: u64) -> Document {
    let path = repo.join(format!("metadata/{version}.{role}.json"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Document { bytes, proof: fs::read(format!("{}.tlog-proof", path.display())).ok() }
}

fn consistency(repo: &Path, link: &Link) -> Vec<countersign_tlog::Hash> {
    let tile = |id: countersign_tlog::tile::TileId| (id, fs::read(repo.join("log").join(id.path())).unwrap());
    let tiles = needed_for_consistency(link.old_size, link.new_size).unwrap().into_iter().map(tile).collect();
    let set = TileSet::verified(link.new_size, &link.new_root, &tiles).unwrap();
    set.consistency_proof(link.old_size, link.new_size).unwrap()
}

/// The code of a publication's error.
pub(crate) fn code<T>(result: Result<T, PublishError>) -> &'static str {
    result.map_or_else(|error| error.code().name(), |_| "ok")
}

/// All files below a folder, with their bytes.
pub(crate) fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Copies a folder, mode bits too.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// What faults have left and was judged: many leave the same, and the same is judged the same.
#[derive(Default)]
pub(crate) struct Seen(BTreeSet<Sha256Digest>);

impl Seen {
    /// Whether a folder with the same in it was not seen before.
    ///
    /// What is random from run to run is left out: numbers in the names of unfinished files, and what the nonce of a
    /// write-ahead log is in.
    pub(crate) fn is_new(&mut self, root: &Path) -> bool {
        let mut all = folders(root);
        for (path, bytes) in files(root) {
            let name = path.to_string_lossy().into_owned();
            let name = name.split_once(".tmp-").map_or(name.as_str(), |(folder, _)| folder);
            let bytes = if bytes.starts_with(b"countersign-wal 2\n") { without_nonce(bytes) } else { bytes };
            all.push(format!("{name} {}", sha256(&bytes)));
        }
        all.sort();
        self.0.insert(sha256(all.join("\n").as_bytes()))
    }
}

/// All folders below a folder, also those with nothing in them.
fn folders(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        pending.extend(
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()),
        );
        found.push(folder.strip_prefix(root).unwrap().to_string_lossy().into_owned());
    }
    found
}

/// A write-ahead log (`log/src/sequencer/record.rs`) with zeros for its nonce and the digests that it is in. Were its
/// format another, nothing would look like what was seen.
fn without_nonce(mut bytes: Vec<u8>) -> Vec<u8> {
    const BLOCK: usize = 512;
    let blank = |bytes: &mut Vec<u8>, from: usize, count: usize| {
        let end = (from + count).min(bytes.len());
        bytes.get_mut(from..end).unwrap_or_default().fill(0);
    };
    blank(&mut bytes, 18, 16 + 32);
    let mut at = BLOCK;
    while let Some(length) = bytes.get(at..).and_then(|record| record.first_chunk::<4>()) {
        let entries = u32::from_be_bytes(*length) as usize;
        blank(&mut bytes, at + 16, 16);
        blank(&mut bytes, at + 32 + entries, 32);
        at = (at + 32 + entries + 32).next_multiple_of(BLOCK);
    }
    bytes
}
