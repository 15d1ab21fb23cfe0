//! Keys of every type that TUF repositories use, and of some that none should.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_base::Json;
use countersign_base::canonical::olpc;
use countersign_crypto::{Algorithm, SecretKey, sha256, sha512};

/// What kind of key, and how metadata spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ed25519`.
    Ed25519,
    /// `ecdsa` with `ecdsa-sha2-nistp256`.
    P256,
    /// The same with the scheme as its type, as old repositories have it.
    P256Old,
    /// `ecdsa` with `ecdsa-sha2-nistp384`.
    P384,
    /// `rsa` with `rsassa-pss-sha256`, 2048 bits.
    RsaPss,
    /// `rsa` with `rsa-pkcs1v15-sha256`, which the specification does not name.
    RsaPkcs1,
    /// `ml-dsa` with `ml-dsa-44/1` (TAP 21).
    MlDsa44,
    /// A type that nobody knows.
    Unknown,
}

/// A key pair with the id that metadata gives it.
pub struct TufKey {
    /// How it is spelt.
    pub kind: Kind,
    /// The key object.
    pub json: Json,
    /// The id: the digest of the object, until a test changes one of the two.
    pub id: String,
    pair: Pair,
}

enum Pair {
    Ours(SecretKey),
    Rsa(&'static RsaKeyPair, &'static dyn RsaEncoding),
}

impl TufKey {
    /// The key of this name: the same in every run but for RSA, of which there is one in a process.
    ///
    /// # Panics
    /// If the provider fails.
    pub fn new(name: &str, kind: Kind) -> Self {
        let seed = *sha256(format!("plain TUF key {name}").as_bytes()).as_bytes();
        let ours = |algorithm| SecretKey::from_seed(algorithm, &seed).expect("a seed gives a key");
        let pair = match kind {
            Kind::Ed25519 | Kind::Unknown => Pair::Ours(ours(Algorithm::Ed25519)),
            Kind::P256 | Kind::P256Old => Pair::Ours(ours(Algorithm::EcdsaP256Sha256)),
            Kind::P384 => Pair::Ours(ours(Algorithm::EcdsaP384Sha384)),
            Kind::MlDsa44 => Pair::Ours(ours(Algorithm::MlDsa44)),
            Kind::RsaPss => Pair::Rsa(rsa(), &RSA_PSS_SHA256),
            Kind::RsaPkcs1 => Pair::Rsa(rsa(), &RSA_PKCS1_SHA256),
        };
        let (keytype, scheme) = match kind {
            Kind::Ed25519 => ("ed25519", "ed25519"),
            Kind::P256 => ("ecdsa", "ecdsa-sha2-nistp256"),
            Kind::P256Old => ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
            Kind::P384 => ("ecdsa", "ecdsa-sha2-nistp384"),
            Kind::RsaPss => ("rsa", "rsassa-pss-sha256"),
            Kind::RsaPkcs1 => ("rsa", "rsa-pkcs1v15-sha256"),
            Kind::MlDsa44 => ("ml-dsa", "ml-dsa-44/1"),
            Kind::Unknown => ("heptadic", "heptadic-7"),
        };
        let json = Json::object([
            ("keytype", Json::from(keytype)),
            ("scheme", Json::from(scheme)),
            ("keyval", Json::object([("public", Json::from(pair.public()))])),
        ]);
        let id = sha256(&olpc(&json)).to_string();
        Self { kind, json, id, pair }
    }

    /// The signature over a signed part, in hex.
    ///
    /// # Panics
    /// If the provider fails.
    pub fn sign(&self, signed: &Json) -> String {
        let message = olpc(signed);
        hex::encode(match &self.pair {
            Pair::Ours(key) if self.kind == Kind::MlDsa44 => {
                let digest = sha512(&message);
                key.sign(&[b"tuf\x01".as_slice(), digest.as_bytes()].concat()).expect("it signs")
            }
            Pair::Ours(key) => key.sign(&message).expect("it signs"),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), &message, &mut signature).expect("it signs");
                signature
            }
        })
    }
}

impl Pair {
    /// `keyval.public`: hex for Ed25519, else PEM.
    fn public(&self) -> String {
        match self {
            Self::Ours(key) if key.public_key().algorithm() == Algorithm::Ed25519 => {
                hex::encode(key.public_key().as_raw())
            }
            Self::Ours(key) => key.public_key().to_spki_pem(),
            Self::Rsa(pair, _) => {
                let der = pair.public_key().as_der().expect("a public key has a DER form");
                let text = STANDARD.encode(der.as_ref());
                let lines: Vec<String> = text
                    .as_bytes()
                    .chunks(64)
                    .map(|line| String::from_utf8_lossy(line).into_owned())
                    .collect();
                format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
            }
        }
    }
}

fn rsa() -> &'static RsaKeyPair {
    static PAIR: OnceLock<RsaKeyPair> = OnceLock::new();
    PAIR.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("the provider makes keys"))
}
