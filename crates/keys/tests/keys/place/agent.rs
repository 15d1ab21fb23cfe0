//! A real ssh-agent.

use countersign_base::Explain as _;
use countersign_base::code;
use countersign_crypto::{Algorithm, SecretKey};
use countersign_keys::place::{MAX_AGENT_MESSAGE_BYTES, Settings};
use countersign_testkit::tokens::SshAgent;

use super::{MESSAGE, Person, refusal, signs};

fn person(agent: &SshAgent) -> Person {
    Person::with(Settings { agent_socket: Some(agent.socket()), ..Settings::default() })
}

#[test]
fn keys_sign_by_fingerprint_and_by_comment() {
    let Some(agent) = SshAgent::start() else { return };
    let mut person = person(&agent);
    for (kind, algorithm) in [
        ("ed25519", Algorithm::Ed25519),
        ("ecdsa-256", Algorithm::EcdsaP256Sha256),
        ("ecdsa-384", Algorithm::EcdsaP384Sha384),
    ] {
        let fingerprint = agent.add(kind, &format!("{kind}@test"));
        let signer = signs(&format!("ssh-agent:{fingerprint}"), None, &mut person);
        assert_eq!(signer.public_key().algorithm(), algorithm);
        signs(&format!("ssh-agent:{kind}@test"), Some(signer.public_key()), &mut person);
        // Numbers of every length come up: about one in 128 ECDSA signatures has a short one.
        for round in 0..64u8 {
            signer.public_key().verify(&[round], &signer.sign(&[round]).unwrap()).unwrap();
        }
    }
    assert!(person.asked.is_empty());
}

#[test]
fn messages_up_to_what_an_agent_reads() {
    let Some(agent) = SshAgent::start() else { return };
    let mut person = person(&agent);
    agent.add("ed25519", "alice");
    let signer = signs("ssh-agent:alice", None, &mut person);
    let longest = vec![7; MAX_AGENT_MESSAGE_BYTES];
    signer.public_key().verify(&longest, &signer.sign(&longest).unwrap()).unwrap();
    let error = signer.sign(&vec![7; MAX_AGENT_MESSAGE_BYTES + 1]).unwrap_err();
    assert_eq!(error.code(), code::LIMIT_EXCEEDED);
}

#[test]
fn each_way_to_fail_has_its_code() {
    let mut nobody = Person::with(Settings::default());
    assert_eq!(refusal("ssh-agent:alice", None, &mut nobody), code::SIGNER_UNAVAILABLE);

    let Some(mut agent) = SshAgent::start() else { return };
    let mut person = person(&agent);
    assert_eq!(refusal("ssh-agent:alice", None, &mut person), code::KEY_NOT_FOUND);
    agent.add("ed25519", "alice");
    let other = SecretKey::from_seed(Algorithm::Ed25519, &[9; 32]).unwrap();
    assert_eq!(refusal("ssh-agent:alice", Some(other.public_key()), &mut person), code::SIGNER_KEY_MISMATCH);
    let signer = signs("ssh-agent:alice", None, &mut person);
    agent.add("ed25519", "alice");
    assert_eq!(
        refusal("ssh-agent:alice", None, &mut person),
        code::SIGNER_KEY_MISMATCH,
        "two of that comment"
    );
    agent.add("rsa", "old");
    assert_eq!(refusal("ssh-agent:old", None, &mut person), code::KEY_MALFORMED);

    agent.remove_keys();
    assert_eq!(signer.sign(MESSAGE).unwrap_err().code(), code::KEY_NOT_FOUND);
    agent.stop();
    assert_eq!(signer.sign(MESSAGE).unwrap_err().code(), code::SIGNER_UNAVAILABLE);
    assert_eq!(refusal("ssh-agent:alice", None, &mut person), code::SIGNER_UNAVAILABLE);
}

#[test]
fn a_person_who_says_no_is_told_apart() {
    let Some(agent) = SshAgent::start() else { return };
    let mut person = person(&agent);
    // Nobody can be asked here, which the agent takes for a no.
    agent.add_confirmed("ed25519", "careful");
    let place = super::place("ssh-agent:careful");
    let signer = countersign_keys::place::open(&place, None, &mut person).unwrap();
    assert_eq!(signer.sign(MESSAGE).unwrap_err().code(), code::SIGNER_REFUSED);
}
