//! What a verified repository offers: products, versions, files.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::Sha256Digest;
use countersign_base::name::{Channel, Platform, ProductName, TargetPath, Version};
use countersign_tuf::metadata::{Coverage, TargetFile, matches};
use countersign_tuf::name::check_target;
use countersign_tuf::{Search, TufError};

use crate::error::VerifyError;
use crate::extension::{self, check_separation};
use crate::release::{MAX_ARTIFACT_BYTES, Release, ReleaseInfo};
use crate::transparent::TransparentSet;
use crate::verified::Verified;

/// The channel that is meant when none is named.
pub const DEFAULT_CHANNEL: &str = "stable";

/// Which release of a product is wanted.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The product.
    pub product: &'a ProductName,
    /// The platform.
    pub platform: &'a Platform,
    /// This version of any channel, of `channel` where it was released to several; `None` for the newest of `channel`.
    pub version: Option<&'a Version>,
    /// The channel to take the newest from.
    pub channel: &'a Channel,
}

impl TransparentSet {
    /// The names of the products: the roles that targets delegates to and that can be product names.
    pub fn products(&self) -> Vec<ProductName> {
        let Some(targets) = self.tuf().targets() else { return Vec::new() };
        let delegated = targets.delegations().into_iter().flat_map(|delegations| delegations.roles());
        delegated.filter_map(|role| role.name.parse().ok()).collect()
    }

    /// The files of the wanted release, at least one. A yanked version is not chosen.
    ///
    /// # Errors
    /// `install-product-unknown`, `install-version-unknown`, `install-yanked`, `log-consistency-invalid` while a link of the
    /// lineage is open, `tuf-target-mismatch` for an entry that is not a release's, `tuf-delegation-path` and the
    /// other codes of TUF's search if the product lists a path that it does not speak for.
    pub fn select(&self, wanted: &Wanted<'_>) -> Result<Vec<Verified<Release>>, VerifyError> {
        let releases = self.releases(wanted.product)?;
        let here = || releases.iter().filter(|release| release.path.platform == *wanted.platform);
        let version = match wanted.version {
            Some(version) => Some(version),
            None => here()
                .filter(|release| release.channel == *wanted.channel && is_automatic(release))
                .filter(|release| release.yanked.is_none())
                .map(|release| &release.path.version)
                .max(),
        };
        let of_version = || here().filter(|release| Some(&release.path.version) == version);
        // A version can have been released to several channels, each with files of its own: one of them is meant.
        let channel = of_version()
            .map(|release| &release.channel)
            .find(|channel| *channel == wanted.channel)
            .or_else(|| of_version().map(|release| &release.channel).next());
        let files: Vec<_> =
            of_version().filter(|release| Some(&release.channel) == channel).cloned().collect();
        if let Some(yanked) = files.iter().find_map(taken_back) {
            return Err(yanked);
        }
        if files.is_empty() {
            // Where all that could be chosen has been yanked, that is what there is to say.
            let of_channel = here().filter(|release| release.channel == *wanted.channel);
            let newest = of_channel.filter(|_| wanted.version.is_none()).max_by_key(|one| &one.path.version);
            if let Some(yanked) = newest.and_then(taken_back) {
                return Err(yanked);
            }
            return Err(VerifyError::VersionUnknown {
                product: wanted.product.to_string(),
                wanted: wanted.version.map_or_else(
                    || format!("release in channel {}", wanted.channel),
                    |version| format!("version {version}"),
                ),
                platform: wanted.platform.to_string(),
            });
        }
        self.vouch(wanted.product, files)
    }

    /// Every release entry whose content has this digest and length, of any loaded product.
    ///
    /// # Errors
    /// As [`TransparentSet::select`]; an unknown digest is an empty list.
    pub fn find(&self, sha256: Sha256Digest, length: u64) -> Result<Vec<Verified<Release>>, VerifyError> {
        let mut found = Vec::new();
        let mut refused = None;
        for product in self.products() {
            let Some(role) = self.tuf().role(product.as_str()) else { continue };
            if !role.targets().any(|(_, entry)| entry.hashes.sha256 == Some(sha256) && entry.length == length)
            {
                continue;
            }
            let releases = match self.releases(&product) {
                Ok(releases) => releases,
                // What is wrong with one product is no reason to doubt another.
                Err(error) => {
                    refused = Some(error);
                    continue;
                }
            };
            let same =
                releases.into_iter().filter(|release| release.sha256 == sha256 && release.length == length);
            found.extend(self.vouch(&product, same.collect())?);
        }
        match refused {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// Every file of every version of a product, lowest version first.
    ///
    /// # Errors
    /// As [`TransparentSet::select`].
    pub fn all(&self, product: &ProductName) -> Result<Vec<Verified<Release>>, VerifyError> {
        let releases = self.releases(product)?;
        self.vouch(product, releases)
    }

    fn vouch(
        &self,
        product: &ProductName,
        releases: Vec<Release>,
    ) -> Result<Vec<Verified<Release>>, VerifyError> {
        self.lineage().require_proven()?;
        self.require_logged(&["root", "snapshot", "targets", product.as_str()])?;
        self.check_people(product)?;
        let report = self.report(Some(product.as_str()));
        Ok(releases.into_iter().map(|release| Verified::new(release, report.clone())).collect())
    }

    /// Holds the product's file to the rule of separation, where targets ask for it.
    fn check_people(&self, product: &ProductName) -> Result<(), VerifyError> {
        let name = product.as_str();
        let (tuf, unknown) = (self.tuf(), || VerifyError::ProductUnknown { product: product.to_string() });
        let (targets, role) = (tuf.targets().ok_or_else(unknown)?, tuf.role(name).ok_or_else(unknown)?);
        let signers = tuf.signers(name).ok_or_else(unknown)?;
        check_separation(targets, name, role, &signers.signed, signers.threshold)
    }

    /// The entries of a product's role that TUF's delegation search attributes to that role.
    fn releases(&self, product: &ProductName) -> Result<Vec<Release>, VerifyError> {
        let unknown = || VerifyError::ProductUnknown { product: product.to_string() };
        let role = self.tuf().role(product.as_str()).ok_or_else(unknown)?;
        let floor = extension::floor(product.as_str(), role)?;
        let yanked = extension::yanked(product.as_str(), role)?;
        let mut releases = Vec::new();
        for (path, entry) in role.targets() {
            self.check_speaks_for(product.as_str(), path)?;
            let Ok(path) = path.parse::<TargetPath>() else { continue };
            if path.product != *product {
                continue;
            }
            releases.push(self.release(path, entry, floor.clone(), &yanked)?);
        }
        releases.sort_by(|a, b| a.path.cmp(&b.path));
        let keys: BTreeSet<_> =
            releases.iter().map(|release| (release.channel.clone(), release.path.platform.clone())).collect();
        for (channel, platform) in keys {
            let same = |release: &&Release| release.channel == channel && release.path.platform == platform;
            let versions = || releases.iter().filter(same).map(|release| &release.path.version);
            // What no machine takes by itself makes no other version old.
            let automatic = releases.iter().filter(same).filter(|release| is_automatic(release));
            let automatic = automatic.filter(|release| release.yanked.is_none());
            let newest = automatic.map(|release| &release.path.version).max().or_else(|| versions().max());
            let Some(newest) = newest.cloned() else { continue };
            for release in &mut releases {
                if release.channel == channel && release.path.platform == platform {
                    release.newest = newest.clone();
                }
            }
        }
        Ok(releases)
    }

    /// A role to load before [`TransparentSet::select`] can judge this product, and the role that delegates to it.
    ///
    /// TUF's search asks roles in the order of their delegations: one that comes before the product's and covers its
    /// paths must be heard, with whatever it delegates to. In our own repositories there is none.
    pub fn missing_for(&self, product: &str) -> Option<(String, String)> {
        let roles = self.tuf().targets()?.delegations()?.roles();
        let place = roles.iter().position(|role| role.name == product)?;
        let role = self.tuf().role(product)?;
        if !roles[..place].iter().any(|before| may_cover(&before.coverage, product)) {
            return None;
        }
        role.targets().find_map(|(path, _)| match self.tuf().find_target(path) {
            Ok(Search::Load { role, delegator }) => Some((role, delegator)),
            _ => None,
        })
    }

    /// Whether everything that the product's role lists is its to list, and every release among it is whole.
    ///
    /// # Errors
    /// As [`TransparentSet::select`], but for the choice.
    pub fn check_product(&self, product: &ProductName) -> Result<(), VerifyError> {
        self.releases(product).map(drop)
    }

    /// Refuses a path that the product's role lists without being the one that speaks for it (attacks M14, M15).
    fn check_speaks_for(&self, product: &str, path: &str) -> Result<(), VerifyError> {
        let targets = self.tuf().targets();
        let roles = targets.and_then(|targets| targets.delegations()).map_or(&[][..], |all| all.roles());
        let (before, own) = match roles.iter().position(|role| role.name == product) {
            Some(place) => (&roles[..place], roles.get(place)),
            None => (roles, None),
        };
        if !own.is_some_and(|own| own.coverage.covers(path)) {
            let (role, path) = (product.to_owned(), path.to_owned());
            return Err(TufError::DelegationPath { role, path }.into());
        }
        // Mostly nobody else can be asked about the path; then there is nothing to search.
        let asked_first = targets.is_some_and(|targets| targets.target(path).is_some())
            || before.iter().any(|role| may_cover(&role.coverage, product) && role.coverage.covers(path));
        if !asked_first {
            return Ok(check_target(path)?);
        }
        let unheard = |other: &str| VerifyError::SpokenFor {
            role: product.to_owned(),
            path: path.to_owned(),
            other: other.to_owned(),
        };
        match self.tuf().find_target(path)? {
            Search::Found(found) if found.role == product => Ok(()),
            Search::Found(found) => Err(unheard(found.role)),
            Search::Load { role, .. } => Err(unheard(&role)),
        }
    }

    fn release(
        &self,
        path: TargetPath,
        entry: &TargetFile,
        floor: Option<Version>,
        yanked: &BTreeMap<Version, String>,
    ) -> Result<Release, VerifyError> {
        let malformed = |reason| VerifyError::ReleaseMalformed { path: path.to_string(), reason };
        let sha256 = entry.hashes.sha256.ok_or(malformed("it lists no SHA-256"))?;
        if entry.length > MAX_ARTIFACT_BYTES {
            return Err(malformed("it is longer than 1 TiB"));
        }
        let info = ReleaseInfo::from_custom(&path, entry.custom.as_ref())?;
        Ok(Release {
            repository: self.anchor(),
            length: entry.length,
            sha256,
            sha512: entry.hashes.sha512,
            channel: info.channel,
            mode: info.mode,
            newest: path.version.clone(),
            floor,
            yanked: yanked.get(&path.version).cloned(),
            path,
        })
    }
}

/// Whether a delegation may cover a path below `product/`. Says yes where that would take a closer look.
fn may_cover(coverage: &Coverage, product: &str) -> bool {
    match coverage {
        Coverage::Paths(patterns) => {
            patterns.iter().any(|pattern| matches(pattern.split('/').next().unwrap_or_default(), product))
        }
        Coverage::HashPrefixes(_) => true,
    }
}

/// The refusal of a release that its publisher has taken back.
fn taken_back(release: &Release) -> Option<VerifyError> {
    let reason = release.yanked.clone()?;
    let (product, version) = (release.path.product.to_string(), release.path.version.to_string());
    Some(VerifyError::Yanked { product, version, reason })
}

/// Whether a release may be chosen without being named: a pre-release in the stable channel may not.
fn is_automatic(release: &Release) -> bool {
    release.channel.as_str() != DEFAULT_CHANNEL || !release.path.version.is_prerelease()
}
