//! A release: files of one version of a product, for one platform.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use countersign_base::Sha256Digest;
use countersign_base::name::{Channel, FileName, Platform, ProductName, TargetPath, Version};
use countersign_base::text::escape;
use countersign_store::Disk;
use countersign_tuf::editor::TargetsEditor;
use countersign_tuf::metadata::{Hashes, ROOT, TARGETS, TargetFile};
use countersign_verify::{FileMode, ReleaseInfo};

use crate::act::{self, Act, Change, Publication, StagedTarget};
use crate::current::Current;
use crate::error::PublishError;
use crate::keyring::{Keyring, listed};
use crate::online::Online;
use crate::proposal::{AtOnce, FileIntent, Intent, Plan, PlannedFile, Planning, ReleaseIntent};
use crate::publisher::Publisher;
use crate::staging::{Copied, Digests, check_source, copy_by_digest};

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
        let keyring = Keyring::open(&site.keys, &mut *self.ask, site.now)?;
        let why = format!("release of {name} {} for {}", options.version, options.platform);
        let mut keyring = keyring.because(&why);
        let online = Online::of(site, &current);
        online.check_keys(&keyring)?;
        let (keys, threshold) = signers(&current, name)?;
        // Passphrases are asked for before the copying, so that nobody waits for a large file to be asked.
        keyring.signers(name, &keys, threshold)?;

        let act = Act::on(site, lock, &current, &mut keyring)?;
        let mut copies = Vec::with_capacity(paths.len());
        for file in options.files {
            let mut hear = |done, total| progress(Progress { file, done, total });
            copies.push(act.staging().copy(file, &mut hear)?);
        }
        let intent = Intent::Release(intent(options, &paths, &copies));
        let at_once = AtOnce { site, current: &current, intent: &intent };
        let (documents, plan) = at_once.sign(&act, &mut keyring)?;
        let signed = plan.drafts.iter().find(|draft| draft.role() == name);
        let signers = signed.map(|draft| draft.signatures().map(|(keyid, _)| keyid.to_owned()).collect());
        let placed = plan.files.iter().zip(&copies);
        let place = |(file, copy): (&PlannedFile, &Copied)| StagedTarget {
            from: copy.path.clone(),
            to: file.place(&site.layout),
        };
        let change = Change { documents, targets: placed.map(place).collect(), renew_snapshot: false };
        let publication = act.publish(change, &online, &mut keyring, &mut *self.connect)?;
        let released = |(path, copy): (TargetPath, &Copied)| {
            let Digests { length, sha256, mode } = copy.digests;
            ReleasedFile { path, length, sha256, mode }
        };
        let files = paths.into_iter().zip(&copies).map(released).collect();
        Ok(Released { files, signers: signers.unwrap_or_default(), threshold, publication })
    }
}

/// What a release is, once its files are copied.
fn intent(options: &ReleaseOptions<'_>, paths: &[TargetPath], copies: &[Copied]) -> ReleaseIntent {
    let file = |(path, copy): (&TargetPath, &Copied)| {
        let Digests { length, sha256, mode } = copy.digests;
        FileIntent { name: path.name.clone(), length, sha256, mode }
    };
    ReleaseIntent {
        product: options.product.clone(),
        version: options.version.clone(),
        platform: options.platform.clone(),
        channel: options.channel.clone(),
        files: paths.iter().zip(copies).map(file).collect(),
    }
}

/// Copies the files of a release to `folder`, each under its SHA-256, and says what the release is.
///
/// # Errors
/// As [`Publisher::release`], of the files.
pub(crate) fn read_release(
    disk: &dyn Disk,
    options: &ReleaseOptions<'_>,
    folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<ReleaseIntent, PublishError> {
    let paths = target_paths(options)?;
    let mut copies = Vec::with_capacity(paths.len());
    for file in options.files {
        let mut hear = |done, total| progress(Progress { file, done, total });
        copies.push(copy_by_digest(disk, file, folder, &mut hear)?);
    }
    Ok(intent(options, &paths, &copies))
}

/// The product's next file, which lists the release.
///
/// # Errors
/// `publish-product-unknown`, `publish-version-exists`, `usage` for no file, too many, or two of one name.
pub(crate) fn plan(planning: &Planning<'_>, intent: &ReleaseIntent) -> Result<Plan, PublishError> {
    let name = intent.product.as_str();
    let role = planning.current.product(name)?;
    check_number(intent.files.len())?;
    let mut editor = TargetsEditor::next(name, role);
    editor
        .set_version((planning.version)(name))
        .set_expires(planning.now.plus_days(planning.expiries.product_days));
    let (mut names, mut files) = (BTreeSet::new(), Vec::with_capacity(intent.files.len()));
    for file in &intent.files {
        if !names.insert(&file.name) {
            return Err(PublishError::FileTwice { name: escape(file.name.as_str()) });
        }
        let path = TargetPath {
            product: intent.product.clone(),
            version: intent.version.clone(),
            platform: intent.platform.clone(),
            name: file.name.clone(),
        };
        let target = path.to_string();
        if role.target(&target).is_some() {
            return Err(PublishError::VersionExists { path });
        }
        let info = ReleaseInfo { channel: intent.channel.clone(), mode: file.mode };
        // One hash: a copy must be served under each that is listed, and clients ask by any (6.2.1).
        let hashes = Hashes { sha256: Some(file.sha256), sha512: None, others: false };
        let entry = TargetFile { length: file.length, hashes, custom: Some(info.to_custom()) };
        editor.set_target(&target, &entry)?;
        files.push(PlannedFile { target, length: file.length, sha256: file.sha256 });
    }
    Ok(Plan { drafts: vec![editor.finish()?], files })
}

fn check_number(files: usize) -> Result<(), PublishError> {
    match files {
        0 => Err(PublishError::NoFiles),
        1..=MAX_FILES => Ok(()),
        _ => Err(PublishError::TooManyFiles { limit: MAX_FILES }),
    }
}

/// The target path of each file.
fn target_paths(options: &ReleaseOptions<'_>) -> Result<Vec<TargetPath>, PublishError> {
    check_number(options.files.len())?;
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
