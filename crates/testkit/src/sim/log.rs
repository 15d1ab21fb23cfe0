//! A transparency log in memory, written from the specifications and not from the code under test.
//!
//! It signs whatever it is told to: forks, shrunken trees, proofs of other leaves. RFC 6962 section 2.1, C2SP
//! tlog-tiles, tlog-checkpoint, tlog-cosignature, tlog-proof.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::{Algorithm, SecretKey, sha256};

/// A log's entries and nothing else; keys are given when something is signed.
#[derive(Debug, Clone, Default)]
pub struct SimLog {
    /// The origin line.
    pub origin: String,
    /// The entries, in order.
    pub entries: Vec<Vec<u8>>,
}

/// A key that signs notes, with its name.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The key name: a log's origin, or a witness's name.
    pub name: &'a str,
    /// The secret key, Ed25519; a witness's may be ML-DSA-44.
    pub key: &'a SecretKey,
}

/// A `.tlog-proof` file in parts, each as text for a test to edit.
#[derive(Debug, Clone)]
pub struct ProofFile {
    /// The first line.
    pub header: String,
    /// The data of the `extra` line, base64; no line without it.
    pub extra: Option<String>,
    /// The index.
    pub index: String,
    /// The hashes, base64.
    pub hashes: Vec<String>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl ProofFile {
    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        let extra = self.extra.as_ref().map_or_else(String::new, |extra| format!("extra {extra}\n"));
        let hashes: String = self.hashes.iter().map(|hash| format!("{hash}\n")).collect();
        let Self { header, index, checkpoint, .. } = self;
        format!("{header}\n{extra}index {index}\n{hashes}\n{checkpoint}").into_bytes()
    }

    /// Puts other hashes in place of the inclusion proof.
    pub fn set_hashes(&mut self, hashes: &[Sha256Digest]) {
        self.hashes = hashes.iter().map(|hash| STANDARD.encode(hash.as_bytes())).collect();
    }

    /// Puts another entry in place of the logged one.
    pub fn set_entry(&mut self, entry: &[u8]) {
        self.extra = Some(STANDARD.encode(entry));
    }
}

/// A signature line of a note, made of any bytes: name and key id are only claims.
pub fn signature_line(name: &str, key_id: [u8; 4], signature: &[u8]) -> String {
    let bytes = [&key_id[..], signature].concat();
    format!("\u{2014} {name} {}\n", STANDARD.encode(bytes))
}

impl Named<'_> {
    /// The vkey: signature type 0x01 for a log, 0x04 for a witness, 0x06 for one with ML-DSA-44.
    pub fn vkey(&self, kind: u8) -> String {
        let id = hex::encode(self.key_id(kind));
        let mut bytes = vec![kind];
        bytes.extend(self.key.public_key().as_raw());
        format!("{}+{id}+{}", self.name, STANDARD.encode(bytes))
    }

    /// The key id that signature lines carry.
    pub fn key_id(&self, kind: u8) -> [u8; 4] {
        let mut input = self.name.as_bytes().to_vec();
        input.extend([b'\n', kind]);
        input.extend(self.key.public_key().as_raw());
        let digest = sha256(&input);
        let [a, b, c, d, ..] = *digest.as_bytes();
        [a, b, c, d]
    }

    /// A signature line under this key's name and id, whatever the signature.
    pub fn line(&self, kind: u8, signature: &[u8]) -> String {
        signature_line(self.name, self.key_id(kind), signature)
    }

    /// A signature by this key.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message).expect("an Ed25519 or ML-DSA key signs")
    }

    /// The log's own signature line under a note text.
    pub fn log_line(&self, text: &str) -> String {
        self.line(1, &self.sign(text.as_bytes()))
    }

    /// A witness's cosignature line under a note text.
    pub fn cosignature_line(&self, text: &str, time: Timestamp) -> String {
        self.cosignature_line_at(text, time.as_unix())
    }

    /// The same, dated with any number.
    pub fn cosignature_line_at(&self, text: &str, seconds: u64) -> String {
        if self.key.public_key().algorithm() == Algorithm::MlDsa44 {
            let mut lines = text.lines();
            let mut line = || lines.next().expect("a checkpoint has three lines");
            let (origin, size, root) = (line(), line(), line());
            let size = size.parse().expect("a size is a number");
            let root = STANDARD.decode(root).expect("a root is base64");
            return self.subtree_line(origin, (0, size), &root, seconds);
        }
        let signed = self.sign(format!("cosignature/v1\ntime {seconds}\n{text}").as_bytes());
        self.line(4, &[&seconds.to_be_bytes()[..], &signed].concat())
    }

    /// An ML-DSA-44 cosignature line of the leaves from `start` to `end`.
    pub fn subtree_line(&self, origin: &str, (start, end): (u64, u64), root: &[u8], seconds: u64) -> String {
        let opaque = |text: &str| {
            let length = u8::try_from(text.len()).expect("a name has at most 255 bytes");
            [&[length], text.as_bytes()].concat()
        };
        let message = [
            b"subtree/v1\n\0",
            &opaque(self.name)[..],
            &seconds.to_be_bytes(),
            &opaque(origin),
            &start.to_be_bytes(),
            &end.to_be_bytes(),
            root,
        ]
        .concat();
        self.line(6, &[&seconds.to_be_bytes()[..], &self.sign(&message)].concat())
    }
}

impl SimLog {
    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The root hash of the first `size` entries.
    pub fn root(&self, size: u64) -> Sha256Digest {
        tree_hash(&self.leaves()[..index(size)])
    }

    /// The checkpoint text of the first `size` entries.
    pub fn text(&self, size: u64) -> String {
        format!("{}\n{size}\n{}\n", self.origin, STANDARD.encode(self.root(size).as_bytes()))
    }

    /// A checkpoint of `size`, signed by `log` and cosigned by `witnesses` at `time`.
    pub fn checkpoint(&self, size: u64, log: Named<'_>, witnesses: &[Named<'_>], time: Timestamp) -> String {
        let text = self.text(size);
        let cosignatures: String =
            witnesses.iter().map(|witness| witness.cosignature_line(&text, time)).collect();
        format!("{text}\n{}{cosignatures}", log.log_line(&text))
    }

    /// A `.tlog-proof` of the entry at `at` in the tree of `size`, with the given signed checkpoint.
    pub fn proof(&self, at: u64, size: u64, checkpoint: &str) -> Vec<u8> {
        self.proof_file(at, size, checkpoint).encode()
    }

    /// The same in parts.
    pub fn proof_file(&self, at: u64, size: u64, checkpoint: &str) -> ProofFile {
        let mut file = ProofFile {
            header: "c2sp.org/tlog-proof@v1".to_owned(),
            extra: None,
            index: at.to_string(),
            hashes: Vec::new(),
            checkpoint: checkpoint.to_owned(),
        };
        file.set_entry(&self.entries[index(at)]);
        file.set_hashes(&self.inclusion(at, size));
        file
    }

    /// The hashes of the inclusion proof of the entry at `at` in the tree of `size`.
    pub fn inclusion(&self, at: u64, size: u64) -> Vec<Sha256Digest> {
        inclusion(index(at), &self.leaves()[..index(size)])
    }

    /// The hashes of the consistency proof from the tree of `old` to that of `new`.
    pub fn consistency(&self, old: u64, new: u64) -> Vec<Sha256Digest> {
        consistency(index(old), &self.leaves()[..index(new)], true)
    }

    /// Every tile and entry bundle of the tree of `size`, by path below `log/`.
    pub fn tiles(&self, size: u64) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for (number, bundle) in self.entries[..index(size)].chunks(256).enumerate() {
            let mut bytes = Vec::new();
            for entry in bundle {
                let length = u16::try_from(entry.len()).expect("an entry fits in a bundle");
                bytes.extend(length.to_be_bytes());
                bytes.extend(entry);
            }
            files.insert(tile_path("entries", number, bundle.len()), bytes);
        }
        let mut hashes = self.leaves();
        hashes.truncate(index(size));
        for level in 0.. {
            if hashes.is_empty() {
                break;
            }
            for (number, tile) in hashes.chunks(256).enumerate() {
                let bytes = tile.iter().flat_map(|hash| *hash.as_bytes()).collect();
                files.insert(tile_path(&level.to_string(), number, tile.len()), bytes);
            }
            hashes = hashes.chunks_exact(256).map(tree_hash).collect();
        }
        files
    }

    fn leaves(&self) -> Vec<Sha256Digest> {
        self.entries.iter().map(|entry| leaf_hash(entry)).collect()
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("a simulated log fits in memory")
}

fn tile_path(level: &str, number: usize, width: usize) -> String {
    assert!(number < 1000, "a simulated log has few tiles");
    let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
    format!("tile/{level}/{number:03}{partial}")
}

/// Standard base64 with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of a signature line after the key id.
///
/// # Panics
/// If it is none.
pub fn signature_of(line: &str) -> Vec<u8> {
    let (_, text) = line.trim_end().rsplit_once(' ').expect("a signature line has spaces");
    let bytes = STANDARD.decode(text).expect("a signature is base64");
    bytes[4..].to_vec()
}

/// RFC 6962: SHA-256(0x00 || entry).
pub fn leaf_hash(entry: &[u8]) -> Sha256Digest {
    sha256(&[&[0], entry].concat())
}

/// RFC 6962: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Sha256Digest, right: &Sha256Digest) -> Sha256Digest {
    sha256(&[&[1][..], left.as_bytes(), right.as_bytes()].concat())
}

/// RFC 6962 MTH, by its definition.
fn tree_hash(leaves: &[Sha256Digest]) -> Sha256Digest {
    match leaves {
        [] => sha256(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&tree_hash(left), &tree_hash(right))
        }
    }
}

/// RFC 6962 PATH, by its definition.
fn inclusion(at: usize, leaves: &[Sha256Digest]) -> Vec<Sha256Digest> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut path, sibling) =
        if at < middle { (inclusion(at, left), right) } else { (inclusion(at - middle, right), left) };
    path.push(tree_hash(sibling));
    path
}

/// RFC 6962 SUBPROOF, by its definition.
fn consistency(old: usize, leaves: &[Sha256Digest], whole: bool) -> Vec<Sha256Digest> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![tree_hash(leaves)] };
    }
    if old == 0 {
        return Vec::new();
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut path, sibling) = if old <= middle {
        (consistency(old, left, whole), right)
    } else {
        (consistency(old - middle, right, false), left)
    };
    path.push(tree_hash(sibling));
    path
}

/// The largest power of two smaller than `count`.
fn split(count: usize) -> usize {
    let mut power = 1;
    while power * 2 < count {
        power *= 2;
    }
    power
}
