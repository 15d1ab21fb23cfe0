//! A TUF client with the command line that the public conformance suite drives.
//!
//! The protocol is `CLIENT-CLI.md` of <https://github.com/theupdateframework/tuf-conformance>: exit code 0 where a command
//! succeeded in full, 1 otherwise; the reason stands on standard error, with its code.
//!
//! The suite ships as git only, so it is run by hand, in its checkout, with its requirements and `faketime` installed:
//! `pytest tuf_conformance --entrypoint .../target/debug/countersign-tuf-conformance`. Build this with
//! `cargo build -p countersign-testkit --features tuf-client`. No test is expected to fail.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "a program for a test suite; this is its only output")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use countersign_base::{Explain, Timestamp};
use countersign_client::{BaseUrl, HttpTransport};
use countersign_store::{RealDisk, durable};
use countersign_testkit::tuf_client::{Cache, Client, ClientError, init};
use countersign_tuf::limits::MAX_ROOT_BYTES;

const USAGE: &str = "usage: countersign-tuf-conformance --metadata-dir DIR init ROOT
       countersign-tuf-conformance --metadata-dir DIR --metadata-url URL refresh
       countersign-tuf-conformance --metadata-dir DIR --metadata-url URL --target-name PATH... \\
                                   --target-base-url URL --target-dir DIR download";

/// What the command line says.
#[derive(Default)]
struct Arguments {
    metadata_dir: Option<PathBuf>,
    metadata_url: Option<String>,
    target_names: Vec<String>,
    target_base_url: Option<String>,
    target_dir: Option<PathBuf>,
    command: Vec<String>,
}

enum Failure {
    Usage,
    Client(ClientError),
}

impl<E: Into<ClientError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Client(error.into())
    }
}

fn main() -> ExitCode {
    match Arguments::read(std::env::args().skip(1)).and_then(|arguments| arguments.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage) => {
            eprintln!("{USAGE}");
            ExitCode::FAILURE
        }
        Err(Failure::Client(error)) => {
            eprintln!("error[{}]: {error}", error.code());
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut out = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(Failure::Usage);
            match word.as_str() {
                "--metadata-dir" => out.metadata_dir = Some(value()?.into()),
                "--metadata-url" => out.metadata_url = Some(value()?),
                "--target-name" => out.target_names.push(value()?),
                "--target-base-url" => out.target_base_url = Some(value()?),
                "--target-dir" => out.target_dir = Some(value()?.into()),
                option if option.starts_with('-') => return Err(Failure::Usage),
                _ => out.command.push(word),
            }
        }
        Ok(out)
    }

    fn run(&self) -> Result<(), Failure> {
        let cache = Cache::open(self.metadata_dir.as_deref().ok_or(Failure::Usage)?, &RealDisk)?;
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        match command[..] {
            ["init", root] => {
                let root = durable::read(root.as_ref(), MAX_ROOT_BYTES as u64)?;
                Ok(init(&cache, &root.ok_or(ClientError::NoRoot)?)?)
            }
            ["refresh"] => {
                let metadata = transport(self.metadata_url.as_deref())?;
                Client::refresh(&cache, &metadata, now())?;
                Ok(())
            }
            ["download"] => self.download(&cache),
            _ => Err(Failure::Usage),
        }
    }

    fn download(&self, cache: &Cache<'_>) -> Result<(), Failure> {
        let folder = self.target_dir.as_deref().ok_or(Failure::Usage)?;
        let metadata = transport(self.metadata_url.as_deref())?;
        let targets = transport(self.target_base_url.as_deref())?;
        let mut client = Client::refresh(cache, &metadata, now())?;
        for path in &self.target_names {
            client.download(path, &targets, folder)?;
        }
        Ok(())
    }
}

fn transport(url: Option<&str>) -> Result<HttpTransport, Failure> {
    let url: BaseUrl = url.ok_or(Failure::Usage)?.parse().map_err(ClientError::from)?;
    Ok(HttpTransport::new(&url).with_url_paths())
}

fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Timestamp::from_unix(seconds).unwrap_or(Timestamp::EPOCH)
}
