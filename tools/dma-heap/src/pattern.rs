// SPDX-License-Identifier: GPL-2.0

//! Contents for tests, in which every word of a buffer differs from every
//! other, so that a page mapped twice, swapped or left out shows.

use rustix::io::Result;
use rustix::rand::GetRandomFlags;

/// A content: the same seed gives the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    seed: u64,
}

impl Pattern {
    /// The pattern of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// What it was made from.
    pub fn seed(self) -> u64 {
        self.seed
    }

    /// A pattern that no earlier run has left in memory.
    ///
    /// # Errors
    ///
    /// That of getrandom.
    pub fn random() -> Result<Self> {
        random_word().map(Self::new)
    }

    /// Two patterns as bytes, for a process that is to find the first in a
    /// buffer and to leave the second.
    pub fn pair_to_bytes(before: Self, after: Self) -> Vec<u8> {
        [before.seed.to_ne_bytes(), after.seed.to_ne_bytes()].concat()
    }

    /// The patterns of [`Pattern::pair_to_bytes`], `None` if these bytes are
    /// not from there.
    pub fn pair_from_bytes(bytes: &[u8]) -> Option<(Self, Self)> {
        let (before, after) = bytes.split_at_checked(size_of::<u64>())?;
        let new = |bytes: &[u8]| Some(Self::new(u64::from_ne_bytes(bytes.try_into().ok()?)));
        Some((new(before)?, new(after)?))
    }

    /// The word at `index`, counted in words from the start of the buffer.
    /// Distinct indices have distinct words.
    #[inline]
    pub fn word(self, index: usize) -> u64 {
        // Lossless: usize is at most 64 bits wide on every Linux. Adding,
        // multiplying by an odd number and xor-shifting are all invertible, so
        // no two indices meet.
        let x = (index as u64)
            .wrapping_add(self.seed)
            .wrapping_mul(0xd6e8_feb8_6659_fd93);
        x ^ (x >> 32)
    }
}

/// A random word from the kernel.
///
/// # Errors
///
/// That of getrandom.
pub fn random_word() -> Result<u64> {
    let mut bytes = [0; 8];
    // At most 256 bytes are never cut short or interrupted.
    rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_unique() {
        let pattern = Pattern::new(0x1234_5678_9abc_def0);
        let words: HashSet<u64> = (0..1 << 16).map(|index| pattern.word(index)).collect();
        assert_eq!(words.len(), 1 << 16);
    }

    #[test]
    fn a_pair_comes_back() {
        let pair = (Pattern::new(1), Pattern::new(u64::MAX));
        let bytes = Pattern::pair_to_bytes(pair.0, pair.1);
        assert_eq!(Pattern::pair_from_bytes(&bytes), Some(pair));
        for len in [0, 8, 15, 17] {
            assert_eq!(Pattern::pair_from_bytes(&vec![0; len]), None);
        }
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(Pattern::new(1).word(0), Pattern::new(2).word(0));
        assert_eq!(Pattern::new(1).word(7), Pattern::new(1).word(7));
    }
}
