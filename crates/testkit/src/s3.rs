//! S3 servers on loopback: a real one, one that breaks a promise, and a proxy that loses answers.
//!
//! The real one is versitygw, which `cargo xtask peers` installs; see `tests/peers/README.md`. With `CI=true` its
//! absence fails the test.

mod flawed;
mod message;
mod proxy;
mod versity;

pub use flawed::{Flaw, FlawedS3};
pub use proxy::{Fault, FaultProxy, Seen};
pub use versity::Versity;

/// The access key that all of them take.
pub const ACCESS_KEY: &str = "countersign-test";
/// Its secret.
pub const SECRET_KEY: &str = "not-a-secret-at-all";
/// The root certificate of servers on loopback that speak TLS.
pub const AUTHORITY: &str = include_str!("s3/tls/authority.pem");
