//! Secrets in output (row D04): a passphrase, a PIN, a bearer token, a password in a URL and the bytes of keys are
//! planted where the program meets them. Each command that does is run to its end and into each of its failures, as text
//! and as JSON, asked for as much debug output as there is; then nothing that was printed, logged or written has any of
//! them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use countersign_crypto::{Algorithm, SecretKey};
use countersign_testkit::tokens::{Behaviour, RemoteSigner, SoftHsm};

use crate::lab::Lab;
use crate::publisher::every_file;

const PASSPHRASE: &str = "planted-passphrase-aiN4oowu";
const PIN: &str = "planted-pin-73910264";
const TOKEN: &str = "planted-token-Eik4aeth";
const PASSWORD: &str = "planted-password-ohGhoo6e";
const PLATFORM: [&str; 2] = ["--platform", "linux/amd64"];

/// A publisher with one signer whose key is sealed and one whose key is at a remote signer.
struct House {
    lab: Lab,
    signer: RemoteSigner,
    /// What the environment has, beside what every run has.
    more: RefCell<BTreeMap<&'static str, PathBuf>>,
}

impl House {
    fn new() -> Self {
        let key = |seed| SecretKey::from_seed(Algorithm::Ed25519, &[seed; 32]).unwrap();
        let signer = RemoteSigner::start(key(1), key(2));
        let house = Self { lab: Lab::new(), signer, more: RefCell::default() };
        house.signer.behave(Behaviour::Wants(TOKEN.to_owned()));
        for (name, secret) in [("passphrase", PASSPHRASE), ("pin", PIN), ("token", TOKEN)] {
            house.plant(name, secret.as_bytes());
        }
        fs::write(house.lab.path("node"), "#!/bin/sh\necho node\n").unwrap();
        house
    }

    fn plant(&self, name: &str, secret: &[u8]) {
        let file = self.lab.path(name);
        fs::write(&file, secret).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// What the program finds in its environment.
    fn prepare(&self, command: &mut Command) {
        command.current_dir(self.lab.path(""));
        for (name, file) in [("PASSPHRASE", "passphrase"), ("PIN", "pin"), ("SIGNER_TOKEN", "token")] {
            command.env(format!("COUNTERSIGN_{name}_FILE"), self.lab.path(file));
        }
        let proxy = format!("http://user:{PASSWORD}@127.0.0.1:9");
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env(name, &proxy);
        }
        // Names that somebody might think of, and all that makes programs talkative.
        let secrets = [("COUNTERSIGN_PASSPHRASE", PASSPHRASE), ("COUNTERSIGN_PIN", PIN)];
        let others = [("COUNTERSIGN_SIGNER_TOKEN", TOKEN), ("AWS_SECRET_ACCESS_KEY", PASSWORD)];
        let debug =
            [("RUST_BACKTRACE", "full"), ("RUST_LOG", "trace"), ("DEBUG", "1"), ("SSLKEYLOGFILE", "tls")];
        command.envs(secrets).envs(others).envs(debug);
        command.envs(self.more.borrow().iter());
    }

    /// Runs it as JSON and then as text; the exit status of the first. Neither shows a secret.
    #[track_caller]
    fn run(&self, args: &[&str]) -> i32 {
        let mut status = None;
        for json in [true, false] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
            command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.lab.path("user"));
            command.arg("--home").arg(self.lab.path("home")).args(json.then_some("--json")).args(args);
            self.prepare(&mut command);
            let output = command.stdin(Stdio::null()).output().unwrap();
            self.check(&format!("{args:?}"), &shown(&output));
            let code = output.status.code().unwrap_or_else(|| panic!("{args:?} {}", shown(&output)));
            assert!((0..=3).contains(&code), "{args:?} -> {code}: {}", shown(&output));
            status.get_or_insert(code);
        }
        status.unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) {
        assert_eq!(self.run(args), 0, "{args:?}");
    }

    #[track_caller]
    fn fails(&self, args: &[&str]) {
        assert_ne!(self.run(args), 0, "{args:?}");
    }

    /// No secret is in this text.
    #[track_caller]
    fn check(&self, what: &str, text: &str) {
        for secret in self.secrets() {
            assert!(!text.contains(&secret), "{what} shows {secret}:\n{text}");
        }
        assert!(!text.contains("panicked"), "{what}: {text}");
    }

    /// The planted texts, also as a header or file would have them, and the bytes of all keys that are not sealed.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for secret in [PASSPHRASE, PIN, TOKEN, PASSWORD, &format!("user:{PASSWORD}")] {
            secrets.push(secret.to_owned());
            secrets.push(hex(secret.as_bytes()));
            // The end depends on what follows.
            secrets.push(base64(secret.as_bytes())[..16].to_owned());
        }
        for folder in ["keys", "keys/usage", "back"] {
            for entry in fs::read_dir(self.lab.path(folder)).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|ending| ending == "key") {
                    let text = fs::read(&path).unwrap();
                    let text = String::from_utf8_lossy(&text).into_owned();
                    secrets.extend(text.split("\"seed\": \"").nth(1).map(|seed| seed[..16].to_owned()));
                }
            }
        }
        secrets
    }

    /// No file of this machine has a secret but those that are made to hold it.
    #[track_caller]
    fn check_files(&self) {
        let secrets = self.secrets();
        for path in every_file(&self.lab.path("")) {
            let name = path.to_str().unwrap();
            let text = String::from_utf8_lossy(&fs::read(self.lab.path(name)).unwrap()).into_owned();
            let holds = ["passphrase", "pin", "token"].contains(&name) || name.ends_with(".key");
            assert!(holds || !secrets.iter().any(|secret| text.contains(secret)), "{name} has a secret");
        }
    }

    /// A publisher, by the commands that use a token and, unless keys are made with `--unencrypted`, a passphrase.
    fn publisher(&self, protection: &[&str]) {
        let release = ["--keys", "keys", "--stage", "release", "--product", "node"];
        self.ok(&["init", "repo", "--keys", "keys", "--unencrypted"]);
        self.ok(&[&["key", "new", "alice"], &release[..], protection].concat());
        self.ok(&[&["key", "new", "kms", "--place", &self.signer.url()], &release[..]].concat());
        let signers = ["--signer", "keys/alice.pub", "--signer", "keys/kms.pub", "--threshold", "2"];
        self.ok(
            &[&["product", "add", "repo", "node", "--keys", "keys", "--unencrypted"], &signers[..]].concat()
        );
    }
}

fn shown(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |three: &[u8], place: usize| {
        let bits = three.iter().fold(0, |bits: usize, byte| bits << 8 | usize::from(*byte));
        char::from(LETTERS[bits >> (18 - 6 * place) & 63])
    };
    bytes.chunks_exact(3).flat_map(|three| (0..4).map(move |place| letter(three, place))).collect()
}

#[test]
fn secrets_that_are_used_are_said_and_written_nowhere() {
    let house = House::new();
    house.publisher(&[]);
    let release =
        |version| [&["release", "repo", "node", version, "node", "--keys", "keys"], &PLATFORM[..]].concat();
    house.ok(&release("1.0.0"));
    let propose = ["propose", "release", "repo", "node", "1.1.0", "node", "--by", "dave", "--out", "p"];
    house.ok(&[&propose[..], &PLATFORM].concat());
    house.ok(&["sign", "p", "--key", "keys/alice.key", "--key", "keys/kms.pub"]);
    house.ok(&["publish", "repo", "p", "--keys", "keys"]);
    house.ok(&["renew", "repo", "--keys", "keys"]);
    for look in [
        &["key", "list", "--keys", "keys"][..],
        &["key", "show", "alice", "--keys", "keys"],
        &["key", "audit", "repo", "--keys", "keys"],
        &["proposal", "show", "p"],
        &["log", "fsck", "repo"],
        &["status"],
    ] {
        house.ok(look);
    }
    house.check_files();
    // A share is a secret, and goes into its file alone.
    house.ok(&[
        "key",
        "escrow",
        "alice",
        "--keys",
        "keys",
        "--shares",
        "2",
        "--threshold",
        "2",
        "--out",
        "shares",
    ]);
    let shares = ["shares/alice.share-1-of-2.txt", "shares/alice.share-2-of-2.txt"];
    for share in shares {
        let text = fs::read_to_string(house.lab.path(share)).unwrap();
        house.plant(share, text.as_bytes());
    }
    let recover = [&["key", "recover"], &shares[..], &["--keys", "back", "--unencrypted"]].concat();
    house.ok(&recover);
    house.fails(&["key", "audit", "repo", "--keys", "back"]);
    house.check_files();
}

/// A release of 1.0.0, and signing a proposal of 1.1.0.
fn proposed(house: &House) {
    let propose = ["propose", "release", "repo", "node", "1.1.0", "node", "--by", "dave", "--out", "p"];
    house.ok(&[&propose[..], &PLATFORM].concat());
}

fn release() -> Vec<&'static str> {
    [&["release", "repo", "node", "1.0.0", "node", "--keys", "keys"], &PLATFORM[..]].concat()
}

#[test]
fn passphrases_that_fail_are_said_nowhere() {
    let house = House::new();
    house.publisher(&[]);
    proposed(&house);
    let fails = || {
        house.fails(&release());
        house.fails(&["sign", "p", "--key", "keys/alice.key"]);
        let escrow = ["key", "escrow", "alice", "--keys", "keys", "--shares", "2", "--threshold", "2"];
        house.fails(&[&escrow[..], &["--out", "no"]].concat());
    };
    // One that opens nothing, and what is none.
    let (long, endless) = (PASSPHRASE.repeat(60), PASSPHRASE.repeat(600));
    let binary = [PASSPHRASE.as_bytes(), &[0xff, 0xfe]].concat();
    let wrong = format!("not-{PASSPHRASE}\n{PASSPHRASE}\n");
    for content in [wrong.as_bytes(), b"\n", long.as_bytes(), endless.as_bytes(), &binary] {
        house.plant("passphrase", content);
        fails();
    }
    // The variable has what should be in the file, or names a folder, or nothing.
    for value in [PASSPHRASE, ".", "", "/dev/null"] {
        house.more.borrow_mut().insert("COUNTERSIGN_PASSPHRASE_FILE", PathBuf::from(value));
        fails();
        house.fails(&["key", "new", "new", "--keys", "keys", "--stage", "root"]);
        house.fails(&["init", "other", "--keys", "other-keys"]);
    }
    house.more.borrow_mut().clear();
    house.plant("passphrase", PASSPHRASE.as_bytes());
    house.check_files();
    // Nothing else was wrong.
    house.ok(&["sign", "p", "--key", "keys/alice.key"]);
}

#[test]
fn tokens_that_fail_are_said_nowhere() {
    let house = House::new();
    house.publisher(&["--unencrypted"]);
    proposed(&house);
    let address = house.signer.url();
    let fails = || {
        house.fails(&["sign", "p", "--key", "keys/kms.pub"]);
        house.fails(&["sign", "p", "--key", &address]);
        // Who only asks for the public half may be told it.
        house.run(&["key", "new", "more", "--keys", "keys", "--stage", "root", "--place", &address]);
        drop(fs::remove_file(house.lab.path("keys/more.pub")));
    };
    // A service that says what it was sent.
    let echo =
        |member: &str| format!("{{\"{member}\":\"Bearer {TOKEN} is not known; send another than {TOKEN}\"}}");
    let reason = echo("reason").into_bytes();
    let said = [200, 401, 403, 404, 413, 500].map(|status| Behaviour::Says(status, reason.clone()));
    let odd = [
        Behaviour::Says(200, echo("public").into_bytes()),
        Behaviour::Says(500, TOKEN.as_bytes().to_vec()),
        Behaviour::Refuses(format!("{TOKEN} may not sign")),
        Behaviour::Wants("another".to_owned()),
        Behaviour::Redirects(format!("http://127.0.0.1:9/?token={TOKEN}")),
        Behaviour::HangsUp,
    ];
    for behaviour in said.into_iter().chain(odd) {
        house.signer.behave(behaviour);
        fails();
    }
    house.fails(&release());
    house.signer.behave(Behaviour::Wants(TOKEN.to_owned()));
    // A file of tokens that cannot be used.
    for content in [
        format!("{TOKEN} {TOKEN}\n"),
        format!("{TOKEN}\n{TOKEN}\n"),
        format!("{address} {TOKEN}\n{address} {TOKEN}\n"),
        format!("https://user:{PASSWORD}@kms.example/ {TOKEN}\n"),
        format!("{TOKEN}\u{e9}\n"),
        String::new(),
        TOKEN.repeat(1000),
    ] {
        house.plant("token", content.as_bytes());
        fails();
    }
    for value in [TOKEN, ".", ""] {
        house.more.borrow_mut().insert("COUNTERSIGN_SIGNER_TOKEN_FILE", PathBuf::from(value));
        fails();
    }
    house.fails(&release());
    house.more.borrow_mut().clear();
    house.plant("token", TOKEN.as_bytes());
    fs::set_permissions(house.lab.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
    fails();
    house.plant("token", TOKEN.as_bytes());
    house.check_files();
    // Nothing else was wrong.
    house.ok(&release());
}

#[test]
fn a_pin_is_said_nowhere() {
    let house = House::new();
    let new = |name: &str, place: &str| -> Vec<String> {
        let new = ["key", "new", name, "--keys", "keys", "--stage", "root", "--place", place];
        new.map(str::to_owned).to_vec()
    };
    let fails = |args: Vec<String>| house.fails(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let pin = house.lab.path("pin").display().to_string();
    for place in [
        format!("pkcs11:token=a;object=b?pin-value={PIN}"),
        format!("pkcs11:token=a;object=b?module-path=/nowhere&pin-value={PIN}"),
        format!("pkcs11:token=a;object=b?pin-value={PIN}&pin-source=file:{pin}"),
        format!("pkcs11:token=a;object=b;pin-value={PIN}"),
        format!("pkcs11:token=a;object=b?PIN-VALUE={PIN}"),
        format!("pkcs11:token=a;object=b?pin%2dvalue={PIN}"),
        format!("pkcs11:token=a;object=b?module-path=/nowhere&pin-source=file:{pin}"),
        format!("pkcs11:token=a;object=b?module-path=/etc/hostname&pin-source=file:{pin}"),
    ] {
        fails(new("t", &place));
        house.fails(&["sign", "p", "--key", &place]);
    }
    let Some(hsm) = SoftHsm::new() else { return };
    let _token = hsm.token("alice");
    house.more.borrow_mut().extend(hsm.environment());
    house.more.borrow_mut().insert("COUNTERSIGN_PKCS11_MODULE", hsm.module().to_owned());
    let place = "pkcs11:token=alice;object=node";
    let generate = |place: &str| [new("t", place), vec!["--generate".to_owned()]].concat();
    fails(generate(place));
    fails(generate(&format!("{place}?pin-source=file:{pin}")));
    house.more.borrow_mut().insert("COUNTERSIGN_PIN_FILE", PathBuf::from(PIN));
    fails(generate(place));
    house.check_files();
}

#[test]
fn a_password_in_a_url_is_said_and_written_nowhere() {
    let house = House::new();
    let urls = [
        format!("https://user:{PASSWORD}@repo.example/"),
        format!("https://user:{PASSWORD}@repo.example/a@b/"),
        format!("https://{PASSWORD}@repo.example"),
        format!("http://user:{PASSWORD}@127.0.0.1:9/"),
        format!("http://user:{PASSWORD}@repo.example/"),
        format!("ftp://user:{PASSWORD}@repo.example/"),
        format!("user:{PASSWORD}@repo.example"),
        format!("https://repo.example/?token={PASSWORD}"),
        format!("https://repo.example/#{PASSWORD}"),
        format!("https://user:{PASSWORD}@repo.example/\u{e9}"),
    ];
    let anchor = "csn1v5ugm9fat69m3kptyqm49n4e7djsn3kcgzee5sz5n5zrg654p57ssqyyuq";
    let vkey = "w.example+9a75ae5e+Afxu2zdbJGNaFNyXPG2wAxvhxN0yVLpIe6IwdcUIDFV6";
    for url in &urls {
        house.fails(&["trust", "add", "acme", url, anchor]);
        house.fails(&["trust", "set-url", "acme", url]);
        // Where something else was expected.
        for args in [
            &["trust", "add", url, "acme", anchor][..],
            &["trust", "remove", url],
            &["trust", "agree", url, url],
            &["trust", "list", url],
            &["install", url],
            &["rollback", url],
            &["release", "repo", url, "1.0.0", "node", "--keys", "keys"],
            &["release", "repo", "node", url, "node", "--keys", "keys"],
            &["key", "new", url, "--keys", "keys", "--stage", url],
            &["key", "rotate", "--keys", "keys", &format!("--cadence={url}"), "t"],
            &["--color", url, "list"],
            &[url],
        ] {
            house.fails(args);
        }
        house.fails(&["key", "new", "t", "--keys", "keys", "--stage", "root", "--place", url]);
        house.fails(&["sign", "p", "--key", url]);
        house.fails(&[
            "init",
            "repo",
            "--keys",
            "keys",
            "--unencrypted",
            "--witness",
            &format!("{vkey} {url}"),
        ]);
    }
    // The password of a proxy that does not answer.
    house.fails(&["trust", "add", "acme", "https://repo.example/", anchor]);
    house.fails(&["sign", "p", "--key", "https://kms.example/key/"]);
    house.fails(&[
        "key",
        "new",
        "t",
        "--keys",
        "keys",
        "--stage",
        "root",
        "--place",
        "https://kms.example/key/",
    ]);
    house.check_files();
}

/// What a client sends with its requests is in no output of the servers.
#[test]
fn what_is_sent_to_a_server_is_said_nowhere() {
    let house = House::new();
    house.ok(&["init", "repo", "--keys", "keys", "--unencrypted"]);
    for serve in [
        &["serve", "repo", "--listen", "127.0.0.1:0"][..],
        &["witness", "serve", "w", "--listen", "127.0.0.1:0", "--name", "w.example/w", "--unencrypted"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.env_clear().env("HOME", house.lab.path("user")).args(serve);
        house.prepare(&mut command);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        while byte != *b"\n" && child.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 {
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        let address =
            line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}"));
        let basic = base64(format!("user:{PASSWORD}").as_bytes());
        let headers = format!(
            "Host: x\r\nAuthorization: Basic {basic}\r\nCookie: a={TOKEN}\r\nX-Token: {TOKEN}\r\nConnection: close\r\n"
        );
        for request in [
            format!("GET /metadata/timestamp.json?token={TOKEN} HTTP/1.1\r\n{headers}\r\n"),
            format!("GET /metadata/{PASSWORD} HTTP/1.1\r\n{headers}\r\n"),
            format!("POST /add-checkpoint HTTP/1.1\r\n{headers}Content-Length: 22\r\n\r\n{TOKEN}"),
            format!("GET http://user:{PASSWORD}@x/ HTTP/1.1\r\n{headers}\r\n"),
            format!("{TOKEN} {PASSWORD} {PIN}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n {TOKEN}\r\n: {TOKEN}\r\n\r\n"),
        ] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            // It may close before it has read all.
            let _ = stream.read_to_end(&mut answer);
            house.check(&request, &String::from_utf8_lossy(&answer));
        }
        child.kill().unwrap();
        house.check(serve[0], &shown(&child.wait_with_output().unwrap()));
    }
    house.check_files();
}
