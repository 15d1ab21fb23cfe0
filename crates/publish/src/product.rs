//! A new product: a delegation to its signers, and the first version of its role.

use countersign_base::name::ProductName;
use countersign_crypto::PublicKey;
use countersign_keys::{Protection, Stage};
use countersign_tuf::editor::{NewDelegation, TargetsEditor};
use countersign_tuf::metadata::{Coverage, ROOT, TARGETS};

use crate::act::{self, Act, Change, Publication, Signed};
use crate::current::Current;
use crate::error::PublishError;
use crate::keyring::{self, Keyring, as_dyn};
use crate::online::{self, Online};
use crate::publisher::Publisher;

/// What a new product shall be.
#[derive(Debug, Clone)]
pub struct ProductOptions<'a> {
    /// Its name, which is its role's too.
    pub name: &'a ProductName,
    /// How many of its signers must sign.
    pub threshold: u32,
    /// Who may sign; none to make as many keys as the threshold, named `<name>-1`, `<name>-2`..
    pub signers: Vec<PublicKey>,
    /// How new secret keys are kept.
    pub protection: Protection<'a>,
}

impl<'a> ProductOptions<'a> {
    /// Two new keys that both must sign.
    pub const fn new(name: &'a ProductName, protection: Protection<'a>) -> Self {
        Self { name, threshold: 2, signers: Vec::new(), protection }
    }
}

/// A product that was added.
#[derive(Debug, Clone)]
pub struct ProductAdded {
    /// Who may sign.
    pub signers: Vec<PublicKey>,
    /// How many of them must.
    pub threshold: u32,
    /// What was published.
    pub publication: Publication,
}

impl Publisher<'_> {
    /// Adds a product: the top-level targets delegate `<name>/*/*/*` to its role, and no one else is asked about it.
    ///
    /// # Errors
    /// `publish-product-exists`; `usage` for a threshold that does not fit, `tuf-key-duplicate` for a signer named
    /// twice; `publish-threshold-not-met` if too few secret keys are at hand, of root's or of the signers; codes of
    /// keys, log and witnesses.
    pub fn product_add(&mut self, options: &ProductOptions<'_>) -> Result<ProductAdded, PublishError> {
        let given = options.signers.len();
        if options.threshold == 0 || (given > 0 && options.threshold as usize > given) {
            return Err(PublishError::Threshold { threshold: options.threshold, keys: given });
        }
        let site = &self.site;
        keyring::check_place(site)?;
        let lock = act::lock(&site.layout)?;
        let current = Current::read(site)?;
        if current.has_product(options.name.as_str()) {
            return Err(PublishError::ProductExists { product: options.name.to_string() });
        }
        current.check_fresh(&[ROOT], site.now)?;
        let mut keyring = Keyring::open(&site.keys, &mut *self.ask, site.now)?;
        let online = Online { site, root: current.root(), current: Some(&current) };
        online.check_keys(&keyring)?;
        online::check_keys(TARGETS, current.root(), &keyring)?;
        // Before keys are made: sealed with a passphrase that opens none of the others they would be in the way.
        online::open_keys(TARGETS, current.root(), &mut keyring)?;
        let signers = signers(options, site.now, &mut keyring)?;
        keyring.check_enough(options.name.as_str(), &signers, options.threshold)?;

        let act =
            Act::begin(site, lock, current.anchor, &current.policy, online.snapshot_version(), &mut keyring)?;
        let mut targets = TargetsEditor::next(TARGETS, current.targets()?);
        targets
            .set_version(act.next_version(TARGETS, current.version(TARGETS)))
            .set_expires(site.now.plus_days(site.expiries.targets_days))
            .set_delegation(&NewDelegation {
                name: options.name.as_str(),
                keys: &signers,
                threshold: options.threshold,
                coverage: Coverage::Paths(vec![format!("{}/*/*/*", options.name)]),
                terminating: true,
            })?;
        let targets = online::sign(targets.finish()?, current.root(), &mut keyring)?;
        let mut role =
            TargetsEditor::new(options.name.as_str(), site.now.plus_days(site.expiries.product_days));
        role.set_version(act.next_version(options.name.as_str(), 0));
        let mut draft = role.finish()?;
        draft.sign(&as_dyn(&keyring.signers(draft.role(), &signers, options.threshold)?))?;
        let role =
            Signed { role: draft.role().to_owned(), version: draft.version(), bytes: draft.to_bytes()? };

        let change = Change { documents: vec![targets, role], ..Change::default() };
        let publication = act.publish(change, &online, &mut keyring, &mut *self.connect)?;
        Ok(ProductAdded { signers, threshold: options.threshold, publication })
    }
}

/// The product's signers: those given, or new ones.
fn signers(
    options: &ProductOptions<'_>,
    now: countersign_base::Timestamp,
    keyring: &mut Keyring<'_>,
) -> Result<Vec<PublicKey>, PublishError> {
    if !options.signers.is_empty() {
        return Ok(options.signers.clone());
    }
    let ensure = |number: u32| {
        let name = format!("{}-{number}", options.name);
        keyring.ensure(&name, Stage::Release, Some(options.name), now, options.protection)
    };
    (1..=options.threshold).map(ensure).collect()
}
