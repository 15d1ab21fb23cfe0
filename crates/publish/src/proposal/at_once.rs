//! A change that whoever asks for it also signs: the same plan, the same signatures, the same rules, no directory.

use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::{ROOT, TARGETS};
use countersign_verify::extension::is_holder;

use super::authority::Authority;
use super::intent::Intent;
use super::plan::{Plan, make};
use super::publish::fill;
use super::statement::{ProposedBy, Statement};
use crate::act::{Act, Signed, Site};
use crate::current::Current;
use crate::error::PublishError;
use crate::keyring::Keyring;

/// See the module.
pub(crate) struct AtOnce<'a> {
    /// Place and time.
    pub site: &'a Site,
    /// The repository as it stands, with the products that the intent touches.
    pub current: &'a Current,
    /// What is wanted.
    pub intent: &'a Intent,
}

impl AtOnce<'_> {
    /// The documents, signed by all keys at hand that have a say, and the ids of those that signed each.
    ///
    /// # Errors
    /// As [`crate::Publisher::propose`] and [`crate::Publisher::publish_proposal`].
    pub(crate) fn sign(
        &self,
        act: &Act<'_>,
        keyring: &mut Keyring<'_>,
    ) -> Result<(Vec<Signed>, Plan), PublishError> {
        let proposer = self.proposer(keyring)?;
        let by = ProposedBy::new(&proposer, "");
        let (current, site) = (self.current, self.site);
        let mut statement = Statement::new(current.anchor, &by, self.intent, site.now)?;
        fill(&mut statement, current, site, &|role| act.next_version(role, current.version(role)))?;
        let mut plan = make(&statement, current, &site.expiries)?;
        let authority = Authority::new(current, &plan.drafts)?;
        let mut signed = plan.drafts.clone();
        for draft in &mut signed {
            for key in authority.keys(draft.role()) {
                let keyid = authority.keyid(draft.role(), &key);
                if let Some((keyid, signer)) = keyid.zip(keyring.signer_of(draft.role(), &key)?) {
                    draft.sign_as(&keyid, &signer)?;
                }
            }
        }
        authority.check(&signed)?;
        drop(authority);
        let document = |draft: &Draft| {
            let (role, version) = (draft.role().to_owned(), draft.version());
            Ok(Signed { role, version, bytes: draft.to_bytes()? })
        };
        let documents = signed.iter().map(document).collect::<Result<_, PublishError>>()?;
        plan.drafts = signed;
        Ok((documents, plan))
    }

    /// Who acts: the holder of the first key at hand that signs the product.
    fn proposer(&self, keyring: &Keyring<'_>) -> Result<String, PublishError> {
        let authority = Authority::new(self.current, &[])?;
        let role = self.intent.product().map_or(ROOT, |product| product.as_str());
        let role = if self.current.has_product(role) { role } else { TARGETS };
        let keys = authority.keys(role);
        let key = keys.iter().find(|key| keyring.has(key));
        let name = key.map(|key| match authority.keyid(role, key) {
            Some(keyid) => authority.name(role, &keyid),
            None => String::new(),
        });
        Ok(name.filter(|name| is_holder(name)).unwrap_or_else(|| "publisher".to_owned()))
    }
}
