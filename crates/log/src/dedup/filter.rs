//! A Bloom filter of fixed size, whose bits for one hash lie in one cache line.

use core::sync::atomic::{AtomicU64, Ordering};

use countersign_tlog::merkle::Hash;

/// 32 MiB: at ten million entries one new entry in ten thousand is looked for in vain; at a hundred million one in three.
const BLOCKS: usize = 1 << 19;
/// Words of 64 bits in a block.
const WORDS: usize = 8;
/// Bits set for a hash, each by 9 bits of it.
const BITS: u32 = 6;

#[derive(Debug)]
pub(super) struct Filter {
    words: Vec<AtomicU64>,
}

impl Filter {
    pub(super) fn new() -> Self {
        Self { words: (0..BLOCKS * WORDS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn add(&self, leaf: &Hash) {
        for (word, bit) in bits(leaf) {
            if let Some(word) = self.words.get(word) {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
    }

    /// Whether it may have been added; never `false` for one that was, and was seen to be.
    pub(super) fn may_have(&self, leaf: &Hash) -> bool {
        let set = |(word, bit): (usize, u64)| {
            self.words.get(word).is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
        };
        bits(leaf).all(set)
    }
}

/// Word and bit within it, for each of a hash's bits.
fn bits(leaf: &Hash) -> impl Iterator<Item = (usize, u64)> {
    let part = |at: usize| {
        leaf.0.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |part| u64::from_be_bytes(*part))
    };
    // The first bytes order the runs; these are others, so that a run's neighbours are spread.
    let (block, chosen) = (part(8) as usize % BLOCKS, part(16));
    (0..BITS).map(move |n| {
        let bit = chosen >> (9 * n) & 511;
        (block * WORDS + bit as usize / 64, 1 << (bit % 64))
    })
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
        assert!(false_ones < 10, "{false_ones}");
    }
}
