//! Which repositories must agree on which files: TAP 4's `map.json`.
//!
//! ```text
//! {"mapping":[{"paths":["node/*/*/*"],"repositories":["acme","audit"],"terminating":true,"threshold":2}],
//!  "repositories":{"acme":["https://dl.example.com/"],"audit":["https://audit.example.org/"]}}
//! ```

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::canonical;
use countersign_base::json::{self, Json};
use countersign_base::name::{ProductName, RepoName, TargetPath};
use countersign_base::text::escape;
use countersign_tuf::metadata::{EXTENSION, is_pattern, matches};

use super::AgreementError;

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

    /// The patterns of the paths that `repository` is asked about; `None` if there are none.
    pub fn asks(&self, repository: &RepoName) -> Option<String> {
        let asking = self.mappings.iter().filter(|mapping| mapping.repositories.contains(repository));
        let paths: Vec<&str> = asking.flat_map(|mapping| &mapping.paths).map(String::as_str).collect();
        (!paths.is_empty()).then(|| paths.join(", "))
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
                ("threshold", Json::number(mapping.threshold as u64)),
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
    pub(super) fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| pattern == "*" || matches(pattern, path))
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
