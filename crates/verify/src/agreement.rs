//! Several repositories must agree: which ones for which files, and whether they do.
//!
//! Spec: TUF's TAP 4, "Multiple repository consensus on entrusted targets". The map is its `map.json`:
//!
//! ```text
//! {"mapping":[{"paths":["node/*/*/*"],"repositories":["acme","audit"],"terminating":true,"threshold":2}],
//!  "repositories":{"acme":["https://dl.example.com/"],"audit":["https://audit.example.org/"]}}
//! ```
//!
//! What the repositories have is asked through a callback, so that this file decides and nothing else. Each
//! repository is believed in its own right only: its answer is taken from verified metadata. One repository under two
//! names counts once. What is not known counts for nothing.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::json::{self, Json};
use countersign_base::name::{ProductName, RepoName, TargetPath};
use countersign_base::text::escape;
use countersign_base::{Anchor, Class, Code, Explain, Sha256Digest, Sha512Digest, canonical, code};
use countersign_tuf::metadata::{is_pattern, matches};

use crate::error::VerifyError;
use crate::release::{EXTENSION, Release};
use crate::transparent::TransparentSet;
use crate::verified::Verified;

/// Longest map file, in bytes.
pub const MAX_MAP_BYTES: usize = 64 * 1024;
/// Most mappings in a map; also most repositories, and most patterns of one mapping.
const MAX_ENTRIES: usize = 256;
/// Longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 512;

/// A TAP 4 map: which repositories must agree on which target paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryMap {
    /// Where each repository is, for other clients that read the file; ours fetches from where it is trusted.
    pub repositories: BTreeMap<RepoName, Vec<String>>,
    /// In the order in which they are consulted.
    pub mappings: Vec<Mapping>,
    /// What holds for a path that no mapping covers.
    pub unmapped: Unmapped,
}

/// One element of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// TUF path patterns; `*` alone covers every path, as TAP 4 has it.
    pub paths: Vec<String>,
    /// The repositories that are asked, in this order.
    pub repositories: Vec<RepoName>,
    /// How many of them must list the same length and digests; at least 1.
    pub threshold: usize,
    /// Whether later mappings are left unasked when this one's repositories do not agree.
    pub terminating: bool,
}

/// What holds for a path that no mapping covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmapped {
    /// It is refused: TAP 4.
    Refused,
    /// The repository that the user names decides alone: what `countersign trust agree` writes, as
    /// `"x-countersign":{"unmapped":"named"}`.
    Named,
}

/// A file that one repository lists, or that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its target path.
    pub path: TargetPath,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of the content.
    pub sha256: Sha256Digest,
    /// SHA-512, where it is known.
    pub sha512: Option<Sha512Digest>,
}

impl Claim {
    /// Of a release.
    pub fn of(release: &Release) -> Self {
        let Release { path, length, sha256, sha512, .. } = release;
        Self { path: path.clone(), length: *length, sha256: *sha256, sha512: *sha512 }
    }

    /// Same length and digests. A digest that only one of them has is no contradiction.
    fn same_content(&self, other: &Self) -> bool {
        let sha512 = self.sha512.zip(other.sha512);
        self.length == other.length && self.sha256 == other.sha256 && sha512.is_none_or(|(a, b)| a == b)
    }
}

/// What one repository has to say about a target path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its verified metadata lists this.
    Lists {
        /// Who says so, by whatever name.
        anchor: Anchor,
        /// What it lists.
        claim: Box<Claim>,
    },
    /// Its verified metadata does not list the path.
    Nothing,
    /// It could not be reached; says nothing about trust.
    Unreachable(String),
    /// It is not trusted on this machine, or its metadata was refused: says why.
    Refused(String),
}

impl TransparentSet {
    /// What this repository has to say about `path`.
    pub fn answer(&self, path: &TargetPath) -> Answer {
        match self.all(&path.product) {
            Ok(releases) => {
                let mut listed = releases.iter().map(Verified::value);
                match listed.find(|release| release.path == *path) {
                    None => Answer::Nothing,
                    // It stays listed, so that its reason can be told; the repository vouches for it no more.
                    Some(Release { yanked: Some(reason), .. }) => {
                        Answer::Refused(format!("has taken it back: {}", escape(reason)))
                    }
                    Some(release) => {
                        Answer::Lists { anchor: self.anchor(), claim: Box::new(Claim::of(release)) }
                    }
                }
            }
            Err(VerifyError::ProductUnknown { .. }) => Answer::Nothing,
            Err(error) => Answer::Refused(format!("{error} ({})", error.code())),
        }
    }
}

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreed {
    /// No mapping covers the path, and the map leaves it to the repository that the user names.
    NotMapped,
    /// These repositories list the same file, and they are enough.
    By(Vec<RepoName>),
}

/// Why several repositories do not vouch for a file, or a map cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgreementError {
    /// Too few list the same file.
    #[error("{agree} of {threshold} repositories that must agree on `{path}` list this file: {answers}")]
    Disagree {
        /// The target path.
        path: String,
        /// How many list the same.
        agree: usize,
        /// How many must.
        threshold: usize,
        /// What each of the others says.
        answers: String,
    },
    /// Too few could be asked.
    #[error(
        "{agree} of {threshold} repositories that must agree on `{path}` list this file, others could not be asked: {answers}"
    )]
    Unheard {
        /// The target path.
        path: String,
        /// How many list the same.
        agree: usize,
        /// How many must.
        threshold: usize,
        /// Why the others could not.
        answers: String,
    },
    /// No mapping covers the path, and the map is one that refuses what it does not cover.
    #[error("the repository map says of no repository that it speaks for `{path}`")]
    NotMapped {
        /// The target path.
        path: String,
    },
    /// The map breaks a rule.
    #[error("the repository map cannot be used: {0}")]
    Map(String),
}

impl Explain for AgreementError {
    fn code(&self) -> Code {
        match self {
            Self::Disagree { .. } | Self::NotMapped { .. } => code::TRUST_REPOS_DISAGREE,
            Self::Unheard { .. } => code::TRUST_REPOS_UNHEARD,
            Self::Map(_) => code::TRUST_MAP_INVALID,
        }
    }

    fn class(&self) -> Class {
        self.code().class()
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Disagree { .. } => Some(
                "do not install it; ask the publishers which file is theirs: one of the repositories may have been broken into"
                    .to_owned(),
            ),
            Self::Unheard { .. } => Some("try again when the repositories can be reached".to_owned()),
            Self::NotMapped { .. } => {
                Some("say which repositories must agree on it: `countersign trust agree NAME/PRODUCT OTHER..`".to_owned())
            }
            Self::Map(_) => None,
        }
    }
}

impl RepositoryMap {
    /// A map without any mapping, which leaves every path to the repository that the user names.
    pub const fn new() -> Self {
        Self { repositories: BTreeMap::new(), mappings: Vec::new(), unmapped: Unmapped::Named }
    }

    /// The mappings that cover `path`, in their order.
    pub fn covering(&self, path: &TargetPath) -> impl Iterator<Item = &Mapping> {
        let path = path.to_string();
        self.mappings.iter().filter(move |mapping| mapping.covers(&path))
    }

    /// TAP 4's search: whether enough repositories list what is claimed. `ask` is asked at most once for each
    /// repository of a mapping, and not further once enough of them agree.
    ///
    /// # Errors
    /// `trust-repos-disagree`; `trust-repos-unheard` if those that could not be reached might make up what is missing.
    pub fn decide(
        &self,
        claim: &Claim,
        ask: &mut dyn FnMut(&RepoName) -> Answer,
    ) -> Result<Agreed, AgreementError> {
        let mut refusal = None;
        for mapping in self.covering(&claim.path) {
            match mapping.decide(claim, ask) {
                Ok(names) => return Ok(Agreed::By(names)),
                // The first mapping's reason: what comes after it was only asked because of it.
                Err(error) => refusal = refusal.or(Some(error)),
            }
            if mapping.terminating {
                break;
            }
        }
        match (refusal, self.unmapped) {
            (Some(error), _) => Err(error),
            (None, Unmapped::Named) => Ok(Agreed::NotMapped),
            (None, Unmapped::Refused) => Err(AgreementError::NotMapped { path: claim.path.to_string() }),
        }
    }

    /// Puts a product under the agreement of `repositories`, instead of what was set for it before.
    ///
    /// # Errors
    /// `trust-map-invalid`: a threshold that cannot be met, a repository named twice, too many mappings.
    pub fn set(
        &mut self,
        product: &ProductName,
        repositories: Vec<RepoName>,
        threshold: usize,
    ) -> Result<(), AgreementError> {
        let paths = vec![product_pattern(product)];
        let mapping = Mapping { paths, repositories, threshold, terminating: true };
        mapping.check()?;
        match self.mappings.iter_mut().find(|held| held.paths == mapping.paths) {
            Some(held) => *held = mapping,
            // Before all others, or one of them could speak for the product first.
            None => self.mappings.insert(0, mapping),
        }
        if self.mappings.len() > MAX_ENTRIES {
            return Err(AgreementError::Map(format!("it has more than {MAX_ENTRIES} mappings")));
        }
        Ok(())
    }

    /// Takes away what [`RepositoryMap::set`] set for a product; whether there was anything.
    pub fn unset(&mut self, product: &ProductName) -> bool {
        let paths = [product_pattern(product)];
        let before = self.mappings.len();
        self.mappings.retain(|mapping| mapping.paths != paths);
        self.mappings.len() < before
    }

    /// As the file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let texts =
            |texts: &[String]| Json::Array(texts.iter().map(|text| Json::from(text.as_str())).collect());
        let mappings = self.mappings.iter().map(|mapping| {
            let names = mapping.repositories.iter().map(|name| Json::from(name.as_str())).collect();
            Json::object([
                ("paths", texts(&mapping.paths)),
                ("repositories", Json::Array(names)),
                ("terminating", Json::from(mapping.terminating)),
                ("threshold", Json::Integer(i64::try_from(mapping.threshold).unwrap_or(i64::MAX))),
            ])
        });
        let mut members = vec![
            ("mapping", Json::Array(mappings.collect())),
            (
                "repositories",
                Json::object(self.repositories.iter().map(|(name, urls)| (name.as_str(), texts(urls)))),
            ),
        ];
        if self.unmapped == Unmapped::Named {
            members.push((EXTENSION, Json::object([("unmapped", Json::from("named"))])));
        }
        canonical::rfc8785(&Json::object(members))
    }

    /// Reads a map file. What is missing, empty, contradictory or unknown is an error, as is what could never match.
    ///
    /// # Errors
    /// `trust-map-invalid`
    pub fn parse(bytes: &[u8]) -> Result<Self, AgreementError> {
        if bytes.len() > MAX_MAP_BYTES {
            return Err(AgreementError::Map(format!("it is longer than {MAX_MAP_BYTES} bytes")));
        }
        let map = json::parse(bytes).map_err(|error| AgreementError::Map(error.to_string()))?;
        only(&map, "the map", &["mapping", "repositories", EXTENSION])?;
        let unmapped = match map.get(EXTENSION) {
            None => Unmapped::Refused,
            Some(ours) => {
                only(ours, EXTENSION, &["unmapped"])?;
                let text = ours.get("unmapped").and_then(Json::as_str);
                if text != Some("named") {
                    return Err(AgreementError::Map("`unmapped` is something else than `named`".to_owned()));
                }
                Unmapped::Named
            }
        };
        let repositories = parse_repositories(&map)?;
        let listed = array(&map, "mapping", 0)?;
        let mappings = listed.iter().map(Mapping::parse).collect::<Result<Vec<_>, _>>()?;
        for name in mappings.iter().flat_map(|mapping| &mapping.repositories) {
            if !repositories.contains_key(name) {
                return Err(AgreementError::Map(format!("`{name}` is not among its repositories")));
            }
        }
        Ok(Self { repositories, mappings, unmapped })
    }
}

impl Default for RepositoryMap {
    fn default() -> Self {
        Self::new()
    }
}

impl Mapping {
    /// Whether it is consulted for `path`.
    fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| pattern == "*" || matches(pattern, path))
    }

    fn decide(
        &self,
        claim: &Claim,
        ask: &mut dyn FnMut(&RepoName) -> Answer,
    ) -> Result<Vec<RepoName>, AgreementError> {
        let mut agree = Vec::new();
        let mut heard = BTreeSet::new();
        let mut unreachable = 0;
        let mut others = Vec::new();
        for name in &self.repositories {
            let other = match ask(name) {
                Answer::Lists { claim: listed, .. } if listed.path != claim.path => {
                    "lists nothing".to_owned()
                }
                Answer::Lists { claim: listed, .. } if !listed.same_content(claim) => {
                    format!("lists another file, {} bytes, SHA-256 {}", listed.length, listed.sha256)
                }
                Answer::Lists { anchor, .. } if !heard.insert(anchor) => {
                    "is the same repository under another name".to_owned()
                }
                Answer::Lists { .. } => {
                    agree.push(name.clone());
                    if agree.len() >= self.threshold {
                        return Ok(agree);
                    }
                    continue;
                }
                Answer::Nothing => "lists nothing there".to_owned(),
                Answer::Unreachable(why) => {
                    unreachable += 1;
                    why
                }
                Answer::Refused(why) => why,
            };
            others.push(format!("`{name}`: {other}"));
        }
        let (path, threshold, answers) = (claim.path.to_string(), self.threshold, others.join("; "));
        let agree = agree.len();
        if agree + unreachable >= threshold {
            return Err(AgreementError::Unheard { path, agree, threshold, answers });
        }
        Err(AgreementError::Disagree { path, agree, threshold, answers })
    }

    fn check(&self) -> Result<(), AgreementError> {
        let wrong = |what: String| Err(AgreementError::Map(what));
        for pattern in &self.paths {
            // What matches nothing would leave its paths to others, unseen.
            if pattern.len() > MAX_PATTERN_BYTES || pattern.starts_with('/') || !is_pattern(pattern) {
                return wrong(format!("the pattern `{}` covers no target path", escape(pattern)));
            }
        }
        let distinct: BTreeSet<_> = self.repositories.iter().collect();
        if distinct.len() < self.repositories.len() {
            return wrong("a mapping names a repository twice".to_owned());
        }
        if self.paths.is_empty() || self.repositories.is_empty() {
            return wrong("a mapping names no path or no repository".to_owned());
        }
        if !(1..=self.repositories.len()).contains(&self.threshold) {
            let (threshold, all) = (self.threshold, self.repositories.len());
            return wrong(format!("a threshold is {threshold}, of {all} repositories"));
        }
        Ok(())
    }

    fn parse(value: &Json) -> Result<Self, AgreementError> {
        let wrong = |what: &str| AgreementError::Map(what.to_owned());
        only(value, "a mapping", &["paths", "repositories", "terminating", "threshold"])?;
        let text = |one: &Json| one.as_str().map(str::to_owned).ok_or_else(|| wrong("a path is not text"));
        let paths = array(value, "paths", 1)?.iter().map(text).collect::<Result<_, _>>()?;
        let names = array(value, "repositories", 1)?;
        let repositories =
            names.iter().map(|one| name(one.as_str().unwrap_or_default())).collect::<Result<_, _>>()?;
        let threshold =
            value.get("threshold").and_then(Json::as_integer).and_then(|n| usize::try_from(n).ok());
        let mapping = Self {
            paths,
            repositories,
            threshold: threshold.ok_or_else(|| wrong("a mapping has no threshold"))?,
            terminating: value
                .get("terminating")
                .and_then(Json::as_bool)
                .ok_or_else(|| wrong("a mapping does not say whether it is terminating"))?,
        };
        mapping.check()?;
        Ok(mapping)
    }
}

/// The paths of all releases of a product.
fn product_pattern(product: &ProductName) -> String {
    format!("{product}/*/*/*")
}

fn parse_repositories(map: &Json) -> Result<BTreeMap<RepoName, Vec<String>>, AgreementError> {
    let wrong = |what: &str| AgreementError::Map(what.to_owned());
    let listed =
        map.get("repositories").and_then(Json::as_object).ok_or_else(|| wrong("it lists no repositories"))?;
    if listed.len() > MAX_ENTRIES {
        return Err(AgreementError::Map(format!("it has more than {MAX_ENTRIES} repositories")));
    }
    let mut repositories = BTreeMap::new();
    for (key, urls) in listed {
        let urls = urls.as_array().filter(|urls| urls.len() <= MAX_ENTRIES);
        let urls = urls.ok_or_else(|| wrong("a repository's addresses are not a list"))?;
        let urls = urls.iter().map(|url| url.as_str().map(str::to_owned));
        let urls = urls.collect::<Option<Vec<_>>>().ok_or_else(|| wrong("an address is not text"))?;
        repositories.insert(name(key)?, urls);
    }
    Ok(repositories)
}

fn name(text: &str) -> Result<RepoName, AgreementError> {
    text.parse::<RepoName>().map_err(|error| AgreementError::Map(error.to_string()))
}

/// The elements of the member `key`, at least `min`.
fn array<'a>(value: &'a Json, key: &str, min: usize) -> Result<&'a [Json], AgreementError> {
    let items = value.get(key).and_then(Json::as_array);
    let items = items.filter(|items| (min..=MAX_ENTRIES).contains(&items.len()));
    items.ok_or_else(|| AgreementError::Map(format!("`{key}` is missing, empty or too long")))
}

/// Refuses members that are not known here: a rule that is not understood is no rule that holds.
fn only(value: &Json, what: &str, known: &[&str]) -> Result<(), AgreementError> {
    let members = value.as_object().ok_or_else(|| AgreementError::Map(format!("{what} is not an object")))?;
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(AgreementError::Map(format!("{what} has an unknown member `{}`", escape(key)))),
        None => Ok(()),
    }
}
