//! The two storage contracts of `countersign-store` on an S3-compatible bucket.
//!
//! An object is created with `If-None-Match: *`, a cell is replaced with `If-Match: <ETag>` (Amazon S3 User Guide,
//! "Conditional requests"; RFC 9110 section 13). A bucket that does not keep these promises under concurrent writers is refused when it is opened, see
//! [`Bucket::open`].
//!
//! Answers get lost: a request that failed, timed out or was answered 412 may have been executed, and may be executed
//! later. So every write carries a mark of its own as user metadata, and what a lost answer left behind is read back: the
//! mark says whose write stands there. No write is reported as done that is not, and none is done twice.
//!
//! Requests run on the thread that calls. There is no runtime and no background thread: opening a bucket is the first time that
//! anything here does something.
#![forbid(unsafe_code)]

mod bucket;
mod cell;
mod error;
mod failure;
mod http;
mod objects;
mod probe;
mod run;
mod settings;
mod tries;
mod url;
mod wire;

pub use bucket::{Bucket, MAX_LISTED};
pub use cell::BucketCell;
pub use error::BucketError;
pub use settings::{MAX_PATIENCE, Settings};
pub use url::BucketUrl;
