//! Is this server's conditional PUT one? Asked when a bucket is opened, by doing what a log's writers will do.
//!
//! Each round uses a name that nobody had before. In it [`WRITERS`] create one object at the same time, then as many
//! replace it from the same entity tag: exactly one may win each, and its bytes must be there. A server that checks and
//! writes in two steps lets two win as soon as their requests overlap, and the rounds make that likely. It remains a
//! test: passing it proves nothing about a server that breaks its promise once in a million.

use std::io;
use std::sync::Barrier;
use std::thread;

use countersign_store::StoreError;

use crate::bucket::{Bucket, Written};
use crate::error::BucketError;
use crate::wire::{If, Kind, Stored};

const ROUNDS: usize = 4;
/// Writers at a time.
const WRITERS: usize = 8;
/// Large enough that writing takes the server a moment.
const PROBE_BYTES: usize = 48 * 1024;

/// Refuses a bucket that breaks a promise. Its objects are removed again, if the server lets us.
pub(crate) fn run(bucket: &Bucket) -> Result<(), BucketError> {
    let names: Vec<String> =
        (0..ROUNDS).map(|_| format!(".countersign/probe/{}", bucket.wire.mark())).collect();
    let judged = names.iter().try_for_each(|name| round(bucket, name));
    for name in &names {
        // A server that keeps them for ever is a good server for a log.
        let _ = bucket.remove(name);
    }
    judged.map_err(|found| match found {
        Found::Broken(found) => BucketError::NotAtomic { bucket: bucket.url().to_string(), found },
        Found::Failed(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::Unsupported => {
            let found = format!("it does not know conditional requests ({source})");
            BucketError::NotAtomic { bucket: bucket.url().to_string(), found }
        }
        Found::Failed(error) => BucketError::Store(error),
    })
}

enum Found {
    Broken(String),
    Failed(StoreError),
}

impl From<StoreError> for Found {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

fn round(bucket: &Bucket, name: &str) -> Result<(), Found> {
    let created = race(bucket, name, If::Absent, 0)?;
    let tag = match created.tag {
        Some(tag) if created.mark.is_some() => tag,
        Some(_) => return Err(Found::Broken("it does not keep user metadata".to_owned())),
        None => return Err(Found::Broken("it gives no entity tags".to_owned())),
    };
    race(bucket, name, If::Unchanged(&tag), WRITERS).map(drop)
}

/// Lets all write at once under one condition; gives what the one winner left.
fn race(bucket: &Bucket, name: &str, condition: If<'_>, first: usize) -> Result<Stored, Found> {
    let start = Barrier::new(WRITERS);
    let write = |writer: usize| {
        let bytes = content(writer);
        start.wait();
        bucket.write(name, &bytes, condition, Kind::Object)
    };
    let ended: Vec<_> = thread::scope(|scope| {
        let write = &write;
        let writers: Vec<_> = (first..first + WRITERS).map(|n| (n, scope.spawn(move || write(n)))).collect();
        writers.into_iter().map(|(n, writer)| (n, writer.join())).collect()
    });
    let mut winners = Vec::new();
    for (writer, ended) in ended {
        let ended = ended.map_err(|_| Found::Broken("a writer of the probe panicked".to_owned()))?;
        if let Written::Ours(_) = ended? {
            winners.push(writer);
        }
    }
    let header = match condition {
        If::Absent => "If-None-Match",
        If::Unchanged(_) => "If-Match",
    };
    let [winner] = winners[..] else {
        let found = format!("of {WRITERS} concurrent writes with `{header}`, {} succeeded", winners.len());
        return Err(Found::Broken(found));
    };
    let key = bucket.key(name)?;
    let stored = bucket.repeat("read", name, || bucket.wire.get(&key))?;
    match stored {
        Some(stored) if stored.bytes == content(winner) => Ok(stored),
        _ => Err(Found::Broken(format!("a write with `{header}` succeeded, and other bytes are there"))),
    }
}

/// No two writers write the same.
fn content(writer: usize) -> Vec<u8> {
    let mut bytes = format!("countersign probe, writer {writer}\n").into_bytes();
    bytes.resize(PROBE_BYTES, b'.');
    bytes
}
