//! An open bucket, and how its requests are repeated.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_base::text::percent_decode;
use countersign_store::{Put, StoreError, name};
use object_store::path::Path;

use crate::cell::BucketCell;
use crate::error::BucketError;
use crate::failure::Failure;
use crate::probe;
use crate::settings::Settings;
use crate::tries::Tries;
use crate::url::BucketUrl;
use crate::wire::{If, Kind, Stored, Wire};

/// Most names that one listing gives.
pub const MAX_LISTED: usize = 4_000_000;

/// A bucket, or a folder in one, as a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub(crate) wire: Arc<Wire>,
    url: BucketUrl,
    patience: Duration,
}

/// How a conditional write ended.
#[derive(Debug)]
pub(crate) enum Written {
    /// Ours stands there, with this entity tag.
    Ours(Option<String>),
    /// The condition does not hold: this stands there (`None` for nothing).
    Theirs(Option<Stored>),
}

impl Bucket {
    /// Opens a bucket for writing. It must exist.
    ///
    /// Before that it is probed: some servers take conditional requests and do not look at the condition, or look and
    /// write in two steps, so that two writers both win. What the probe wrote below `.countersign/probe/` it removes.
    ///
    /// # Errors
    /// [`BucketError::NotAtomic`] where the probe sees a broken promise; [`BucketError::Store`] where it cannot be finished.
    pub fn open(url: &BucketUrl, settings: &Settings) -> Result<Self, BucketError> {
        let bucket = Self::open_for_reading(url, settings)?;
        probe::run(&bucket)?;
        Ok(bucket)
    }

    /// Opens a bucket without a request: for those who only read. What they write is as safe as the server, which
    /// nobody has looked at.
    ///
    /// # Errors
    /// [`BucketError::Setting`].
    pub fn open_for_reading(url: &BucketUrl, settings: &Settings) -> Result<Self, BucketError> {
        let wire = Arc::new(Wire::new(url, settings)?);
        Ok(Self { wire, url: url.clone(), patience: settings.patience })
    }

    /// Where it is.
    pub fn url(&self) -> &BucketUrl {
        &self.url
    }

    /// The compare-and-swap cell of that name.
    ///
    /// # Errors
    /// [`StoreError::Name`].
    pub fn cell(&self, name: &str) -> Result<BucketCell, StoreError> {
        Ok(BucketCell::new(self.clone(), self.key(name)?, name.to_owned()))
    }

    /// Removes an object; fine if there is none.
    ///
    /// A name that was removed can be put again, also by a request that has been under way since before: remove only what nobody
    /// can still want to put.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let key = self.key(name)?;
        self.repeat("remove", name, || self.wire.remove(&key))
    }

    /// The key of an object: its name with what S3 servers treat unlike each other percent-encoded. Names of tiles and
    /// checkpoints are keys as they are.
    pub(crate) fn key(&self, name: &str) -> Result<Path, StoreError> {
        name::check(name)?;
        Ok(Path::from(self.url.key(name)))
    }

    /// The name of a key, if we could have made it.
    pub(crate) fn name_of(&self, key: &str) -> Option<String> {
        let prefix = Path::from(self.url.prefix());
        let below = match prefix.as_ref() {
            "" => key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        let name = String::from_utf8(percent_decode(below)?).ok()?;
        (self.key(&name).ok()?.as_ref() == key).then_some(name)
    }

    /// For messages.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("s3://{}/{}", self.url.bucket(), self.url.key(name)))
    }

    /// Repeats what may be done any number of times.
    pub(crate) fn repeat<T>(
        &self,
        operation: &'static str,
        name: &str,
        once: impl Fn() -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let ended = repeat_within(&mut Tries::new(self.patience), once);
        ended.map_err(|failure| self.failed(operation, name, failure))
    }

    pub(crate) fn failed(&self, operation: &'static str, name: &str, failure: Failure) -> StoreError {
        StoreError::Io { operation, path: self.place(name), source: failure.into_io() }
    }

    /// Writes if the condition holds, and finds out how that ended whatever happens to the answers.
    ///
    /// 1. An answer of success is one: the server promises that the write is there.
    /// 2. After anything else the write may have been executed: "the condition does not hold" is what we are told also
    ///    when something between us and the server sent our request twice. What stands there is read, and its mark says
    ///    whether it is this very write.
    /// 3. Where the condition still holds, the same write, with the same mark, is sent again. Should the earlier request arrive
    ///    after all, one of the two finds the condition broken by the other.
    ///
    /// If the time is up in step 3 the error says so, and the write may be there or may still appear.
    pub(crate) fn write(
        &self,
        name: &str,
        bytes: &[u8],
        condition: If<'_>,
        kind: Kind,
    ) -> Result<Written, StoreError> {
        let key = self.key(name)?;
        let mark = self.wire.mark();
        let mut tries = Tries::new(self.patience);
        loop {
            let failure = match self.wire.put(&key, bytes, condition, kind, &mark) {
                Ok(tag) => return Ok(Written::Ours(tag)),
                Err(failure @ Failure::Refused(_)) => return Err(self.failed("write", name, failure)),
                Err(failure) => failure,
            };
            let found = match repeat_within(&mut tries, || self.wire.get(&key)) {
                Ok(found) => found,
                // What went wrong first tells more.
                Err(_) if matches!(failure, Failure::Unknown(_)) => {
                    return Err(self.failed("write", name, failure));
                }
                Err(failure) => return Err(self.failed("read", name, failure)),
            };
            let holds = match (&found, condition) {
                (Some(stored), _) if stored.mark.as_deref() == Some(&mark) => {
                    return Ok(Written::Ours(stored.tag.clone()));
                }
                (None, If::Absent) => true,
                (Some(stored), If::Unchanged(tag)) => stored.tag.as_deref() == Some(tag),
                _ => false,
            };
            if !holds {
                return Ok(Written::Theirs(found));
            }
            if !tries.another() {
                return Err(self.failed("write", name, failure));
            }
        }
    }
}

fn repeat_within<T>(tries: &mut Tries, once: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    loop {
        match once() {
            Err(Failure::Unknown(_)) if tries.another() => {}
            ended => return ended,
        }
    }
}

/// What a put-if-absent is told; see `Objects`.
pub(crate) fn outcome(
    written: Written,
    bytes: &[u8],
    place: impl FnOnce() -> PathBuf,
) -> Result<Put, StoreError> {
    match written {
        Written::Ours(_) => Ok(Put::Created),
        Written::Theirs(Some(stored)) if stored.bytes == bytes => Ok(Put::AlreadySame),
        Written::Theirs(_) => Err(StoreError::Different { path: place() }),
    }
}
