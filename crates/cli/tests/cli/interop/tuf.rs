//! Plain TUF clients on transparent repositories: python-tuf, go-tuf and tuf-js see an ordinary repository.

use std::fs;
use std::path::Path;

use countersign_base::json::Json;
use countersign_testkit::hostile::{Machine, TufClient, WebServer};
use countersign_testkit::peers;
use countersign_testkit::sim::{Sim, member, object};

use crate::lab::{Lab, first_release, now, program};
use crate::publisher::{Publisher, files, text};
use crate::server::serve;

/// A client on a machine of its own.
struct User {
    client: TufClient,
    machine: Machine,
}

impl User {
    /// One for each client that is installed. They start from root 1 as `root` has it.
    fn all(lab: &Lab, url: &str, root: &[u8]) -> Vec<Self> {
        let mut users = Vec::new();
        for name in ["tuf-python", "tuf-go", "tuf-js"] {
            let Some(program) = peers::find(name) else { continue };
            let machine = Machine { folder: lab.path(name), url: url.to_owned(), clock_days: 0 };
            let mut client = TufClient::process(name, program, None);
            let answered = client.init(&machine, root);
            assert_eq!(answered.status, 0, "{name}: {}", answered.text);
            users.push(Self { client, machine });
        }
        users
    }

    /// Downloads a target, whose bytes must be these and are then taken away.
    #[track_caller]
    fn gets(&mut self, target: &str, bytes: &[u8]) {
        let answered = self.client.download(&self.machine, target);
        assert_eq!(answered.status, 0, "{} {target}: {}", self.client.name, answered.text);
        assert_eq!(self.machine.downloads(), [bytes], "{} {target}", self.client.name);
        fs::remove_dir_all(self.machine.targets()).unwrap();
    }

    /// Refuses a target, in its own words, and keeps nothing of it.
    #[track_caller]
    fn refuses(&mut self, target: &str) {
        let answered = self.client.download(&self.machine, target);
        assert_eq!(answered.status, 1, "{} {target}: {}", self.client.name, answered.text);
        assert!(self.machine.downloads().is_empty(), "{} {target}", self.client.name);
    }
}

/// Changes one byte of the only file in `folder` whose name ends so.
fn damage(folder: &Path, end: &str) {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let file = names.into_iter().find(|path| path.to_string_lossy().ends_with(end)).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[1] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Specification 6.2.1: a file lies under each hash that is listed for it; go-tuf asks by any of them.
#[test]
fn every_listed_hash_names_a_file() {
    let publisher = Publisher::with(&["1.0.0", "1.1.0"]);
    let role = newest(&publisher.repo().join("metadata"), ".node.json");
    let role: serde_json::Value = serde_json::from_slice(&fs::read(role).unwrap()).unwrap();
    let targets = role["signed"]["targets"].as_object().unwrap();
    assert!(!targets.is_empty());
    for (path, entry) in targets {
        let (folder, name) = path.rsplit_once('/').unwrap();
        for hash in entry["hashes"].as_object().unwrap().values() {
            let file = format!("targets/{folder}/{}.{name}", hash.as_str().unwrap());
            assert!(publisher.repo().join(&file).is_file(), "{file}");
        }
    }
}

/// The file of the highest version whose name ends so.
fn newest(folder: &Path, end: &str) -> std::path::PathBuf {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let versions = names.filter_map(|name| name.strip_suffix(end)?.parse::<u32>().ok());
    folder.join(format!("{}{end}", versions.max().unwrap()))
}

#[test]
fn tuf_clients_follow_our_publisher() {
    let publisher = Publisher::with(&["1.0.0", "1.1.0"]);
    let server = serve(&publisher.repo());
    let lab = Lab::new();
    let root = fs::read(publisher.repo().join("metadata/1.root.json")).unwrap();
    let mut users = User::all(&lab, server.url(), &root);
    for user in &mut users {
        user.gets("node/1.1.0/linux-amd64/data.bin", &files("1.1.0")["data.bin"].0);
        // Its refusal is its own: the same client, a target that nobody released.
        user.refuses("node/1.2.0/linux-amd64/node");
    }
    publisher.release("1.2.0").ok();
    for user in &mut users {
        user.gets("node/1.2.0/linux-amd64/node", &files("1.2.0")["node"].0);
    }
    // A twin: one byte of the file is another.
    damage(&publisher.repo().join("targets/node/1.2.0/linux-amd64"), ".node");
    for user in &mut users {
        user.refuses("node/1.2.0/linux-amd64/node");
        user.gets("node/1.1.0/linux-amd64/node", &files("1.1.0")["node"].0);
    }
}

/// A root with three other people and another timestamp key, by the commands that make one.
fn replace_root(publisher: &Publisher) {
    let lab = publisher.lab();
    let path = |name: &str| text(&lab.path(name));
    let (repo, keys) = (path("repo"), path("keys"));
    for (name, stage) in
        [("root-4", "root"), ("root-5", "root"), ("root-6", "root"), ("timestamp-2", "timestamp")]
    {
        let new = ["key", "new", name, "--keys", &keys, "--stage", stage, "--holder", name, "--unencrypted"];
        lab.run(&new).ok();
    }
    let public = ["root-4", "root-5", "root-6"].map(|name| path(&format!("keys/{name}.pub")));
    let timestamp = path("keys/timestamp-2.pub");
    let mut propose = vec!["propose", "root", &repo, "--threshold", "2", "--timestamp-key", &timestamp];
    let out = path("proposal");
    propose.extend(["--out", &out, "--by", "dave", "--signer"]);
    propose.extend(public.iter().map(String::as_str));
    lab.run(&propose).ok();
    for name in ["root-1", "root-2", "root-4", "root-6"] {
        lab.run(&["sign", &out, "--key", &path(&format!("keys/{name}.key"))]).ok();
    }
    lab.run(&["publish", &repo, &out, "--keys", &keys]).ok();
}

#[test]
fn tuf_clients_follow_a_proposed_root() {
    let publisher = Publisher::with(&["1.0.0"]);
    let server = serve(&publisher.repo());
    let (lab, late) = (Lab::new(), Lab::new());
    let root = fs::read(publisher.repo().join("metadata/1.root.json")).unwrap();
    let mut users = User::all(&lab, server.url(), &root);
    for user in &mut users {
        user.gets("node/1.0.0/linux-amd64/node", &files("1.0.0")["node"].0);
    }
    replace_root(&publisher);
    publisher.release("1.1.0").ok();
    for user in &mut users {
        user.gets("node/1.1.0/linux-amd64/node", &files("1.1.0")["node"].0);
        assert_eq!(user.machine.trusted("root"), Some(2), "{}", user.client.name);
    }
    // A twin: whoever still has root 1 refuses root 2 where the old keys have not signed it.
    let second = publisher.repo().join("metadata/2.root.json");
    let honest = fs::read(&second).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&honest).unwrap();
    let old: serde_json::Value = serde_json::from_slice(&root).unwrap();
    let before = old["signed"]["roles"]["root"]["keyids"].as_array().unwrap();
    let signatures = json["signatures"].as_array_mut().unwrap();
    signatures.retain(|signature| !before.contains(&signature["keyid"]));
    assert_eq!(signatures.len(), 2);
    fs::write(&second, serde_json::to_vec(&json).unwrap()).unwrap();
    let mut users = User::all(&late, server.url(), &root);
    for user in &mut users {
        user.refuses("node/1.1.0/linux-amd64/node");
    }
    fs::write(&second, honest).unwrap();
    for user in &mut users {
        user.gets("node/1.1.0/linux-amd64/node", &files("1.1.0")["node"].0);
    }
}

/// A simulated repository on loopback, with the clients before it.
struct Simulated {
    sim: Sim,
    server: WebServer,
    users: Vec<User>,
    _lab: Lab,
}

impl Simulated {
    fn new(sim: Sim) -> Self {
        let (lab, server) = (Lab::new(), WebServer::start());
        let users = User::all(&lab, &server.url(), &sim.files["metadata/1.root.json"]);
        Self { sim, server, users, _lab: lab }
    }

    fn serve(&self) {
        self.server.serve(&self.sim.files, &std::collections::BTreeMap::new());
    }

    /// Publishes a release, which every client gets.
    #[track_caller]
    fn release(&mut self, version: &str) {
        self.sim.add_release(version, "node", &program(version));
        self.sim.publish_next(&["node"]);
        self.everyone_gets(version);
    }

    #[track_caller]
    fn everyone_gets(&mut self, version: &str) {
        self.serve();
        for user in &mut self.users {
            user.gets(&format!("node/{version}/linux-amd64/node"), &program(version));
        }
    }

    #[track_caller]
    fn everyone_refuses(&mut self, version: &str) {
        self.serve();
        for user in &mut self.users {
            user.refuses(&format!("node/{version}/linux-amd64/node"));
        }
    }
}

/// Lists the keys of these names for a role in the root in the making, and has them sign the role.
fn assign(sim: &mut Sim, role: &str, names: &[&str]) {
    names.iter().for_each(|name| sim.add_key(name));
    let ids: Vec<String> = names.iter().map(|name| sim.key_id(name)).collect();
    let keys: Vec<(String, Json)> = names.iter().map(|name| (sim.key_id(name), sim.key_json(name))).collect();
    let root = sim.role("root");
    member(root, "keys").extend(keys);
    object(member(root, "roles").get_mut(role).unwrap()).insert("keyids".to_owned(), Json::from(ids));
    sim.signers.insert(role.to_owned(), names.iter().map(|&name| name.to_owned()).collect());
}

fn signs(sim: &mut Sim, role: &str, names: &[&str]) {
    sim.signers.insert(role.to_owned(), names.iter().map(|&name| name.to_owned()).collect());
}

#[test]
fn tuf_clients_follow_a_root_rotation() {
    let mut site = Simulated::new(first_release());
    site.everyone_gets("1.0.0");
    // Two keys of three go, and the online keys with them; root 2 is signed by the old and the new.
    let before = site.sim.clone();
    assign(&mut site.sim, "root", &["root-3", "root-4", "root-5"]);
    assign(&mut site.sim, "targets", &["root-3", "root-4", "root-5"]);
    assign(&mut site.sim, "snapshot", &["snapshot-2"]);
    assign(&mut site.sim, "timestamp", &["timestamp-2"]);
    signs(&mut site.sim, "root", &["root-1", "root-2", "root-4", "root-5"]);
    site.sim.publish_next(&["root", "targets"]);
    site.release("1.1.0");
    for user in &site.users {
        assert_eq!(user.machine.trusted("root"), Some(2), "{}", user.client.name);
    }
    // From here on the new keys are enough.
    signs(&mut site.sim, "root", &["root-4", "root-5"]);
    site.sim.publish_next(&["root"]);
    site.release("1.2.0");
    // A twin: root 4 by keys that are gone.
    let after = site.sim.clone();
    signs(&mut site.sim, "root", &["root-1", "root-2"]);
    site.sim.publish_next(&["root"]);
    site.everyone_refuses("1.2.0");
    // And another: the repository as it was, for clients that know better.
    site.sim = before;
    site.everyone_refuses("1.0.0");
    site.sim = after;
    site.everyone_gets("1.2.0");
}

#[test]
fn tuf_clients_see_nothing_of_a_holders_second_key() {
    // The second halves stand in `x-countersign` and not in `keys`, so their signatures are by ids nobody knows.
    let sim = Sim::prepared(now(), |sim| {
        for role in ["timestamp", "snapshot"] {
            let second = format!("mldsa-{role}");
            sim.add_key(&second);
            sim.set_pair("root", role, &second);
            signs(sim, role, &[role, &second]);
        }
    });
    let mut site = Simulated::new(sim);
    site.release("1.0.0");
    let timestamp = String::from_utf8_lossy(&site.sim.files["metadata/timestamp.json"]).into_owned();
    assert!(timestamp.contains(&site.sim.key_id("mldsa-timestamp")), "{timestamp}");
    // A twin: the half that they know is missing.
    signs(&mut site.sim, "timestamp", &["mldsa-timestamp"]);
    site.sim.publish(&[]);
    site.everyone_refuses("1.0.0");
}
