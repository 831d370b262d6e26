// SPDX-License-Identifier: GPL-2.0

//! Blocks of a few orders, kept by NUMA node: what buffers of the system heap are made of.

use super::{
    delivery::Delivery,
    ledger::{
        bytes,
        Ledger, //
    },
    node_pool::NodePool,
    node_work::KeptNode,
    orders::{
        BLOCK_ORDERS,
        MAX_ORDERS, //
    },
    pressure::{
        Pressure,
        Reclaim, //
    },
    Pool, //
};
use crate::abstractions::{
    mm::{
        block::{
            Block,
            Effort,
            Payer, //
        },
        block_list::{
            BlockList,
            Home, //
        },
        meminfo,
        numa::Node,
        oom::OutOfMemory,
        returned::{
            Returned,
            ReturnedBlock, //
        }, //
    },
    task, //
};
use core::mem;
use kernel::{
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    },
    time::Delta, //
};

/// Default of `pool_trim_ms`.
const TRIM: Delta = Delta::from_secs(5);

/// How long a program may take to free a buffer, so that no blocks are got in advance for its next.
const ADVANCE_DELAY: Delta = Delta::from_millis(10);

/// The nodes' pools.
struct Nodes {
    ledger: Arc<Ledger>,
    /// By number; a node that had no memory when the module was loaded keeps nothing.
    pools: KVec<Option<KeptNode>>,
}

/// Memory for buffers, of which some is kept warm. Dropping it frees all that is kept.
pub(crate) struct BlockPool {
    // In this order: nobody asks for memory back after the first is gone.
    _pressure: Pin<KBox<Pressure<Nodes>>>,
    nodes: Arc<Nodes>,
}

impl BlockPool {
    /// Makes a pool that may keep an eighth of the machine's memory. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let ledger = Arc::new(Ledger::new(meminfo::total_ram() / 8, TRIM), GFP_KERNEL)?;
        let mut pools = KVec::with_capacity(Node::possible(), GFP_KERNEL)?;

        for n in 0..Node::possible() {
            let pool = match Node::with_memory(n) {
                Some(node) => {
                    let pool = NodePool::new(node, ledger.clone())?;

                    Some(KeptNode::start(node, pool)?)
                }
                None => None,
            };

            pools.push(pool, GFP_KERNEL)?;
        }

        let nodes = Arc::new(Nodes { ledger, pools }, GFP_KERNEL)?;

        Ok(Self {
            _pressure: Pressure::on(c"dma-heap-blocks", nodes.clone())?,
            nodes,
        })
    }

    /// Takes zeroed blocks of `nr_pages` pages in all, the largest first: kept ones, else from the
    /// page allocator. They come back when the list is dropped.
    ///
    /// An order that could not be had once is not tried again: what is left of the buffer is filled
    /// with smaller blocks. May sleep.
    ///
    /// Returns `ENOMEM` if memory cannot be had, without a call of the OOM killer, and `EINTR` if
    /// the task got a fatal signal. What was taken goes to the page allocator then.
    pub(crate) fn take(&self, nr_pages: usize) -> Result<UniqueArc<BlockList>> {
        let largest = BLOCK_ORDERS.get(0).ok_or(EINVAL)?;
        let mut list = BlockList::with_capacity((nr_pages >> largest) + 1)?;
        let pool = self.nodes.preferred();
        let keeps_some = self.nodes.ledger.held() > 0;
        let mut missed = [0; MAX_ORDERS];

        for (n, order) in BLOCK_ORDERS.iter().enumerate() {
            if (nr_pages - list.nr_pages()) >> order == 0 {
                continue;
            }
            if let Some(pool) = pool.filter(|_| keeps_some) {
                self.take_kept(pool, n, order, nr_pages, &mut list)?;
            }

            let kept = list.nr_pages();

            self.allocate(order, nr_pages, Payer::None, &mut list)?;

            let new = list.nr_pages() - kept;

            if let Some(missed) = missed.get_mut(n).filter(|_| new > 0) {
                *missed = new >> order;
                self.nodes.ledger.note_miss(new);
            }
        }
        if list.nr_pages() < nr_pages {
            return Err(ENOMEM);
        }

        if let Some(pool) = pool.filter(|_| missed.iter().any(|blocks| *blocks > 0)) {
            if pool.missed(&missed) {
                pool.refill_within(ADVANCE_DELAY);
            }
        }
        list.set_home(self.nodes.clone());
        Ok(list)
    }

    /// Fills `list` up to `nr_pages` pages with blocks that are kept.
    fn take_kept(
        &self,
        pool: &KeptNode,
        n: usize,
        order: u32,
        nr_pages: usize,
        list: &mut BlockList,
    ) -> Result {
        let ledger = &self.nodes.ledger;

        loop {
            let wanted = (nr_pages - list.nr_pages()) >> order;
            let mut zeroed = if wanted > 0 {
                pool.take_zeroed(n, wanted)
            } else {
                break;
            };

            if zeroed.len() > 0 {
                while let Some(block) = zeroed.pop() {
                    // One that is not fit any more goes back.
                    if let Ok(block) = block.recheck() {
                        ledger.note_hit(block.nr_pages());
                        list.push(block)?;
                    }
                }
                continue;
            }

            let mut dirty = pool.take_dirty(n, order, wanted);

            if dirty.len() == 0 {
                break;
            }
            if dirty.len() < wanted {
                // Two zero faster than one.
                pool.zero_now();
            }
            while let Some(block) = dirty.pop() {
                if let Ok(block) = block.recheck() {
                    ledger.note_hit(block.nr_pages());
                    ledger.note_zeroed_inline(block.nr_pages());
                    list.push(block.zero().map_err(|_| EINTR)?)?;
                }
            }
        }
        Ok(())
    }

    /// Gets zeroed blocks of `nr_pages` pages in all from the page allocator, the largest first,
    /// for which the calling task's memory cgroup pays. Nobody keeps them: they are freed with the
    /// list.
    ///
    /// Sleeps and fails as [`Self::take`] does.
    pub(crate) fn take_charged(&self, nr_pages: usize) -> Result<UniqueArc<BlockList>> {
        let largest = BLOCK_ORDERS.get(0).ok_or(EINVAL)?;
        let mut list = BlockList::with_capacity((nr_pages >> largest) + 1)?;

        for order in BLOCK_ORDERS.iter() {
            self.allocate(order, nr_pages, Payer::Cgroup, &mut list)?;
        }
        if list.nr_pages() < nr_pages {
            return Err(ENOMEM);
        }
        Ok(list)
    }

    /// Fills `list` up to `nr_pages` pages with new blocks of one order, as far as they can be had.
    fn allocate(&self, order: u32, nr_pages: usize, payer: Payer, list: &mut BlockList) -> Result {
        let effort = if order == 0 {
            Effort::Reclaim
        } else {
            Effort::Opportunistic
        };

        while (nr_pages - list.nr_pages()) >> order > 0 {
            if task::fatal_signal_pending() {
                return Err(EINTR);
            }

            let Ok(block) = Block::alloc(order, effort, payer) else {
                break;
            };

            // The page allocator takes large blocks back with a broken page in them.
            if let Ok(block) = block.keep().recheck() {
                list.push(block)?;
            }
        }
        Ok(())
    }
}

impl Pool for BlockPool {
    fn ledger(&self) -> &Ledger {
        &self.nodes.ledger
    }

    fn shed(&self) {
        for n in 0..self.nodes.pools.len() {
            let excess = self.nodes.ledger.excess();

            self.nodes.give_back_from(n, excess);
        }
    }

    fn retime(&self) {
        for pool in self.nodes.pools.iter().flatten() {
            pool.retime();
        }
    }

    fn dirty(&self) -> u64 {
        self.nodes
            .pools
            .iter()
            .flatten()
            .map(|pool| bytes(pool.dirty_pages()))
            .sum()
    }
}

impl Nodes {
    fn pool(&self, n: usize) -> Option<&KeptNode> {
        self.pools.get(n)?.as_ref()
    }

    /// Returns the pool of the node that the calling task's next page would come from.
    fn preferred(&self) -> Option<&KeptNode> {
        self.pools
            .iter()
            .flatten()
            .find(|pool| pool.node().is_preferred())
    }

    fn give_back_from(&self, n: usize, nr_pages: usize) -> usize {
        self.pool(n).map_or(0, |pool| pool.give_back(nr_pages))
    }

    /// Takes room for blocks that come back. Those that are idle, and smaller ones, make room for
    /// the longest.
    fn room_for(&self, blocks: &Returned) -> usize {
        let nr_pages = blocks.nr_pages();
        let mut room = self.ledger.reserve(nr_pages);

        if room < nr_pages {
            let mut missing = nr_pages - room;

            for pool in self.pools.iter().flatten() {
                missing = missing.saturating_sub(pool.make_room(missing, blocks.longest()));
            }
            room += self.ledger.reserve(nr_pages - room);
        }
        room
    }

    /// Puts what was collected of one node into its pool. Returns the pool if its thread is to be
    /// woken for it.
    fn deliver(&self, batch: Option<(Node, Delivery)>) -> Option<&KeptNode> {
        let (node, delivery) = batch?;
        let Some(pool) = self.pool(node.id() as usize) else {
            // Memory came to the node after the module did: its blocks are not kept.
            self.ledger.release(delivery.nr_pages());
            return None;
        };
        let work = pool.put(delivery);

        pool.note(work).then_some(pool)
    }
}

impl Home for Nodes {
    fn take_back(&self, blocks: Returned) {
        let mut room = self.room_for(&blocks);
        // Blocks of one node and order, which mostly come together.
        let mut batch: Option<(Node, Delivery)> = None;
        // Woken after the last batch, so that the thread finds all of it.
        let mut wake: Option<&KeptNode> = None;
        let mut deliver = |batch| {
            if let Some(pool) = self.deliver(batch) {
                if let Some(other) = wake
                    .replace(pool)
                    .filter(|other| other.node() != pool.node())
                {
                    other.zero_soon();
                }
            }
        };

        blocks.for_each(|block| {
            // A block that is not kept is freed by its drop.
            if block.nr_pages() > room {
                return;
            }

            let (node, nr_pages) = (block.node(), block.nr_pages());
            if !batch
                .as_ref()
                .is_some_and(|(of, delivery)| *of == node && delivery.is_of(nr_pages))
            {
                let next = Delivery::of(nr_pages).map(|delivery| (node, delivery));

                deliver(mem::replace(&mut batch, next));
            }

            let kept = match (&mut batch, block) {
                (Some((_, batch)), ReturnedBlock::Zeroed(block)) => {
                    self.ledger.returned_zeroed.add(bytes(nr_pages));
                    batch.add_zeroed(block).is_ok()
                }
                (Some((_, batch)), ReturnedBlock::Dirty(block)) => {
                    self.ledger.returned_dirty.add(bytes(nr_pages));
                    batch.add_dirty(block).is_ok()
                }
                (None, _) => false,
            };

            if kept {
                room -= nr_pages;
            }
        });
        deliver(batch);
        if let Some(pool) = wake {
            pool.zero_soon();
        }
        if room > 0 {
            self.ledger.release(room);
        }
    }
}

impl Reclaim for Nodes {
    fn count(&self, node: usize) -> usize {
        self.pool(node).map_or(0, |pool| pool.nr_pages())
    }

    fn give_back(&self, node: usize, nr_pages: usize) -> usize {
        let freed = self.give_back_from(node, nr_pages);

        self.ledger.note_reclaimed(freed);
        freed
    }
}

impl OutOfMemory for Nodes {
    fn give_back_all(&self) -> usize {
        for n in 0..self.pools.len() {
            self.give_back(n, usize::MAX);
        }
        self.ledger.take_reclaimed()
    }
}
