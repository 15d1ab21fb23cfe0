//! Reading a log that is not trusted: each checkpoint and each hash is verified before it is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use countersign_base::text::escape;
use countersign_base::{Timestamp, code};
use countersign_keys::{KeyDir, Stage};
use countersign_log::Source;
use countersign_store::durable;
use countersign_tlog::merkle::{Hash, leaf_hash, verify_inclusion};
use countersign_tlog::note::MAX_NOTE_BYTES;
use countersign_tlog::policy::{MAX_POLICY_BYTES, Policy};
use countersign_tlog::proof::TlogProof;
use countersign_tlog::tile::{
    BundleId, MAX_BUNDLE_BYTES, MAX_TILE_BYTES, TILE_WIDTH, TileId, TileSet, decode_bundle,
    needed_for_inclusion,
};
use countersign_tlog::{SignedCheckpoint, VerifierKey};

use super::local::keys_folder;
use super::mirror::Belief;
use super::sigstore::vkey;
use super::source::{is_url, source};
use crate::error::CliError;
use crate::site::Site;

/// File name of the checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// A log, and what its checkpoints must meet.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The log: its URL, s3://BUCKET/PREFIX, or its folder
    #[arg(value_name = "LOG")]
    pub(super) log: String,
    /// The log's key; for a log's folder, the key that is kept with it
    #[arg(long, value_name = "VKEY", conflicts_with = "policy")]
    vkey: Option<String>,
    /// A file with the logs and witnesses to believe, as C2SP tlog-policy; then checkpoints must meet its quorum
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl LogArgs {
    /// The log's folder, if it is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        folder(&self.log)
    }
}

/// The folder that a log is named by, if it is one.
fn folder(log: &str) -> Option<&Path> {
    (!is_url(log)).then(|| Path::new(log))
}

/// A log that can be asked.
pub(super) struct Reader {
    /// As it was named.
    place: String,
    source: Box<dyn Source>,
    belief: Belief,
    now: Timestamp,
}

/// A checkpoint that was verified.
pub(super) struct Head {
    pub(super) signed: SignedCheckpoint,
    /// Witnesses that counted.
    pub(super) witnesses: Vec<String>,
}

impl Head {
    pub(super) fn size(&self) -> u64 {
        self.signed.checkpoint().size()
    }
}

/// That a leaf is in a tree.
pub(super) struct Inclusion {
    pub(super) index: u64,
    pub(super) leaf: Hash,
    path: Vec<Hash>,
}

impl Inclusion {
    /// The proof with its checkpoint, as a file.
    pub(super) fn proof(&self, head: &Head) -> TlogProof {
        TlogProof {
            extra: None,
            index: self.index,
            hashes: self.path.clone(),
            checkpoint: head.signed.encode(),
        }
    }
}

impl Reader {
    pub(super) fn open(args: &LogArgs, site: &Site) -> Result<Self, CliError> {
        Self::knowing(args, || kept_key(&args.log), site)
    }

    /// The same for whoever has the log's `own` key, which is believed where no other and no policy is named.
    pub(super) fn knowing(
        args: &LogArgs,
        own: impl FnOnce() -> Result<VerifierKey, CliError>,
        site: &Site,
    ) -> Result<Self, CliError> {
        let belief = match (&args.vkey, &args.policy) {
            (Some(text), _) => Belief::Keys(vec![vkey(text)?]),
            (None, Some(path)) => Belief::Policy(read_policy(path)?),
            (None, None) => Belief::Keys(vec![own()?]),
        };
        Ok(Self { place: escape(&args.log), source: source(&args.log)?, belief, now: site.now })
    }

    /// The log's newest checkpoint.
    pub(super) fn head(&self) -> Result<Head, CliError> {
        let note = self.source.fetch(CHECKPOINT, MAX_NOTE_BYTES as u64)?;
        let note = note.ok_or_else(|| {
            let what = format!("`{}` has no checkpoint", self.place);
            CliError::new(code::FETCH_NOT_FOUND, what)
                .fix("nothing was published there yet, or the log is somewhere else")
        })?;
        let trusted = self.belief.trust(self.now).open(&note)?;
        Ok(Head { signed: trusted.signed().clone(), witnesses: trusted.witnesses().to_vec() })
    }

    /// The leaf with this index, and the proof that it is in the tree.
    pub(super) fn prove(&self, head: &Head, index: u64) -> Result<Inclusion, CliError> {
        let checkpoint = head.signed.checkpoint();
        let size = checkpoint.size();
        if index >= size {
            let newest = match size.checked_sub(1) {
                Some(newest) => format!("the newest published entry is {newest}"),
                None => "no entry is published yet".to_owned(),
            };
            return Err(CliError::new(code::USAGE, format!("entry {index} is not published: {newest}"))
                .fix("newer ones wait for witnesses: try again in a minute"));
        }
        let mut tiles = BTreeMap::new();
        for id in needed_for_inclusion(index, size)? {
            tiles.insert(id, self.tile(id)?);
        }
        let set = TileSet::verified(size, checkpoint.root(), &tiles)?;
        let (leaf, path) = (set.leaf(index)?, set.inclusion_proof(index, size)?);
        verify_inclusion(index, size, &leaf, checkpoint.root(), &path)?;
        Ok(Inclusion { index, leaf, path })
    }

    /// The first index of a leaf, from the tiles of leaf hashes. Nothing is believed of them: the index is proven later.
    pub(super) fn find(&self, head: &Head, leaf: &Hash) -> Result<Option<u64>, CliError> {
        let size = head.size();
        for number in 0..size.div_ceil(u64::from(TILE_WIDTH)) {
            let Some(id) = TileId::at(0, number, size) else { break };
            let tile = self.tile(id)?;
            let place = tile.chunks_exact(Hash::LEN).position(|hash| hash == leaf.as_bytes());
            if let Some(place) = place {
                return Ok(Some(number * u64::from(TILE_WIDTH) + place as u64));
            }
        }
        Ok(None)
    }

    /// The bytes of an entry whose leaf was proven.
    pub(super) fn entry(&self, head: &Head, inclusion: &Inclusion) -> Result<Vec<u8>, CliError> {
        let width = u64::from(TILE_WIDTH);
        let (number, place) = (inclusion.index / width, (inclusion.index % width) as usize);
        let missing = || {
            let what = format!("entry {} is not in its bundle", inclusion.index);
            CliError::new(code::LOG_TILE_MISMATCH, what)
        };
        let id = BundleId::at(number, head.size()).ok_or_else(missing)?;
        let get = |id: BundleId| self.source.fetch(&id.path(), MAX_BUNDLE_BYTES as u64);
        let (id, bytes) = match get(id)? {
            None if !id.is_full() => (id.full(), get(id.full())?),
            found => (id, found),
        };
        let bytes = bytes.ok_or_else(|| lacking(id))?;
        let entry = decode_bundle(id, &bytes)?.get(place).map(|entry| entry.to_vec()).ok_or_else(missing)?;
        if leaf_hash(&entry) == inclusion.leaf { Ok(entry) } else { Err(missing()) }
    }

    /// One tile; where a partial one is gone because the full one exists, the beginning of that.
    fn tile(&self, id: TileId) -> Result<Vec<u8>, CliError> {
        let get = |id: TileId| self.source.fetch(&id.path(), MAX_TILE_BYTES as u64);
        let bytes = match get(id)? {
            None if !id.is_full() => get(id.full())?.map(|mut bytes| {
                bytes.truncate(usize::from(id.width()) * Hash::LEN);
                bytes
            }),
            found => found,
        };
        bytes.ok_or_else(|| lacking(id))
    }
}

fn lacking(file: impl core::fmt::Display) -> CliError {
    CliError::new(code::LOG_TILE_MISSING, format!("the log does not have `{file}`"))
}

pub(super) fn read_policy(path: &Path) -> Result<Policy, CliError> {
    let bytes = durable::read(path, MAX_POLICY_BYTES as u64)?;
    let bytes = bytes.ok_or_else(|| {
        CliError::new(code::FILE_NOT_FOUND, format!("there is no file `{}`", path.display()))
    })?;
    Ok(Policy::parse(&bytes)?)
}

/// The key in a log's folder: for whoever runs the log.
pub(super) fn kept_key(log: &str) -> Result<VerifierKey, CliError> {
    let unknown = || {
        CliError::new(code::USAGE, format!("whose checkpoints are to be believed of `{}`?", escape(log)))
            .fix("name the log's key with --vkey, as `log serve` prints it, or a policy with --policy")
    };
    let folder = folder(log).map(keys_folder).filter(|folder| folder.is_dir()).ok_or_else(unknown)?;
    let info = KeyDir::open(&folder)?.list()?.into_iter().find(|key| key.stage == Stage::Log);
    let info = info.ok_or_else(unknown)?;
    Ok(VerifierKey::for_log(&info.holder, &info.public)?)
}
