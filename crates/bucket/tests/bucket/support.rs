//! A bucket at a server on loopback.

use std::time::Duration;

use countersign_bucket::{Bucket, BucketCell, BucketError, BucketUrl, Settings};
use countersign_store::{Cell, Objects};
use countersign_testkit::contracts::Backend;
use countersign_testkit::s3::{ACCESS_KEY, SECRET_KEY, Versity};

pub(crate) const BUCKET: &str = "transparency";

pub(crate) fn url() -> BucketUrl {
    format!("s3://{BUCKET}/log").parse().expect("a bucket's URL")
}

pub(crate) fn settings(endpoint: &str) -> Settings {
    let settings = Settings::new(ACCESS_KEY, SECRET_KEY).expect("good keys");
    settings.with_endpoint(endpoint).expect("it is on loopback")
}

/// Opened without the probe, which is for `probe.rs`.
pub(crate) fn bucket(endpoint: &str) -> Bucket {
    Bucket::open_for_reading(&url(), &settings(endpoint)).expect("good settings")
}

/// With this much time for an operation.
pub(crate) fn hasty(endpoint: &str, patience: Duration) -> Bucket {
    let settings = settings(endpoint).with_patience(patience, patience);
    Bucket::open_for_reading(&url(), &settings).expect("good settings")
}

pub(crate) fn open(endpoint: &str) -> Result<Bucket, BucketError> {
    Bucket::open(&url(), &settings(endpoint))
}

/// A new server with an empty bucket; `None` where versitygw is not installed.
pub(crate) fn server() -> Option<Versity> {
    let server = Versity::start()?;
    server.make_bucket(BUCKET);
    Some(server)
}

/// Two gateways over one bucket, used in turn: as two machines that go through different front ends.
pub(crate) struct TwoGateways {
    gateways: [Versity; 2],
    turn: std::sync::atomic::AtomicUsize,
}

impl TwoGateways {
    pub(crate) fn start() -> Option<Self> {
        let first = server()?;
        let second = first.beside();
        Some(Self { gateways: [first, second], turn: std::sync::atomic::AtomicUsize::new(0) })
    }

    fn next(&self) -> Bucket {
        let turn = self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        bucket(&self.gateways[turn % 2].endpoint())
    }
}

impl Backend for TwoGateways {
    fn objects(&self) -> Box<dyn Objects> {
        Box::new(self.next())
    }

    fn cell(&self, name: &str) -> Box<dyn Cell> {
        Box::new(self.next().cell(name).expect("the name is good"))
    }
}

/// The value of a cell as text.
pub(crate) fn value(cell: &BucketCell) -> String {
    let held = cell.load().expect("the server answers").expect("it has a value");
    String::from_utf8_lossy(held.bytes()).into_owned()
}
