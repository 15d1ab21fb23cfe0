//! A change of root that was logged and is not in force: see the head of `act.rs`.

use countersign_crypto::sha256;
use countersign_log::{Admitted, LogError};
use countersign_tuf::metadata::{Envelope, ROOT, SNAPSHOT, TARGETS};
use countersign_tuf::{Role as _, Snapshot};
use countersign_verify::Leaf;

use super::{Act, Signed};
use crate::current::Current;
use crate::error::PublishError;
use crate::online::Online;

impl Act<'_> {
    /// The documents of a change of root that was logged and is not in force, root first; `None` if there is none.
    ///
    /// The snapshot that was logged with the root says which they are.
    ///
    /// # Errors
    /// `log-storage-corrupt` if the log lacks what it has logged.
    pub(crate) fn unfinished(&self, current: &Current) -> Result<Option<Vec<Signed>>, PublishError> {
        let version = current.root().version() + 1;
        let Some(root) = self.admission.find(&self.log, ROOT, version)? else { return Ok(None) };
        let mut documents = vec![self.logged(&root)?];
        let mut snapshot = None;
        for index in root.index + 1..self.log.size() {
            let leaf = Leaf::parse(&self.log.entry(index)?).ok().filter(|leaf| leaf.role == SNAPSHOT);
            if let Some(leaf) = leaf {
                snapshot = self.admission.find(&self.log, SNAPSHOT, leaf.version)?;
                break;
            }
        }
        // They are logged in one batch, which is durable whole or not at all.
        let lost =
            || LogError::StorageCorrupt(format!("root version {version} was logged without a snapshot"));
        let snapshot = self.logged(&snapshot.ok_or_else(lost)?)?;
        let snapshot = Envelope::<Snapshot>::parse(SNAPSHOT, &snapshot.bytes)?.signed;
        let new = snapshot.files().filter(|(role, file)| current.version(role) < file.version);
        let (top, rest): (Vec<_>, Vec<_>) = new.partition(|(role, _)| *role == TARGETS);
        for (role, file) in top.into_iter().chain(rest) {
            let found = self.admission.find(&self.log, role, file.version)?;
            let lost = || LogError::StorageCorrupt(format!("{role} version {} is not logged", file.version));
            documents.push(self.logged(&found.ok_or_else(lost)?)?);
        }
        Ok(Some(documents))
    }

    /// The document that was logged as this version of a role, if one was.
    ///
    /// # Errors
    /// `log-storage-corrupt` if the log lacks what it has logged.
    pub(crate) fn logged_as(&self, role: &str, version: u64) -> Result<Option<Signed>, PublishError> {
        let entry = self.admission.find(&self.log, role, version)?;
        entry.map(|entry| self.logged(&entry)).transpose()
    }

    /// The log's copy of a document.
    fn logged(&self, entry: &Admitted) -> Result<Signed, PublishError> {
        let lost = || LogError::StorageCorrupt(format!("the document of {} is missing", entry.role));
        let bytes = self.admission.document(&entry.sha256)?.ok_or_else(lost)?;
        Ok(Signed { role: entry.role.clone(), version: entry.version, bytes })
    }

    /// Refuses to publish beside a root that is logged and not in force, unless it is the one to be published: says
    /// whether it is.
    pub(super) fn check_finished(
        &self,
        documents: &[Signed],
        online: &Online<'_>,
    ) -> Result<bool, PublishError> {
        let version = self.admission.highest_version(ROOT);
        if version <= online.root.version() {
            return Ok(false);
        }
        let logged = self.admission.find(&self.log, ROOT, version)?;
        let same = |document: &Signed| {
            document.role == ROOT
                && logged.as_ref().is_some_and(|root| root.sha256 == sha256(&document.bytes))
        };
        if documents.iter().any(same) { Ok(true) } else { Err(PublishError::Unfinished { version }) }
    }
}
