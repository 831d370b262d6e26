// SPDX-License-Identifier: GPL-2.0

//! The blocks that are kept of one NUMA node.

use super::{
    delivery::{
        Delivery,
        Work, //
    },
    ledger::{
        bytes,
        Ledger, //
    },
    orders::{
        BLOCK_ORDERS,
        MAX_ORDERS, //
    },
    shelves::{
        Shelf,
        Shelves, //
    }, //
};
use crate::abstractions::mm::{
    block::{
        Dirty,
        Kept,
        Zeroed, //
    },
    block_stack::BlockStack,
    numa::Node, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc,
        SpinLock, //
    },
    time::{
        Delta,
        Instant, //
    }, //
};

/// The most pages that are zeroed, allocated or freed before somebody else gets a turn.
const PORTION_PAGES: usize = 512;

/// How many pages have to be zeroed before the thread is woken for them: 64 KiB with 4 KiB pages.
const WORTH_WAKING: usize = 16;

/// The most blocks that are taken under one hold of the lock, which looks at each of them.
const BATCH: usize = 64;

/// Which part of what may be kept is got in advance at most. For larger requests nothing is.
const ADVANCE_SHARE: u64 = 4;

/// Blocks that are kept of one NUMA node.
#[pin_data]
pub(super) struct NodePool {
    pub(super) node: Node,
    pub(super) ledger: Arc<Ledger>,
    #[pin]
    pub(super) state: SpinLock<Shelves>,
    /// Asks that what is being zeroed be let go. Changed with the lock held.
    pub(super) let_go: Atomic<bool>,
}

impl NodePool {
    /// Makes an empty pool. May sleep.
    pub(super) fn new(node: Node, ledger: Arc<Ledger>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                node,
                ledger,
                state <- new_spinlock!(Shelves {
                    shelves: BLOCK_ORDERS.map(Shelf::new),
                    next_trim: None,
                    last_miss: None,
                    zeroing_since: None,
                }),
                let_go: Atomic::new(false),
            }),
            GFP_KERNEL,
        )
    }

    pub(super) fn node(&self) -> Node {
        self.node
    }

    /// Returns how long something idle is kept at least.
    pub(super) fn idle_time(&self) -> Delta {
        self.ledger.trim()
    }

    /// Takes up to `wanted` zeroed blocks from shelf `n`; how many are taken at once is limited.
    pub(super) fn take_zeroed(&self, n: usize, wanted: usize) -> BlockStack<Kept<Zeroed>> {
        let blocks = {
            let mut state = self.state.lock();
            let shelf = state.shelf(n);
            let blocks = shelf.zeroed.take(wanted.min(BATCH));

            shelf.note_use();
            blocks
        };

        self.taken(blocks.nr_pages());
        blocks
    }

    /// Takes up to `wanted` dirty blocks from shelf `n`, but no more than one portion: so whoever
    /// zeroes them shares the work with the background.
    pub(super) fn take_dirty(
        &self,
        n: usize,
        order: u32,
        wanted: usize,
    ) -> BlockStack<Kept<Dirty>> {
        let blocks = {
            let mut state = self.state.lock();
            let shelf = state.shelf(n);
            let blocks = shelf.dirty.take(wanted.min(portion(order)));

            shelf.note_use();
            blocks
        };

        self.taken(blocks.nr_pages());
        blocks
    }

    /// Notes that a request found too little: on each shelf as many blocks as `missing` says.
    ///
    /// When that happens twice within the idle time, the next request is expected to be like this
    /// one, and its blocks are got in advance: soon, if the buffer has not come back by then.
    /// Returns whether there is now such work to do. For a few pages it is not worth it.
    pub(super) fn missed(&self, missing: &[usize; MAX_ORDERS]) -> bool {
        let pages: usize = missing
            .iter()
            .zip(BLOCK_ORDERS.iter())
            .map(|(blocks, order)| blocks << order)
            .sum();

        if pages < WORTH_WAKING || bytes(pages) > self.ledger.cap() / ADVANCE_SHARE {
            return false;
        }

        let now = Instant::now();
        let trim = self.ledger.trim();
        let mut state = self.state.lock();
        let before = state.last_miss.replace(now);

        if before.is_none_or(|before| now - before >= trim) {
            return false;
        }
        for (shelf, missing) in state.shelves.iter_mut().zip(missing) {
            shelf.wanted = *missing;
        }
        true
    }

    /// Puts blocks in whose room is reserved.
    pub(super) fn put(&self, delivery: Delivery) -> Work {
        let nr_pages = delivery.nr_pages();
        let brings_dirty = delivery.dirty.len() > 0;

        if nr_pages == 0 {
            return Work::default();
        }
        self.node.account_reclaimable(nr_pages as isize);

        let work = {
            let mut state = self.state.lock();
            let trimming = state.plan_trim(self.ledger.trim());
            let shelf = state.shelf(delivery.n);

            shelf.zeroed.append(delivery.zeroed);
            shelf.dirty.append(delivery.dirty);
            Work {
                zeroing: brings_dirty && state.dirty_pages() >= WORTH_WAKING,
                trimming,
            }
        };

        self.shed(nr_pages);
        work
    }

    /// Returns how many pages are kept.
    pub(super) fn nr_pages(&self) -> usize {
        self.state.lock().shelves.iter().map(Shelf::nr_pages).sum()
    }

    /// Returns how many of them are not zeroed.
    pub(super) fn dirty_pages(&self) -> usize {
        self.state.lock().dirty_pages()
    }

    /// Frees what is beyond the cap, which may have been lowered while blocks were on their way
    /// here, where nobody could find them: of as many pages as came, for others have their own to
    /// free.
    pub(super) fn shed(&self, came: usize) {
        let excess = self.ledger.excess().min(came);

        if excess > 0 {
            self.give_back(excess);
        }
    }

    /// Frees blocks of up to about `nr_pages` pages to make room for ones of `larger` pages each:
    /// those that nobody has needed since the last trim, and smaller ones, of which the machine has
    /// more.
    pub(super) fn make_room(&self, nr_pages: usize, larger: usize) -> usize {
        let mut freed = 0;

        for (n, order) in BLOCK_ORDERS.iter().enumerate().rev() {
            if 1 << order == larger {
                continue;
            }

            let mut left = {
                let mut state = self.state.lock();
                let shelf = state.shelf(n);

                if 1 << order < larger {
                    usize::MAX
                } else {
                    shelf.idle
                }
            };

            for kind in [Kind::Dirty, Kind::Zeroed] {
                while freed < nr_pages && left > 0 {
                    let now = self.free(
                        n,
                        kind,
                        (nr_pages - freed).min(left.saturating_mul(1 << order)),
                    );

                    if now == 0 {
                        break;
                    }
                    freed += now;
                    left = left.saturating_sub(now >> order);
                    self.state.lock().shelf(n).forget_idle(now >> order);
                }
            }
        }
        freed
    }

    /// Frees blocks of at least `nr_pages` pages, if there are so many, and returns how many pages
    /// were freed. Those that would have to be zeroed go first, then the smallest.
    ///
    /// Nothing is got in advance any more: what is asked back here is needed elsewhere.
    pub(super) fn give_back(&self, nr_pages: usize) -> usize {
        let mut freed = 0;

        for shelf in &mut self.state.lock().shelves {
            shelf.wanted = 0;
        }

        for kind in [Kind::Dirty, Kind::Zeroed] {
            for n in (0..MAX_ORDERS).rev() {
                while freed < nr_pages {
                    let now = self.free(n, kind, nr_pages - freed);

                    if now == 0 {
                        break;
                    }
                    freed += now;
                }
            }
        }
        freed
    }

    /// Frees blocks of at least `nr_pages` pages, but of one portion at most.
    pub(super) fn free(&self, n: usize, kind: Kind, nr_pages: usize) -> usize {
        let Some(order) = BLOCK_ORDERS.get(n) else {
            return 0;
        };
        let wanted = nr_pages.div_ceil(1 << order).min(portion(order));
        let mut state = self.state.lock();
        let shelf = state.shelf(n);
        // What is taken is freed when these are dropped, after the lock.
        let mut dirty = BlockStack::new(order);
        let mut zeroed = BlockStack::new(order);

        match kind {
            Kind::Dirty => dirty = shelf.dirty.take(wanted),
            Kind::Zeroed => zeroed = shelf.zeroed.take(wanted),
        }
        shelf.note_use();
        drop(state);

        let freed = dirty.nr_pages() + zeroed.nr_pages();

        self.taken(freed);
        freed
    }

    /// Settles the sums for pages that have left.
    pub(super) fn taken(&self, nr_pages: usize) {
        if nr_pages > 0 {
            self.ledger.release(nr_pages);
            self.node.account_reclaimable(-(nr_pages as isize));
        }
    }
}

/// Which blocks of a shelf.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Dirty,
    Zeroed,
}

/// Returns how many blocks of an order are zeroed, allocated or freed in one go.
pub(super) fn portion(order: u32) -> usize {
    (PORTION_PAGES >> order).clamp(1, BATCH)
}
