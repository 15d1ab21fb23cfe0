//! A log in a bucket, which several machines share: its place there, and this machine's cache for it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use countersign_base::code;
use countersign_bucket::{Bucket, BucketError, BucketUrl, Settings};
use countersign_client::BaseUrl;
use countersign_crypto::sha256;
use countersign_log::{Candidate, SharedPlace};
use countersign_server::Admits;
use countersign_store::{Cell as _, Lock, Objects as _, StoreError, durable};
use countersign_tlog::policy::Policy;
use countersign_tlog::{SignedCheckpoint, VerifierKey};

use super::local::{Admit, LocalArgs, settle};
use super::making::{Spot, another};
use crate::error::CliError;
use crate::site::Site;

/// What a place in a bucket begins with.
const SCHEME: &str = "s3://";
/// What the log's processes know each other by.
const SECRET: &str = ".countersign/front-ends";
/// Longest such secret.
const MAX_SECRET_BYTES: usize = 128;
/// What the log takes.
const ADMITS: &str = ".countersign/admits";
/// Silence of the leader after which another process takes over, in seconds.
const TAKEOVER_SECONDS: u32 = 5;
/// Longest such time that can be asked for.
const MAX_TAKEOVER_SECONDS: u32 = 3600;
/// How often a process looks who leads, in that time.
const LOOKS: u32 = 10;
/// It looks at least that often: a lead that is given back is to be taken soon.
const LOOK: Duration = Duration::from_secs(3);
/// Caches of one log on one machine: as many processes can serve it from here without a folder of their own.
const MAX_CACHES: u32 = 16;
/// A bucket that is well answers in this time.
const SOON: Duration = Duration::from_secs(2);
/// A bucket that does not is tried for so long, with so long for one request.
const PATIENCE: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(10);
/// Folders above a new log's that are looked at.
const MAX_PARENTS: usize = 8;
/// Largest file of root certificates.
const MAX_ROOTS_BYTES: u64 = 4 * 1024 * 1024;

/// For a log in a bucket.
#[derive(Debug, Args)]
#[command(next_help_heading = "For a log in a bucket")]
pub(super) struct SharedArgs {
    /// URL at which other processes reach this one while it leads: they pass submissions on to it
    ///
    /// Without it they answer 503 while this process leads. It is `https://..`, or `http://` with an address of this
    /// machine.
    #[arg(long, value_name = "URL")]
    advertise: Option<String>,
    /// Take over when the leader was not heard of for so long; the same for all processes of a log [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TAKEOVER_SECONDS)))]
    takeover_after: Option<u32>,
    /// Folder for an index that can be made anew, of this process alone [default: below ~/.cache/countersign/logs]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

impl SharedArgs {
    /// Refuses what means nothing to a log in a folder.
    pub(super) fn refuse(&self) -> Result<(), CliError> {
        let given = [
            ("--advertise", self.advertise.is_some()),
            ("--takeover-after", self.takeover_after.is_some()),
            ("--cache", self.cache.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((name, _)) => Err(CliError::new(code::USAGE, format!("{name} is for a log in a bucket"))
                .fix("leave it out, or name the log's place as s3://BUCKET/PREFIX")),
        }
    }
}

/// A log in a bucket, which this process may lead.
pub(super) struct SharedLog {
    pub(super) candidate: Candidate,
    pub(super) look: Duration,
    pub(super) bucket: Bucket,
    pub(super) key: VerifierKey,
    pub(super) url: Option<String>,
    pub(super) secret: String,
    pub(super) admits: Admits,
    pub(super) policy: Option<Policy>,
    pub(super) conflict: Conflict,
    /// Held while this process lives.
    _cache: Lock,
}

/// What losing the lead means here.
pub(super) struct Conflict {
    place: String,
    takeover: Duration,
}

/// The bucket that a place names, if it names one.
pub(super) fn bucket_url(place: &Path) -> Result<Option<BucketUrl>, CliError> {
    match place.to_str() {
        Some(text) if text.starts_with(SCHEME) => Ok(Some(text.parse()?)),
        _ => Ok(None),
    }
}

/// Credentials and endpoint from the environment, as other tools for S3 read it.
pub(super) fn settings() -> Result<Settings, CliError> {
    let read = |path: &str| {
        let found = durable::read(Path::new(path), MAX_ROOTS_BYTES).map_err(std::io::Error::other)?;
        found.ok_or_else(|| ErrorKind::NotFound.into())
    };
    Settings::from_environment(|name| std::env::var(name).ok(), read).map_err(|error| {
        let fix = match &error {
            BucketError::Setting { name: "AWS_ENDPOINT_URL", .. } => {
                "write it as https://HOST[:PORT]; plain http:// is for a server on this machine"
            }
            BucketError::Setting { name, .. }
                if std::env::var_os(name).is_some_and(|set| !set.is_empty()) =>
            {
                "it is set in the environment: correct it"
            }
            _ => return error.into(),
        };
        CliError::from(error).fix(fix)
    })
}

/// Waits for the bucket's first answer, and says what it waits for: a bucket that nobody reaches is tried for long.
fn await_answer(url: &BucketUrl, settings: &Settings, site: &Site) -> Result<(), CliError> {
    let look = |settings: &Settings| -> Result<(), BucketError> {
        Bucket::open_for_reading(url, settings)?.get(SharedPlace::LEADER)?;
        Ok(())
    };
    let Err(error) = look(&settings.clone().with_patience(SOON, SOON)) else { return Ok(()) };
    match &error {
        BucketError::Store(StoreError::Io { source, .. }) if !is_final(source.kind()) => {
            site.out.warn_now(&format!(
                "the bucket does not answer: {source}; trying for up to {} s",
                PATIENCE.as_secs()
            ));
        }
        _ => return Err(unopened(error)),
    }
    look(&settings.clone().with_patience(PATIENCE, ATTEMPT)).map_err(unopened)
}

/// Whether trying again does not help.
fn is_final(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::Unsupported)
}

impl SharedLog {
    pub(super) fn open(
        url: &BucketUrl,
        local: &LocalArgs,
        args: &SharedArgs,
        asked: Option<Admit>,
        site: &Site,
    ) -> Result<Self, CliError> {
        if let Some(url) = &args.advertise {
            url.parse::<BaseUrl>()?;
        }
        let (cache, lock) = cache(url, args.cache.as_deref())?;
        let settings = settings()?;
        await_answer(url, &settings, site)?;
        let bucket = Bucket::open(url, &settings).map_err(unopened)?;
        let (leader, checkpoint) = (bucket.cell(SharedPlace::LEADER)?, bucket.cell(SharedPlace::CHECKPOINT)?);
        let published = bucket.get(SharedPlace::CHECKPOINT)?;
        // What it takes is settled before anybody leads it.
        let made = published.is_some() || leader.load()?.is_some() || bucket.get(ADMITS)?.is_some();
        let spot = Spot { place: url.to_string(), new: !made };
        if spot.new {
            check_outside(url, &settings)?;
        }
        // A second machine is given the key of the first; made anew, it would be another log's.
        let (key, mark) = local.open_key(None, &spot, asked.unwrap_or(Admit::Metadata), site)?;
        let verifier = key.verifier().clone();
        if let Some(note) = published {
            let signed = SignedCheckpoint::open(&note, key.origin(), key.verifiers()).map_err(|error| {
                let key_place = local.key_place(None);
                another(&spot.place, Some(&note), &verifier, &key_place, error.into())
            })?;
            if let Some(mark) = mark {
                mark.keep(&spot, Some(signed.checkpoint()), site);
            }
        }
        let policy = local.policy(&key)?;
        let admits = settle(&bucket, ADMITS, &format!("{url}/{ADMITS}"), asked, Admit::Metadata)?;
        let secret = secret(&bucket)?;
        let takeover = Duration::from_secs(args.takeover_after.unwrap_or(TAKEOVER_SECONDS).into());
        let place = SharedPlace {
            objects: Arc::new(bucket.clone()),
            leader: Arc::new(leader),
            checkpoint: Arc::new(checkpoint),
            cache,
        };
        let candidate = Candidate::new(place, key, args.advertise.clone(), takeover)?;
        Ok(Self {
            candidate,
            look: LOOK.min(takeover / LOOKS),
            bucket,
            key: verifier,
            url: args.advertise.clone(),
            secret,
            admits: admits.admits(),
            policy,
            conflict: Conflict { place: url.to_string(), takeover },
            _cache: lock,
        })
    }
}

impl Conflict {
    /// The same error, or what a person needs to know who finds this process ended because it has lost the lead.
    pub(super) fn explain(&self, error: CliError) -> CliError {
        if error.code != code::LOG_WRITER_CONFLICT {
            return error;
        }
        let seconds = self.takeover.as_secs();
        let what = format!("another process leads the log in {} now, so this one has ended", self.place);
        let fix = format!(
            "start this one again: it serves the log beside the other, and passes submissions on to it\n\
             nothing that was acknowledged is lost; what had no answer can be sent again\n\
             it was not heard of for {seconds} s: its machine slept or was busy, or did not reach the bucket\n\
             if that comes often, give all processes of this log a longer --takeover-after"
        );
        CliError::new(error.code, what).fix(fix)
    }
}

/// Why a bucket cannot be written to, and what a person can do about it.
fn unopened(error: BucketError) -> CliError {
    let kind = match &error {
        BucketError::Store(StoreError::Io { source, .. }) => Some(source.kind()),
        _ => None,
    };
    let told = CliError::from(error);
    // Who may not, or names what is not there, does not wait for it.
    let refused = |fix: &str| {
        let settings = code::STORE_SETTINGS_INVALID;
        CliError { code: settings, class: settings.class(), ..told.clone() }.fix(fix)
    };
    match kind {
        Some(ErrorKind::NotFound) => {
            refused("make the bucket; or see whether AWS_ENDPOINT_URL and AWS_REGION are those of its server")
        }
        Some(ErrorKind::PermissionDenied) => {
            refused("see whether the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY may get, put and list")
        }
        Some(_) => told.fix(
            "see whether AWS_ENDPOINT_URL names the bucket's server, whether it runs, and whether the network \
             leads there",
        ),
        None => told,
    }
}

/// What all processes of this log know, drawn by the first of them: it is read from the private part of the bucket.
fn secret(bucket: &Bucket) -> Result<String, CliError> {
    let found = match bucket.get(SECRET)? {
        Some(bytes) => bytes,
        None => {
            let [Ok(first), Ok(second)] = [getrandom::u64(), getrandom::u64()] else {
                return Err(CliError::new(code::INTERNAL_ERROR, "the system gives no random numbers"));
            };
            let drawn = format!("{first:016x}{second:016x}").into_bytes();
            match bucket.put_if_absent(SECRET, &drawn) {
                Ok(_) => drawn,
                // Another process was first.
                Err(StoreError::Different { .. }) => bucket.get(SECRET)?.unwrap_or_default(),
                Err(error) => return Err(error.into()),
            }
        }
    };
    let found = String::from_utf8(found).ok();
    let good = |text: &String| {
        (1..=MAX_SECRET_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    found.filter(good).ok_or_else(|| {
        let what = format!("`{}/{SECRET}` is not what `log serve` wrote there", bucket.url());
        CliError::new(code::LOG_STORAGE_CORRUPT, what)
    })
}

/// Refuses to make a log among the files of another, in a folder above.
fn check_outside(url: &BucketUrl, settings: &Settings) -> Result<(), CliError> {
    let folders = url.prefix().match_indices('/').map(|(at, _)| at);
    let all = (!url.prefix().is_empty()).then_some(0);
    for at in all.into_iter().chain(folders).take(MAX_PARENTS) {
        let above: BucketUrl = format!("{SCHEME}{}/{}", url.bucket(), &url.prefix()[..at]).parse()?;
        let bucket = Bucket::open_for_reading(&above, settings)?;
        for name in [SharedPlace::CHECKPOINT, SharedPlace::LEADER] {
            match bucket.get(name) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    let what = format!("{url} is inside of {above}, which holds another log");
                    return Err(CliError::new(code::USAGE, what).fix("name a place beside it"));
                }
                // Who may not look there keeps to this place.
                Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The folder of this process's cache. Two processes never have one in common: what has been stopped does not know that
/// another goes on with its files.
fn cache(url: &BucketUrl, named: Option<&Path>) -> Result<(PathBuf, Lock), CliError> {
    if let Some(folder) = named {
        return take(folder).map_err(|error| match error {
            StoreError::Locked { .. } => {
                let what = format!("another process has its cache in {}", folder.display());
                CliError::new(code::USAGE, what).fix("give each process a folder of its own with --cache")
            }
            error => error.into(),
        });
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let base = base.ok_or_else(|| {
        CliError::new(code::USAGE, "neither HOME nor XDG_CACHE_HOME names a folder for the log's cache")
            .fix("name one of this process's own with --cache DIR")
    })?;
    let name = sha256(url.to_string().as_bytes()).to_string();
    let logs = base.join("countersign/logs");
    for number in 1..=MAX_CACHES {
        match take(&logs.join(format!("{}-{number}", &name[..16]))) {
            Err(StoreError::Locked { .. }) => {}
            other => return Ok(other?),
        }
    }
    let what = format!("{MAX_CACHES} processes of this machine have a cache of this log");
    Err(CliError::new(code::USAGE, what).fix("name another folder with --cache DIR"))
}

/// Makes a folder for what is cached, and a lock beside it.
fn take(folder: &Path) -> Result<(PathBuf, Lock), StoreError> {
    durable::create_dir_all(&countersign_store::RealDisk, folder)?;
    let lock = Lock::try_acquire(&folder.join("lock"))?;
    Ok((folder.join("index"), lock))
}
