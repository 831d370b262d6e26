// SPDX-License-Identifier: GPL-2.0

//! Runs of any length from a contiguous area, few of them and kept for a short time.
//!
//! The other users of the area cannot ask for them: so little is kept, and all of it goes back
//! before the heap says that there is no memory. A run that is used again and again goes back, too,
//! when it has been kept for long enough altogether: else it would stay for ever where it happens to
//! lie, in the middle of the area perhaps. The next one comes from the first place that is free.

use super::{
    ledger::{
        bytes,
        Ledger, //
    },
    pressure::Pressure,
    Pool,
    REST, //
};
use crate::abstractions::{
    background::{
        Background,
        Worker, //
    },
    block::{
        Block,
        Zeroed, //
    },
    block_list::{
        BlockList,
        Home,
        Returned,
        ReturnedBlock, //
    },
    cma::CmaArea,
    numa::Node,
    reclaim::Reclaim, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        Arc,
        SpinLock,
        UniqueArc, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Default of `pool_cap`, in bytes: a 4K frame of 12 bits a pixel, and a quarter of the area that
/// Debian's ARM kernels have.
const CAP: u64 = 16 << 20;

/// Default of `pool_trim_ms`.
const TRIM: Delta = Delta::from_millis(500);

/// The most runs that are kept.
const MAX_RUNS: usize = 16;

/// A run that is kept.
struct Run {
    block: ReturnedBlock,
    /// When it came.
    since: Instant<Monotonic>,
    /// How long it was kept before that, between other buffers.
    kept_before: Delta,
    /// Whether a device may still write it for a while.
    lingers: bool,
}

impl Run {
    fn nr_pages(&self) -> usize {
        self.block.nr_pages()
    }

    fn is_dirty(&self) -> bool {
        matches!(self.block, ReturnedBlock::Dirty(_))
    }

    /// Returns how long it has been kept altogether since it was allocated from the area.
    fn kept(&self, now: Instant<Monotonic>) -> Delta {
        self.kept_before + (now - self.since)
    }

    /// Returns how long it has to rest before it can be zeroed.
    fn rest(&self, now: Instant<Monotonic>) -> Delta {
        let rested = now - self.since;

        if self.lingers && rested < REST {
            REST - rested
        } else {
            Delta::ZERO
        }
    }
}

/// The runs, and the work of keeping them.
#[pin_data]
struct Runs {
    ledger: Ledger,
    /// Has room for [`MAX_RUNS`], so that nothing is allocated under the lock.
    #[pin]
    runs: SpinLock<KVec<Run>>,
}

impl Runs {
    /// Takes the first run for which `wanted` says yes.
    fn take(&self, wanted: impl FnMut(&Run) -> bool) -> Option<Run> {
        let run = {
            let mut runs = self.runs.lock();
            let n = runs.iter().position(wanted)?;

            runs.remove(n).ok()?
        };

        self.ledger.release(run.nr_pages());
        run.block
            .node()
            .account_reclaimable(-(run.nr_pages() as isize));
        Some(run)
    }

    /// Keeps a run, if there is room. Returns it if not.
    fn put(&self, run: Run) -> Result<(), Run> {
        let nr_pages = run.nr_pages();
        let node = run.block.node();

        if !self.ledger.reserve_all(nr_pages) {
            return Err(run);
        }
        node.account_reclaimable(nr_pages as isize);

        let result = self.runs.lock().push_within_capacity(run);

        result.map_err(|error| {
            self.ledger.release(nr_pages);
            node.account_reclaimable(-(nr_pages as isize));
            error.0
        })
    }

    /// Frees runs until `enough` says so. Returns how many pages were freed.
    fn free_until(&self, mut enough: impl FnMut(usize) -> bool) -> usize {
        let mut freed = 0;

        while !enough(freed) {
            match self
                .take(|run| run.is_dirty())
                .or_else(|| self.take(|_| true))
            {
                Some(run) => freed += run.nr_pages(),
                None => break,
            }
        }
        freed
    }
}

impl Background for Runs {
    fn run(&self) -> Option<Delta> {
        let now = Instant::now();
        let trim = self.ledger.trim();

        // What was being zeroed when the cap was lowered.
        self.free_until(|_| self.ledger.excess() == 0);
        while let Some(run) = self.take(|run| run.kept(now) >= trim) {
            self.ledger.trimmed.add(bytes(run.nr_pages()));
        }

        if let Some(run) = self.take(|run| run.is_dirty() && run.rest(now).is_zero()) {
            let nr_pages = run.nr_pages();

            // A kernel thread gets no signal that could end the zeroing.
            if let ReturnedBlock::Dirty(block) = run.block {
                if let Ok(block) = block.zero_in_background() {
                    self.ledger.zeroed_background.add(bytes(nr_pages));
                    // Freed if its room was taken meanwhile.
                    let _ = self.put(Run {
                        block: ReturnedBlock::Zeroed(block),
                        lingers: false,
                        ..run
                    });
                }
            }
            return Some(Delta::ZERO);
        }

        let runs = self.runs.lock();

        runs.iter()
            .map(|run| {
                let idle = trim - run.kept(now);

                if run.is_dirty() && run.rest(now) < idle {
                    run.rest(now)
                } else {
                    idle
                }
            })
            .min_by_key(|delay| delay.as_nanos())
    }

    fn end(&self) {
        // So that what is freed does not count as reclaimable for ever.
        self.free_until(|_| false);
    }
}

/// The runs with the thread that does the work.
struct Shared {
    worker: Pin<KBox<Worker<Runs>>>,
}

/// The way back of a run that a buffer has.
struct WayBack {
    shared: Arc<Shared>,
    /// How long the run has been kept before, since it was allocated from the area.
    kept_before: Delta,
}

/// Contiguous memory for buffers, of which some is kept warm. Dropping it frees all that is kept.
pub(crate) struct RunPool {
    area: CmaArea,
    // In this order: nobody asks for memory back after the first is gone.
    _pressure: Pin<KBox<Pressure<Shared>>>,
    shared: Arc<Shared>,
}

impl RunPool {
    /// Makes a pool for `area`. May sleep.
    pub(crate) fn new(area: CmaArea) -> Result<Self> {
        let runs = KVec::with_capacity(MAX_RUNS, GFP_KERNEL)?;
        let node = Node::any().ok_or(ENODEV)?;
        let worker = Worker::start(
            c"dma_heap_cma",
            node,
            try_pin_init!(Runs {
                ledger: Ledger::new(CAP, TRIM),
                runs <- new_spinlock!(runs),
            }? Error),
        )?;
        let shared = Arc::new(Shared { worker }, GFP_KERNEL)?;

        Ok(Self {
            area,
            _pressure: Pressure::on(c"dma-heap-runs", shared.clone())?,
            shared,
        })
    }

    /// Takes one zeroed run of `nr_pages` pages: a kept one, else from the area. It comes back when
    /// the list is dropped. May sleep and migrate other users' pages.
    ///
    /// Returns `ENOMEM` if the area cannot serve it although nothing is kept any more, and `EINTR`
    /// if the task got a fatal signal.
    pub(crate) fn take(&self, nr_pages: usize) -> Result<UniqueArc<BlockList>> {
        let mut list = BlockList::with_capacity(1)?;
        let (block, kept_before) = self.take_run(nr_pages)?;
        let shared = self.shared.clone();

        list.push(block)?;
        list.set_home(Arc::new(
            WayBack {
                shared,
                kept_before,
            },
            GFP_KERNEL,
        )?);
        Ok(list)
    }

    /// Also returns how long the run has been kept since it was allocated from the area.
    fn take_run(&self, nr_pages: usize) -> Result<(Block<Zeroed>, Delta)> {
        let runs = &self.shared.worker;
        let now = Instant::now();
        let kept = runs
            .take(|run| run.nr_pages() == nr_pages && !run.is_dirty())
            .or_else(|| runs.take(|run| run.nr_pages() == nr_pages && run.rest(now).is_zero()));

        if let Some(run) = kept {
            let kept_before = run.kept(now);

            runs.ledger.hits.add(bytes(nr_pages));
            let block = match run.block {
                ReturnedBlock::Zeroed(block) => block,
                ReturnedBlock::Dirty(block) => {
                    runs.ledger.zeroed_inline.add(bytes(nr_pages));
                    block.zero().map_err(|_| EINTR)?
                }
            };

            return Ok((block, kept_before));
        }

        let block = match Block::alloc_contiguous(self.area, nr_pages) {
            Err(e) if e == ENOMEM => {
                let freed = runs.free_until(|_| false);

                // The thread may have one in its hands, which it puts back or frees.
                runs.settle();
                if freed + runs.free_until(|_| false) == 0 {
                    return Err(ENOMEM);
                }
                Block::alloc_contiguous(self.area, nr_pages)
            }
            result => result,
        }?;

        runs.ledger.misses.add(bytes(nr_pages));
        Ok((block.zero().map_err(|_| EINTR)?, Delta::ZERO))
    }
}

impl Pool for RunPool {
    fn ledger(&self) -> &Ledger {
        &self.shared.worker.ledger
    }

    fn shed(&self) {
        let runs = &self.shared.worker;

        runs.free_until(|_| runs.ledger.excess() == 0);
    }

    fn retime(&self) {
        self.shared.worker.hurry();
    }

    fn dirty(&self) -> u64 {
        let runs = self.shared.worker.runs.lock();

        runs.iter()
            .filter(|run| run.is_dirty())
            .map(|run| bytes(run.nr_pages()))
            .sum()
    }
}

impl Home for WayBack {
    fn take_back(&self, blocks: Returned) {
        let lingers = blocks.lingers();
        let worker = &self.shared.worker;
        let ledger = &worker.ledger;
        let left = ledger.trim() - self.kept_before;

        blocks.for_each(|block| {
            let length = bytes(block.nr_pages());
            let counter = match &block {
                ReturnedBlock::Zeroed(_) => &ledger.returned_zeroed,
                ReturnedBlock::Dirty(_) => &ledger.returned_dirty,
            };

            counter.add(length);
            // One that is not kept is freed by its drop.
            if !block.is_sound() {
                return;
            }
            if left <= Delta::ZERO {
                ledger.trimmed.add(length);
                return;
            }

            let run = Run {
                block,
                since: Instant::now(),
                kept_before: self.kept_before,
                lingers,
            };
            let is_dirty = run.is_dirty();

            if worker.put(run).is_err() {
                return;
            }
            if is_dirty {
                worker.go_on_soon();
            } else {
                worker.schedule(left);
            }
        });
    }
}

impl Reclaim for Shared {
    fn count(&self, node: usize) -> usize {
        let runs = self.worker.runs.lock();

        runs.iter()
            .filter(|run| run.block.node().id() as usize == node)
            .map(|run| run.nr_pages())
            .sum()
    }

    fn give_back(&self, node: usize, nr_pages: usize) -> usize {
        let mut freed = 0;

        while freed < nr_pages {
            match self
                .worker
                .take(|run| run.block.node().id() as usize == node)
            {
                Some(run) => freed += run.nr_pages(),
                None => break,
            }
        }
        self.worker.ledger.reclaimed.add(bytes(freed));
        freed
    }

    fn give_back_all(&self) -> usize {
        let freed = self.worker.free_until(|_| false);

        self.worker.ledger.reclaimed.add(bytes(freed));
        freed
    }
}
