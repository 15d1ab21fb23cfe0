//! Escrow: the secret of a key file as n shares, any k of which give it back, and fewer nothing.
//!
//! The secret's 32 bytes are shared byte by byte over GF(256) (Shamir 1979; crate `blahaj`). Each share is a text of
//! its own ([`Share`]). It lists the SHA-256 of every share of its set, so that one which was changed is known by
//! itself or by its neighbours, before any secret is put together. A digest gives nothing away: what it is of are 32
//! uniformly random bytes, and the public key beside it already lets anybody check a guess.
//!
//! Shares of an older splitting are good shares and give the key. The keys directory knows the newest one
//! ([`Escrowed`]) and takes no other back, so that old papers are noticed; elsewhere they work. Whoever wants them to
//! be worth nothing rotates the key.

mod record;
mod share;

use std::collections::BTreeMap;

use blahaj::Sharks;
use countersign_base::Sha256Digest;
use countersign_crypto::{SEED_BYTES, SecretKey};
use zeroize::Zeroizing;

use crate::ask::Asker;
use crate::dir::KeyDir;
use crate::error::KeysError;
use crate::info::KeyInfo;
use crate::passphrase::Protection;
use crate::place::Place;

pub use record::Escrowed;
pub use share::{MAX_SHARE_BYTES, Share};

/// Most shares of one key.
pub const MAX_SHARES: u8 = 16;
/// Fewest shares that recover one: with 1, each share would be the secret.
pub const MIN_NEEDED: u8 = 2;

/// What shares gave back. `Debug` shows no secret.
#[derive(Debug)]
pub struct Recovered {
    /// What is known about the key.
    pub info: KeyInfo,
    /// The key; its public half is that of `info`.
    pub key: SecretKey,
}

impl KeyDir {
    /// Splits the secret of a key file into `count` shares, of which `needed` recover it. From then on this directory
    /// takes back no share of an older splitting.
    ///
    /// # Errors
    /// `usage` for other numbers than 2 <= `needed` <= `count` <= [`MAX_SHARES`], or a key that is not in a file; else
    /// as [`KeyDir::signer`], though an expired key can be split.
    pub fn split(
        &self,
        info: &KeyInfo,
        ask: &mut dyn Asker,
        needed: u8,
        count: u8,
    ) -> Result<Vec<Share>, KeysError> {
        check_numbers(needed, count)?;
        if info.place != Place::File {
            let need = "only the secret of a key file can be split";
            return Err(KeysError::NotAFile { name: info.name.clone(), need });
        }
        let shares = split(info, &self.secret(info, ask)?, needed, count)?;
        if let Some(first) = shares.first() {
            self.note_escrow(first)?;
        }
        Ok(shares)
    }

    /// Puts a key together from its shares and stores it: `NAME.key`, and `NAME.pub` unless that is there and says the
    /// same.
    ///
    /// # Errors
    /// As [`recover`]; `key-exists` if there is a secret, or another public key, of that name; `key-storage-failed`.
    pub fn recover(&self, shares: &[Share], protection: Protection<'_>) -> Result<KeyInfo, KeysError> {
        let Recovered { info, key } = recover(shares)?;
        if let Some(newest) = self.escrowed(&info)?
            && let Some(older) = shares.iter().find(|share| share.set_id() != newest.set)
        {
            let reason =
                "the key was split anew since; if the newer shares are lost, recover it into another folder";
            return Err(older.invalid(reason));
        }
        self.restore(&info, &key, protection)?;
        Ok(info)
    }
}

/// Splits a secret, with fresh randomness: two splittings of one key share nothing.
///
/// # Errors
/// `usage` for other numbers than 2 <= `needed` <= `count` <= [`MAX_SHARES`].
pub fn split(info: &KeyInfo, key: &SecretKey, needed: u8, count: u8) -> Result<Vec<Share>, KeysError> {
    check_numbers(needed, count)?;
    let seed = key.seed();
    let mut values = Vec::with_capacity(count.into());
    for dealt in Sharks(needed).dealer(seed.as_ref()).take(count.into()) {
        let bytes = Zeroizing::new(Vec::from(&dealt));
        let mut value = Zeroizing::new([0; SEED_BYTES]);
        // Index first, then a byte for each byte of the secret.
        let (_, rest) =
            bytes.split_first().filter(|(_, rest)| rest.len() == SEED_BYTES).ok_or_else(|| {
                KeysError::Share { share: info.name.to_string(), reason: "it could not be made".to_owned() }
            })?;
        value.copy_from_slice(rest);
        values.push(value);
    }
    Ok(Share::set(info, needed, values))
}

/// The key that these shares make.
///
/// # Errors
/// `key-share-invalid`, naming the share: one of another set than most, or given twice; or the set does not give the
/// key that it names. `key-share-threshold` for too few.
pub fn recover(shares: &[Share]) -> Result<Recovered, KeysError> {
    let set = leading_set(shares).ok_or(KeysError::NoShares)?;
    let mut chosen: BTreeMap<u8, &Share> = BTreeMap::new();
    for share in shares {
        if share.set_id() != set {
            return Err(share.invalid("it is of another set than the others"));
        }
        if chosen.insert(share.index(), share).is_some() {
            return Err(share.invalid("it was given twice"));
        }
    }
    let Some(first) = chosen.values().next() else { return Err(KeysError::NoShares) };
    let (info, needed) = (first.info(), first.needed());
    if chosen.len() < usize::from(needed) {
        let name = info.name.clone();
        return Err(KeysError::ShareThreshold { name, have: chosen.len(), need: needed.into() });
    }
    // All that are left passed: each is the one that the set lists, so k of them are as good as all.
    let points: Vec<blahaj::Share> = chosen.values().filter_map(|share| share.point()).collect();
    let wrong = || first.invalid("its set does not give the key that it names, so all of the set is forged");
    let secret = Zeroizing::new(Sharks(needed).recover(&points).map_err(|_| wrong())?);
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    if secret.len() != SEED_BYTES {
        return Err(wrong());
    }
    seed.copy_from_slice(&secret);
    let key = SecretKey::from_seed(info.public.algorithm(), &seed).map_err(|_| wrong())?;
    if *key.public_key() != info.public {
        return Err(wrong());
    }
    Ok(Recovered { info: info.clone(), key })
}

/// The set that most shares are of; among equals the first that was given.
fn leading_set(shares: &[Share]) -> Option<Sha256Digest> {
    let votes = |set: Sha256Digest| shares.iter().filter(|share| share.set_id() == set).count();
    let mut best: Option<(Sha256Digest, usize)> = None;
    for share in shares {
        let count = votes(share.set_id());
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((share.set_id(), count));
        }
    }
    best.map(|(set, _)| set)
}

fn check_numbers(needed: u8, count: u8) -> Result<(), KeysError> {
    if (MIN_NEEDED..=count).contains(&needed) && count <= MAX_SHARES {
        return Ok(());
    }
    Err(KeysError::ShareNumbers { limit: MAX_SHARES })
}
