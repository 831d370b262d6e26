// SPDX-License-Identifier: GPL-2.0

//! The work of keeping the blocks of one NUMA node.
//!
//! Zeroing, which may take long and can wait, has a thread of the lowest priority. Giving back what
//! is idle does not stand behind that: it is done at the priority of everybody else.

use super::{
    delivery::{
        Delivery,
        Work, //
    },
    ledger::bytes,
    node_pool::{
        portion,
        Kind,
        NodePool, //
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
            Kept, //
        },
        block_stack::BlockStack,
        numa::Node, //
    },
    sync::{
        delayed_work::DelayedWork,
        worker::{
            Background,
            Worker, //
        }, //
    },
    task, //
};
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    time::{
        Delta,
        Instant, //
    }, //
};

impl NodePool {
    /// Zeroes a portion. Returns what there is to do then, or [`None`] if nothing was to be zeroed.
    fn zero_some(&self) -> Option<Work> {
        for (n, order) in BLOCK_ORDERS.iter().enumerate() {
            let mut blocks = self.take_portion(n, order);
            let mut zeroed = BlockStack::new(order);

            if blocks.len() == 0 {
                continue;
            }
            while let Some(block) = blocks.pop() {
                let nr_pages = block.nr_pages();
                // One that is not fit any more goes back.
                let Ok(block) = block.recheck() else {
                    self.taken(nr_pages);
                    continue;
                };
                let block = block.zero_while(|| !self.lets_go());

                match block.map(|block| zeroed.push(block.keep())) {
                    Ok(Ok(())) => self.ledger.note_zeroed_background(nr_pages),
                    _ => {
                        self.taken(nr_pages);
                        if self.lets_go() {
                            self.ledger.note_trimmed(nr_pages);
                        }
                    }
                }
            }

            let came = zeroed.nr_pages();
            let trimming = {
                let mut state = self.state.lock();

                state.shelf(n).zeroed.append(zeroed);
                state.zeroing_since = None;
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

    /// Takes blocks to be zeroed, out of everybody's sight.
    fn take_portion(&self, n: usize, order: u32) -> BlockStack<Kept<Dirty>> {
        let mut state = self.state.lock();
        let blocks = state.shelf(n).dirty.take(portion(order));

        if blocks.len() > 0 {
            state.zeroing_since = Some(Instant::now());
            self.let_go.store(false, Relaxed);
        }
        blocks
    }

    /// Tells whether nobody has needed what is being zeroed. Where processors are busy, a thread of
    /// the lowest priority may take long.
    fn lets_go(&self) -> bool {
        self.let_go.load(Relaxed)
    }

    /// Gets a portion of the blocks that are wanted in advance, as far as memory is free at once.
    /// Returns what there is to do then, or [`None`] if none are wanted.
    fn refill_some(&self) -> Option<Work> {
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
    fn trim(&self) -> Option<Delta> {
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
                if state.is_zeroing_for(self.ledger.trim(), now) {
                    self.let_go.store(true, Relaxed);
                }
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

/// Gives back what nobody has needed.
struct Trimming(Arc<NodePool>);

impl Background for Trimming {
    fn run(&self) -> Option<Delta> {
        self.0.trim()
    }

    fn end(&self) {}
}

/// Zeroes what was written, and gets blocks in advance.
struct Zeroing {
    pool: Arc<NodePool>,
    trimming: Arc<DelayedWork<Trimming>>,
}

impl Background for Zeroing {
    fn run(&self) -> Option<Delta> {
        let work = self.pool.zero_some().or_else(|| self.pool.refill_some())?;

        if work.trimming {
            self.trimming.schedule(self.pool.idle_time());
        }
        Some(Delta::ZERO)
    }

    fn end(&self) {
        // So that what is freed does not count as reclaimable for ever.
        self.pool.give_back(usize::MAX);
    }
}

/// The blocks of one node with those who do the work. Dropping it frees all that is kept.
pub(super) struct KeptNode {
    pool: Arc<NodePool>,
    // In this order: the thread may put off trimming.
    zeroing: Pin<KBox<Worker<Zeroing>>>,
    trimming: Arc<DelayedWork<Trimming>>,
}

impl KeptNode {
    /// Starts the thread for `pool`. May sleep.
    pub(super) fn start(node: Node, pool: Arc<NodePool>) -> Result<Self> {
        let trimming = DelayedWork::new(Trimming(pool.clone()))?;
        let job = Zeroing {
            pool: pool.clone(),
            trimming: trimming.clone(),
        };

        Ok(Self {
            pool,
            zeroing: Worker::start(c"dma_heap_zero", node, Ok(job))?,
            trimming,
        })
    }

    /// Has done what there is to do after a delivery. Returns whether the thread is to be woken.
    /// Callable from any context.
    pub(super) fn note(&self, work: Work) -> bool {
        if work.trimming {
            self.trimming.schedule(self.pool.idle_time());
        }
        work.zeroing
    }

    /// Has the thread zero now what there is. Callable from any context.
    pub(super) fn zero_now(&self) {
        self.zeroing.hurry();
    }

    /// Has it do so soon.
    pub(super) fn zero_soon(&self) {
        self.zeroing.go_on_soon();
    }

    /// Has it get blocks in advance within `delay`.
    pub(super) fn refill_within(&self, delay: Delta) {
        self.zeroing.go_on_within(delay);
    }

    /// Has a new idle time hold for what is kept already.
    pub(super) fn retime(&self) {
        self.trimming.hurry();
    }
}

impl Deref for KeptNode {
    type Target = NodePool;

    fn deref(&self) -> &NodePool {
        &self.pool
    }
}
