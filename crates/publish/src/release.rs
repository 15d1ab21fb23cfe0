//! A release: files of one version of a product, for one platform.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use countersign_base::Sha256Digest;
use countersign_base::name::{Channel, FileName, Platform, ProductName, TargetPath, Version};
use countersign_base::text::escape;
use countersign_tuf::Targets;
use countersign_tuf::editor::{Draft, TargetsEditor};
use countersign_tuf::metadata::{Hashes, ROOT, TARGETS, TargetFile};
use countersign_verify::{FileMode, ReleaseInfo};

use crate::act::{self, Act, Change, Publication, Signed, Site, StagedTarget};
use crate::current::Current;
use crate::error::PublishError;
use crate::keyring::{Keyring, as_dyn, listed};
use crate::online::Online;
use crate::publisher::Publisher;
use crate::staging::{Copied, check_source};

/// Most files in one release.
pub const MAX_FILES: usize = 1024;

/// What to release.
#[derive(Debug, Clone)]
pub struct ReleaseOptions<'a> {
    /// The product.
    pub product: &'a ProductName,
    /// The version.
    pub version: &'a Version,
    /// The platform. Other platforms of the same version are released by further calls.
    pub platform: &'a Platform,
    /// The channel.
    pub channel: &'a Channel,
    /// The files, released under their own names.
    pub files: &'a [PathBuf],
}

/// How far the copying of a file has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file.
    pub file: &'a Path,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// A release that was published.
#[derive(Debug, Clone)]
pub struct Released {
    /// The files, in the order given.
    pub files: Vec<ReleasedFile>,
    /// Key ids of the product's signers that signed.
    pub signers: Vec<String>,
    /// How many must sign.
    pub threshold: u32,
    /// What was published.
    pub publication: Publication,
}

/// A released file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasedFile {
    /// Product, version, platform and name.
    pub path: TargetPath,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256.
    pub sha256: Sha256Digest,
    /// Whether it is a program.
    pub mode: FileMode,
}

impl Publisher<'_> {
    /// Releases files. Each is read once: hashed while it is copied, in constant memory.
    ///
    /// `progress` hears of every chunk.
    ///
    /// # Errors
    /// `publish-product-unknown`, `publish-version-exists`, `publish-threshold-not-met`, `name-invalid`,
    /// `file-not-found`, `file-not-regular`, `file-unreadable`, `tuf-expired` for root or targets, codes of keys, log
    /// and witnesses.
    pub fn release(
        &mut self,
        options: &ReleaseOptions<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Released, PublishError> {
        let paths = target_paths(options)?;
        let site = &self.site;
        let lock = act::lock(&site.layout)?;
        let mut current = Current::read(site)?;
        current.check_fresh(&[ROOT, TARGETS], site.now)?;
        let name = options.product.as_str();
        if !current.has_product(name) {
            return Err(PublishError::ProductUnknown { product: name.to_owned() });
        }
        current.load_product(site, name)?;
        let current = current;
        let role = current.product(name)?;
        if let Some(path) = paths.iter().find(|path| role.target(&path.to_string()).is_some()) {
            return Err(PublishError::VersionExists { path: path.clone() });
        }
        let mut keyring = Keyring::open(&site.keys, &mut *self.ask)?;
        let online = Online { site, root: current.root(), current: Some(&current) };
        online.check_keys(&keyring)?;
        let (keys, threshold) = signers(&current, name)?;
        // Passphrases are asked for before the copying, so that nobody waits for a large file to be asked.
        let signers = keyring.signers(name, &keys, threshold)?;

        let act =
            Act::begin(site, lock, current.anchor, &current.policy, online.snapshot_version(), &mut keyring)?;
        let mut copies = Vec::with_capacity(paths.len());
        for file in options.files {
            let mut hear = |done, total| progress(Progress { file, done, total });
            copies.push(act.staging().copy(file, &mut hear)?);
        }
        let version = act.next_version(name, current.version(name));
        let mut draft = draft(site, options, role, version, &paths, &copies)?;
        draft.sign(&as_dyn(&signers))?;
        let signed_by = draft.signatures().map(|(keyid, _)| keyid.to_owned()).collect();
        let document = Signed { role: name.to_owned(), version, bytes: draft.to_bytes()? };

        let (files, targets) = place(site, paths, copies);
        let change = Change { documents: vec![document], targets, renew_snapshot: false };
        let publication = act.publish(change, &online, &mut keyring, &mut *self.connect)?;
        Ok(Released { files, signers: signed_by, threshold, publication })
    }
}

/// The target path of each file.
fn target_paths(options: &ReleaseOptions<'_>) -> Result<Vec<TargetPath>, PublishError> {
    if options.files.is_empty() {
        return Err(PublishError::NoFiles);
    }
    if options.files.len() > MAX_FILES {
        return Err(PublishError::TooManyFiles { limit: MAX_FILES });
    }
    let mut names = BTreeSet::new();
    let mut paths = Vec::with_capacity(options.files.len());
    for file in options.files {
        check_source(file)?;
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let name: FileName = name.parse()?;
        if !names.insert(name.clone()) {
            return Err(PublishError::FileTwice { name: escape(name.as_str()) });
        }
        paths.push(TargetPath {
            product: options.product.clone(),
            version: options.version.clone(),
            platform: options.platform.clone(),
            name,
        });
    }
    Ok(paths)
}

/// Who signs the product's role, as the top-level targets say.
fn signers(current: &Current, name: &str) -> Result<(Vec<countersign_crypto::PublicKey>, u32), PublishError> {
    let unknown = || PublishError::ProductUnknown { product: name.to_owned() };
    let delegations = current.targets()?.delegations().ok_or_else(unknown)?;
    let keys = delegations.role_keys(name).ok_or_else(unknown)?;
    Ok((listed(delegations.keys(), keys), keys.threshold))
}

/// The next version of the product's role.
fn draft(
    site: &Site,
    options: &ReleaseOptions<'_>,
    role: &Targets,
    version: u64,
    paths: &[TargetPath],
    copies: &[Copied],
) -> Result<Draft, PublishError> {
    let mut editor = TargetsEditor::next(options.product.as_str(), role);
    editor.set_version(version).set_expires(site.now.plus_days(site.expiries.product_days));
    for (path, copy) in paths.iter().zip(copies) {
        let info = ReleaseInfo { channel: options.channel.clone(), mode: copy.mode };
        let hashes = Hashes { sha256: Some(copy.sha256), sha512: Some(copy.sha512), others: false };
        let file = TargetFile { length: copy.length, hashes, custom: Some(info.to_custom()) };
        editor.set_target(&path.to_string(), &file)?;
    }
    Ok(editor.finish()?)
}

/// What was released, and where each copy goes.
fn place(site: &Site, paths: Vec<TargetPath>, copies: Vec<Copied>) -> (Vec<ReleasedFile>, Vec<StagedTarget>) {
    let each = |(path, copy): (TargetPath, Copied)| {
        let to = site.layout.target_file(&path, &copy.sha256);
        let file = ReleasedFile { path, length: copy.length, sha256: copy.sha256, mode: copy.mode };
        (file, StagedTarget { from: copy.path, to })
    };
    paths.into_iter().zip(copies).map(each).unzip()
}
