//! Row D29: hardware keys that fail, are another's, or are absent, while a release is signed with two of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use countersign_base::{Code, code};
use countersign_testkit::tokens::{Fault, PIN, Shim, SoftHsm, Token};

use crate::lab::{Lab, Run};
use crate::publisher::{Tree, everything, text};

/// A repository whose product is signed by both of two tokens, behind a module that fails as it is told.
struct House {
    lab: Lab,
    hsm: SoftHsm,
    shim: Shim,
    alice: Token,
    bob: Token,
}

impl House {
    /// `None` where SoftHSM2 or a C compiler is missing.
    fn new() -> Option<Self> {
        let hsm = SoftHsm::new()?;
        let shim = hsm.shim()?;
        let (alice, bob) = (hsm.token("alice"), hsm.token("bob"));
        let house = Self { lab: Lab::new(), hsm, shim, alice, bob };
        house.pin(PIN);
        let (repo, keys) = (house.at("repo"), house.at("keys"));
        for holder in ["alice", "bob"] {
            house.make_key(&keys, holder).ok();
        }
        house.run(&["init", &repo, "--keys", &keys, "--unencrypted"]).ok();
        let signers = ["alice", "bob"].map(|holder| house.at(&format!("keys/{holder}.pub")));
        let mut add = vec!["product", "add", &repo, "node", "--keys", &keys, "--unencrypted"];
        add.extend(signers.iter().flat_map(|file| ["--signer", file.as_str()]));
        house.run(&add).ok();
        Some(house)
    }

    /// A new key on the token of that label.
    fn make_key(&self, keys: &str, holder: &str) -> Run {
        let place = format!("pkcs11:token={holder};object=node");
        let new = ["key", "new", holder, "--keys", keys, "--holder", holder, "--stage", "release"];
        self.run(&[&new[..], &["--product", "node", "--place", &place, "--generate"]].concat())
    }

    fn at(&self, name: &str) -> String {
        text(&self.lab.path(name))
    }

    fn pin(&self, pin: &str) {
        fs::write(self.lab.path("pin"), pin).unwrap();
        fs::set_permissions(self.lab.path("pin"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn run(&self, args: &[&str]) -> Run {
        self.lab.run_with(args, |command| {
            command.envs(self.hsm.environment());
            command.env("COUNTERSIGN_PKCS11_MODULE", self.shim.module());
            command.env("COUNTERSIGN_PIN_FILE", self.lab.path("pin"));
        })
    }

    fn release(&self, version: &str) -> Run {
        let file = self.lab.path("node");
        fs::write(&file, version).unwrap();
        self.run(&["release", &self.at("repo"), "node", version, &text(&file), "--keys", &self.at("keys")])
    }

    fn public(&self) -> Tree {
        everything(&self.lab.path("repo"))
    }

    /// The release is refused with that code and nothing of it is to be seen; once `mend` is done the same release works.
    #[track_caller]
    fn refused(&self, version: &str, code: Code, attack: impl FnOnce(), mend: impl FnOnce()) -> Run {
        let before = self.public();
        attack();
        let run = self.release(version).refused(code);
        let after = self.public();
        let changed: Vec<_> = after
            .iter()
            .filter(|(path, bytes)| before.get(*path) != Some(bytes))
            .map(|(path, _)| path)
            .collect();
        assert!(after == before, "half a release is published: {changed:?} {}", run.text());
        mend();
        self.release(version).ok();
        run
    }
}

#[test]
fn d29_a_token_that_fails_while_signing_publishes_nothing() {
    let Some(house) = House::new() else { return };
    house.release("1.0.0").ok();
    for (version, fault, code) in [
        ("1.1.0", Fault::Removed, code::SIGNER_TOKEN_LOST),
        ("1.2.0", Fault::SessionLost, code::SIGNER_TOKEN_LOST),
        ("1.3.0", Fault::Vanished, code::SIGNER_TOKEN_LOST),
        ("1.4.0", Fault::BadSignature, code::SIGNER_KEY_MISMATCH),
    ] {
        house.refused(version, code, || house.shim.set(fault), || house.shim.set(Fault::None));
    }
}

#[test]
fn d29_a_wrong_pin_is_sent_once() {
    let Some(house) = House::new() else { return };
    let logins = house.shim.logins();
    let run = house.refused(
        "1.0.0",
        code::SIGNER_PIN_REFUSED,
        || house.pin("000000"),
        || {
            assert_eq!(house.shim.logins(), logins + 1, "one PIN, sent once");
            house.pin(PIN);
        },
    );
    assert!(!run.text().contains("000000"), "{}", run.text());

    // One try is left: what a file holds is not tried at all.
    let before = house.public();
    house.shim.set(Fault::FinalTry);
    let logins = house.shim.logins();
    house.release("1.1.0").refused(code::SIGNER_PIN_REFUSED);
    assert_eq!(house.shim.logins(), logins);
    assert!(house.public() == before);
    house.shim.set(Fault::None);
    house.release("1.1.0").ok();
}

#[test]
fn d29_another_token_of_the_same_label_is_not_used() {
    let Some(house) = House::new() else { return };
    house.release("1.0.0").ok();
    // Two tokens answer to the label.
    let other = house.hsm.token("alice");
    house.release("1.1.0").refused(code::SIGNER_KEY_MISMATCH);
    // Only the other does, and it has a key of the same name.
    house.hsm.pull_out(&house.alice);
    house.make_key(&house.at("other-keys"), "alice").ok();
    let logins = house.shim.logins();
    house.refused(
        "1.1.0",
        code::SIGNER_KEY_MISMATCH,
        || {},
        || {
            assert_eq!(house.shim.logins(), logins, "the other token is sent no PIN");
            house.hsm.pull_out(&other);
            house.hsm.plug_in(&house.alice);
        },
    );
}

#[test]
fn d29_the_second_signers_token_is_absent() {
    let Some(house) = House::new() else { return };
    let absent = || house.hsm.pull_out(&house.bob);
    house.refused("1.0.0", code::SIGNER_TOKEN_LOST, absent, || house.hsm.plug_in(&house.bob));
}
