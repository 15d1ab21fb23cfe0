//! Changes of single members of a policy: the rest stays, and the result is a policy by the rules of the text.

use countersign_base::Explain as _;
use countersign_tlog::policy::{Policy, PolicyWitness, WitnessNeeded};

use crate::support::{ORIGIN, ed25519, log_key, name, witness_key};

/// Two logs of one origin; `a`, `b` and `c` in a group that is in another one with `d`; `e` beside them.
fn nested(quorum: &str) -> Policy {
    let mut text = String::new();
    for word in ["log", "log-2"] {
        text.push_str(&format!("log {} https://{word}.example/\n", log_key(ORIGIN, &ed25519(word))));
    }
    for word in ["a", "b", "c", "d", "e"] {
        text.push_str(&format!(
            "witness {word} {}\n",
            witness_key(&format!("{word}.example"), &ed25519(word))
        ));
    }
    text.push_str(&format!("group inner 2 a b c\ngroup outer all inner d\nquorum {quorum}\n"));
    Policy::parse(text.as_bytes()).unwrap()
}

/// The lines of a policy without the keys in them.
fn shape(policy: &Policy) -> Vec<String> {
    let words = |line: &str| line.split(' ').filter(|word| !word.contains('+')).collect::<Vec<_>>().join(" ");
    policy.to_string().lines().map(words).collect()
}

#[test]
fn a_witness_that_can_be_spared_goes() {
    let policy = nested("outer");
    let next = policy.without_witness(1).unwrap();
    assert_eq!(Policy::parse(&next.encode()).unwrap(), next);
    assert_eq!(
        shape(&next)[2..],
        [
            "witness a",
            "witness c",
            "witness d",
            "witness e",
            "group inner all a c",
            "group outer all inner d",
            "quorum outer"
        ]
    );
    // Now all that are left are needed.
    assert_eq!(next.without_witness(0), Err(WitnessNeeded { threshold: 2, left: 1 }));
    assert_eq!(policy.without_witness(3), Err(WitnessNeeded { threshold: 2, left: 1 }));
    // One that nothing counts on.
    assert_eq!(policy.without_witness(4).unwrap().witnesses().len(), 4);
    assert_eq!(policy.without_witness(5).unwrap(), policy);
}

#[test]
fn a_witness_that_is_the_quorum_stays() {
    let policy = nested("e");
    assert_eq!(policy.without_witness(4), Err(WitnessNeeded { threshold: 1, left: 0 }));
    // One before it goes, and the quorum is the same witness still.
    assert_eq!(shape(&policy.without_witness(0).unwrap()).last().unwrap(), "quorum e");
}

#[test]
fn a_witness_is_replaced_wherever_it_counts() {
    let policy = nested("outer");
    let new = |word: &str, key: &str| PolicyWitness {
        name: name(word),
        key: witness_key("new.example", &ed25519(key)),
        url: None,
    };
    let next = policy.with_witness(0, new("new", "new")).unwrap();
    assert_eq!(Policy::parse(&next.encode()).unwrap(), next);
    assert_eq!(shape(&next)[7], "group inner 2 new b c");
    assert_eq!(next.witnesses()[0].key, witness_key("new.example", &ed25519("new")));
    assert_eq!(next.witnesses()[1..], policy.witnesses()[1..]);
    // By the rules of the text: no name and no key twice.
    for twice in [new("b", "new"), new("inner", "new"), new("new", "b")] {
        assert_eq!(policy.with_witness(0, twice).unwrap_err().code().name(), "log-policy-invalid");
    }
}

#[test]
fn a_log_has_another_key_and_the_last_one_stays() {
    let policy = nested("outer");
    let key = log_key(ORIGIN, &ed25519("log-3"));
    let next = policy.with_log_key(0, key.clone()).unwrap();
    assert_eq!((&next.logs()[0].key, &next.logs()[0].url), (&key, &policy.logs()[0].url));
    assert_eq!(next.logs()[1], policy.logs()[1]);
    let twice = policy.with_log_key(0, policy.logs()[1].key.clone());
    assert_eq!(twice.unwrap_err().code().name(), "log-policy-invalid");
    let one = policy.without_log(0).unwrap();
    assert_eq!(one.logs(), &policy.logs()[1..]);
    assert_eq!(one.without_log(0).unwrap_err().code().name(), "log-policy-invalid");
}
