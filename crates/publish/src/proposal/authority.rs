//! Who has a say in new metadata, who has used it, and whether that is enough.
//!
//! Root is signed by the threshold of the root before and by its own; targets by that of the root that will be in
//! force; a product by that of the targets that will be in force (TUF 1.0.34 sections 5.3.4 and 5.6.7).

use std::collections::BTreeSet;

use countersign_base::text::escape;
use countersign_crypto::PublicKey;
use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::{Key, KeyTable, ROOT, RoleKeys, TARGETS};
use countersign_tuf::{Envelope, HalfSigned, Role, Root, Signers, Targets};
use countersign_verify::extension;

use crate::current::Current;
use crate::error::{PublishError, short_of};

/// The signers of the root that is in force.
const PRESENT: &str = "the present root";
/// The signers of the root that follows it.
const NEW: &str = "the new root";

/// Who has signed one new file, and who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleStatus {
    /// The role.
    pub role: String,
    /// Its new version.
    pub version: u64,
    /// Each group of keys that must agree: one, or for root two.
    pub groups: Vec<GroupStatus>,
    /// Why the signatures are not enough although there are as many as must be: the product's rule of separation. Safe
    /// on a terminal.
    pub broken_rule: Option<String>,
}

/// One group of keys with a threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// `the present root`, `the new root`, or empty for other roles than root.
    pub by: &'static str,
    /// How many must sign.
    pub threshold: u32,
    /// Who has signed.
    pub signed: Vec<Person>,
    /// Who has not, or only with one key of two.
    pub missing: Vec<Person>,
    /// Who has signed with one key of two (ADR 0009).
    pub halves: Vec<Person>,
}

/// A key that has a say, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person {
    /// Id of the key.
    pub keyid: String,
    /// Its holder, as the metadata says; else the first characters of the id.
    pub name: String,
}

impl RoleStatus {
    /// Whether enough have signed.
    pub fn is_complete(&self) -> bool {
        self.has_enough() && self.broken_rule.is_none()
    }

    /// Whether there are as many signatures as there must be, whoever made them.
    fn has_enough(&self) -> bool {
        self.groups.iter().all(|group| group.lacks() == 0)
    }
}

impl GroupStatus {
    /// How many must still sign.
    pub fn lacks(&self) -> usize {
        (self.threshold as usize).saturating_sub(self.signed.len())
    }
}

/// The keys that count for the new metadata.
#[derive(Debug)]
pub(crate) struct Authority<'a> {
    root: &'a Root,
    new_root: Option<Root>,
    targets: &'a Targets,
    new_targets: Option<Targets>,
}

/// A group of keys that has a say in a role.
struct Group<'a> {
    by: &'static str,
    table: &'a KeyTable,
    keys: &'a RoleKeys,
}

impl<'a> Authority<'a> {
    /// For `drafts`, which are to follow `current`.
    pub(crate) fn new(current: &'a Current, drafts: &[Draft]) -> Result<Self, PublishError> {
        Ok(Self {
            root: current.root(),
            new_root: drafted(ROOT, drafts)?,
            targets: current.targets()?,
            new_targets: drafted(TARGETS, drafts)?,
        })
    }

    /// The root that will be in force.
    pub(crate) fn root(&self) -> &Root {
        self.new_root.as_ref().unwrap_or(self.root)
    }

    fn targets(&self) -> &Targets {
        self.new_targets.as_ref().unwrap_or(self.targets)
    }

    fn groups(&self, role: &str) -> Vec<Group<'_>> {
        let of_root = |by: &'static str, root| {
            let root: &Root = root;
            Some(Group { by, table: root.keys(), keys: root.role_keys(role)? })
        };
        match (role, &self.new_root) {
            (ROOT, Some(new)) => [(PRESENT, self.root), (NEW, new)]
                .into_iter()
                .filter_map(|(by, root)| of_root(by, root))
                .collect(),
            (ROOT | TARGETS, _) => of_root("", self.root()).into_iter().collect(),
            _ => {
                let delegations = self.targets().delegations();
                let keys = delegations.and_then(|all| Some((all.keys(), all.role_keys(role)?)));
                keys.into_iter().map(|(table, keys)| Group { by: "", table, keys }).collect()
            }
        }
    }

    /// The groups whose signatures are taken. On targets that a new root gives to others, those of the present root
    /// count for nobody who knows the new one; clients that do not know it yet accept the file by them, and so none is
    /// refused while the new root becomes visible (ADR 0015). Nobody waits for them.
    fn heard(&self, role: &str) -> Vec<Group<'_>> {
        let mut groups = self.groups(role);
        if role == TARGETS && self.new_root.is_some() {
            let keys = self.root.role_keys(role);
            groups.extend(keys.map(|keys| Group { by: PRESENT, table: self.root.keys(), keys }));
        }
        groups
    }

    /// Whose key it is, by what the metadata says.
    pub(crate) fn name(&self, role: &str, keyid: &str) -> String {
        let holder = match role {
            ROOT | TARGETS => {
                extension::holder(self.root(), keyid).or_else(|| extension::holder(self.root, keyid))
            }
            _ => extension::holder(self.targets(), keyid),
        };
        holder.map_or_else(|| short(keyid), str::to_owned)
    }

    /// The same in one group: a new root does not say who the signers of the present one are.
    fn name_by(&self, by: &str, role: &str, keyid: &str) -> String {
        match by {
            PRESENT => extension::holder(self.root, keyid).map_or_else(|| short(keyid), str::to_owned),
            _ => self.name(role, keyid),
        }
    }

    /// The id under which `key` signs `role`; `None` if it has no say in it.
    pub(crate) fn keyid(&self, role: &str, key: &PublicKey) -> Option<String> {
        self.heard(role).iter().find_map(|group| {
            group.keys.keyids.iter().find_map(|keyid| {
                let listed = group.table.get(keyid)?;
                if listed.usable() == Some(key) {
                    return Some(keyid.clone());
                }
                listed.pair().filter(|pair| pair.key() == key).map(|pair| pair.keyid().to_owned())
            })
        })
    }

    /// The key that signs `role` under `keyid`.
    pub(crate) fn key(&self, role: &str, keyid: &str) -> Option<PublicKey> {
        self.heard(role).iter().find_map(|group| {
            group.keys.keyids.iter().find_map(|id| {
                let listed = group.table.get(id)?;
                if id == keyid {
                    return listed.usable().cloned();
                }
                listed.pair().filter(|pair| pair.keyid() == keyid).map(|pair| pair.key().clone())
            })
        })
    }

    /// All public keys that have a say in `role`, each once.
    pub(crate) fn keys(&self, role: &str) -> Vec<PublicKey> {
        let mut found: Vec<PublicKey> = Vec::new();
        for group in self.groups(role) {
            for listed in group.keys.keyids.iter().filter_map(|id| group.table.get(id)) {
                let second = listed.pair().map(|pair| pair.key());
                for key in Key::usable(listed).into_iter().chain(second) {
                    if !found.contains(key) {
                        found.push(key.clone());
                    }
                }
            }
        }
        found
    }

    /// Who has signed a draft.
    pub(crate) fn status(&self, draft: &Draft) -> RoleStatus {
        let role = draft.role();
        let group = |group: Group<'_>| {
            let person =
                |keyid: &String| Person { keyid: keyid.clone(), name: self.name_by(group.by, role, keyid) };
            let Signers { threshold, signed, unsigned, halves } = draft.status(group.table, group.keys);
            GroupStatus {
                by: group.by,
                threshold,
                signed: signed.iter().map(person).collect(),
                missing: unsigned.iter().map(person).collect(),
                halves: halves.iter().map(|HalfSigned { keyid, .. }| person(keyid)).collect(),
            }
        };
        let mut status = RoleStatus {
            role: role.to_owned(),
            version: draft.version(),
            groups: self.groups(role).into_iter().map(group).collect(),
            broken_rule: None,
        };
        if status.has_enough() && role != ROOT && role != TARGETS {
            status.broken_rule = self.check_people(draft).err().map(|error| error.to_string());
        }
        status
    }

    /// Refuses drafts that too few have signed, or only one person where two are asked for.
    ///
    /// # Errors
    /// `publish-threshold-not-met`, `signature-algorithm-downgrade`, `approval-self`.
    pub(crate) fn check(&self, drafts: &[Draft]) -> Result<(), PublishError> {
        for draft in drafts {
            let role = draft.role();
            let groups = self.groups(role);
            if groups.is_empty() {
                return Err(PublishError::ProductUnknown { product: role.to_owned() });
            }
            for Group { by, table, keys } in groups {
                let signers = draft.status(table, keys);
                if signers.missing() > 0 {
                    return Err(self.too_few(role, by, &signers, drafts));
                }
            }
            if role != ROOT && role != TARGETS {
                self.check_people(draft)?;
            }
        }
        Ok(())
    }

    fn too_few(&self, role: &str, by: &'static str, signers: &Signers, drafts: &[Draft]) -> PublishError {
        if !signers.halves.is_empty()
            && let Some(shortage) = signers.shortage(role)
        {
            return shortage.into();
        }
        let names = |ids: &[String]| ids.iter().map(|id| self.name_by(by, role, id)).collect();
        PublishError::ApprovalsMissing {
            role: role.to_owned(),
            by,
            need: signers.threshold,
            have: names(&signers.signed),
            missing: names(&signers.unsigned),
            others: self
                .short(drafts)
                .into_iter()
                .filter(|(other, group, _)| (other.as_str(), *group) != (role, by))
                .map(|(_, _, text)| text)
                .collect(),
        }
    }

    /// What is short of signatures, as [`short_of`] says it, with its role and group.
    fn short(&self, drafts: &[Draft]) -> Vec<(String, &'static str, String)> {
        let mut found = Vec::new();
        for RoleStatus { role, groups, .. } in drafts.iter().map(|draft| self.status(draft)) {
            for group in groups.iter().filter(|group| group.lacks() > 0) {
                let missing: Vec<_> = group.missing.iter().map(|person| person.name.clone()).collect();
                found.push((role.clone(), group.by, short_of(&role, group.by, group.lacks(), &missing)));
            }
        }
        found
    }

    /// The rule of separation, as clients check it.
    fn check_people(&self, draft: &Draft) -> Result<(), PublishError> {
        let (role, targets) = (draft.role(), self.targets());
        let Some(delegations) = targets.delegations() else { return Ok(()) };
        let Some(keys) = delegations.role_keys(role) else { return Ok(()) };
        let signers = draft.status(delegations.keys(), keys);
        let file = parsed::<Targets>(draft)?;
        extension::check_separation(targets, role, &file, &signers.signed, signers.threshold)
            .map_err(PublishError::Separation)
    }

    /// Refuses to take `proposer` for the name of somebody, where it has to be and none of the signers has it.
    ///
    /// # Errors
    /// `usage`.
    pub(crate) fn check_assumed(&self, proposer: &str, drafts: &[Draft]) -> Result<(), PublishError> {
        let products = drafts.iter().map(Draft::role).filter(|role| *role != ROOT && *role != TARGETS);
        for product in products {
            if !extension::separation(self.targets(), product).map_err(PublishError::Separation)? {
                continue;
            }
            let keyids = self.groups(product).into_iter().flat_map(|group| &group.keys.keyids);
            let holders: BTreeSet<&str> =
                keyids.filter_map(|keyid| extension::holder(self.targets(), keyid)).collect();
            if !holders.iter().any(|holder| holder.eq_ignore_ascii_case(proposer)) {
                let signers = holders.into_iter().map(str::to_owned).collect();
                return Err(PublishError::ProposerUnnamed { product: product.to_owned(), signers });
            }
        }
        Ok(())
    }

    /// Refuses a key that has no say in any of `drafts`, naming who has.
    pub(crate) fn no_say(&self, key: &PublicKey, drafts: &[Draft]) -> PublishError {
        let missing: BTreeSet<String> = drafts
            .iter()
            .flat_map(|draft| self.status(draft).groups)
            .flat_map(|group| group.missing)
            .map(|person| escape(&person.name))
            .collect();
        let missing: Vec<_> = missing.into_iter().collect();
        let missing = if missing.is_empty() { "nobody's".to_owned() } else { missing.join(", ") };
        let key = short(&countersign_tuf::metadata::key_id(key));
        let what =
            format!("the key {key} has no say in this proposal; signatures that are missing: {missing}");
        let fix =
            "sign with a key of somebody who is named; `countersign proposal show` tells who may sign what";
        PublishError::ApprovalInvalid { what, fix }
    }
}

/// A draft as the type of its role.
pub(crate) fn parsed<T: Role>(draft: &Draft) -> Result<T, PublishError> {
    Ok(Envelope::<T>::parse(draft.role(), &draft.to_bytes()?)?.signed)
}

/// The draft of a role, if there is one.
fn drafted<T: Role>(role: &str, drafts: &[Draft]) -> Result<Option<T>, PublishError> {
    drafts.iter().find(|draft| draft.role() == role).map(parsed).transpose()
}

/// A key id as a person can compare it.
pub(crate) fn short(keyid: &str) -> String {
    keyid.chars().take(8).collect()
}
