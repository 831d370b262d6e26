// SPDX-License-Identifier: GPL-2.0

//! The memory of a buffer that is gone.

use crate::abstractions::mm::{
    block::{
        Block,
        Dirty,
        Kept,
        Zeroed, //
    },
    numa::Node,
    shown_blocks::Blocks, //
};
use kernel::sync::atomic::Relaxed;

/// The blocks of a buffer that nobody uses any more.
pub(crate) struct Returned {
    pub(super) blocks: Blocks,
    pub(super) all_writable: bool,
}

impl Returned {
    /// Returns the length in pages.
    pub(crate) fn nr_pages(&self) -> usize {
        self.blocks
            .as_slice()
            .iter()
            .map(|shown| shown.block.nr_pages())
            .sum()
    }

    /// Returns how long the first block is, in pages: the longest one, as lists are filled.
    pub(crate) fn longest(&self) -> usize {
        let first = self.blocks.as_slice().first();

        first.map_or(0, |shown| shown.block.nr_pages())
    }

    /// Hands the blocks over one by one.
    pub(crate) fn for_each(self, mut take: impl FnMut(ReturnedBlock)) {
        self.blocks.for_each(|shown| {
            let block = shown.block.keep();

            take(if self.all_writable || shown.writable.load(Relaxed) {
                ReturnedBlock::Dirty(block)
            } else {
                // SAFETY: By the type invariants of `BlockList`, the block was zeroed and nobody
                // could write it since.
                ReturnedBlock::Zeroed(unsafe { block.assume_zeroed() })
            });
        });
    }
}

/// One of them.
pub(crate) enum ReturnedBlock {
    /// Nobody could write it.
    Zeroed(Block<Kept<Zeroed>>),
    /// Somebody could, whether or not they did.
    Dirty(Block<Kept<Dirty>>),
}

impl ReturnedBlock {
    /// Returns the length in pages.
    pub(crate) fn nr_pages(&self) -> usize {
        match self {
            Self::Zeroed(block) => block.nr_pages(),
            Self::Dirty(block) => block.nr_pages(),
        }
    }

    /// Returns the NUMA node that the pages are of.
    pub(crate) fn node(&self) -> Node {
        match self {
            Self::Zeroed(block) => block.node(),
            Self::Dirty(block) => block.node(),
        }
    }

    /// Forgets what is known of the contents.
    pub(crate) fn into_dirty(self) -> Block<Kept<Dirty>> {
        match self {
            Self::Zeroed(block) => block.into_dirty(),
            Self::Dirty(block) => block,
        }
    }
}
