//! L17: a real disk that is full, under the real server. Where a process may not have a file system of its own, the test
//! says so and passes; `log_serve` has the same with a limit of the file's size, which every system gives.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use countersign_base::code;
use serde_json::Value;

use crate::lab::Lab;
use crate::log::{Http, command, published_size, wait_for_size};

/// Runs the server on a disk of 6 MiB; when it has ended, says with what status, and runs it once more with room.
const SCRIPT: &str = "mount -t tmpfs -o size=6m log \"$DIR\" || exit 77
echo mounted
\"$@\"
echo \"ended $?\"
mount -o remount,size=64m \"$DIR\"
exec \"$@\"";

/// Processes that have their own mounts and end with this value.
struct Apart {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Apart {
    /// `None` where the system does not let us.
    fn start(lab: &Lab) -> Option<Self> {
        let dir = lab.path("log");
        std::fs::create_dir(&dir).unwrap();
        let args = ["--json", "log", "serve", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let new = ["--origin", "log.example", "--unencrypted", "--admit", "any"];
        let inner = command(lab, &[&args[..], &new].concat());
        let mut outer = Command::new("unshare");
        // A process space of its own as well: when its first process ends, all of them do.
        outer.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]);
        outer.args(["/bin/sh", "-c", SCRIPT, "sh"]).arg(inner.get_program()).args(inner.get_args());
        outer.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", lab.path("user"));
        outer.env("DIR", &dir).process_group(0).stdin(Stdio::null());
        let mut child = outer.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut apart = Self { child, out };
        (apart.line() == "mounted").then_some(apart)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The first line of a server that has started: where it listens.
    fn url(&mut self) -> String {
        let line = self.line();
        serde_json::from_str::<Value>(&line).unwrap()["listening"].as_str().unwrap().to_owned()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn entry(number: u64) -> Vec<u8> {
    [vec![7; 20_000], number.to_be_bytes().to_vec()].concat()
}

#[test]
fn l17_a_disk_that_is_full() {
    let lab = Lab::new();
    let Some(mut apart) = Apart::start(&lab) else {
        println!("not run: this system lets nobody mount a file system of one's own");
        return;
    };
    let mut http = Http::connect(&apart.url());
    let mut acknowledged = 0;
    let mut refusals = 0;
    // It may be gone before it can answer, and it says so once or twice before.
    while let Ok(answer) = http.try_send("POST", "/add", "", &entry(acknowledged)) {
        if answer.status == 503 {
            assert_eq!(answer.json()["code"], code::LOG_STORAGE_FAILED.name(), "{}", answer.text());
            refusals += 1;
            continue;
        }
        assert_eq!(
            (refusals, answer.index()),
            (0, acknowledged),
            "what failed once acknowledges nothing more"
        );
        acknowledged += 1;
    }
    assert!((10..400).contains(&acknowledged), "{acknowledged}");
    // The error as one document, then what the shell says.
    let mut said = String::new();
    let status = loop {
        let line = apart.line();
        match line.strip_prefix("ended ") {
            Some(status) => break status.to_owned(),
            None => said += &line,
        }
    };
    assert_eq!(status, "3", "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["code"], code::LOG_STORAGE_FAILED.name());
    assert!(said.to_string().to_lowercase().contains("no space left"), "{said}");

    // With room again, all that was acknowledged is there, and it goes on.
    let mut http = Http::connect(&apart.url());
    for number in 0..acknowledged {
        assert_eq!(http.post("/add", &entry(number)).index(), number);
    }
    let last = http.post("/add", b"after").index();
    assert!(last >= acknowledged, "no index is used twice");
    wait_for_size(&mut http, last + 1);
    assert!(published_size(&mut http) > acknowledged);
}
