//! One run meets keys with different passphrases: what is remembered, and how often anybody is asked.

use countersign_base::code;
use countersign_keys::{Asker, KeyInfo, KeysError, NewKey, Passphrase, Protection, Remembering};

use crate::scene::{Scene, code, new, now, works};

/// A person who types these one after another, and what they were asked.
struct Person {
    types: Vec<&'static str>,
    asked: Vec<String>,
    patience: u32,
}

impl Person {
    fn who_types(types: &[&'static str], patience: u32) -> Self {
        Self { types: types.iter().rev().copied().collect(), asked: Vec::new(), patience }
    }
}

impl Asker for Person {
    fn passphrase(&mut self, key: &KeyInfo) -> Result<Passphrase, KeysError> {
        self.asked.push(key.name.to_string());
        Passphrase::new(self.types.pop().expect("nobody types more than that").to_owned())
    }

    fn tries(&self) -> u32 {
        self.patience
    }
}

/// Borrows a person, so that a test can look at them afterwards.
struct Borrowed<'a>(&'a mut Person);

impl Asker for Borrowed<'_> {
    fn passphrase(&mut self, key: &KeyInfo) -> Result<Passphrase, KeysError> {
        self.0.passphrase(key)
    }

    fn tries(&self) -> u32 {
        self.0.tries()
    }
}

/// A key sealed with so little work that a test can open it often.
fn sealed(scene: &Scene, name: &str, text: &str) -> KeyInfo {
    let info = scene.plain(name);
    let mut recipient = age::scrypt::Recipient::new(text.to_owned().into());
    recipient.set_work_factor(8);
    let file = format!("{name}.key");
    scene.replace(&file, &age::encrypt(&recipient, &scene.bytes(&file)).unwrap());
    info
}

#[test]
fn each_passphrase_is_asked_for_once() {
    let scene = Scene::new();
    let keys = [("a", "one"), ("b", "two"), ("c", "one"), ("d", "two")];
    let keys = keys.map(|(name, text)| sealed(&scene, name, text));
    let mut person = Person::who_types(&["one", "two"], 1);
    let mut ask = Remembering::new(Borrowed(&mut person));
    for info in &keys {
        works(&*scene.keys.signer(info, &mut ask, now()).unwrap(), info);
    }
    assert!(!format!("{ask:?}").contains("one"), "{ask:?}");
    assert_eq!(person.asked, ["a", "b"]);
}

#[test]
fn a_typo_may_be_mended_as_often_as_the_asker_says() {
    let scene = Scene::new();
    let info = sealed(&scene, "a", "one");
    let mut person = Person::who_types(&["oen", "on", "one"], 3);
    works(&*scene.keys.signer(&info, &mut person, now()).unwrap(), &info);
    assert_eq!(person.asked, ["a", "a", "a"]);

    let mut person = Person::who_types(&["oen", "on", "eon", "one"], 3);
    assert_eq!(code(scene.keys.signer(&info, &mut person, now())), code::KEY_PASSPHRASE_WRONG);
    assert_eq!(person.asked.len(), 3, "and not once more");
}

#[test]
fn a_wrong_passphrase_is_not_remembered() {
    let scene = Scene::new();
    let keys = [sealed(&scene, "a", "one"), sealed(&scene, "b", "one")];
    let mut person = Person::who_types(&["oen", "one"], 2);
    let mut ask = Remembering::new(Borrowed(&mut person));
    for info in &keys {
        works(&*scene.keys.signer(info, &mut ask, now()).unwrap(), info);
    }
    assert_eq!(ask.known().len(), 1);
    assert_eq!(person.asked, ["a", "a"]);
}

#[test]
fn nobody_is_asked_for_a_key_that_needs_nothing() {
    let scene = Scene::new();
    let info = scene.keys.create(&NewKey { ..new("a") }, now(), Protection::Unencrypted).unwrap();
    let mut person = Person::who_types(&[], 3);
    works(&*scene.keys.signer(&info, &mut person, now()).unwrap(), &info);
    assert_eq!(person.asked, [""; 0]);
}
