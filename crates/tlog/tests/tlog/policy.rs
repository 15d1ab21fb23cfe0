//! Trust policies: grammar, quorum and what each refusal is called.

use std::collections::BTreeMap;

use countersign_base::{Explain, Timestamp};
use countersign_crypto::{Algorithm, PublicKey, SecretKey, sha256};
use countersign_tlog::merkle::{EMPTY_ROOT, Hash};
use countersign_tlog::note::{NoteSignature, SignatureType, VerifierKey};
use countersign_tlog::policy::*;
use countersign_tlog::{Checkpoint, SignedCheckpoint, checkpoint, cosignature};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{
    ORIGIN, code, cosign, ed25519, log_key, ml_dsa, name, now, policy, signed, strings, text, vectors,
    witness_key,
};

/// Rewrites the keys of a vector into what the specification asks for, and nothing else.
///
/// Sigsum's grammar has raw Ed25519 keys, some of them no point of the curve: each stands for a key made from it.
/// transparency-dev gives witnesses keys of type 0x01, which the specification calls inappropriate: they become
/// the same keys with type 0x04.
fn with_specified_keys(policy: &str) -> String {
    let mut lines = Vec::new();
    for line in policy.split('\n') {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let key = match fields[..] {
            ["log", key, ..] => Some((key, SignatureType::Ed25519, key)),
            ["witness", own, key, ..] => Some((key, SignatureType::Ed25519Cosignature, own)),
            _ => None,
        };
        lines.push(match key.and_then(|(text, kind, own)| Some((text, specified_key(text, kind, own)?))) {
            Some((text, key)) => line.replacen(text, &key, 1),
            None => line.to_owned(),
        });
    }
    lines.join("\n")
}

fn specified_key(text: &str, kind: SignatureType, own: &str) -> Option<String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let key = ed25519(text);
        return Some(VerifierKey::new(own, kind, key.public_key().clone()).unwrap().to_string());
    }
    let key: VerifierKey = text.parse().ok()?;
    let is_old = key.kind() == SignatureType::Ed25519 && kind == SignatureType::Ed25519Cosignature;
    is_old.then(|| VerifierKey::new(key.name(), kind, key.public_key().clone()).unwrap().to_string())
}

/// Fills the keys that the specification's example elides.
fn fill(template: &str) -> String {
    let mut text = String::new();
    for (index, part) in template.split("<vkey>").enumerate() {
        if index > 0 {
            let (word, is_log) = (format!("key-{index}"), text.ends_with("log "));
            let key = ed25519(&word);
            let key = if is_log { log_key(&word, &key) } else { witness_key(&word, &key) };
            text.push_str(&key.to_string());
        }
        text.push_str(part);
    }
    text
}

fn check_vector(case: &Value) {
    let (id, reason) = (text(case, "id"), case["reason"].as_str().unwrap_or_default());
    let source = text(case, "policy");
    let (input, expect) = match text(case, "expect") {
        "template" => (fill(source), true),
        // Where implementations are laxer than the specification, the specification decides.
        expect => (with_specified_keys(source), expect == "accept" && case["caution"].is_null()),
    };
    let parsed = Policy::parse(input.as_bytes());
    assert_eq!(parsed.is_ok(), expect, "{id}: {reason} {parsed:?}\n{input}");
    let Ok(policy) = parsed else { return };
    assert_eq!(Policy::parse(&policy.encode()), Ok(policy.clone()), "{id}");
    for (field, count) in [("logs", policy.logs().len()), ("witnesses", policy.witnesses().len())] {
        assert!(case[field].is_null() || case[field].as_u64() == Some(count as u64), "{id}: {field}");
    }
    for quorum in case["quorum_cases"].as_array().into_iter().flatten() {
        let by = strings(&quorum["cosigned_by"]);
        let cosigned = |index: usize| by.iter().any(|word| policy.witnesses()[index].name == name(word));
        assert_eq!(Some(policy.is_met(cosigned)), quorum["satisfied"].as_bool(), "{id}: {by:?}");
    }
}

#[test]
fn policy_vectors() {
    for (_, cases) in vectors("tlog/policy", "policies.json") {
        cases.as_array().unwrap().iter().for_each(check_vector);
    }
}

#[test]
fn witness_keys_of_a_log_type_are_refused() {
    for (_, cases) in vectors("tlog/policy", "policies.json") {
        for case in cases.as_array().unwrap().iter().filter(|case| text(case, "id") == "tidy") {
            let result = Policy::parse(text(case, "policy").as_bytes());
            assert_eq!(code(&result), "log-policy-invalid");
            assert!(result.unwrap_err().to_string().contains("not of a type for witnesses"));
        }
    }
}

#[test]
fn real_sigsum_policies() {
    let Some(dir) = countersign_testkit::vectors::dir("tlog/policy") else { return };
    for (file, path) in countersign_testkit::vectors::files(&dir, ".policy.txt") {
        let input = with_specified_keys(&std::fs::read_to_string(path).unwrap());
        let policy = Policy::parse(input.as_bytes()).unwrap_or_else(|error| panic!("{file}: {error}"));
        policy.require_witnesses().unwrap();
        assert!(policy.is_met(|_| true) && !policy.is_met(|index| index < 1), "{file}");
        assert_eq!(policy.to_string().as_bytes(), policy.encode());
        assert_eq!(Policy::parse(&policy.encode()), Ok(policy), "{file}");
    }
}

/// `log` line of [`ORIGIN`] and witnesses `a`, `b`, `c`.
fn header() -> String {
    let mut text = format!("log {}\n", log_key(ORIGIN, &ed25519("log")));
    for word in ["a", "b", "c"] {
        text.push_str(&format!(
            "witness {word} {}\n",
            witness_key(&format!("{word}.example"), &ed25519(word))
        ));
    }
    text
}

#[test]
fn every_rule_of_the_format_has_a_refusal() {
    // Attack L06.
    let header = header();
    let key = |word: &str| witness_key(&format!("{word}.example"), &ed25519(word)).to_string();
    let parse = |rest: &str| Policy::parse(format!("{header}{rest}").as_bytes());
    let many = |line: &str| (0..65).map(|n| format!("group g{n} 1 {line}{n}\n")).collect::<String>();
    assert_eq!(code(&parse("group g 2 a b c\nquorum g\n")), "ok");
    assert_eq!(code(&parse("\t group\tg  any  a b \n \t\n  # x\n#\nquorum c\n")), "ok");
    for (rest, problem) in [
        ("", "no quorum line"),
        ("group g 2 a b c\n", "no quorum line"),
        ("group g 0 a b c\nquorum g\n", "threshold"),
        ("group g 4 a b c\nquorum g\n", "threshold"),
        ("group g 02 a b c\nquorum g\n", "threshold"),
        ("group g -1 a b c\nquorum g\n", "threshold"),
        ("group g +1 a b c\nquorum g\n", "threshold"),
        ("group g 1.0 a b c\nquorum g\n", "threshold"),
        ("group g ALL a b c\nquorum g\n", "threshold"),
        ("group g 18446744073709551617 a b c\nquorum g\n", "threshold"),
        ("group g any\nquorum g\n", "has the form `group"),
        ("group g a b c\nquorum g\n", "threshold"),
        ("group g any a d\nquorum g\n", "`d` is not defined before"),
        ("group g any h\ngroup h any a\nquorum g\n", "`h` is not defined before"),
        ("group g any g a\nquorum g\n", "`g` is not defined before"),
        ("quorum g\ngroup g any a\n", "`g` is not defined before"),
        ("group g any a a\nquorum g\n", "`a` is a member of a group already"),
        ("group g any a b\ngroup h any b c\nquorum g\n", "`b` is a member of a group already"),
        ("group a any b c\nquorum a\n", "`a` is defined twice"),
        ("group none any b c\nquorum none\n", "`none` cannot be"),
        ("group g any a none\nquorum g\n", "`none` cannot be"),
        (&format!("witness none {}\nquorum a\n", key("d")), "`none` cannot be"),
        (&format!("witness d {}\nquorum d\n", key("a")), "has the public key of another witness"),
        (&format!("witness a {}\nquorum a\n", key("d")), "`a` is defined twice"),
        (&format!("witness d {} u v\nquorum d\n", key("d")), "has the form `witness"),
        ("witness d\nquorum a\n", "has the form `witness"),
        ("witness d key\nquorum a\n", "is not a verifier key"),
        ("log\nquorum a\n", "has the form `log"),
        (
            &format!("log {}\nquorum a\n", log_key("other", &ed25519("log"))),
            "has the public key of another log",
        ),
        (&format!("log {}\nquorum a\n", key("d")), "not of a type for logs"),
        (&format!("witness d {}\nquorum d\n", log_key("d", &ed25519("d"))), "not of a type for witnesses"),
        ("quorum a\nquorum a\n", "two quorum lines"),
        ("quorum none\nquorum a\n", "two quorum lines"),
        ("quorum a b\n", "has the form `quorum"),
        ("quorum\n", "has the form `quorum"),
        ("quorum d\n", "`d` is not defined before"),
        ("Quorum a\n", "none of log, witness"),
        ("quorums a\n", "none of log, witness"),
        ("quorum a # comment\n", "has the form `quorum"),
        ("quorum a", "does not end in a newline"),
        ("quorum a\r\n", "octet 0x0d"),
        ("quorum a\x0b\n", "octet 0x0b"),
        ("quorum a\0\n", "octet 0x00"),
        ("# \x7f\nquorum a\n", "octet 0x7f"),
        (&many("w"), "not defined before"),
        (&"#".repeat(MAX_POLICY_BYTES), "longer than"),
    ] {
        let result = parse(rest);
        assert_eq!(code(&result), "log-policy-invalid", "{rest:.80}");
        let message = result.unwrap_err().to_string();
        assert!(message.contains(problem), "{rest:.80}: {message}");
    }
    assert_eq!(code(&Policy::parse(b"")), "log-policy-invalid");
    // The message says where.
    let error = parse("group g 2 a d\n").unwrap_err().to_string();
    assert_eq!(error, "the transparency policy is not valid, line 5: the name `d` is not defined before");
}

#[test]
fn names_are_octets() {
    let kelvin = "\u{212a}"; // A Kelvin sign is not the letter K.
    let key = |word: &str| witness_key(word, &ed25519(word));
    let input = format!("witness K {}\nwitness {kelvin} {}\nquorum {kelvin}\n", key("x"), key("y"));
    let policy = Policy::parse(input.as_bytes()).unwrap();
    assert_eq!(policy.quorum(), Some(Member::Witness(1)));
    let mut input = format!("witness \0 {}\nquorum \0\n", key("x")).into_bytes();
    input.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = 0xff);
    let policy = Policy::parse(&input).unwrap();
    assert_eq!(policy.encode(), input);
    assert_eq!(policy.witnesses()[0].name.as_str(), None);
}

#[test]
fn the_recommended_size_fits_with_ml_dsa_44_keys() {
    let mut text = String::new();
    for number in 0..MAX_WITNESSES {
        let word = format!("w{number}");
        let key = VerifierKey::for_witness(&word, ml_dsa(&word).public_key()).unwrap();
        text.push_str(&format!("witness {word} {key}\ngroup g{number} any {word}\n"));
    }
    let full = format!("{text}quorum g0\n");
    assert_eq!(Policy::parse(full.as_bytes()).unwrap().groups().len(), MAX_GROUPS);
    let key = witness_key("more", &ed25519("more"));
    for more in [format!("witness more {key}\n"), "group more any g1\n".to_owned()] {
        assert_eq!(code(&Policy::parse(format!("{text}{more}quorum g0\n").as_bytes())), "log-policy-invalid");
    }
}

#[test]
fn keys_that_signature_lines_cannot_tell_apart_are_refused() {
    // One ML-DSA-44 key under one name as log and as witness has one id.
    let key = ml_dsa("k");
    let log = log_key("k", &key);
    let text = format!("log {log}\nwitness k {log}\nquorum k\n");
    assert!(Policy::parse(text.as_bytes()).unwrap_err().to_string().contains("same key id"));
    // As Ed25519 key it has two, which the specification allows.
    let key = ed25519("k");
    let text = format!("log {}\nwitness k {}\nquorum k\n", log_key("k", &key), witness_key("k", &key));
    assert_eq!(code(&Policy::parse(text.as_bytes())), "ok");
}

/// What the specification allows, nothing is accepted under.
#[test]
fn a_log_is_no_witness_of_itself() {
    for (key, other) in [(ed25519("k"), ed25519("x")), (ml_dsa("k"), ml_dsa("x"))] {
        let log = log_key(ORIGIN, &key);
        let text = |witness: &VerifierKey| format!("log {log}\nwitness w {witness}\nquorum w\n");
        let body = Checkpoint::new(ORIGIN, 7, root()).unwrap();
        let check = |witness: &SecretKey, name: &str| {
            let policy = Policy::parse(text(&witness_key(name, witness)).as_bytes()).unwrap();
            let lines = vec![
                checkpoint::sign(&body, &key, now()).unwrap(),
                cosignature::cosign(&body, name, witness, now()).unwrap(),
            ];
            check(&policy, &SignedCheckpoint::new(body.clone(), lines).unwrap())
        };
        assert_eq!(code(&check(&other, "w.example")), "ok");
        let error = check(&key, "w.example").unwrap_err();
        assert_eq!(error.code().name(), "log-policy-invalid");
        assert!(error.to_string().contains("witness `w` has the public key of a log"), "{error}");
        assert!(error.fix().unwrap().contains("a key of its own"));
        // Nor where a policy is put together.
        let made = |witness: &SecretKey| {
            let log = PolicyLog { key: log.clone(), url: None };
            let witness =
                PolicyWitness { name: name("w"), key: witness_key("w.example", witness), url: None };
            Policy::k_of_n(vec![log], vec![witness], 1)
        };
        assert_eq!(code(&made(&key)), "log-policy-invalid");
        assert_eq!(code(&made(&other)), "ok");
    }
}

fn root() -> Hash {
    sha256(b"root")
}

fn check(policy: &Policy, signed: &SignedCheckpoint) -> Result<VerifiedCheckpoint, PolicyError> {
    policy.check_checkpoint(&signed.encode(), now())
}

fn names(names: &[PolicyName]) -> Vec<String> {
    names.iter().map(PolicyName::to_string).collect()
}

#[test]
fn a_quorum_of_known_witnesses_is_needed() {
    // Attacks L01 and L05 (a), (b).
    let policy = policy(&["w1", "w2", "w3"], 2);
    let verified = check(&policy, &signed(7, root(), &["w3", "w1"])).unwrap();
    assert_eq!((verified.checkpoint().size(), verified.log()), (7, ORIGIN));
    let found: Vec<(String, Timestamp)> =
        verified.cosigners().iter().map(|who| (who.name.to_string(), who.time)).collect();
    assert_eq!(found, [("w1".to_owned(), now()), ("w3".to_owned(), now())]);
    assert_eq!(verified.cosigners()[0].key_name, "w1.example");
    for witnesses in [&[][..], &["w2"], &["w2", "stranger"], &["w2", "w4"]] {
        let error = check(&policy, &signed(7, root(), witnesses)).unwrap_err();
        assert_eq!(error.code().name(), "log-quorum-not-met", "{witnesses:?}");
        let PolicyError::Quorum { have, missing, .. } = &error else { panic!("{error:?}") };
        let expect = if witnesses.is_empty() { vec!["w1", "w2", "w3"] } else { vec!["w1", "w3"] };
        assert_eq!(names(missing), expect);
        assert_eq!(have.len(), 3 - missing.len());
    }
    // One witness twice, at two times.
    let body = signed(7, root(), &["w2"]);
    let again = cosign(body.checkpoint(), "w2", now().plus_seconds(9));
    let error = check(&policy, &body.with_signatures(&[again]).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "too few witnesses cosigned the checkpoint: 2 of w1, w2, w3 must, and `w1`, `w3` did not"
    );
}

#[test]
fn one_key_under_two_names_is_one_witness() {
    // Attack L05 (c): the policy itself is refused.
    let key = ed25519("w1");
    let witness = |own: &str| PolicyWitness {
        name: name(own),
        key: witness_key(&format!("{own}.example"), &key),
        url: None,
    };
    let log = PolicyLog { key: log_key(ORIGIN, &ed25519("log")), url: None };
    let result = Policy::k_of_n(vec![log], vec![witness("a"), witness("b")], 2);
    assert_eq!(code(&result), "log-policy-invalid");
}

#[test]
fn nested_groups_count_each_operator_once() {
    // Attack L05 (d), (e).
    let header = header();
    let text = format!(
        "{header}witness d {}\ngroup op any a b\ngroup all-of all op c\nquorum all-of\n",
        witness_key("d.example", &ed25519("d"))
    );
    let policy = Policy::parse(text.as_bytes()).unwrap();
    assert_eq!(code(&check(&policy, &signed(7, root(), &["a", "c"]))), "ok");
    for witnesses in [&["a", "b"][..], &["a", "b", "d"], &["c", "d"]] {
        let error = check(&policy, &signed(7, root(), witnesses)).unwrap_err();
        assert_eq!(error.code().name(), "log-quorum-not-met", "{witnesses:?}");
    }
    let error = check(&policy, &signed(7, root(), &["a", "b"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "too few witnesses cosigned the checkpoint: 2 of (1 of a, b), c must, and `c` did not"
    );
}

#[test]
fn a_policy_that_asks_for_nothing_accepts_nothing() {
    // Attack L06.
    let header = header();
    let none = Policy::parse(format!("{header}quorum none\n").as_bytes()).unwrap();
    assert_eq!(none.quorum(), None);
    assert_eq!(Policy::parse(&none.encode()), Ok(none.clone()));
    let no_log = Policy::parse(header.lines().skip(1).fold(String::new(), |t, l| t + l + "\n").as_bytes());
    assert_eq!(code(&no_log), "log-policy-invalid");
    let no_log = header.split_once('\n').unwrap().1.to_owned() + "quorum a\n";
    let no_log = Policy::parse(no_log.as_bytes()).unwrap();
    for policy in [none, no_log] {
        assert_eq!(code(&policy.require_witnesses()), "log-policy-invalid");
        assert_eq!(code(&check(&policy, &signed(7, root(), &["a", "b", "c"]))), "log-policy-invalid");
    }
}

#[test]
fn the_log_of_the_policy_must_have_signed() {
    // Attack L04 (a), (b), (c), (e).
    let policy = policy(&["w1"], 1);
    let sign = |origin: &str, word: &str| {
        let body = Checkpoint::new(origin, 7, root()).unwrap();
        let lines = vec![checkpoint::sign(&body, &ed25519(word), now()).unwrap(), cosign(&body, "w1", now())];
        SignedCheckpoint::new(body, lines).unwrap()
    };
    assert_eq!(code(&check(&policy, &sign(ORIGIN, "log"))), "ok");
    assert_eq!(code(&check(&policy, &sign("log.example/other", "log"))), "log-origin-mismatch");
    assert_eq!(code(&check(&policy, &sign(ORIGIN, "stranger"))), "log-key-unknown");
    // A stranger's signature under the known key's id, alone and beside the good one.
    let good = sign(ORIGIN, "log");
    let forged = NoteSignature::new(
        &log_key(ORIGIN, &ed25519("log")),
        sign(ORIGIN, "stranger").note().signatures()[0].bytes().to_vec(),
    );
    let alone = SignedCheckpoint::new(good.checkpoint().clone(), vec![forged.clone()]).unwrap();
    assert_eq!(code(&check(&policy, &alone)), "log-signature-invalid");
    let beside = good.with_signatures(&[forged]).unwrap();
    assert_eq!(code(&check(&policy, &beside)), "log-signature-invalid");
    // The log's own key makes no quorum.
    let body = good.checkpoint().clone();
    let own = cosignature::cosign(&body, "w1.example", &ed25519("log"), now()).unwrap();
    let lines = vec![good.note().signatures()[0].clone(), own];
    assert_eq!(code(&check(&policy, &SignedCheckpoint::new(body, lines).unwrap())), "log-quorum-not-met");
}

#[test]
fn a_key_counts_for_its_own_type_alone() {
    // Attack L04 (d): the witness signs as a log would, the log as a witness.
    let policy = policy(&["w1"], 1);
    let body = Checkpoint::new(ORIGIN, 7, root()).unwrap();
    let log = checkpoint::sign(&body, &ed25519("log"), now()).unwrap();
    let plain = countersign_tlog::note::sign_note(&body.encode(), "w1.example", &ed25519("w1")).unwrap();
    let signed = SignedCheckpoint::new(body.clone(), vec![log, plain]).unwrap();
    assert_eq!(code(&check(&policy, &signed)), "log-quorum-not-met");
    let log = cosignature::cosign(&body, ORIGIN, &ed25519("log"), now()).unwrap();
    let signed = SignedCheckpoint::new(body.clone(), vec![log, cosign(&body, "w1", now())]).unwrap();
    assert_eq!(code(&check(&policy, &signed)), "log-key-unknown");
}

#[test]
fn ml_dsa_44_logs_and_witnesses_count() {
    let log = PolicyLog { key: log_key(ORIGIN, &ml_dsa("log")), url: None };
    let witness = PolicyWitness { name: name("w"), key: witness_key("w.example", &ml_dsa("w")), url: None };
    let policy = Policy::k_of_n(vec![log], vec![witness], 1).unwrap();
    let body = Checkpoint::new(ORIGIN, 7, root()).unwrap();
    let signatures = |hash: &Hash, start: u64| {
        let subtree = cosignature::Subtree { origin: ORIGIN, start, end: 7, hash };
        vec![
            checkpoint::sign(&body, &ml_dsa("log"), now()).unwrap(),
            cosignature::cosign_subtree(&subtree, "w.example", &ml_dsa("w")).unwrap(),
        ]
    };
    let good = vec![
        checkpoint::sign(&body, &ml_dsa("log"), now()).unwrap(),
        cosignature::cosign(&body, "w.example", &ml_dsa("w"), now()).unwrap(),
    ];
    assert_eq!(code(&check(&policy, &SignedCheckpoint::new(body.clone(), good).unwrap())), "ok");
    // Attack L07 (b), (e): no time; a subtree that does not begin at leaf 0.
    for start in [0, 4] {
        let signed = SignedCheckpoint::new(body.clone(), signatures(&root(), start)).unwrap();
        assert_eq!(code(&check(&policy, &signed)), "log-cosignature-invalid", "start {start}");
    }
}

#[test]
fn a_cosignature_of_another_checkpoint_is_refused() {
    // Attack L07 (a).
    let policy = policy(&["w1", "w2"], 1);
    for other in [
        Checkpoint::new(ORIGIN, 8, root()),
        Checkpoint::new(ORIGIN, 7, EMPTY_ROOT),
        Checkpoint::new("log.example/other", 7, root()),
    ] {
        let pasted = cosign(&other.unwrap(), "w2", now());
        let good = signed(7, root(), &["w1"]);
        assert_eq!(code(&check(&policy, &good)), "ok");
        let error = check(&policy, &good.with_signatures(&[pasted]).unwrap()).unwrap_err();
        assert_eq!(error.code().name(), "log-cosignature-invalid");
        assert!(error.to_string().contains("`w2`"));
    }
}

#[test]
fn a_time_that_cannot_be_right_does_not_count() {
    // Attack L07 (c), (d).
    let policy = policy(&["w1", "w2"], 2);
    let at = |time: Timestamp| {
        let body = Checkpoint::new(ORIGIN, 7, root()).unwrap();
        let log = checkpoint::sign(&body, &ed25519("log"), now()).unwrap();
        let lines = vec![log, cosign(&body, "w1", now()), cosign(&body, "w2", time)];
        SignedCheckpoint::new(body, lines).unwrap().encode()
    };
    let check = |time: Timestamp, max_age| policy.check_fresh_checkpoint(&at(time), now(), max_age);
    let before = |seconds| Timestamp::from_unix(now().as_unix() - seconds).unwrap();
    assert_eq!(code(&check(now().plus_seconds(MAX_FUTURE_SECONDS), None)), "ok");
    let error = check(now().plus_seconds(MAX_FUTURE_SECONDS + 1), None).unwrap_err();
    assert_eq!(error.code().name(), "log-cosignature-time");
    assert!(error.to_string().contains("`w2`") && !error.to_string().contains("`w1`"), "{error}");
    assert_eq!(code(&check(before(1_000_000), None)), "ok");
    assert_eq!(code(&check(before(60), Some(60))), "ok");
    assert_eq!(code(&check(before(61), Some(60))), "log-cosignature-time");
    // Where another witness makes the quorum anyway, one bad clock harms nobody.
    let one = crate::support::policy(&["w1", "w2"], 1);
    let verified = one.check_checkpoint(&at(now().plus_days(400)), now()).unwrap();
    assert_eq!(verified.cosigners().len(), 1);
    // Where it would not help either, the quorum is what is wrong.
    let three = crate::support::policy(&["w1", "w2", "w3"], 3);
    assert_eq!(code(&three.check_checkpoint(&at(now().plus_days(400)), now())), "log-quorum-not-met");
}

#[test]
fn a_cosignature_without_a_time_is_not_one() {
    // Attack L07 (b), (f), signed by the witness itself.
    let policy = policy(&["w1"], 1);
    let key = ed25519("w1");
    let vkey = witness_key("w1.example", &key);
    for time in [0, i64::MAX as u64, 1 << 63] {
        let base = signed(7, root(), &[]);
        let message = format!("cosignature/v1\ntime {time}\n{}", base.note().text());
        let bytes = [&time.to_be_bytes()[..], &key.sign(message.as_bytes()).unwrap()].concat();
        let result = check(&policy, &base.with_signatures(&[NoteSignature::new(&vkey, bytes)]).unwrap());
        // 2^63 - 1 can be a time; it is one in the future.
        let expect = if time == i64::MAX as u64 { "log-cosignature-time" } else { "log-cosignature-invalid" };
        assert_eq!(code(&result), expect, "{time}");
    }
}

#[test]
fn the_proven_time_is_the_one_a_quorum_stands_for() {
    let policy = policy(&["w1", "w2", "w3"], 2);
    let body = Checkpoint::new(ORIGIN, 7, root()).unwrap();
    let times = [("w1", 100), ("w2", 50), ("w3", 200)];
    let mut lines = vec![checkpoint::sign(&body, &ed25519("log"), now()).unwrap()];
    lines.extend(times.map(|(word, seconds)| cosign(&body, word, now().plus_seconds(seconds))));
    let verified = check(&policy, &SignedCheckpoint::new(body, lines).unwrap()).unwrap();
    assert_eq!(verified.proven_time(), now().plus_seconds(100));
}

#[test]
fn a_note_that_is_malformed_or_too_long_is_told_apart() {
    let policy = policy(&["w1"], 1);
    let good = signed(7, root(), &["w1"]).encode();
    let check = |bytes: &[u8]| code(&policy.check_checkpoint(bytes, now()));
    assert_eq!(check(&good), "ok");
    assert_eq!(check(&good[..good.len() - 1]), "log-proof-malformed");
    assert_eq!(check(&good.repeat(2_000)), "limit-exceeded");
    let text = String::from_utf8(good).unwrap();
    for (from, to) in [("\n7\n", "\n07\n"), ("\n7\n", "\n18446744073709551616\n"), ("\n\n", "\n\nx\n\n")] {
        assert_eq!(check(text.replacen(from, to, 1).as_bytes()), "log-proof-malformed");
    }
    // Attack L10 (c): the empty tree has one root.
    let wrong =
        Checkpoint::parse(&text.split("\n\n").next().map(|t| t.replace("\n7\n", "\n0\n") + "\n").unwrap());
    let wrong = wrong.unwrap();
    let lines = vec![checkpoint::sign(&wrong, &ed25519("log"), now()).unwrap(), cosign(&wrong, "w1", now())];
    let wrong = SignedCheckpoint::new(wrong, lines).unwrap();
    assert_eq!(check(&wrong.encode()), "log-proof-malformed");
}

#[test]
fn unknown_signatures_and_extension_lines_carry_no_meaning() {
    // Attack L09, the cases that must pass: sixteen signatures, unknown extension lines.
    let policy = policy(&["w1"], 1);
    let body =
        Checkpoint::parse(&format!("{ORIGIN}\n7\n{}\nextension 1\nextension 2\n", base64(&root()))).unwrap();
    let mut lines = vec![checkpoint::sign(&body, &ed25519("log"), now()).unwrap()];
    lines.extend((0..14).map(|number| cosign(&body, &format!("stranger-{number}"), now())));
    lines.push(cosign(&body, "w1", now()));
    assert_eq!(lines.len(), 16);
    let verified = check(&policy, &SignedCheckpoint::new(body, lines).unwrap()).unwrap();
    assert_eq!(verified.cosigners().len(), 1);
}

fn base64(hash: &Hash) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(hash.as_bytes())
}

#[test]
fn keys_are_compared_by_their_bytes() {
    let raw = ed25519("w1").public_key().as_raw().to_vec();
    let again = PublicKey::from_raw(Algorithm::Ed25519, &raw).unwrap();
    let mut keys: BTreeMap<PublicKey, &str> = BTreeMap::new();
    keys.insert(ed25519("w1").public_key().clone(), "one");
    assert_eq!(keys.insert(again, "two"), Some("one"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_policy_text_is_answered(text in "((log|witness|group|quorum|#)?[ \t]?[a-d0-2]{0,2}( none| all| any)?\n){0,12}") {
        if let Ok(policy) = Policy::parse(text.as_bytes()) {
            prop_assert_eq!(Policy::parse(&policy.encode()), Ok(policy));
        }
    }

    #[test]
    fn a_threshold_counts_distinct_witnesses(threshold in 1usize..6, cosigned in prop::collection::vec(0usize..5, 0..8)) {
        let words = ["w0", "w1", "w2", "w3", "w4"];
        let policy = policy(&words, threshold.min(5));
        let witnesses: Vec<&str> = cosigned.iter().map(|index| words[*index]).collect();
        let mut distinct = cosigned;
        distinct.sort_unstable();
        distinct.dedup();
        let result = check(&policy, &signed(7, root(), &witnesses));
        prop_assert_eq!(result.is_ok(), distinct.len() >= threshold.min(5));
    }
}
