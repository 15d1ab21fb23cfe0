//! A new product: a delegation to its signers, and the first version of its role.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::Json;
use countersign_base::name::ProductName;
use countersign_crypto::PublicKey;
use countersign_keys::{Protection, Stage};
use countersign_tuf::editor::{Draft, NewDelegation, TargetsEditor};
use countersign_tuf::metadata::{Coverage, KeyTable, ROOT, TARGETS, key_id};
use countersign_verify::EXTENSION;
use countersign_verify::extension::{self, PRODUCTS, SEPARATION};

use crate::act::{self, Act, Change, Publication};
use crate::current::Current;
use crate::error::PublishError;
use crate::keyring::{self, Keyring};
use crate::online::{self, Online};
use crate::proposal::{AtOnce, Intent, Member, Planning, ProductIntent, set_holders, short};
use crate::publisher::Publisher;
use crate::trust;

/// How many must sign for a new product, if nothing is said.
const NEW_THRESHOLD: u32 = 2;

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
    /// keys, log and witnesses, among them `key-revoked` for a signer's key that has ended.
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
        let keyring = Keyring::open(&site.keys, &mut *self.ask, site.now)?;
        for key in &options.signers {
            trust::check_not_ended(&current, key)?;
            keyring.check_unmarked(key)?;
        }
        let mut keyring = keyring.because(&format!("new product {}", options.name));
        let online = Online::of(site, &current);
        online.check_keys(&keyring)?;
        online::check_keys(TARGETS, current.root(), &keyring)?;
        // Before keys are made: sealed with a passphrase that opens none of the others they would be in the way.
        online::open_keys(TARGETS, current.root(), &mut keyring)?;
        let signers = signers(options, site.now, &mut keyring)?;
        keyring.check_enough(options.name.as_str(), &signers, options.threshold)?;

        let act = Act::on(site, lock, &current, &mut keyring)?;
        let member = |key: &PublicKey| Member {
            key: key.clone(),
            pair: None,
            holder: keyring.holder(key).unwrap_or_else(|| short(&key_id(key))),
        };
        let intent = Intent::Product(ProductIntent {
            name: options.name.clone(),
            threshold: Some(options.threshold),
            signers: signers.iter().map(member).collect(),
            separation: Some(false),
            drop_pairs: BTreeSet::new(),
        });
        let at_once = AtOnce { site, current: &current, intent: &intent };
        let (documents, _) = at_once.sign(&act, &mut keyring)?;
        let change = Change { documents, ..Change::default() };
        let publication = act.publish(change, &online, &mut keyring, &mut *self.connect)?;
        Ok(ProductAdded { signers, threshold: options.threshold, publication })
    }
}

/// The targets that delegate to the product, and the product's first file; or, for one that is there, its next file
/// under its new signers, so that clients never see one without the other.
///
/// # Errors
/// `usage` for a threshold that does not fit, a holder's name that cannot be, or a rule of separation that these
/// signers could never meet; `tuf-key-duplicate`.
pub(crate) fn plan(planning: &Planning<'_>, intent: &ProductIntent) -> Result<Vec<Draft>, PublishError> {
    let (name, current) = (intent.name.as_str(), planning.current);
    let before = current.targets()?;
    let present = before.role_keys(name).map_or(NEW_THRESHOLD, |keys| keys.threshold);
    let threshold = intent.threshold.unwrap_or(present);
    let held = extension::separation(before, name).map_err(PublishError::Separation)?;
    let separation = intent.separation.unwrap_or(held);
    check_signers(intent, threshold, separation)?;
    let keys: Vec<PublicKey> = intent.signers.iter().map(|member| member.key.clone()).collect();
    let mut targets = TargetsEditor::next(TARGETS, before);
    targets
        .set_version((planning.version)(TARGETS))
        .set_expires(planning.now.plus_days(planning.expiries.targets_days))
        .set_delegation(&NewDelegation {
            name,
            keys: &keys,
            threshold,
            coverage: Coverage::Paths(vec![pattern(name)]),
            terminating: true,
        })?;
    let mut members = extension::members(before);
    let others = before.delegations().into_iter().flat_map(|all| all.roles());
    let staying = others.filter(|role| role.name != name).flat_map(|role| role.keys.keyids.clone()).collect();
    set_holders(&mut members, &staying, &intent.signers)?;
    set_separation(&mut members, name, separation);
    targets.set_extension(EXTENSION, Json::Object(members));
    let no_keys = KeyTable::new();
    let table = before.delegations().map_or(&no_keys, |delegations| delegations.keys());
    trust::check_drops(table, &intent.drop_pairs, &intent.signers)?;
    for member in &intent.signers {
        targets.set_pair(&member.key, trust::second_of(table, member).as_ref())?;
    }
    for key in intent.drop_pairs.iter().filter_map(|id| table.get(id)?.usable()) {
        targets.set_pair(key, None)?;
    }
    let mut role = match current.product(name) {
        Ok(role) => TargetsEditor::next(name, role),
        Err(_) => TargetsEditor::new(name, planning.now),
    };
    role.set_version((planning.version)(name))
        .set_expires(planning.now.plus_days(planning.expiries.product_days));
    let targets = targets.finish()?;
    // A second key is owed in every product that lists the first.
    let others = trust::products_to_sign(planning, &targets)?;
    let mut drafts = vec![targets, role.finish()?];
    drafts.extend(others.into_iter().filter(|draft| draft.role() != name));
    Ok(drafts)
}

/// The paths that a product's role may list: its own folder.
pub(crate) fn pattern(name: &str) -> String {
    format!("{name}/*/*/*")
}

fn check_signers(intent: &ProductIntent, threshold: u32, separation: bool) -> Result<(), PublishError> {
    let keys = intent.signers.len();
    if threshold == 0 || threshold as usize > keys {
        return Err(PublishError::Threshold { threshold, keys });
    }
    let people: BTreeSet<String> =
        intent.signers.iter().map(|member| member.holder.to_ascii_lowercase()).collect();
    if separation && (people.len() < 2 || people.len() < threshold as usize) {
        let reason =
            "the rule of separation needs signers of at least two people, and as many as the threshold";
        return Err(PublishError::ProposalUsage { reason });
    }
    Ok(())
}

/// Writes whether changes of the product need another person than their proposer.
fn set_separation(members: &mut BTreeMap<String, Json>, product: &str, separation: bool) {
    let mut products = members.get(PRODUCTS).and_then(Json::as_object).cloned().unwrap_or_default();
    let mut said = products.get(product).and_then(Json::as_object).cloned().unwrap_or_default();
    match separation {
        true => said.insert(SEPARATION.to_owned(), Json::from(true)),
        false => said.remove(SEPARATION),
    };
    match said.is_empty() {
        true => products.remove(product),
        false => products.insert(product.to_owned(), Json::Object(said)),
    };
    match products.is_empty() {
        true => members.remove(PRODUCTS),
        false => members.insert(PRODUCTS.to_owned(), Json::Object(products)),
    };
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
