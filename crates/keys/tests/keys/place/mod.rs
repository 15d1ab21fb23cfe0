//! Keys that are elsewhere, on real tokens, in a real agent, at a signer on loopback.

mod agent;
mod faulty_token;
mod pkcs11;
mod remote;
mod text;

use countersign_base::Code;
use countersign_base::Explain as _;
use countersign_crypto::{PublicKey, Signer};
use countersign_keys::place::{self, Settings, TokenLabel};
use countersign_keys::{Asker, KeyInfo, KeysError, Passphrase, Place};

/// What is signed.
const MESSAGE: &[u8] = b"{\"signed\":{\"_type\":\"timestamp\",\"version\":7}}";

/// Answers with one PIN, and remembers who asked.
struct Person {
    settings: Settings,
    pin: &'static str,
    asked: Vec<TokenLabel>,
}

impl Person {
    fn with(settings: Settings) -> Self {
        Self { settings, pin: countersign_testkit::tokens::PIN, asked: Vec::new() }
    }
}

impl Asker for Person {
    fn passphrase(&mut self, _: &KeyInfo) -> Result<Passphrase, KeysError> {
        Err(KeysError::PassphraseLength)
    }

    fn pin(&mut self, token: &TokenLabel) -> Result<Passphrase, KeysError> {
        self.asked.push(token.clone());
        Passphrase::new(self.pin.to_owned())
    }

    fn settings(&self) -> Settings {
        self.settings.clone()
    }
}

fn place(text: &str) -> Place {
    text.parse().unwrap()
}

/// Opens the key, which must work, and has it sign.
fn signs(text: &str, expected: Option<&PublicKey>, person: &mut Person) -> Box<dyn Signer> {
    let signer =
        place::open(&place(text), expected, person).unwrap_or_else(|error| panic!("{text}: {error}"));
    let signature = signer.sign(MESSAGE).unwrap();
    signer.public_key().verify(MESSAGE, &signature).unwrap();
    signer
}

/// The code with which opening the key is refused.
#[track_caller]
fn refusal(text: &str, expected: Option<&PublicKey>, person: &mut Person) -> Code {
    match place::open(&place(text), expected, person) {
        Ok(signer) => panic!("{text} opened: {}", signer.public_key()),
        Err(error) => error.code(),
    }
}
