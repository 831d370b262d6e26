// SPDX-License-Identifier: GPL-2.0

//! Blocks of a pool by their orders.

use super::orders::MAX_ORDERS;
use crate::abstractions::mm::{
    block::{
        Dirty,
        Kept,
        Zeroed, //
    },
    block_stack::BlockStack, //
};
use kernel::time::{
    Delta,
    Instant,
    Monotonic, //
};

/// The blocks of one order.
pub(super) struct Shelf {
    pub(super) zeroed: BlockStack<Kept<Zeroed>>,
    pub(super) dirty: BlockStack<Kept<Dirty>>,
    /// How many blocks nobody has needed since the last trim.
    pub(super) idle: usize,
    /// How many blocks to get in advance.
    pub(super) wanted: usize,
}

impl Shelf {
    pub(super) const fn new(order: u32) -> Self {
        Self {
            zeroed: BlockStack::new(order),
            dirty: BlockStack::new(order),
            idle: 0,
            wanted: 0,
        }
    }

    pub(super) fn ready(&self) -> usize {
        self.zeroed.len() + self.dirty.len()
    }

    pub(super) fn dirty_pages(&self) -> usize {
        self.dirty.nr_pages()
    }

    pub(super) fn nr_pages(&self) -> usize {
        self.zeroed.nr_pages() + self.dirty_pages()
    }

    /// Notes that so many idle blocks have gone.
    pub(super) fn forget_idle(&mut self, blocks: usize) {
        self.idle = self.idle.saturating_sub(blocks);
    }

    pub(super) fn note_use(&mut self) {
        self.idle = self.idle.min(self.ready());
    }
}

/// The blocks of all orders: what the lock of a pool protects.
pub(super) struct Shelves {
    pub(super) shelves: [Shelf; MAX_ORDERS],
    /// When idle blocks go next; [`None`] if there was nothing when that was last looked at.
    pub(super) next_trim: Option<Instant<Monotonic>>,
    /// When a request last found too little here.
    pub(super) last_miss: Option<Instant<Monotonic>>,
    /// Since when a portion is being zeroed, where nobody finds it.
    pub(super) zeroing_since: Option<Instant<Monotonic>>,
}

impl Shelves {
    pub(super) fn shelf(&mut self, n: usize) -> &mut Shelf {
        // A position of an order is never out of range.
        &mut self.shelves[n.min(MAX_ORDERS - 1)]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.zeroing_since.is_none() && self.shelves.iter().all(|shelf| shelf.nr_pages() == 0)
    }

    /// Tells whether what is being zeroed was taken for that so long before `now`.
    pub(super) fn is_zeroing_for(&self, time: Delta, now: Instant<Monotonic>) -> bool {
        self.zeroing_since.is_some_and(|since| now - since >= time)
    }

    /// Plans a trim after `idle_time`, unless one is planned. Returns whether it is new.
    pub(super) fn plan_trim(&mut self, idle_time: Delta) -> bool {
        let is_new = self.next_trim.is_none();

        if is_new {
            self.next_trim = Some(Instant::now() + idle_time);
        }
        is_new
    }

    pub(super) fn dirty_pages(&self) -> usize {
        self.shelves.iter().map(Shelf::dirty_pages).sum()
    }
}
