//! Plain TUF clients that nobody here wrote take a repository whose holders have two keys (ADR 0009).
//!
//! They see classical keys and thresholds, and signatures under ids that they do not know. What they lose is shown
//! too: they do not miss a stripped second signature, and we do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_base::code;
use countersign_testkit::peers;
use countersign_testkit::sim::{Sim, member, object};

use crate::attacks::hybrid::hybrid;
use crate::lab::{Lab, program};
use crate::mirror::{Answer, Mirror};

/// A client of another project, on a machine of its own.
struct Peer {
    program: PathBuf,
    machine: Lab,
    mirror: Mirror,
}

impl Peer {
    /// One that trusts the first root of `sim`; `None` where it is not installed.
    fn trusting(name: &str, sim: &Sim) -> Option<Self> {
        let program = peers::find(name)?;
        let machine = Lab::new();
        machine.serve(sim);
        let mirror = Mirror::start(&machine.served(), |_| Answer::Honest);
        let peer = Self { program, machine, mirror };
        let root = peer.machine.served().join("metadata/1.root.json");
        peer.run(&["init", root.to_str().unwrap()]);
        Some(peer)
    }

    /// Refreshes and downloads this version of the program, from what is served now.
    #[track_caller]
    fn downloads(&self, version: &str) {
        let metadata = format!("{}/metadata/", self.mirror.url());
        self.run(&["--metadata-url", &metadata, "refresh"]);
        let folder = self.machine.path(&format!("downloads-{version}"));
        std::fs::create_dir(&folder).unwrap();
        let target = format!("node/{version}/linux-amd64/node");
        let base = format!("{}/targets/", self.mirror.url());
        let place = ["--target-name", &target, "--target-base-url", &base];
        let folder_arg = ["--target-dir", folder.to_str().unwrap(), "download"];
        self.run(&[&["--metadata-url", &metadata][..], &place, &folder_arg].concat());
        let file = crate::publisher::every_file(&folder).pop().unwrap();
        assert_eq!(std::fs::read(folder.join(file)).unwrap(), program(version));
    }

    #[track_caller]
    fn run(&self, args: &[&str]) {
        let mut command = Command::new(&self.program);
        command.arg("--metadata-dir").arg(self.metadata()).args(args).stdin(Stdio::null());
        let output = command.output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?} -> {}\n{shown}", output.status);
    }

    fn metadata(&self) -> PathBuf {
        let folder = self.machine.path("tuf");
        if !Path::new(&folder).exists() {
            std::fs::create_dir(&folder).unwrap();
        }
        folder
    }
}

/// Root 2: root-3 becomes a holder of two keys, root-1 gets another second key, root-2 goes.
fn rotate(sim: &mut Sim) {
    sim.add_key("mldsa-root-3");
    sim.add_key("mldsa65-root-1b");
    sim.set_pair("root", "root-3", "mldsa-root-3");
    sim.set_pair("root", "root-1", "mldsa65-root-1b");
    let gone = sim.key_id("root-2");
    let ids = vec![sim.key_id("root-1"), sim.key_id("root-3")];
    let root = sim.role("root");
    for role in ["root", "targets"] {
        let role = member(root, "roles").get_mut(role).unwrap();
        object(role).insert("keyids".to_owned(), ids.clone().into());
    }
    member(root, "keys").remove(&gone).unwrap();
    let pairs = member(root, "x-countersign").get_mut("pairs").unwrap();
    object(pairs).remove(&gone).unwrap();
    let new = ["root-1", "mldsa65-root-1b", "root-3", "mldsa-root-3"];
    // The step needs the holders of both roots.
    let both = [&new[..], &["mldsa65-root-1", "root-2", "mldsa-root-2"]].concat();
    sim.signers.insert("root".to_owned(), both.iter().map(|&name| name.to_owned()).collect());
    sim.signers.insert("targets".to_owned(), new.iter().map(|&name| name.to_owned()).collect());
    sim.publish_next(&["root", "targets"]);
}

#[test]
fn plain_tuf_clients_take_repositories_of_holders_with_two_keys() {
    let first = hybrid();
    let mut second = first.clone();
    rotate(&mut second);
    second.add_release("1.1.0", "node", &program("1.1.0"));
    second.publish_next(&["node"]);
    // What they lose: the next release lacks every second signature.
    let mut stripped = second.clone();
    stripped.signers.insert("node".to_owned(), vec!["node-1".to_owned(), "node-2".to_owned()]);
    stripped.add_release("1.2.0", "node", &program("1.2.0"));
    stripped.publish_next(&["node"]);

    let ours = crate::attacks::installed_from(&first);
    for name in ["tuf-python", "tuf-go", "tuf-js"] {
        let Some(peer) = Peer::trusting(name, &first) else { continue };
        peer.downloads("1.0.0");
        peer.machine.serve(&second);
        peer.downloads("1.1.0");
        peer.machine.serve(&stripped);
        peer.downloads("1.2.0");
    }
    ours.serve(&second);
    ours.node("update").ok();
    assert_eq!(ours.installed(), "node 1.1.0\n");
    ours.serve(&stripped);
    ours.node("update").refused(code::SIGNATURE_ALGORITHM_DOWNGRADE);
}
