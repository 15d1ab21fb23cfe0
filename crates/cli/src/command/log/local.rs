//! A log of one's own: where its key is, which witnesses it has, what it takes; and opening one in a folder.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use countersign_attest::trust;
use countersign_base::code;
use countersign_base::text::escape;
use countersign_crypto::{Algorithm, Signer};
use countersign_keys::{KeyDir, KeyInfo, KeyRef, NewKey, Stage};
use countersign_log::{Admission, Cosigner, LogError, LogKey, Sequencer};
use countersign_server::Admits;
use countersign_store::{Dir, Objects, StoreError, durable};
use countersign_tlog::policy::{Policy, PolicyError, PolicyLog, PolicyName, PolicyProblem, PolicyWitness};

use super::making::{Mark, Spot, another, is_there};
use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::publishing::{self, protection};
use crate::site::Site;

/// The private folder in a log's folder. It begins with a dot, and web servers are told to leave such alone.
pub(super) const PRIVATE: &str = ".countersign";
/// The folder of the log's key in the private folder, where no other is named.
const KEYS: &str = "keys";
/// File name of the log's key in a keys folder.
const KEY: &str = "log";
/// File that says what the log takes.
const ADMITS: &str = "admits";
/// The file that makes a folder a mirror's, in the private folder.
const MIRROR: &str = "mirror";
/// The published checkpoint, and in the private folder the signed one.
const CHECKPOINT: &str = "checkpoint";
/// Longest checkpoint that is looked at, in bytes.
const MAX_NOTE_BYTES: u64 = 64 * 1024;
/// Folder of the tiles.
const TILES: &str = "tile";

/// A log's folder, its key and its witnesses.
#[derive(Debug, Args)]
pub(crate) struct LocalArgs {
    /// The log's origin, a URL without scheme that is yours; needed at the first start
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Folder of the log's key [default: .countersign/keys in the log's folder; a bucket holds no key]
    ///
    /// The key is made at the first start. Its passphrase is typed, or it is the first line of the file that
    /// COUNTERSIGN_PASSPHRASE_FILE names.
    #[arg(long, value_name = "DIR", conflicts_with = "key")]
    keys: Option<PathBuf>,
    /// The log's key itself: a .key file, or where it is kept, as for `sign --key`
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Keep a new key without a passphrase: for tests, and for machines that no one types at
    #[arg(long)]
    unencrypted: bool,
    /// A witness to ask for cosignatures: its vkey and URL, separated by a space; may be given several times
    #[arg(long, value_name = "'VKEY URL'")]
    witness: Vec<String>,
    /// How many witnesses must cosign before a checkpoint is published [default: all of two, else a majority]
    #[arg(long, value_name = "K", requires = "witness")]
    quorum: Option<usize>,
}

/// What a log takes, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Admit {
    /// TUF metadata of one repository, judged under its logged root chain; the log computes the entries
    Metadata,
    /// Hashed records as Sigstore's clients send them to Rekor v2, whose signature verifies
    Rekor,
    /// Any bytes, and hashed records
    Any,
}

impl Admit {
    const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Rekor => "rekor",
            Self::Any => "any",
        }
    }

    pub(crate) const fn admits(self) -> Admits {
        match self {
            Self::Metadata => Admits::Metadata,
            Self::Rekor => Admits::Rekor,
            Self::Any => Admits::Anything,
        }
    }

    fn of(name: &[u8]) -> Option<Self> {
        Self::value_variants().iter().copied().find(|admit| name == format!("{}\n", admit.name()).as_bytes())
    }
}

impl LocalArgs {
    /// The log's key with its origin. It is in `home` where no other folder is named, and made if it is not there and
    /// the log, which takes `admit`, is new.
    pub(super) fn open_key(
        &self,
        home: Option<&Path>,
        spot: &Spot,
        admit: Admit,
        site: &Site,
    ) -> Result<(LogKey, Option<Mark>), CliError> {
        spot.check_new(self.origin.as_deref(), admit)?;
        let mut passphrases = Passphrases::new(&site.out);
        let Key { origin, signer, mark } = key(self, home, spot, &mut passphrases, site)?;
        let key = LogKey::new(&origin, signer)?;
        if spot.new && admit == Admit::Rekor {
            trust::check(key.verifier())?;
        }
        if let Some(mark) = mark.as_ref().filter(|_| spot.new) {
            mark.keep(spot, None, site);
        }
        Ok((key, mark))
    }

    /// Where the key is, for messages.
    pub(super) fn key_place(&self, home: Option<&Path>) -> String {
        let folder = self.keys.as_deref().or(home).map(|folder| folder.display().to_string());
        self.key.clone().or(folder).unwrap_or_default()
    }

    /// Which witnesses must cosign; `None` without witnesses.
    pub(super) fn policy(&self, key: &LogKey) -> Result<Option<Policy>, CliError> {
        let witnesses = self
            .witness
            .iter()
            .map(|text| publishing::witness(text))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .map(|witness| {
                let name = PolicyName::new(witness.key.name().as_bytes()).ok_or_else(invalid)?;
                let url = Some(PolicyName::new(witness.url.as_bytes()).ok_or_else(invalid)?);
                Ok(PolicyWitness { name, key: witness.key, url })
            })
            .collect::<Result<Vec<_>, PolicyError>>()?;
        let count = witnesses.len();
        if count == 0 {
            return Ok(None);
        }
        // Any two quorums share a witness, and of three or more one may be down.
        let threshold = self.quorum.unwrap_or(if count <= 2 { count } else { count / 2 + 1 });
        let log = PolicyLog { key: key.verifier().clone(), url: None };
        Ok(Some(Policy::k_of_n(vec![log], witnesses, threshold)?))
    }
}

/// A log that is open in this process.
pub(crate) struct LocalLog {
    pub(crate) log: Sequencer,
    pub(crate) public: PathBuf,
    pub(crate) admits: Admit,
    pub(crate) admission: Option<Admission>,
    /// Which witnesses must cosign; `None` without witnesses.
    pub(crate) policy: Option<Policy>,
}

impl LocalLog {
    /// Opens the log in `dir`, making it and its key if they are not there.
    ///
    /// One that is there keeps to what it was made for, and `asked` must be that; a new one takes `asked`, else
    /// `first`.
    pub(crate) fn open(
        dir: &Path,
        args: &LocalArgs,
        asked: Option<Admit>,
        first: Admit,
        site: &Site,
    ) -> Result<Self, CliError> {
        let private = dir.join(PRIVATE);
        if is_there(&private.join(MIRROR)) {
            let what = format!("`{}` is a mirror", dir.display());
            return Err(CliError::new(code::USAGE, what).fix(format!(
                "`countersign serve {}` serves it; a log has a folder of its own",
                dir.display()
            )));
        }
        let spot = spot(dir, &private)?;
        let home = keys_folder(dir);
        let (key, mark) = args.open_key(Some(&home), &spot, asked.unwrap_or(first), site)?;
        let policy = args.policy(&key)?;
        let verifier = key.verifier().clone();
        let log = Sequencer::open(&private, dir, key, site.now).map_err(|error| {
            if matches!(error, LogError::StorageIncomplete(_)) {
                return CliError::from(error).fix(format!(
                    "`countersign log repair {0}` makes it again from what there is\n\
                     `countersign log repair {0} --from MIRROR` has more to take from",
                    dir.display()
                ));
            }
            let note = durable::read(&private.join(CHECKPOINT), MAX_NOTE_BYTES).ok().flatten();
            let key_place = args.key_place(Some(&home));
            another(&dir.display().to_string(), note.as_deref(), &verifier, &key_place, error.into())
        })?;
        if let Some(mark) = mark {
            mark.keep(&spot, Some(log.signed().checkpoint()), site);
        }
        let store = Dir::open(&private)?;
        let admits = settle(&store, ADMITS, &private.join(ADMITS).display().to_string(), asked, first)?;
        let admission = match admits {
            Admit::Metadata => Some(Admission::open(&private, &log, site.now)?),
            _ => None,
        };
        if log.recovered() > 0 {
            site.out.warn(&format!(
                "the log was interrupted; {} entries that it had acknowledged are in it now",
                log.recovered()
            ));
        }
        Ok(Self { log, public: dir.to_owned(), admits, admission, policy })
    }
}

impl LocalLog {
    /// Whether an entry can be whatever somebody wants.
    pub(crate) fn takes_anything(&self) -> bool {
        self.admits == Admit::Any
    }
}

/// Whether there is a log in the folder, and what the folder is called wherever one is.
fn spot(dir: &Path, private: &Path) -> Result<Spot, CliError> {
    let absolute = std::path::absolute(dir).map_err(|error| CliError::reading(dir, &error))?;
    let place = absolute.to_str().map_or_else(|| escape(&absolute.to_string_lossy()), str::to_owned);
    let published = is_there(&dir.join(CHECKPOINT)) || is_there(&dir.join(TILES));
    let signed = is_there(&private.join(CHECKPOINT));
    if published && !signed && !is_there(&keys_folder(dir)) {
        let what = format!("`{}` holds a log whose signed checkpoint is lost", dir.display());
        return Err(LogError::StorageRollback(what).into());
    }
    Ok(Spot { place, new: !published && !signed })
}

/// Where a log's key is, if no other folder is named.
pub(crate) fn keys_folder(dir: &Path) -> PathBuf {
    dir.join(PRIVATE).join(KEYS)
}

/// Connects to the witnesses of a policy.
pub(crate) fn connect(policy: Option<&Policy>) -> Vec<Box<dyn Cosigner>> {
    let witnesses = policy.map_or(&[][..], Policy::witnesses).iter();
    witnesses.map(|witness| -> Box<dyn Cosigner> { publishing::connect(witness) }).collect()
}

fn invalid() -> PolicyError {
    PolicyError::Invalid { line: None, problem: PolicyProblem::NameInvalid }
}

/// What the log takes: said when it is made, and the same ever after. Where entries of another kind could come in, what
/// is read back from them would not be what was judged.
///
/// It stands in the object `name`, which people know as `place`.
pub(super) fn settle(
    store: &dyn Objects,
    name: &str,
    place: &str,
    asked: Option<Admit>,
    first: Admit,
) -> Result<Admit, CliError> {
    if store.get(name)?.is_none() {
        let first = asked.unwrap_or(first);
        match store.put_if_absent(name, format!("{}\n", first.name()).as_bytes()) {
            Ok(_) => return Ok(first),
            // Another process has just made the log for something else.
            Err(StoreError::Different { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let found = store.get(name)?.and_then(|bytes| Admit::of(&bytes));
    let found = found.ok_or_else(|| {
        CliError::new(code::LOG_STORAGE_CORRUPT, format!("`{place}` does not say what the log takes"))
    })?;
    match asked {
        Some(asked) if asked != found => Err(CliError::new(
            code::USAGE,
            format!("the log was made for --admit {}, and a log keeps to that", found.name()),
        )
        .fix("leave --admit out, or name another place for another log")),
        _ => Ok(found),
    }
}

/// A log's key, ready to sign.
struct Key {
    origin: String,
    signer: Box<dyn Signer>,
    /// Where it is written down which log is the key's; none where the key is elsewhere.
    mark: Option<Mark>,
}

/// The log's key, made at the first start.
fn key(
    args: &LocalArgs,
    home: Option<&Path>,
    spot: &Spot,
    passphrases: &mut Passphrases,
    site: &Site,
) -> Result<Key, CliError> {
    let check = |mark: &Mark| if spot.new { mark.check_new(spot) } else { Ok(()) };
    if let Some(text) = &args.key {
        let named = KeyRef::parse(text)?;
        let mark = match &named {
            KeyRef::Described { dir, name } => Some(Mark::new(dir, name.as_str())),
            KeyRef::Elsewhere(_) => None,
        };
        mark.as_ref().map_or(Ok(()), check)?;
        let opened = named.open(passphrases.asker(), site.now);
        let opened = opened.map_err(|error| passphrases.advise(error.into()))?;
        let holder = opened.info.filter(|info| info.stage == Stage::Log).map(|info| info.holder);
        let origin = args.origin.clone().or(holder).ok_or_else(nameless)?;
        return Ok(Key { origin, signer: opened.signer, mark });
    }
    let folder = args.keys.as_deref().or(home).ok_or_else(|| {
        CliError::new(code::USAGE, "where is the log's key? A bucket holds none")
            .fix("name its folder with --keys, the same key on each machine; or the key itself with --key")
    })?;
    if !spot.new && !folder.is_dir() {
        let what = format!("there is a log, and there is no folder {} with its key", folder.display());
        return Err(CliError::new(code::USAGE, what)
            .fix("copy the key from where the log was made, or name it with --keys or --key"));
    }
    let keys = if spot.new { KeyDir::open_or_create(folder)? } else { KeyDir::open(folder)? };
    let found = keys.list()?.into_iter().find(|key| key.stage == Stage::Log);
    let info = match found {
        Some(info) => {
            if args.origin.as_ref().is_some_and(|origin| *origin != info.holder) {
                let what = format!("the log with the key in {} is called {}", folder.display(), info.holder);
                return Err(CliError::new(code::USAGE, what)
                    .fix("leave --origin out, or name another place and key for another log"));
            }
            check(&Mark::new(folder, info.name.as_str()))?;
            info
        }
        None if !spot.new => {
            let what = format!("there is a log, and its key is not in {}", folder.display());
            return Err(CliError::new(code::USAGE, what)
                .fix("copy the key from where the log was made, or name it with --key"));
        }
        None => make_key(args, &keys, passphrases, site)?,
    };
    let signer = keys.signer(&info, passphrases.asker(), site.now);
    let signer = signer.map_err(|error| passphrases.advise(error.into()))?;
    let mark = Some(Mark::new(folder, info.name.as_str()));
    Ok(Key { origin: info.holder, signer, mark })
}

fn make_key(
    args: &LocalArgs,
    keys: &KeyDir,
    passphrases: &mut Passphrases,
    site: &Site,
) -> Result<KeyInfo, CliError> {
    let origin = args.origin.as_deref().ok_or_else(nameless)?;
    let passphrase = if args.unencrypted { None } else { Some(passphrases.create()?) };
    let new = NewKey {
        name: KEY,
        stage: Stage::Log,
        product: None,
        holder: origin,
        algorithm: Algorithm::Ed25519,
        expires: None,
        cadence_days: None,
    };
    Ok(keys.create(&new, site.now, protection(passphrase.as_ref()))?)
}

fn nameless() -> CliError {
    CliError::new(code::USAGE, "what is the log's origin? Its key does not say so")
        .fix("--origin log.example.com, a URL without scheme that is yours")
}
