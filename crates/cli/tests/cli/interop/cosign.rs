//! cosign signs with our log in place of Rekor, and verifies what our log answered.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use countersign_testkit::peers;
use serde_json::Value;

use super::{output, text_of, told};
use crate::lab::Lab;
use crate::log::{Live, command, wait_for_size};

/// cosign on one machine: a key, and a blob that it signs.
struct Signer {
    lab: Lab,
    cosign: PathBuf,
}

impl Signer {
    fn new(cosign: PathBuf) -> Self {
        let signer = Self { lab: Lab::new(), cosign };
        fs::create_dir(signer.lab.path("home")).unwrap();
        fs::write(signer.lab.path("blob"), "a released file\n").unwrap();
        told(&mut signer.cosign(&["generate-key-pair"]));
        signer
    }

    fn cosign(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.cosign);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.lab.path("home"));
        command.env("COSIGN_PASSWORD", "").current_dir(self.lab.path("")).args(args);
        command
    }

    /// What one of our commands prints, as a file of this name.
    fn write(&self, name: &str, args: &[&str]) {
        let output = command(&self.lab, args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        fs::write(self.lab.path(name), output.stdout).unwrap();
    }

    fn sign(&self) -> Command {
        self.cosign(&[
            "sign-blob",
            "--yes",
            "--key=cosign.key",
            "--signing-config=signing_config.json",
            "--trusted-root=trusted_root.json",
            "--bundle=bundle.json",
            "blob",
        ])
    }

    fn verify(&self, trusted_root: &str, bundle: &str, blob: &str) -> Command {
        let (root, bundle) = (format!("--trusted-root={trusted_root}"), format!("--bundle={bundle}"));
        self.cosign(&["verify-blob", "--key=cosign.pub", &root, &bundle, blob])
    }

    /// Writes the bundle after `change` under another name.
    fn changed(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let bytes = fs::read(self.lab.path("bundle.json")).unwrap();
        let mut bundle: Value = serde_json::from_slice(&bytes).unwrap();
        change(&mut bundle["verificationMaterial"]["tlogEntries"]);
        fs::write(self.lab.path(name), bundle.to_string()).unwrap();
    }
}

#[test]
fn cosign_signs_into_our_log_and_verifies_what_it_answered() {
    let Some(cosign) = peers::find("cosign") else { return };
    let signer = Signer::new(cosign);
    let lab = &signer.lab;
    // A witness has a say in each answer.
    let logs = lab.path("logs");
    fs::write(&logs, "").unwrap();
    let state = lab.path("witness");
    let serve = ["witness", "serve", state.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let named = ["--name", "w.example/1", "--unencrypted", "--logs", logs.to_str().unwrap()];
    let witness = Live::start(lab, &[&serve[..], &named].concat());
    let spec = format!("{} {}", witness.vkey, witness.url);
    let log = Live::log(lab, "log", &["--admit", "rekor", "--witness", &spec]);
    fs::write(lab.path("logs.new"), format!("{}\n", log.vkey)).unwrap();
    fs::rename(lab.path("logs.new"), &logs).unwrap();
    let other = Live::log(lab, "other", &["--admit", "rekor"]);
    signer.write("signing_config.json", &["log", "signing-config", &log.url, "--vkey", &log.vkey]);
    signer.write("trusted_root.json", &["log", "trusted-root", "--vkey", &log.vkey]);
    signer.write("other_root.json", &["log", "trusted-root", "--vkey", &other.vkey]);
    signer.write("both.json", &["log", "trusted-root", "--vkey", &log.vkey, "--vkey", &other.vkey]);

    told(&mut signer.sign());
    assert!(told(&mut signer.verify("trusted_root.json", "bundle.json", "blob")).contains("Verified OK"));
    told(&mut signer.verify("both.json", "bundle.json", "blob"));

    // Our log holds it, with the witness's word.
    let mut http = log.connect();
    wait_for_size(&mut http, 1);
    assert!(http.get("/checkpoint").text().contains("\u{2014} w.example/1 "));
    let saved = lab.path("entry");
    let proof = ["log", "proof", &log.url, "0", "--vkey", &log.vkey, "--save-entry", saved.to_str().unwrap()];
    lab.run(&proof).ok();
    let entry: Value = serde_json::from_slice(&fs::read(&saved).unwrap()).unwrap();
    let bundle: Value = serde_json::from_slice(&fs::read(lab.path("bundle.json")).unwrap()).unwrap();
    let record = &entry["spec"]["hashedRekordV002"];
    assert_eq!(record["signature"]["content"], bundle["messageSignature"]["signature"]);

    // Wrong in one way each.
    fs::write(lab.path("evil"), "another file\n").unwrap();
    signer.changed("no_entry.json", |entries| *entries = Value::Array(Vec::new()));
    signer.changed("index.json", |entries| entries[0]["logIndex"] = "1".into());
    signer.changed("signature.json", |entries| {
        let checkpoint = &mut entries[0]["inclusionProof"]["checkpoint"]["envelope"];
        let text = checkpoint.as_str().unwrap().replacen("\n1\n", "\n2\n", 1);
        *checkpoint = text.into();
    });
    for (root, bundle, blob) in [
        ("trusted_root.json", "bundle.json", "evil"),
        ("other_root.json", "bundle.json", "blob"),
        ("trusted_root.json", "no_entry.json", "blob"),
        ("trusted_root.json", "index.json", "blob"),
        ("trusted_root.json", "signature.json", "blob"),
    ] {
        let refused = output(&mut signer.verify(root, bundle, blob));
        assert!(!refused.status.success(), "{root} {bundle} {blob}: {}", text_of(&refused.stderr));
    }
    // A log that is gone: cosign does not sign without.
    drop(log);
    fs::remove_file(lab.path("bundle.json")).unwrap();
    assert!(!output(&mut signer.sign()).status.success());
    assert!(!lab.path("bundle.json").exists());
}

#[test]
fn a_log_that_sigstore_would_mistake_is_not_named_to_it() {
    let lab = Lab::new();
    let dir = lab.path("log");
    let serve = ["log", "serve", dir.to_str().unwrap(), "--origin", "log.example/one", "--unencrypted"];
    let log = Live::start(&lab, &[&serve[..], &["--listen", "127.0.0.1:0", "--admit", "any"]].concat());
    let code = countersign_base::code::USAGE;
    lab.run(&["log", "trusted-root", "--vkey", &log.vkey]).refused(code);
    lab.run(&["log", "signing-config", &log.url, "--vkey", &log.vkey]).refused(code);
    let twin = Live::log(&lab, "twin", &["--admit", "any"]);
    assert_eq!(lab.run(&["log", "trusted-root", "--vkey", &twin.vkey]).status(), Some(0));
}
