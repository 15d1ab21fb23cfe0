//! Several repositories must agree (TAP 4): every threshold, every combination of answers, and the map file.

use std::collections::BTreeMap;

use countersign_base::name::RepoName;
use countersign_base::{Anchor, Explain as _, Sha256Digest, Sha512Digest, code};
use countersign_verify::{Agreed, AgreementError, Answer, Claim, RepositoryMap, Unmapped};

const PATH: &str = "node/1.0.0/linux-amd64/node";

fn claim(content: u8) -> Claim {
    Claim { path: PATH.parse().unwrap(), length: 5, sha256: Sha256Digest([content; 32]), sha512: None }
}

fn names(count: usize) -> Vec<RepoName> {
    ["alpha", "beta", "gamma", "delta"][..count].iter().map(|name| name.parse().unwrap()).collect()
}

fn lists(repository: u8, content: u8) -> Answer {
    Answer::Lists { anchor: Anchor(Sha256Digest([repository; 32])), claim: Box::new(claim(content)) }
}

fn map(count: usize, threshold: usize) -> RepositoryMap {
    let mut map = RepositoryMap::new();
    map.set(&"node".parse().unwrap(), names(count), threshold).unwrap();
    map
}

/// What one repository does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Agree,
    /// Agrees, and is the first repository under another name.
    AgreeAsFirst,
    ListAnother,
    ListNothing,
    BeUnreachable,
    BeRefused,
}

impl Does {
    const ALL: [Self; 6] = [
        Self::Agree,
        Self::AgreeAsFirst,
        Self::ListAnother,
        Self::ListNothing,
        Self::BeUnreachable,
        Self::BeRefused,
    ];

    fn answer(self, place: u8) -> Answer {
        match self {
            Self::Agree => lists(place, 1),
            Self::AgreeAsFirst => lists(0, 1),
            Self::ListAnother => lists(place, 2),
            Self::ListNothing => Answer::Nothing,
            Self::BeUnreachable => Answer::Unreachable("no route".to_owned()),
            Self::BeRefused => Answer::Refused("expired".to_owned()),
        }
    }
}

#[test]
fn exactly_the_threshold_of_distinct_repositories_decides() {
    for count in 1..=4_usize {
        for case in 0..Does::ALL.len().pow(u32::try_from(count).unwrap()) {
            let does: Vec<Does> = (0..count)
                .map(|place| {
                    Does::ALL[case / Does::ALL.len().pow(u32::try_from(place).unwrap()) % Does::ALL.len()]
                })
                .collect();
            let as_first = does.iter().enumerate().any(|(place, one)| match one {
                Does::Agree => place == 0,
                one => *one == Does::AgreeAsFirst,
            });
            let others = does.iter().skip(1).filter(|one| **one == Does::Agree).count();
            let agreeing = others + usize::from(as_first);
            let unreachable = does.iter().filter(|one| **one == Does::BeUnreachable).count();
            for threshold in 1..=count {
                let all = names(count);
                let result = map(count, threshold).decide(&claim(1), &mut |name| {
                    let place = all.iter().position(|one| one == name).unwrap();
                    does[place].answer(u8::try_from(place).unwrap())
                });
                let wanted = if agreeing >= threshold {
                    None
                } else if agreeing + unreachable >= threshold {
                    Some(code::TRUST_REPOS_UNHEARD)
                } else {
                    Some(code::TRUST_REPOS_DISAGREE)
                };
                let got = result.as_ref().err().map(AgreementError::code);
                assert_eq!(got, wanted, "{threshold} of {does:?}: {result:?}");
                if let Ok(Agreed::By(names)) = result {
                    assert_eq!(names.len(), threshold);
                }
            }
        }
    }
}

#[test]
fn same_content_is_length_and_every_digest_that_both_have() {
    let check = |other: Claim| {
        let answer = Answer::Lists { anchor: Anchor(Sha256Digest([7; 32])), claim: Box::new(other) };
        let listed = Claim { sha512: Some(Sha512Digest([3; 64])), ..claim(1) };
        map(1, 1).decide(&listed, &mut |_| answer.clone()).is_ok()
    };
    assert!(check(claim(1)));
    assert!(check(Claim { sha512: Some(Sha512Digest([3; 64])), ..claim(1) }));
    assert!(!check(Claim { sha512: Some(Sha512Digest([4; 64])), ..claim(1) }));
    assert!(!check(Claim { length: 6, ..claim(1) }));
    assert!(!check(Claim { path: "node/1.0.0/linux-amd64/other".parse().unwrap(), ..claim(1) }));
}

/// TAP 4, "Searching for files on multiple repositories", steps 1 to 4.
#[test]
fn mappings_are_asked_in_order_until_one_is_terminating() {
    let read = |terminating: bool| {
        let text = format!(
            r#"{{"repositories":{{"alpha":[],"beta":[]}},"mapping":[
            {{"paths":["node/*/linux-*/*"],"repositories":["alpha"],"threshold":1,"terminating":{terminating}}},
            {{"paths":["*"],"repositories":["beta"],"threshold":1,"terminating":true}}]}}"#
        );
        RepositoryMap::parse(text.as_bytes()).unwrap()
    };
    let only_beta = |name: &RepoName| if name.as_str() == "beta" { lists(1, 1) } else { Answer::Nothing };
    let beta: RepoName = "beta".parse().unwrap();
    assert_eq!(read(false).decide(&claim(1), &mut { only_beta }), Ok(Agreed::By(vec![beta.clone()])));
    let refused = read(true).decide(&claim(1), &mut { only_beta }).unwrap_err();
    assert_eq!(refused.code(), code::TRUST_REPOS_DISAGREE);
    let windows = Claim { path: "node/1.0.0/windows-amd64/node".parse().unwrap(), ..claim(1) };
    let listed = Answer::Lists { anchor: Anchor(Sha256Digest([1; 32])), claim: Box::new(windows.clone()) };
    assert_eq!(read(true).decide(&windows, &mut |_| listed.clone()), Ok(Agreed::By(vec![beta])));
}

#[test]
fn what_no_mapping_covers_is_refused_unless_the_map_says_otherwise() {
    let text = r#"{"repositories":{"alpha":[]},"mapping":[
        {"paths":["other/*/*/*"],"repositories":["alpha"],"threshold":1,"terminating":true}]}"#;
    let mut map = RepositoryMap::parse(text.as_bytes()).unwrap();
    let refused = map.decide(&claim(1), &mut |_| lists(1, 1)).unwrap_err();
    assert_eq!(refused, AgreementError::NotMapped { path: PATH.to_owned() });
    map.unmapped = Unmapped::Named;
    assert_eq!(map.decide(&claim(1), &mut |_| unreachable!()), Ok(Agreed::NotMapped));
}

#[test]
fn a_map_reads_back_as_it_was_written() {
    let mut map = map(3, 2);
    map.repositories =
        names(3).into_iter().map(|name| (name, vec!["https://one.example/".to_owned()])).collect();
    map.mappings[0].terminating = false;
    for unmapped in [Unmapped::Named, Unmapped::Refused] {
        map.unmapped = unmapped;
        assert_eq!(RepositoryMap::parse(&map.encode()).unwrap(), map);
    }
    assert!(map.unset(&"node".parse().unwrap()));
    assert!(!map.unset(&"node".parse().unwrap()));
    assert_eq!(map.mappings, []);
}

/// go-tuf's example of a map, as it is published.
#[test]
fn the_map_of_go_tuf_reads() {
    let Some(vectors) = countersign_testkit::vectors::dir("tuf/go-tuf/multirepo/targets") else { return };
    let map = RepositoryMap::parse(&std::fs::read(vectors.join("map.json")).unwrap()).unwrap();
    assert_eq!(map.unmapped, Unmapped::Refused);
    let thresholds: Vec<_> = map.mappings.iter().map(|one| (one.threshold, one.terminating)).collect();
    assert_eq!(thresholds, [(1, true), (2, false), (1, true)]);
    let covering: Vec<_> = map.covering(&PATH.parse().unwrap()).map(|one| &one.paths[0][..]).collect();
    assert_eq!(covering, ["*"], "a star alone is every file, one with more crosses no slash");
}

#[test]
fn a_map_that_is_not_understood_in_full_is_refused() {
    let good = r#"{"repositories":{"alpha":["https://a.example/"]},"mapping":[{"paths":["node/*/*/*"],
        "repositories":["alpha"],"threshold":1,"terminating":true}]}"#;
    assert!(RepositoryMap::parse(good.as_bytes()).is_ok());
    let wrong: BTreeMap<&str, (&str, &str)> = [
        ("a threshold of none", (r#""threshold":1"#, r#""threshold":0"#)),
        ("a threshold that cannot be met", (r#""threshold":1"#, r#""threshold":2"#)),
        ("no threshold", (r#""threshold":1,"#, "")),
        ("a negative threshold", (r#""threshold":1"#, r#""threshold":-1"#)),
        ("not said whether it is terminating", (r#","terminating":true"#, "")),
        ("a repository that is not listed", (r#"["alpha"]"#, r#"["beta"]"#)),
        ("a repository twice", (r#"["alpha"]"#, r#"["alpha","alpha"]"#)),
        ("no repository", (r#"["alpha"]"#, "[]")),
        ("no path", (r#"["node/*/*/*"]"#, "[]")),
        ("a path from the root", ("node/*", "/node/*")),
        ("a set that clients read differently", ("node/*", "[^n]ode/*")),
        ("a rule of tomorrow", (r#""threshold":1"#, r#""threshold":1,"witnessed":true"#)),
        ("a member of tomorrow", (r#"{"repositories""#, r#"{"expires":1,"repositories""#)),
        (
            "another way with the rest",
            (r#"{"repositories""#, r#"{"x-countersign":{"unmapped":"all"},"repositories""#),
        ),
        ("a name that is none here", ("alpha", "../alpha")),
        ("an address that is no text", (r#""https://a.example/""#, "1")),
        ("not JSON", ("}]}", "}]")),
    ]
    .into();
    for (what, (from, to)) in wrong {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{what}");
        let error = RepositoryMap::parse(bad.as_bytes()).expect_err(what);
        assert_eq!(error.code(), code::TRUST_MAP_INVALID, "{what}");
    }
    let long = good.replace("https", &"h".repeat(70_000));
    assert_eq!(RepositoryMap::parse(long.as_bytes()).unwrap_err().code(), code::TRUST_MAP_INVALID);
}
