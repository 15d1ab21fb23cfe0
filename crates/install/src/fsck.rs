//! Comparing everything on disk with the records, and naming each difference.

use core::fmt;
use std::collections::BTreeSet;
use std::path::PathBuf;

use countersign_base::Sha256Digest;
use countersign_base::name::ProductName;
use countersign_store::durable::TEMP_PREFIX;
use countersign_verify::FileMode;

use crate::content::{digest, inspect_installed, installed_path, open};
use crate::error::{InstallError, show};
use crate::layout::{Link, bits_on_disk, content_name, entries, is_folder};
use crate::receive::STORE;
use crate::state::Generation;
use crate::view::View;

/// A file, link or folder that is not as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub path: PathBuf,
    /// How it differs.
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", show(&self.path), self.problem)
    }
}

/// How something on disk differs from the record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It is missing, or something other than a regular file is in its place.
    Missing,
    /// It has another length, in bytes.
    Length {
        /// The verified length.
        listed: u64,
        /// The one found.
        found: u64,
    },
    /// It has other permission bits.
    Mode {
        /// The right ones.
        listed: u32,
        /// Those found.
        found: u32,
    },
    /// It has other content.
    Changed {
        /// The verified SHA-256.
        listed: Sha256Digest,
        /// The one found.
        found: Sha256Digest,
    },
    /// Nothing on record has put it there.
    Extra,
    /// The link `current` does not name the generation that the record says is active.
    Link {
        /// The generation on record.
        recorded: Option<u64>,
    },
    /// The record, or its second copy, is damaged.
    Record(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is missing, or not a regular file"),
            Self::Length { listed, found } => write!(f, "it has {found} bytes, verified were {listed}"),
            Self::Mode { listed, found } => write!(f, "its mode is {found:o}, not {listed:o}"),
            Self::Changed { listed, found } => write!(f, "its SHA-256 is {found}, verified was {listed}"),
            Self::Extra => f.write_str("nothing on record has put it there"),
            Self::Link { recorded: Some(number) } => {
                write!(f, "it does not name generation {number}, which is on record as active")
            }
            Self::Link { recorded: None } => f.write_str("nothing is on record as active"),
            Self::Record(reason) => f.write_str(reason),
        }
    }
}

impl View {
    /// Hashes every generation of a product and names each changed, missing or extra file.
    ///
    /// # Errors
    /// `install-not-installed`, `install-state-damaged`, `install-storage-failed`
    pub fn fsck(&self, product: &ProductName) -> Result<Vec<Finding>, InstallError> {
        let (state, link) = self.recorded(product)?;
        let layout = self.layout();
        let mut findings = Vec::new();
        if let Err(tampered) = state.active_by(link) {
            let problem = Problem::Link { recorded: tampered.recorded };
            findings.push(Finding { path: layout.current(product), problem });
        }
        if let Some(problem) = self.copy_problem(product, &state)? {
            findings.push(Finding { path: layout.record_copy(product), problem });
        }
        for generation in &state.generations {
            findings.extend(self.check_generation(product, generation)?);
        }
        for name in extra(&layout.generations(product), |name| {
            state.generations.iter().any(|generation| generation.number.to_string() == name)
        })? {
            findings.push(Finding { path: layout.generations(product).join(name), problem: Problem::Extra });
        }
        for name in extra(&layout.product(product), |name| {
            matches!(name, "generations" | "history.json") || (name == "current" && link != Link::Absent)
        })? {
            findings.push(Finding { path: layout.product(product).join(name), problem: Problem::Extra });
        }
        Ok(findings)
    }

    /// Hashes the store: each file must be what its name says.
    ///
    /// # Errors
    /// `install-storage-failed`
    pub fn fsck_store(&self) -> Result<Vec<Finding>, InstallError> {
        let folder = self.layout().store();
        let mut findings = Vec::new();
        if !is_folder(&folder)? {
            return Ok(findings);
        }
        for name in entries(&folder)? {
            let path = folder.join(&name);
            let problem = match parse_content_name(&name) {
                None if name.ends_with(".partial") || name.starts_with(TEMP_PREFIX) => None,
                None => Some(Problem::Extra),
                Some((listed, mode)) => match open(&self.layout().root, &[STORE[0], STORE[1], &name])? {
                    None => Some(Problem::Missing),
                    Some(mut file) => {
                        use std::os::unix::fs::PermissionsExt as _;
                        let info = file.metadata().map_err(InstallError::storage("look at", &path))?;
                        let (found, _) =
                            digest(&mut file, u64::MAX).map_err(InstallError::storage("read", &path))?;
                        let bits = info.permissions().mode() & 0o7777;
                        if found != listed {
                            Some(Problem::Changed { listed, found })
                        } else if bits != bits_on_disk(mode) {
                            Some(Problem::Mode { listed: bits_on_disk(mode), found: bits })
                        } else {
                            None
                        }
                    }
                },
            };
            findings.extend(problem.map(|problem| Finding { path, problem }));
        }
        Ok(findings)
    }

    /// Compares one generation's folder with the record.
    pub(crate) fn check_generation(
        &self,
        product: &ProductName,
        generation: &Generation,
    ) -> Result<Vec<Finding>, InstallError> {
        let mut findings = Vec::new();
        for file in &generation.files {
            if let Err(problem) = inspect_installed(self.layout(), product, generation.number, file)? {
                let path = installed_path(self.layout(), product, generation.number, file);
                findings.push(Finding { path, problem });
            }
        }
        let folder = self.layout().generation(product, generation.number);
        let names: BTreeSet<&str> = generation.files.iter().map(|file| file.name.as_str()).collect();
        for name in extra(&folder, |name| names.contains(name))? {
            findings.push(Finding { path: folder.join(name), problem: Problem::Extra });
        }
        Ok(findings)
    }
}

/// The names in a folder that are neither known nor those of unfinished files. None if it is absent or a link.
fn extra(folder: &std::path::Path, known: impl Fn(&str) -> bool) -> Result<Vec<String>, InstallError> {
    let names = if is_folder(folder).unwrap_or(false) { entries(folder)? } else { Vec::new() };
    Ok(names.into_iter().filter(|name| !known(name) && !name.starts_with(TEMP_PREFIX)).collect())
}

/// What the store's file of this name must hold; `None` for a name that is not ours.
pub(crate) fn parse_content_name(name: &str) -> Option<(Sha256Digest, FileMode)> {
    let (hex, mode) = match name.strip_suffix("-x") {
        Some(hex) => (hex, FileMode::Executable),
        None => (name, FileMode::Plain),
    };
    let digest = hex.parse().ok()?;
    debug_assert_eq!(content_name(digest, mode), name);
    Some((digest, mode))
}
