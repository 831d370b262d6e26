// SPDX-License-Identifier: GPL-2.0

//! Random numbers that a seed brings back.

use std::ops::Range;

/// The generator SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number in a range that is not empty, near enough to uniform.
    pub fn below(&mut self, range: Range<usize>) -> usize {
        let count = range.len().max(1) as u64;
        // Lossless: the remainder is less than a usize.
        range.start + usize::try_from(self.word() % count).unwrap_or(0)
    }

    /// One of several, near enough to uniform; `None` of none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        from.get(self.below(0..from.len())).copied()
    }

    /// A piece of `0..len`, of at least one byte and at most `most`.
    pub fn piece(&mut self, len: usize, most: usize) -> Range<usize> {
        let count = self.below(1..most.min(len) + 1);
        let start = self.below(0..len - count + 1);
        start..start + count
    }

    /// That many random bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + size_of::<u64>());
        while bytes.len() < count {
            bytes.extend_from_slice(&self.word().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_in_range() {
        let mut rng = Rng::new(1);
        for _ in 0..1000 {
            assert!((3..7).contains(&rng.below(3..7)));
            let piece = rng.piece(10, 4);
            assert!(piece.end <= 10 && (1..=4).contains(&piece.len()));
        }
        assert_eq!(rng.piece(1, 4), 0..1);
        assert_eq!(rng.pick::<u8>(&[]), None);
    }

    #[test]
    fn a_seed_brings_it_back() {
        let words = |seed| Rng::new(seed).bytes(100);
        assert_eq!(words(7), words(7));
        assert_ne!(words(7), words(8));
    }
}
