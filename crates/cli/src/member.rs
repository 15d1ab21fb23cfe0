//! Someone who may sign, as the command line names them: a `.pub` file, or a public key with its holder's name.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use countersign_base::json;
use countersign_base::{Json, code};
use countersign_crypto::PublicKey;
use countersign_keys::KeyDir;
use countersign_publish::proposal::Member;

use crate::error::CliError;

/// Most bytes of a `.pub` file; that of an ML-DSA-65 key is the longest.
const MAX_PUB_BYTES: u64 = 16 * 1024;
/// What the file of the second key of a hybrid pair is named like.
const PAIR_SUFFIX: &str = "-pq";

/// What is read of a `.pub` file.
pub(crate) struct PublicFile {
    pub(crate) key: PublicKey,
    pub(crate) holder: Option<String>,
}

/// `alice.pub`, `alice=ed25519:HEX` or `alice=ed25519:HEX+ml-dsa-44:HEX`. Of a hybrid pair, one `.pub` file brings the
/// other with it, `alice-pq.pub` beside it.
pub(crate) fn parse(text: &str) -> Result<Member, CliError> {
    if let Some((holder, keys)) = text.split_once('=').filter(|_| !Path::new(text).exists()) {
        let (key, pair) = match keys.split_once('+') {
            Some((key, pair)) => (key, Some(pair.parse::<PublicKey>()?)),
            None => (keys, None),
        };
        return Ok(Member { key: key.parse::<PublicKey>()?, pair, holder: holder.to_owned() });
    }
    if text.contains(':') && !Path::new(text).exists() {
        return Err(CliError::new(code::USAGE, "a public key needs its holder's name: HOLDER=KEY")
            .fix("name whose key it is, so that people can be told from keys; or give its .pub file"));
    }
    let path = Path::new(text);
    let PublicFile { key, holder } = read(path)?;
    let holder = holder.ok_or_else(|| malformed(path))?;
    let second =
        path.file_stem().and_then(|stem| stem.to_str()).map(|stem| format!("{stem}{PAIR_SUFFIX}.pub"));
    let second = second.map(|name| path.with_file_name(name)).filter(|second| second.exists());
    let pair = second.map(|second| read(&second)).transpose()?;
    if pair.as_ref().is_some_and(|pair| pair.holder.as_ref() != Some(&holder)) {
        let what = format!("{} has a second key beside it that is not of the same holder", path.display());
        return Err(CliError::new(code::KEY_MALFORMED, what));
    }
    let member = Member { key, pair: pair.map(|pair| pair.key), holder };
    // What is known beside the file: a key that was revoked must not come back unremarked.
    unmarked(member, &KeyDir::open(folder_of(path))?)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// The public key alone of one that comes: as text, or from its `.pub` file, whose folder must not have marked it.
pub(crate) fn new_key(text: &str) -> Result<PublicKey, CliError> {
    let key = public_key(text)?;
    if Path::new(text).exists() {
        KeyDir::open(folder_of(Path::new(text)))?.check_unmarked(&key)?;
    }
    Ok(key)
}

/// A public key alone: as text, or from its `.pub` file.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, CliError> {
    if text.contains(':') && !Path::new(text).exists() {
        return Ok(text.parse::<PublicKey>()?);
    }
    Ok(read(Path::new(text))?.key)
}

/// A key by its name in a keys folder, else as [`parse`] reads it. The folder must not have marked it.
pub(crate) fn in_folder(text: &str, dir: &KeyDir) -> Result<Member, CliError> {
    let Some(info) = dir.list()?.into_iter().find(|info| info.name.as_str() == text) else {
        return unmarked(parse(text)?, dir);
    };
    let pair = dir.find_pair(&info)?;
    unmarked(Member { key: info.public, pair: pair.map(|pair| pair.public), holder: info.holder }, dir)
}

/// The member, unless the folder says that a key of theirs was retired or revoked.
fn unmarked(member: Member, dir: &KeyDir) -> Result<Member, CliError> {
    for key in std::iter::once(&member.key).chain(&member.pair) {
        dir.check_unmarked(key)?;
    }
    Ok(member)
}

/// A short name for a file or key, to name a folder after.
pub(crate) fn label(text: &str) -> String {
    let stem =
        Path::new(text).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let plain =
        |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    stem.chars().take(40).map(plain).collect()
}

/// Reads a `.pub` file.
fn read(path: &Path) -> Result<PublicFile, CliError> {
    let reading = |error| CliError::reading(path, &error);
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_PUB_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(reading)?;
    if bytes.len() as u64 > MAX_PUB_BYTES {
        return Err(malformed(path));
    }
    let value = json::parse(&bytes).map_err(|_| malformed(path))?;
    let text = |member| value.get(member).and_then(Json::as_str);
    let key = text("public").ok_or_else(|| malformed(path))?.parse::<PublicKey>()?;
    Ok(PublicFile { key, holder: text("holder").map(str::to_owned) })
}

fn malformed(path: &Path) -> CliError {
    CliError::new(code::KEY_MALFORMED, format!("{} is not the .pub file of a key", path.display()))
}
