// SPDX-License-Identifier: GPL-2.0

//! Which operations a worker does, and in which order: nothing but the seed
//! decides that, whatever comes of them.

use super::kinds::KINDS;
use super::kinds::Kind;
use super::kinds::RARE;
use super::kinds::Run;
use dma_heap::rng::Rng;

/// How many kinds there are, the rare ones included.
pub(crate) const COUNT: usize = KINDS.len() + RARE.len();

/// The kind of a number.
pub(crate) fn kind(index: usize) -> Option<&'static Kind> {
    KINDS.get(index).or_else(|| {
        RARE.get(index.checked_sub(KINDS.len())?)
            .map(|(_, kind)| kind)
    })
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// Its kind, by number.
    pub(crate) kind: usize,
    /// What its arguments are made from.
    pub(crate) seed: u64,
}

/// The operations of one thread of a worker.
pub(crate) struct Stream {
    rng: Rng,
    choices: Vec<(usize, u32)>,
    sum: u64,
    next: u64,
    rare: bool,
}

impl Stream {
    /// Of thread `hand` (the owner is 0) of worker `worker`.
    pub(crate) fn new(seed: u64, worker: usize, hand: usize, importer: bool) -> Self {
        let owner = hand == 0;
        let choices: Vec<_> = KINDS
            .iter()
            .enumerate()
            .filter(|(_, kind)| importer || !kind.needs_importer)
            .filter(|(_, kind)| owner || matches!(kind.run, Run::Anyone(_)))
            .map(|(index, kind)| (index, kind.weight))
            .collect();
        let mut rng = Rng::new(seed ^ ((worker * 2 + hand) as u64).rotate_right(16));
        // Seeds that are alike shall not give streams that are.
        rng.word();
        Self {
            rng: Rng::new(rng.word()),
            sum: choices.iter().map(|(_, weight)| u64::from(*weight)).sum(),
            choices,
            // Not all workers at once.
            next: worker as u64 * 1009,
            rare: owner,
        }
    }

    pub(crate) fn next(&mut self) -> Operation {
        self.next += 1;
        let seed = self.rng.word();
        let rare = RARE
            .iter()
            .position(|(every, _)| self.rare && self.next % every == 0);
        if let Some(index) = rare {
            return Operation {
                kind: KINDS.len() + index,
                seed,
            };
        }
        let mut left = self.rng.word() % self.sum.max(1);
        for &(kind, weight) in &self.choices {
            match left.checked_sub(weight.into()) {
                Some(rest) => left = rest,
                None => return Operation { kind, seed },
            }
        }
        Operation { kind: 0, seed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(seed: u64, worker: usize, hand: usize, importer: bool) -> Vec<Operation> {
        let mut stream = Stream::new(seed, worker, hand, importer);
        (0..50_000).map(|_| stream.next()).collect()
    }

    #[test]
    fn a_seed_brings_the_stream_back() {
        let first = operations(7, 1, 0, true);
        assert_eq!(first, operations(7, 1, 0, true));
        assert_ne!(first, operations(8, 1, 0, true));
        assert_ne!(first, operations(7, 2, 0, true));
        assert_ne!(first, operations(7, 1, 1, true));
    }

    #[test]
    fn every_kind_comes() {
        let seen = operations(1, 0, 0, true);
        for index in 0..COUNT {
            let name = kind(index).map(|kind| kind.name);
            assert!(seen.iter().any(|one| one.kind == index), "{name:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_left_out() {
        for one in operations(1, 0, 0, false) {
            assert!(kind(one.kind).is_some_and(|kind| !kind.needs_importer));
        }
        for one in operations(1, 0, 1, true) {
            assert!(kind(one.kind).is_some_and(|kind| matches!(kind.run, Run::Anyone(_))));
        }
    }

    #[test]
    fn names_differ() {
        let names: std::collections::HashSet<_> =
            (0..COUNT).filter_map(kind).map(|kind| kind.name).collect();
        assert_eq!(names.len(), COUNT);
    }
}
