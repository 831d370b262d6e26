// SPDX-License-Identifier: GPL-2.0

//! The work of keeping the blocks of one NUMA node.
//!
//! Zeroing, which may take long and can wait, has a thread of the lowest priority. Giving back what
//! is idle does not stand behind that: it is done at the priority of everybody else.

use super::node_pool::{
    NodePool,
    Work, //
};
use crate::abstractions::{
    mm::numa::Node,
    sync::{
        delayed_work::DelayedWork,
        worker::{
            Background,
            Worker, //
        }, //
    }, //
};
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};

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
