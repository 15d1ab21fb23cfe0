//! Row D30: shares of a key that were changed, mixed up, or are too few.

use std::fs;
use std::path::PathBuf;

use countersign_base::{Code, code};

use crate::lab::{Lab, Run};
use crate::publisher::everything;

/// A machine with the keys `root-1` and `root-2`, and sets of shares: two of the first, an older one and the newest,
/// and one of the second. Each takes 3 of 5.
struct Vault {
    lab: Lab,
    /// The beginning of each secret, to be said nowhere.
    secrets: Vec<String>,
}

impl Vault {
    fn new() -> Self {
        let mut vault = Self { lab: Lab::new(), secrets: Vec::new() };
        let keys = vault.text("keys");
        for name in ["root-1", "root-2"] {
            vault.lab.run(&["key", "new", name, "--keys", &keys, "--stage", "root", "--unencrypted"]).ok();
        }
        for (name, set) in [("root-1", "older"), ("root-1", "shares"), ("root-2", "others")] {
            let out = vault.text(set);
            let split = ["--shares", "5", "--threshold", "3", "--out", &out];
            vault.lab.run(&[&["key", "escrow", name, "--keys", &keys], &split[..]].concat()).ok();
        }
        vault.secrets = ["root-1", "root-2"].map(|name| vault.seed(name)).to_vec();
        for (set, number) in
            ["older", "shares", "others"].into_iter().flat_map(|set| (1..=5).map(move |n| (set, n)))
        {
            let share = fs::read_to_string(vault.share(set, number)).unwrap();
            vault.secrets.push(share.split("secret ").last().unwrap()[5..15].to_owned());
        }
        vault
    }

    fn seed(&self, name: &str) -> String {
        let key = fs::read_to_string(self.lab.path("keys").join(format!("{name}.key"))).unwrap();
        key.split("\"seed\": \"").nth(1).unwrap()[..8].to_owned()
    }

    fn text(&self, name: &str) -> String {
        self.lab.path(name).to_str().unwrap().to_owned()
    }

    fn share(&self, set: &str, number: u8) -> PathBuf {
        let key = if set == "others" { "root-2" } else { "root-1" };
        self.lab.path(set).join(format!("{key}.share-{number}-of-5.txt"))
    }

    fn recover(&self, shares: &[(&str, u8)]) -> Run {
        let shares: Vec<String> = shares
            .iter()
            .map(|(set, number)| self.share(set, *number).to_str().unwrap().to_owned())
            .collect();
        let into = self.text("recovered");
        let mut args = vec!["key", "recover"];
        args.extend(shares.iter().map(String::as_str));
        args.extend(["--keys", &into, "--unencrypted"]);
        self.lab.run(&args)
    }

    /// Refused, naming `named`, with no byte of a key said and nothing written.
    #[track_caller]
    fn refused(&self, shares: &[(&str, u8)], code: Code, named: &str) {
        let run = self.recover(shares).refused(code);
        assert!(run.text().contains(named), "{named}: {}", run.text());
        self.says_no_secret(&run);
        assert!(!self.lab.path("recovered").exists(), "nothing is left");
    }

    /// The honest operation: any three of one set.
    #[track_caller]
    fn works(&self, shares: &[(&str, u8)]) {
        let run = self.recover(shares).ok();
        self.says_no_secret(&run);
        let file = |folder: &str, name: &str| fs::read(self.lab.path(folder).join(name)).unwrap();
        for name in ["root-1.key", "root-1.pub"] {
            assert!(file("recovered", name) == file("keys", name), "{name}");
        }
        fs::remove_dir_all(self.lab.path("recovered")).unwrap();
    }

    /// Neither the keys' bytes nor those of a share.
    #[track_caller]
    fn says_no_secret(&self, run: &Run) {
        let text = run.text();
        assert!(!self.secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}

const ANY: [(&str, u8); 3] = [("shares", 4), ("shares", 1), ("shares", 5)];

#[test]
fn d30_a_key_comes_back_from_enough_good_shares_only() {
    let vault = Vault::new();
    vault.works(&ANY);

    // Altered: in its secret, in what it says of the key, in its set.
    let good = fs::read_to_string(vault.share("shares", 2)).unwrap();
    let secret = good.rfind("secret ").unwrap() + 20;
    let other = if &good[secret..=secret] == "q" { "p" } else { "q" };
    let altered = [
        format!("{}{other}{}", &good[..secret], &good[secret + 1..]),
        good.replace("needed 3", "needed 2"),
        good.replacen("root-1", "root-9", 1),
        good.replace("\"stage\":\"root\"", "\"stage\":\"log\""),
        good[..good.len() / 2].to_owned(),
        String::new(),
    ];
    for text in altered {
        assert_ne!(text, good);
        fs::write(vault.share("shares", 2), text).unwrap();
        vault.refused(
            &[ANY[0], ("shares", 2), ANY[1], ANY[2]],
            code::KEY_SHARE_INVALID,
            "root-1.share-2-of-5.txt",
        );
    }
    // The line of the secret taken from a neighbour's share, with its own good checksum.
    let neighbour = fs::read_to_string(vault.share("shares", 3)).unwrap();
    let line = |text: &str| text[text.rfind("secret ").unwrap()..].to_owned();
    fs::write(vault.share("shares", 2), good.replace(&line(&good), &line(&neighbour))).unwrap();
    vault.refused(&[ANY[0], ("shares", 2), ANY[1]], code::KEY_SHARE_INVALID, "root-1.share-2-of-5.txt");
    fs::write(vault.share("shares", 2), &good).unwrap();
    vault.works(&[("shares", 2), ANY[0], ANY[1]]);

    // Of another set: another key's, and an older one of the same key.
    vault.refused(&[ANY[0], ("others", 2), ANY[1]], code::KEY_SHARE_INVALID, "root-2.share-2-of-5.txt");
    vault.refused(&[ANY[0], ANY[1], ("older", 3)], code::KEY_SHARE_INVALID, "older/root-1.share-3-of-5.txt");
    // Given twice.
    vault.refused(&[ANY[0], ANY[1], ANY[0]], code::KEY_SHARE_INVALID, "root-1.share-4-of-5.txt");
    // Too few.
    vault.refused(&ANY[..2], code::KEY_SHARE_THRESHOLD, "2 of the 3 shares");
    vault.refused(&ANY[..1], code::KEY_SHARE_THRESHOLD, "1 of the 3 shares");

    vault.works(&ANY);
    vault.works(&[("shares", 1), ("shares", 2), ("shares", 3), ("shares", 4), ("shares", 5)]);
    // All of them older than the newest splitting: where that is known, they are old papers.
    let seed = vault.lab.path("keys/root-1.key");
    let aside = vault.lab.path("aside");
    fs::rename(&seed, &aside).unwrap();
    let older: Vec<String> =
        (1..=3).map(|number| vault.share("older", number).to_str().unwrap().to_owned()).collect();
    let keys = vault.text("keys");
    let older: Vec<&str> = older.iter().map(String::as_str).collect();
    let args = [&["key", "recover"], &older[..], &["--keys", &keys, "--unencrypted"]].concat();
    let run = vault.lab.run(&args).refused(code::KEY_SHARE_INVALID);
    assert!(run.text().contains("split anew"), "{}", run.text());
    assert!(!seed.exists());
    fs::rename(&aside, &seed).unwrap();

    // A recovery overwrites no key.
    let before = everything(&vault.lab.path("keys"));
    let shares: Vec<String> =
        ANY.iter().map(|(set, number)| vault.share(set, *number).to_str().unwrap().to_owned()).collect();
    let shares: Vec<&str> = shares.iter().map(String::as_str).collect();
    let args = [&["key", "recover"], &shares[..], &["--keys", &keys, "--unencrypted"]].concat();
    vault.lab.run(&args).refused(code::KEY_EXISTS);
    assert!(everything(&vault.lab.path("keys")) == before);
}
