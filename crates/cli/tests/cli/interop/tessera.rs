//! Tessera's load generator and fsck on a log that takes anything.

use std::fs;
use std::process::Command;

use countersign_testkit::peers;

use super::{output, told};
use crate::lab::Lab;
use crate::log::{Live, published_size};

#[test]
fn tessera_s_load_generator_works_on_our_log() {
    let Some(hammer) = peers::find("tessera-hammer") else { return };
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    let other = Live::log(&lab, "other", &["--admit", "any"]);
    let run = |vkey: &str| {
        let mut command = Command::new(&hammer);
        command.args(["--show_ui=false", "--logtostderr", "--num_writers=32", "--max_write_ops=1000"]);
        command.args(["--leaf_write_goal=1000", "--max_runtime=60s", "--leaf_min_size=200"]);
        command.arg(format!("--log_url={}/", log.url)).arg(format!("--write_log_url={}/", log.url));
        command.arg(format!("--log_public_key={vkey}"));
        command
    };
    told(&mut run(&log.vkey));
    let size = published_size(&mut log.connect());
    assert!(size >= 1000, "{size}");
    assert!(!output(&mut run(&other.vkey)).status.success(), "another log's key");

    let Some(fsck) = peers::find("tessera-fsck") else { return };
    let key = lab.path("log.vkey");
    fs::write(&key, &log.vkey).unwrap();
    told(Command::new(&fsck).arg(format!("{}/", log.url)).arg(&key));
    let dir = lab.path("log");
    assert!(log.terminate().success());
    lab.run(&["log", "fsck", dir.to_str().unwrap(), "--vkey", fs::read_to_string(&key).unwrap().as_str()])
        .ok();
}
