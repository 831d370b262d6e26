// SPDX-License-Identifier: GPL-2.0

//! Blocks on their way to a pool.

use super::orders::BLOCK_ORDERS;
use crate::abstractions::mm::{
    block::{
        Block,
        Dirty,
        Kept,
        Zeroed, //
    },
    block_stack::BlockStack, //
};

/// Blocks of one order on their way to a [`NodePool`](super::node_pool::NodePool), in room that the
/// ledger has granted.
pub(super) struct Delivery {
    pub(super) n: usize,
    pub(super) zeroed: BlockStack<Kept<Zeroed>>,
    pub(super) dirty: BlockStack<Kept<Dirty>>,
}

/// What there is to do after a delivery.
#[derive(Default)]
pub(super) struct Work {
    /// There is enough to zero to wake the thread for it: the next allocation zeroes a few pages
    /// sooner than a thread wakes up.
    pub(super) zeroing: bool,
    /// After the idle time, what is kept has to be looked at: so far nothing was.
    pub(super) trimming: bool,
}

impl Delivery {
    /// Prepares one for the order of blocks of `nr_pages` pages, if the pool keeps such.
    pub(super) fn of(nr_pages: usize) -> Option<Self> {
        let n = BLOCK_ORDERS.position(nr_pages)?;
        let order = BLOCK_ORDERS.get(n)?;

        Some(Self {
            n,
            zeroed: BlockStack::new(order),
            dirty: BlockStack::new(order),
        })
    }

    /// Adds a block; one of another order comes back.
    pub(super) fn add_zeroed(
        &mut self,
        block: Block<Kept<Zeroed>>,
    ) -> Result<(), Block<Kept<Zeroed>>> {
        self.zeroed.push(block)
    }

    /// Adds a block; one of another order comes back.
    pub(super) fn add_dirty(
        &mut self,
        block: Block<Kept<Dirty>>,
    ) -> Result<(), Block<Kept<Dirty>>> {
        self.dirty.push(block)
    }

    /// Tells whether it is for blocks of `nr_pages` pages.
    pub(super) fn is_of(&self, nr_pages: usize) -> bool {
        1 << self.zeroed.order() == nr_pages
    }

    /// Returns how many pages it brings.
    pub(super) fn nr_pages(&self) -> usize {
        self.zeroed.nr_pages() + self.dirty.nr_pages()
    }
}
