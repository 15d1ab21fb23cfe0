//! What the tests share: a keys directory, and the questions they ask of it.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_base::Timestamp;
use countersign_base::code::{Code, Explain};
use countersign_crypto::{Algorithm, Signer};
use countersign_keys::{KeyDir, KeyInfo, KeysError, NewKey, Passphrase, Protection, Stage};

pub(crate) const PASSPHRASE: &str = "correct horse battery staple";

/// A keys directory that goes away with the test.
pub(crate) struct Scene {
    pub(crate) keys: KeyDir,
    temp: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        Self { keys: KeyDir::open_or_create(temp.path().join("keys")).unwrap(), temp }
    }

    /// A folder for whatever is not a key.
    pub(crate) fn outside(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.keys.path().join(name)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap()
    }

    /// Replaces a file's content and keeps its mode.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).unwrap();
    }

    /// Names of all files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.keys.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn plain(&self, name: &str) -> KeyInfo {
        self.keys.create(&new(name), now(), Protection::Unencrypted).unwrap()
    }

    pub(crate) fn sealed(&self, name: &str) -> KeyInfo {
        self.keys.create(&new(name), now(), Protection::Passphrase(&passphrase(PASSPHRASE))).unwrap()
    }

    /// Opens a key; a passphrase that is asked for is `text`.
    pub(crate) fn open(&self, info: &KeyInfo, text: &str) -> Result<Box<dyn Signer>, KeysError> {
        self.keys.signer(info, &mut |_: &KeyInfo| Passphrase::new(text.to_owned()), now())
    }

    pub(crate) fn open_code(&self, info: &KeyInfo, text: &str) -> Code {
        code(self.open(info, text))
    }
}

pub(crate) fn new(name: &str) -> NewKey<'_> {
    NewKey {
        name,
        stage: Stage::Root,
        product: None,
        holder: "alice",
        algorithm: Algorithm::Ed25519,
        expires: None,
        cadence_days: None,
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix(1_795_269_600).unwrap()
}

pub(crate) fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

/// The code of an error that must be one.
pub(crate) fn code<T>(result: Result<T, KeysError>) -> Code {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error.code(),
    }
}

/// Signs with it and checks the signature.
pub(crate) fn works(signer: &dyn Signer, info: &KeyInfo) {
    assert_eq!(signer.public_key(), &info.public);
    let signature = signer.sign(b"message").unwrap();
    assert_eq!(info.public.verify(b"message", &signature), Ok(()));
}
