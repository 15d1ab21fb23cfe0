//! Which repositories must agree before a file is taken, kept in the home, and asking them.
//!
//! ```text
//! HOME/map.json       a TAP 4 map; there is none where every repository decides alone
//! ```
//!
//! A map that does not read is an error in every command that would need it: nothing is taken on one repository's
//! word because the file that asks for two is damaged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use countersign_base::Timestamp;
use countersign_base::code::{Class, Explain as _};
use countersign_base::name::{ProductName, RepoName};
use countersign_store::{StoreError, durable};
use countersign_verify::{Agreed, AgreementError, Answer, Claim, MAX_MAP_BYTES, RepositoryMap};

use crate::error::ClientError;
use crate::home::{Home, Repository, lock};
use crate::refresh::{Trusted, Want, load, load_as_proven, refresh};

const MAP: &str = "map.json";

/// Which metadata of the repositories is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// What they have now: each is refreshed.
    Refreshed,
    /// What this machine has of them, if it is still fresh.
    Kept,
    /// What this machine has of them, at the latest time that witnesses have proven to be past: for what was
    /// installed before and is only used.
    Proven,
}

impl Home {
    /// The map of which repositories must agree; `None` where each decides alone.
    ///
    /// # Errors
    /// `trust-map-invalid`, `storage-failed`
    pub fn map(&self) -> Result<Option<RepositoryMap>, ClientError> {
        match durable::read(&self.map_path(), MAX_MAP_BYTES as u64) {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => Ok(Some(RepositoryMap::parse(&bytes)?)),
            Err(StoreError::TooLarge { .. }) => {
                Err(AgreementError::Map(format!("it is longer than {MAX_MAP_BYTES} bytes")).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the map, or makes one, and gives it back. Each repository that a mapping names must be trusted here.
    ///
    /// # Errors
    /// What `change` says; `trust-map-invalid`, `trust-repo-unknown`, `storage-failed`. Nothing is changed then.
    pub fn change_map(
        &self,
        change: impl FnOnce(&mut RepositoryMap) -> Result<(), ClientError>,
    ) -> Result<RepositoryMap, ClientError> {
        durable::create_dir_all(&*self.disk, self.path())?;
        let _lock = lock(&self.path().join("lock"))?;
        let mut map = self.map()?.unwrap_or_default();
        change(&mut map)?;
        self.put_map(&mut map)?;
        Ok(map)
    }

    /// Takes over a TAP 4 map as it is, instead of the one that was there.
    ///
    /// # Errors
    /// As [`Home::change_map`].
    pub fn replace_map(&self, bytes: &[u8]) -> Result<RepositoryMap, ClientError> {
        durable::create_dir_all(&*self.disk, self.path())?;
        let _lock = lock(&self.path().join("lock"))?;
        let mut map = RepositoryMap::parse(bytes)?;
        self.put_map(&mut map)?;
        Ok(map)
    }

    /// Writes the map with the addresses under which its repositories are trusted.
    fn put_map(&self, map: &mut RepositoryMap) -> Result<(), ClientError> {
        let mut repositories = BTreeMap::new();
        let mut anchors = BTreeMap::new();
        for name in map.mappings.iter().flat_map(|mapping| &mapping.repositories) {
            let repository = self.repository(name)?;
            if let Some(other) = anchors.insert(repository.anchor(), name).filter(|other| *other != name) {
                let what = format!("`{other}` and `{name}` are the same repository");
                return Err(AgreementError::Map(what).into());
            }
            repositories
                .insert(name.clone(), repository.locations().iter().map(ToString::to_string).collect());
        }
        map.repositories = repositories;
        let bytes = map.encode();
        // What is written must read back: one that is too long would close the machine.
        RepositoryMap::parse(&bytes)?;
        Ok(durable::write_atomic(&*self.disk, &self.map_path(), &bytes, 0o644)?)
    }

    fn map_path(&self) -> PathBuf {
        self.path().join(MAP)
    }
}

/// The repositories that must agree, asked once each.
#[derive(Debug)]
pub struct Panel<'a> {
    home: &'a Home,
    map: Option<RepositoryMap>,
    hearing: Hearing,
    now: Timestamp,
    /// Metadata that was fetched or loaded for another reason.
    known: Vec<(&'a RepoName, &'a Trusted)>,
    heard: BTreeMap<(RepoName, ProductName), Result<Trusted, Answer>>,
}

impl<'a> Panel<'a> {
    /// With the home's map.
    ///
    /// # Errors
    /// As [`Home::map`].
    pub fn open(home: &'a Home, hearing: Hearing, now: Timestamp) -> Result<Self, ClientError> {
        Ok(Self { home, map: home.map()?, hearing, now, known: Vec::new(), heard: BTreeMap::new() })
    }

    /// Whether there is a map at all.
    pub const fn is_needed(&self) -> bool {
        self.map.is_some()
    }

    /// Gives metadata that need not be fetched or loaded again.
    pub fn knows(&mut self, repository: &'a Repository, trusted: &'a Trusted) {
        self.known.push((repository.name(), trusted));
    }

    /// Whether enough repositories list this very file.
    ///
    /// # Errors
    /// `trust-repos-disagree`, `trust-repos-unheard`
    pub fn check(&mut self, claim: &Claim) -> Result<Agreed, ClientError> {
        let Some(map) = self.map.take() else { return Ok(Agreed::NotMapped) };
        let result = map.decide(claim, &mut |name| self.ask(name, claim));
        self.map = Some(map);
        Ok(result?)
    }

    fn ask(&mut self, name: &RepoName, claim: &Claim) -> Answer {
        if let Some((_, known)) = self.known.iter().find(|(known, _)| *known == name) {
            return known.set.answer(&claim.path);
        }
        let key = (name.clone(), claim.path.product.clone());
        if !self.heard.contains_key(&key) {
            let heard = self.hear(name, &claim.path.product);
            self.heard.insert(key.clone(), heard);
        }
        match self.heard.get(&key) {
            Some(Ok(trusted)) => trusted.set.answer(&claim.path),
            Some(Err(answer)) => answer.clone(),
            None => Answer::Nothing,
        }
    }

    fn hear(&self, name: &RepoName, product: &ProductName) -> Result<Trusted, Answer> {
        let products = [product.clone()];
        let want = Want::Products(&products);
        let heard = self.home.repository(name).and_then(|repository| match self.hearing {
            Hearing::Refreshed => refresh(&repository, &repository.transport(), &want, self.now),
            Hearing::Kept => load(&repository, &want, self.now),
            Hearing::Proven => load_as_proven(&repository, &want),
        });
        heard.map_err(|error| {
            let why = format!("{error} ({})", error.code());
            if error.class() == Class::Unavailable { Answer::Unreachable(why) } else { Answer::Refused(why) }
        })
    }
}
