//! Row L09: proof files and checkpoints that are not well-formed.

use countersign_base::{Code, code};
use countersign_testkit::sim::Sim;
use countersign_testkit::sim::log::{ProofFile, to_base64};

use super::{honest_update, installed, refuse_served};
use crate::lab::{Lab, second_release};

/// An honest machine, and the honest update that each case spoils in one place.
struct Scene {
    lab: Lab,
    first: Sim,
    next: Sim,
}

impl Scene {
    fn new() -> Self {
        let (lab, first) = installed();
        let mut next = second_release(&first);
        next.publish_next(&["node"]);
        Self { lab, first, next }
    }

    /// The update is refused when the product's proof is edited so.
    #[track_caller]
    fn refuse(&self, code: Code, edit: impl FnOnce(&mut ProofFile)) {
        let mut evil = self.next.clone();
        evil.serve_proof("node", edit);
        refuse_served(&self.lab, &evil, code);
    }

    /// The same with the file's bytes.
    #[track_caller]
    fn refuse_bytes(&self, code: Code, edit: impl FnOnce(String) -> String) {
        let mut evil = self.next.clone();
        let proof = String::from_utf8(evil.proof_of("node").encode()).unwrap();
        evil.serve("node", Some(edit(proof).into_bytes()));
        refuse_served(&self.lab, &evil, code);
    }

    /// The same with the text of a checkpoint that log and witness sign.
    #[track_caller]
    fn refuse_checkpoint(&self, code: Code, edit: impl FnOnce(&str) -> String) {
        let text = self.next.log.text(self.next.log.size());
        let note = self.next.sign_checkpoint(&edit(&text));
        self.refuse(code, |proof| proof.checkpoint = note);
    }

    /// After all of it the honest update passes.
    fn end(self) {
        honest_update(&self.lab, &self.first);
    }
}

#[test]
fn l09_hashes() {
    let scene = Scene::new();
    let malformed = code::LOG_PROOF_MALFORMED;
    scene.refuse(malformed, |proof| drop(proof.hashes.pop()));
    scene.refuse(malformed, |proof| proof.hashes.push(proof.hashes[0].clone()));
    scene.refuse(malformed, |proof| proof.hashes.clear());
    scene.refuse(malformed, |proof| proof.hashes[1] = to_base64(&[7; 31]));
    scene.refuse(malformed, |proof| proof.hashes[1] = to_base64(&[7; 33]));
    scene.refuse(malformed, |proof| proof.hashes[1] = proof.hashes[1].trim_end_matches('=').to_owned());
    scene.refuse(malformed, |proof| proof.hashes[1] = format!(" {}", proof.hashes[1]));
    scene.refuse(malformed, |proof| proof.hashes.insert(1, String::new()));
    // Base64 whose last character has bits that belong to no byte.
    scene.refuse(malformed, |proof| proof.hashes[1] = format!("{}B=", "A".repeat(42)));
    // A path longer than that of any tree.
    scene.refuse(code::LIMIT_EXCEEDED, |proof| proof.hashes = vec![proof.hashes[0].clone(); 1000]);
    scene.end();
}

#[test]
fn l09_index() {
    let scene = Scene::new();
    let size = scene.next.log.size();
    for index in [
        size.to_string(),
        (size + 1).to_string(),
        (1_u64 << 63).to_string(),
        u64::MAX.to_string(),
        "18446744073709551616".to_owned(),
        "06".to_owned(),
        "+6".to_owned(),
        "-6".to_owned(),
        " 6".to_owned(),
        "6 ".to_owned(),
        "0x6".to_owned(),
        "6.0".to_owned(),
        "\u{0666}".to_owned(),
        String::new(),
    ] {
        scene.refuse(code::LOG_PROOF_MALFORMED, |proof| proof.index = index);
    }
    scene.end();
}

#[test]
fn l09_lines() {
    let scene = Scene::new();
    let malformed = code::LOG_PROOF_MALFORMED;
    scene.refuse_bytes(malformed, |file| file.replace('\n', "\r\n"));
    scene.refuse_bytes(malformed, |file| file.replacen('\n', "\r\n", 1));
    scene.refuse_bytes(malformed, |file| file.trim_end().to_owned());
    scene.refuse_bytes(malformed, |file| format!("{file}\n"));
    scene.refuse_bytes(malformed, |file| format!("\n{file}"));
    scene.refuse_bytes(malformed, |file| format!("\u{feff}{file}"));
    scene.refuse_bytes(malformed, |file| file.replace("\n\n", "\n"));
    scene.refuse_bytes(malformed, |file| file.replacen("proof@v1", "proof@v2", 1));
    scene.refuse_bytes(malformed, |file| file.replacen("index ", "index  ", 1));
    scene.refuse_bytes(malformed, |file| file.replacen("index ", "Index ", 1));
    scene.refuse_bytes(malformed, |_| String::new());
    scene.refuse(malformed, |proof| proof.extra = Some(String::new()));
    scene.refuse(malformed, |proof| {
        let padded = proof.extra.take().unwrap() + "=";
        proof.extra = Some(padded);
    });
    // The entry that is left out cannot be guessed.
    scene.refuse(code::LOG_PROOF_MISSING, |proof| proof.extra = None);
    scene.end();
}

#[test]
fn l09_sizes() {
    let scene = Scene::new();
    // More than the longest extra line, and so much more that the file is not read to its end.
    scene.refuse(code::LIMIT_EXCEEDED, |proof| proof.set_entry(&[b'x'; 33 * 1024]));
    scene.refuse(code::LIMIT_EXCEEDED, |proof| proof.extra = Some("A".repeat(1 << 20)));
    let line = |sim: &Sim, number: u32| sim.named(&format!("w{number}.example"), "witness").line(4, &[7; 72]);
    for count in [101, 100_000] {
        let lines: String = (0..count).map(|number| line(&scene.next, number % 500)).collect();
        scene.refuse(code::LIMIT_EXCEEDED, |proof| proof.checkpoint += &lines);
    }
    scene.end();
}

#[test]
fn l09_checkpoints() {
    let scene = Scene::new();
    let malformed = code::LOG_PROOF_MALFORMED;
    let size = scene.next.log.size();
    let with_size =
        |text: &str, other: &str| text.replacen(&format!("\n{size}\n"), &format!("\n{other}\n"), 1);
    for other in ["18446744073709551616", "9223372036854775808", "08", "+8", "-8", "8 ", "", "eight"] {
        scene.refuse_checkpoint(malformed, |text| with_size(text, other));
    }
    scene.refuse_checkpoint(malformed, |text| format!("{text}\n"));
    scene.refuse_checkpoint(malformed, |text| format!("{text}\nextension\n"));
    scene.refuse_checkpoint(malformed, |text| text.lines().take(2).map(|line| format!("{line}\n")).collect());
    scene.refuse_checkpoint(malformed, |text| text.replacen('=', "", 1));
    scene.refuse_checkpoint(malformed, |text| text.replacen('\n', "\r\n", 1));
    scene.refuse(malformed, |proof| proof.checkpoint = proof.checkpoint.trim_end().to_owned());
    scene.refuse(malformed, |proof| proof.checkpoint = proof.checkpoint.replace('\u{2014}', "-"));
    scene.refuse(malformed, |proof| proof.checkpoint.push_str("\u{2014} name AAAA\n"));
    scene.end();
}

/// Sixteen signatures, and extension lines that nobody knows, are nothing to stumble over.
#[test]
fn l09_many_signatures_and_extension_lines_pass() {
    let (lab, first) = installed();
    let mut next = second_release(&first);
    next.publish_next(&["node"]);
    let text = next.log.text(next.log.size()) + "extension of tomorrow\nsize 4\n\u{2014} not a signature\n";
    let mut note = next.sign_checkpoint(&text);
    for number in 2..16 {
        next.add_key("stranger");
        note += &next.named(&format!("w{number}.example"), "stranger").cosignature_line(&text, next.now);
    }
    assert_eq!(note.matches('\n').count(), 3 + 3 + 1 + 16);
    next.serve_proof("node", |proof| proof.checkpoint = note);
    lab.serve(&next);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}
