// SPDX-License-Identifier: GPL-2.0

//! The blocks that are kept of one NUMA node.

use super::{
    ledger::{
        bytes,
        Ledger, //
    },
    orders::{
        BLOCK_ORDERS,
        MAX_ORDERS, //
    }, //
};
use crate::abstractions::{
    mm::{
        block::{
            Block,
            Dirty,
            Kept,
            Zeroed, //
        },
        block_stack::BlockStack,
        numa::Node, //
    },
    task, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        Arc,
        SpinLock, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
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

/// The blocks of one order.
struct Shelf {
    zeroed: BlockStack<Kept<Zeroed>>,
    dirty: BlockStack<Kept<Dirty>>,
    /// How many blocks nobody has needed since the last trim.
    idle: usize,
    /// How many blocks to get in advance.
    wanted: usize,
}

impl Shelf {
    const fn new(order: u32) -> Self {
        Self {
            zeroed: BlockStack::new(order),
            dirty: BlockStack::new(order),
            idle: 0,
            wanted: 0,
        }
    }

    fn ready(&self) -> usize {
        self.zeroed.len() + self.dirty.len()
    }

    fn dirty_pages(&self) -> usize {
        self.dirty.nr_pages()
    }

    fn nr_pages(&self) -> usize {
        self.zeroed.nr_pages() + self.dirty_pages()
    }

    /// Notes that so many idle blocks have gone.
    fn forget_idle(&mut self, blocks: usize) {
        self.idle = self.idle.saturating_sub(blocks);
    }

    fn note_use(&mut self) {
        self.idle = self.idle.min(self.ready());
    }
}

/// What the lock protects.
struct State {
    shelves: [Shelf; MAX_ORDERS],
    /// When idle blocks go next; [`None`] if there was nothing when that was last looked at.
    next_trim: Option<Instant<Monotonic>>,
    /// When a request last found too little here.
    last_miss: Option<Instant<Monotonic>>,
}

impl State {
    fn shelf(&mut self, n: usize) -> &mut Shelf {
        // A position of an order is never out of range.
        &mut self.shelves[n.min(MAX_ORDERS - 1)]
    }

    fn is_empty(&self) -> bool {
        self.shelves.iter().all(|shelf| shelf.nr_pages() == 0)
    }

    /// Plans a trim after `idle_time`, unless one is planned. Returns whether it is new.
    fn plan_trim(&mut self, idle_time: Delta) -> bool {
        let is_new = self.next_trim.is_none();

        if is_new {
            self.next_trim = Some(Instant::now() + idle_time);
        }
        is_new
    }

    fn dirty_pages(&self) -> usize {
        self.shelves.iter().map(Shelf::dirty_pages).sum()
    }
}

/// Blocks of one order on their way to a [`NodePool`], in room that the ledger has granted.
pub(super) struct Delivery {
    n: usize,
    zeroed: BlockStack<Kept<Zeroed>>,
    dirty: BlockStack<Kept<Dirty>>,
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

/// Blocks that are kept of one NUMA node.
#[pin_data]
pub(super) struct NodePool {
    node: Node,
    ledger: Arc<Ledger>,
    #[pin]
    state: SpinLock<State>,
}

impl NodePool {
    /// Makes an empty pool. May sleep.
    pub(super) fn new(node: Node, ledger: Arc<Ledger>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                node,
                ledger,
                state <- new_spinlock!(State {
                    shelves: BLOCK_ORDERS.map(Shelf::new),
                    next_trim: None,
                    last_miss: None,
                }),
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
    fn shed(&self, came: usize) {
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
    fn free(&self, n: usize, kind: Kind, nr_pages: usize) -> usize {
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
    fn taken(&self, nr_pages: usize) {
        if nr_pages > 0 {
            self.ledger.release(nr_pages);
            self.node.account_reclaimable(-(nr_pages as isize));
        }
    }

    /// Zeroes a portion. Returns what there is to do then, or [`None`] if nothing was to be zeroed.
    pub(super) fn zero_some(&self) -> Option<Work> {
        for (n, order) in BLOCK_ORDERS.iter().enumerate() {
            let mut blocks = self.state.lock().shelf(n).dirty.take(portion(order));
            let mut zeroed = BlockStack::new(order);

            if blocks.len() == 0 {
                continue;
            }
            while let Some(block) = blocks.pop() {
                let nr_pages = block.nr_pages();
                // One that is not fit any more goes back. A kernel thread gets no signal that could
                // end the zeroing.
                let block = block.recheck().ok();
                let block = block.and_then(|block| block.zero().ok());

                match block.map(|block| zeroed.push(block.keep())) {
                    Some(Ok(())) => self.ledger.note_zeroed_background(nr_pages),
                    _ => self.taken(nr_pages),
                }
            }

            let came = zeroed.nr_pages();
            let trimming = {
                let mut state = self.state.lock();

                state.shelf(n).zeroed.append(zeroed);
                // While these were in nobody's sight, there may have been nothing else to trim.
                came > 0 && state.plan_trim(self.ledger.trim())
            };

            self.shed(came);
            return Some(Work {
                zeroing: false,
                trimming,
            });
        }
        None
    }

    /// Gets a portion of the blocks that are wanted in advance, as far as memory is free at once.
    /// Returns what there is to do then, or [`None`] if none are wanted.
    pub(super) fn refill_some(&self) -> Option<Work> {
        for (n, order) in BLOCK_ORDERS.iter().enumerate() {
            let nr_blocks = {
                let mut state = self.state.lock();
                let shelf = state.shelf(n);
                let missing = shelf.wanted.saturating_sub(shelf.ready());

                if missing == 0 {
                    shelf.wanted = 0;
                }
                missing.min(portion(order))
            };

            if nr_blocks == 0 {
                continue;
            }

            let Some(mut delivery) = Delivery::of(1 << order) else {
                continue;
            };

            for _ in 0..nr_blocks {
                if !self.ledger.reserve_all(1 << order) {
                    break;
                }

                let block = Block::alloc_on_node(self.node, order).ok();

                if block.is_none_or(|block| delivery.add_zeroed(block.keep()).is_err()) {
                    self.ledger.release(1 << order);
                    break;
                }
            }

            let got = delivery.nr_pages();

            self.ledger.refilled.add(bytes(got));
            let work = self.put(delivery);

            if got >> order < nr_blocks {
                self.state.lock().shelf(n).wanted = 0;
            }
            return Some(work);
        }
        None
    }

    /// Frees what nobody has needed since this was last done, when it is due. Returns after what
    /// time it is due again, or [`None`] if nothing is left.
    pub(super) fn trim(&self) -> Option<Delta> {
        let now = Instant::now();
        let (due, idle) = {
            let mut state = self.state.lock();
            let mut idle = [0; MAX_ORDERS];
            let next = now + self.ledger.trim();

            // The time may be shorter than it was.
            let when = match state.next_trim {
                Some(when) if when - next < Delta::ZERO => when,
                _ => next,
            };
            let due = now - when >= Delta::ZERO;

            state.next_trim = Some(if due { next } else { when });
            if due {
                for (shelf, idle) in state.shelves.iter_mut().zip(&mut idle) {
                    *idle = shelf.idle;
                    shelf.idle = shelf.ready();
                }
            }
            (due, idle)
        };

        if due {
            for ((n, order), idle) in BLOCK_ORDERS.iter().enumerate().zip(idle) {
                let mut remaining = idle << order;

                for kind in [Kind::Dirty, Kind::Zeroed] {
                    while remaining > 0 {
                        let freed = self.free(n, kind, remaining);

                        if freed == 0 {
                            break;
                        }
                        remaining = remaining.saturating_sub(freed);
                        self.ledger.note_trimmed(freed);
                        task::rest();
                    }
                }
            }
        }

        let mut state = self.state.lock();

        if state.is_empty() {
            state.next_trim = None;
        }
        state.next_trim.map(|when| when - now)
    }
}

/// Which blocks of a shelf.
#[derive(Clone, Copy)]
enum Kind {
    Dirty,
    Zeroed,
}

/// Returns how many blocks of an order are zeroed, allocated or freed in one go.
fn portion(order: u32) -> usize {
    (PORTION_PAGES >> order).clamp(1, BATCH)
}
