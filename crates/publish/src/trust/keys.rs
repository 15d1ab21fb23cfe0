//! Keys as a file lists them, and what goes with them: second keys and the names of holders.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::Json;
use countersign_crypto::PublicKey;
use countersign_tuf::editor::{Draft, RootEditor, TargetsEditor};
use countersign_tuf::metadata::{KeyTable, RoleKeys, key_id};
use countersign_tuf::{Envelope, Role};
use countersign_verify::EXTENSION;
use countersign_verify::extension::{self, HOLDERS};

use crate::error::PublishError;
use crate::proposal::Member;

/// The member of `x-countersign` with second keys, which the editors keep themselves.
const PAIRS: &str = "pairs";

/// A holder's key in a role, and its second one if it has two (ADR 0009).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: PublicKey,
    pub(super) pair: Option<PublicKey>,
}

/// The keys of a role that can be used.
pub(super) fn listed(table: &KeyTable, keys: &RoleKeys) -> Vec<Listed> {
    let read = |id: &String| {
        let listed = table.get(id)?;
        Some(Listed { key: listed.usable()?.clone(), pair: listed.pair().map(|pair| pair.key().clone()) })
    };
    keys.keyids.iter().filter_map(read).collect()
}

/// The first keys alone, as editors take them.
pub(super) fn first(listed: &[Listed]) -> Vec<PublicKey> {
    listed.iter().map(|listed| listed.key.clone()).collect()
}

/// A draft as the type of its role.
pub(super) fn parsed<T: Role>(draft: &Draft) -> Result<T, PublishError> {
    Ok(Envelope::<T>::parse(draft.role(), &draft.to_bytes()?)?.signed)
}

/// An editor of a file that lists keys.
pub(super) trait ListsKeys {
    /// Sets `x-countersign`; pairs in it stay.
    fn extend(&mut self, value: Json);
}

impl ListsKeys for RootEditor {
    fn extend(&mut self, value: Json) {
        self.set_extension(EXTENSION, value);
    }
}

impl ListsKeys for TargetsEditor {
    fn extend(&mut self, value: Json) {
        self.set_extension(EXTENSION, value);
    }
}

/// What `x-countersign` of a file's next version has in it.
pub(super) struct Extension {
    members: BTreeMap<String, Json>,
    holders: BTreeMap<String, Json>,
}

impl Extension {
    /// As it is in the present version.
    pub(super) fn of<T: Role>(file: &T) -> Self {
        let mut members = extension::members(file);
        members.remove(PAIRS);
        let holders = members.remove(HOLDERS).and_then(|holders| holders.as_object().cloned());
        Self { members, holders: holders.unwrap_or_default() }
    }

    /// Sets another member than holders and pairs.
    pub(super) fn set(&mut self, member: &str, value: Json) {
        self.members.insert(member.to_owned(), value);
    }

    /// Names the holder of a key.
    pub(super) fn name(&mut self, member: &Member) {
        self.holders.insert(key_id(&member.key), Json::from(member.holder.as_str()));
    }

    /// Forgets the holders of keys that are not among these.
    pub(super) fn retain(&mut self, keys: &BTreeSet<String>) {
        self.holders.retain(|keyid, _| keys.contains(keyid));
    }

    /// Writes it. Call it after the keys are listed and before they are paired.
    pub(super) fn write(mut self, editor: &mut dyn ListsKeys) {
        if !self.holders.is_empty() {
            self.members.insert(HOLDERS.to_owned(), Json::Object(self.holders));
        }
        if !self.members.is_empty() {
            editor.extend(Json::Object(self.members));
        }
    }
}
