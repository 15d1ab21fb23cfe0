//! A Bloom filter of fixed size, whose bits for one hash lie in one word: one step in memory for each hash.

use core::sync::atomic::{AtomicU64, Ordering};

use countersign_tlog::merkle::Hash;

/// 32 MiB: at ten million entries one new entry in some hundred is looked for in vain, at a hundred million
/// every other.
const WORDS: usize = 1 << 22;
/// Bits set for a hash, each by 6 bits of it.
const BITS: u32 = 4;

#[derive(Debug)]
pub(super) struct Filter {
    words: Vec<AtomicU64>,
}

impl Filter {
    pub(super) fn new() -> Self {
        Self { words: (0..WORDS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn add(&self, leaf: &Hash) {
        let (word, bits) = place(leaf);
        if let Some(word) = self.words.get(word) {
            word.fetch_or(bits, Ordering::Relaxed);
        }
    }

    /// Whether it may have been added; never `false` for one that was, and was seen to be.
    pub(super) fn may_have(&self, leaf: &Hash) -> bool {
        let (word, bits) = place(leaf);
        self.words.get(word).is_some_and(|word| word.load(Ordering::Relaxed) & bits == bits)
    }
}

/// The word for a hash and the bits in it.
fn place(leaf: &Hash) -> (usize, u64) {
    let part = |at: usize| {
        leaf.0.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |part| u64::from_be_bytes(*part))
    };
    // The first bytes order the runs; these are others, so that a run's neighbours are spread.
    let (word, chosen) = (part(8) as usize % WORDS, part(16));
    (word, (0..BITS).fold(0, |bits, n| bits | 1 << (chosen >> (6 * n) & 63)))
}

#[cfg(test)]
mod tests {
    use countersign_tlog::merkle::leaf_hash;

    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let filter = Filter::new();
        let leaf = |number: u32| leaf_hash(&number.to_be_bytes());
        (0..100_000).for_each(|number| filter.add(&leaf(number)));
        assert!((0..100_000).all(|number| filter.may_have(&leaf(number))));
        let false_ones = (100_000..200_000).filter(|number| filter.may_have(&leaf(*number))).count();
        assert!(false_ones < 20, "{false_ones}");
    }
}
