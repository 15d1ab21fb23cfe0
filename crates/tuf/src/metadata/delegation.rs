//! Delegations: who else has a say over which targets (specification 4.5; TAP 15 for hash bins).

use std::collections::BTreeSet;

use countersign_base::Json;
use countersign_crypto::sha256;

use super::fields::Fields;
use super::key::{KeyTable, read_table};
use super::root::check_ids;
use super::{RoleKeys, pairs, pattern};
use crate::error::{TufError, check_count};
use crate::limits::{MAX_DELEGATIONS, MAX_PATH_BYTES, MAX_PATTERNS};
use crate::name;

/// Whom a targets role delegates to. Either a list of roles or succinct hash bins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegations {
    keys: KeyTable,
    roles: Vec<DelegatedRole>,
    succinct: Option<SuccinctRoles>,
}

/// One delegated role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedRole {
    /// Name, safe as a file name once percent-encoded.
    pub name: String,
    /// Keys and threshold.
    pub keys: RoleKeys,
    /// Whether the search ends with this role for the paths it covers.
    pub terminating: bool,
    /// Which paths it covers.
    pub coverage: Coverage,
}

/// Which paths a delegated role has a say over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// Those that match one of these patterns, see [`super::matches`].
    Paths(Vec<String>),
    /// Those whose SHA-256 in hex begins with one of these.
    HashPrefixes(Vec<String>),
}

/// Hash bins whose names and coverage follow from their number (TAP 15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccinctRoles {
    /// Keys and threshold of every bin.
    pub keys: RoleKeys,
    /// Bits of the path's SHA-256 that choose the bin, 1 to 32.
    pub bit_length: u32,
    /// Bins are named `<prefix>-<number in hex>`.
    pub name_prefix: String,
}

impl Delegations {
    /// The key table.
    pub const fn keys(&self) -> &KeyTable {
        &self.keys
    }

    /// The listed roles, in order of trust; empty for hash bins.
    pub fn roles(&self) -> &[DelegatedRole] {
        &self.roles
    }

    /// The hash bins, if delegation is by bins.
    pub const fn succinct(&self) -> Option<&SuccinctRoles> {
        self.succinct.as_ref()
    }

    /// Keys and threshold of `role`, if it is delegated to.
    pub fn role_keys(&self, role: &str) -> Option<&RoleKeys> {
        match &self.succinct {
            Some(bins) => bins.is_bin(role).then_some(&bins.keys),
            None => self.roles.iter().find(|entry| entry.name == role).map(|entry| &entry.keys),
        }
    }

    /// The roles that have a say over `path`, in order, each with whether it is terminating.
    pub fn roles_for(&self, path: &str) -> Vec<(String, bool)> {
        if let Some(bins) = &self.succinct {
            return vec![(bins.bin_of(path), true)];
        }
        let digest = sha256(path.as_bytes()).to_string();
        let covering = self.roles.iter().filter(|role| role.coverage.covers_hashed(path, &digest));
        covering.map(|role| (role.name.clone(), role.terminating)).collect()
    }

    pub(super) fn check_strict(&self) -> Result<(), TufError> {
        check_ids(&self.keys)?;
        let bins = self.succinct.iter().map(|bins| (&bins.name_prefix, &bins.keys));
        let mut roles = self.roles.iter().map(|role| (&role.name, &role.keys)).chain(bins);
        roles.try_for_each(|(name, keys)| keys.check_reachable(name, &self.keys))
    }

    /// Reads `delegations`, and what else `signed` says about its keys.
    pub(super) fn read(value: &Json, signed: &Json) -> Result<Self, TufError> {
        let fields = Fields::new(value, "signed.delegations")?;
        let mut keys = read_table(&fields)?;
        pairs::attach(signed, &mut keys)?;
        let (roles, succinct) = match (fields.optional("roles"), fields.optional("succinct_roles")) {
            (Some(_), None) => (read_roles(fields.array("roles")?, &keys)?, None),
            (None, Some(bins)) => (Vec::new(), Some(SuccinctRoles::read(bins, &keys)?)),
            _ => return Err(fields.error("roles", "must be there, or else `succinct_roles`")),
        };
        Ok(Self { keys, roles, succinct })
    }
}

impl Coverage {
    /// Whether `path` is covered.
    pub fn covers(&self, path: &str) -> bool {
        self.covers_hashed(path, &sha256(path.as_bytes()).to_string())
    }

    /// As [`Coverage::covers`], with the SHA-256 of the path in hex.
    fn covers_hashed(&self, path: &str, digest: &str) -> bool {
        match self {
            Self::Paths(patterns) => patterns.iter().any(|pattern| pattern::matches(pattern, path)),
            Self::HashPrefixes(prefixes) => prefixes.iter().any(|prefix| digest.starts_with(prefix)),
        }
    }

    fn read(role: &str, fields: &Fields<'_>) -> Result<Self, TufError> {
        let form = |reason| TufError::DelegationForm { role: role.to_owned(), reason };
        let (member, is_paths) = match (fields.optional("paths"), fields.optional("path_hash_prefixes")) {
            (Some(_), None) => ("paths", true),
            (None, Some(_)) => ("path_hash_prefixes", false),
            _ => return Err(form("must have either `paths` or `path_hash_prefixes`")),
        };
        let items = fields.texts(member, MAX_PATH_BYTES)?;
        check_count("the number of path patterns", items.len(), MAX_PATTERNS)?;
        if is_paths {
            return Ok(Self::Paths(items));
        }
        let lowercase_hex = |item: &String| {
            !item.is_empty()
                && item.len() <= 64
                && item.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !items.iter().all(lowercase_hex) {
            return Err(form("has a hash prefix that is not lowercase hex"));
        }
        Ok(Self::HashPrefixes(items))
    }
}

impl SuccinctRoles {
    /// The bin that has a say over `path`.
    pub fn bin_of(&self, path: &str) -> String {
        let digest = sha256(path.as_bytes());
        let [a, b, c, d, ..] = *digest.as_bytes();
        self.name(u32::from_be_bytes([a, b, c, d]) >> (32 - self.bit_length))
    }

    /// The names of all bins, in order.
    pub fn bins(&self) -> impl Iterator<Item = String> {
        (0..1u64 << self.bit_length).map(|bin| self.name(u32::try_from(bin).unwrap_or(u32::MAX)))
    }

    fn name(&self, bin: u32) -> String {
        // As many hex digits as the last bin's number has.
        let width = self.bit_length.div_ceil(4) as usize;
        format!("{}-{bin:0width$x}", self.name_prefix)
    }

    /// Whether `role` is the name of a bin, written as [`SuccinctRoles::bins`] writes it.
    pub fn is_bin(&self, role: &str) -> bool {
        let number = role.strip_prefix(&self.name_prefix).and_then(|rest| rest.strip_prefix('-'));
        let bin = number.and_then(|number| u32::from_str_radix(number, 16).ok());
        bin.is_some_and(|bin| u64::from(bin) < 1 << self.bit_length && self.name(bin) == role)
    }

    fn read(value: &Json, keys: &KeyTable) -> Result<Self, TufError> {
        let fields = Fields::new(value, "signed.delegations.succinct_roles")?;
        let name_prefix = fields.text("name_prefix")?.to_owned();
        name::check_role(&format!("{name_prefix}-ffffffff"))?;
        let role_keys = RoleKeys::read(&name_prefix, &fields, keys)?;
        let bits = fields.required("bit_length")?.as_integer().and_then(|bits| u32::try_from(bits).ok());
        match bits {
            Some(bit_length @ 1..=32) => Ok(Self { keys: role_keys, bit_length, name_prefix }),
            _ => Err(TufError::DelegationForm {
                role: name_prefix,
                reason: "has a bit length that is not from 1 to 32",
            }),
        }
    }
}

fn read_roles(items: &[Json], keys: &KeyTable) -> Result<Vec<DelegatedRole>, TufError> {
    if items.len() > MAX_DELEGATIONS {
        return Err(TufError::DelegationLimit { what: "the delegations of one role", max: MAX_DELEGATIONS });
    }
    let mut names = BTreeSet::new();
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let fields = Fields::new(item, "signed.delegations.roles")?;
        let name = fields.text("name")?;
        name::check_role(name)?;
        if !names.insert(name) {
            return Err(fields.error("name", "stands there twice"));
        }
        out.push(DelegatedRole {
            name: name.to_owned(),
            keys: RoleKeys::read(name, &fields, keys)?,
            terminating: fields.boolean("terminating")?,
            coverage: Coverage::read(name, &fields)?,
        });
    }
    Ok(out)
}
