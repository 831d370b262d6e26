// SPDX-License-Identifier: GPL-2.0

//! Runs of any length from a contiguous area, few of them and kept for a short time.
//!
//! The other users of the area cannot ask for them, and many try but once: a camera's driver that
//! is told to start again, say. So what is kept must not be what they lack. It is little, goes
//! soon, and goes at once when the last living buffer does: who closes everything means to leave. A
//! run whose buffer has lived for longer than it could be kept is not kept at all: there is no loop
//! to serve, and a camera's buffers are such. All of it goes before the heap says that there is no
//! memory.
//!
//! A run that is used again and again goes back, too, when it has been kept for long enough
//! altogether: else it would stay for ever where it happens to lie, in the middle of the area
//! perhaps. The next one comes from the first place that is free.

use super::{
    ledger::{
        bytes,
        Ledger, //
    },
    pressure::{
        Pressure,
        Reclaim, //
    },
    runs::{
        Run,
        Runs,
        State,
        MAX_RUNS, //
    },
    Pool, //
};
use crate::abstractions::{
    mm::{
        block::{
            Block,
            Zeroed, //
        },
        block_list::{
            BlockList,
            Home, //
        },
        cma::CmaArea,
        contiguous::ContiguousMemory,
        oom::OutOfMemory,
        returned::{
            Returned,
            ReturnedBlock, //
        }, //
    },
    sync::delayed_work::DelayedWork, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        UniqueArc, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Default of `pool_cap`, in bytes: a frame of 1080 lines at 12 bits a pixel, and a sixteenth of
/// the area that Debian's arm64 kernels have.
const CAP: u64 = 4 << 20;

/// Default of `pool_trim_ms`.
const TRIM: Delta = Delta::from_millis(100);

/// How often to look for that when a buffer is closed, where nobody expects to wait.
const HAND_POLLS_AT_CLOSE: usize = 10;

/// The way back of a run that a buffer has.
struct WayBack {
    runs: Arc<DelayedWork<Runs>>,
    nr_pages: usize,
    /// How long the run has been kept before, since it was allocated from the area.
    kept_before: Delta,
    /// Since when the buffer lives.
    born: Instant<Monotonic>,
}

/// Contiguous memory for buffers, of which some is kept warm. Dropping it frees all that is kept.
pub(crate) struct RunPool {
    // In this order: nobody asks for memory back after the first is gone.
    _pressure: Pin<KBox<Pressure<DelayedWork<Runs>>>>,
    runs: Arc<DelayedWork<Runs>>,
}

impl RunPool {
    /// Makes a pool for `area`. May sleep.
    pub(crate) fn new(area: CmaArea) -> Result<Self> {
        let state = State {
            runs: KVec::with_capacity(MAX_RUNS, GFP_KERNEL)?,
            in_hand: false,
        };
        let memory = ContiguousMemory::new(area)?;
        let runs = DelayedWork::new(pin_init!(Runs {
            memory,
            ledger: Ledger::new(CAP, TRIM),
            living: Atomic::new(0),
            let_go: Atomic::new(false),
            state <- new_spinlock!(state),
        }))?;

        Ok(Self {
            _pressure: Pressure::on(c"dma-heap-runs", runs.clone())?,
            runs,
        })
    }

    /// Takes one zeroed run of `nr_pages` pages: a kept one, else from the area. It comes back when
    /// the list is dropped. May sleep and migrate other users' pages.
    ///
    /// Returns `ENOMEM` if the area cannot serve it although nothing is kept any more, which takes
    /// some tries where the buffers do not have all of it, and `EINTR` if the task got a fatal
    /// signal.
    pub(crate) fn take(&self, nr_pages: usize) -> Result<UniqueArc<BlockList>> {
        let mut list = BlockList::with_capacity(1)?;
        let (block, kept_before) = self.take_run(nr_pages)?;

        list.push(block)?;

        let home = Arc::new(
            WayBack {
                runs: self.runs.clone(),
                nr_pages,
                kept_before,
                born: Instant::now(),
            },
            GFP_KERNEL,
        )?;

        let _ = self.runs.living.fetch_add(nr_pages, Relaxed);
        list.set_home(home);
        Ok(list)
    }

    /// Takes a kept run that is fit. Also returns how long it has been kept since it was allocated
    /// from the area.
    fn take_kept(&self, nr_pages: usize) -> Option<Result<(Block<Zeroed>, Delta)>> {
        let runs = &self.runs;

        loop {
            let run = runs
                .take(|run| run.nr_pages() == nr_pages && !run.is_dirty())
                .or_else(|| runs.take(|run| run.nr_pages() == nr_pages))?;
            let kept_before = run.kept(Instant::now());
            // One that is not fit any more goes back.
            let block = match run.block {
                ReturnedBlock::Zeroed(block) => block.recheck().ok().map(Ok),
                ReturnedBlock::Dirty(block) => block.recheck().ok().map(|block| {
                    runs.ledger.note_zeroed_inline(nr_pages);
                    block.zero().map_err(|_| EINTR)
                }),
            };

            if let Some(block) = block {
                runs.ledger.note_hit(nr_pages);
                return Some(block.map(|block| (block, kept_before)));
            }
            runs.look_after_aside();
        }
    }

    fn take_run(&self, nr_pages: usize) -> Result<(Block<Zeroed>, Delta)> {
        if let Some(kept) = self.take_kept(nr_pages) {
            return kept;
        }

        let runs = &self.runs;
        let block = runs.take_from_area(nr_pages);

        runs.look_after_aside();
        let block = block?;

        runs.ledger.note_miss(nr_pages);
        Ok((block.zero().map_err(|_| EINTR)?, Delta::ZERO))
    }
}

impl Pool for RunPool {
    fn ledger(&self) -> &Ledger {
        &self.runs.ledger
    }

    fn shed(&self) {
        let runs = &self.runs;

        runs.free_until(|_| runs.ledger.excess() == 0);
    }

    fn retime(&self) {
        self.runs.hurry();
    }

    fn dirty(&self) -> u64 {
        let state = self.runs.state.lock();

        state
            .runs
            .iter()
            .filter(|run| run.is_dirty())
            .map(|run| bytes(run.nr_pages()))
            .sum()
    }
}

impl DelayedWork<Runs> {
    /// Has what could not go back to the area looked at again later.
    fn look_after_aside(&self) {
        if self.memory.keeps_aside() {
            self.go_on_soon();
        }
    }
}

impl Home for WayBack {
    fn take_back(&self, blocks: Returned) {
        let runs = &self.runs;
        let ledger = &runs.ledger;
        let now = Instant::now();
        let trim = ledger.trim();
        let left = if now - self.born < trim {
            trim - self.kept_before
        } else {
            Delta::ZERO
        };
        let is_last = runs.living.fetch_sub(self.nr_pages, Full) == self.nr_pages;

        blocks.for_each(|block| {
            let nr_pages = block.nr_pages();
            let counter = match &block {
                ReturnedBlock::Zeroed(_) => &ledger.returned_zeroed,
                ReturnedBlock::Dirty(_) => &ledger.returned_dirty,
            };

            counter.add(bytes(nr_pages));
            // One that is not kept is freed by its drop.
            if is_last {
                return;
            }
            if left <= Delta::ZERO {
                ledger.note_trimmed(nr_pages);
                return;
            }

            let run = Run {
                block,
                since: now,
                kept_before: self.kept_before,
            };
            let is_dirty = run.is_dirty();

            if runs.put(run).is_ok() {
                if is_dirty {
                    runs.go_on_soon();
                } else {
                    runs.schedule(left);
                }
            }
        });
        // Others may have come and gone meanwhile.
        if runs.living.load(Relaxed) == 0 {
            let mut polls = 0..HAND_POLLS_AT_CLOSE;

            runs.free_all(|| polls.next().is_some());
        }
        runs.look_after_aside();
    }
}

impl Reclaim for DelayedWork<Runs> {
    fn count(&self, node: usize) -> usize {
        let state = self.state.lock();

        state
            .runs
            .iter()
            .filter(|run| run.block.node().id() as usize == node)
            .map(|run| run.nr_pages())
            .sum()
    }

    fn give_back(&self, node: usize, nr_pages: usize) -> usize {
        let mut freed = 0;

        while freed < nr_pages {
            match self.take(|run| run.block.node().id() as usize == node) {
                Some(run) => freed += run.nr_pages(),
                None => break,
            }
        }
        self.ledger.note_reclaimed(freed);
        freed
    }
}

impl OutOfMemory for DelayedWork<Runs> {
    fn give_back_all(&self) -> usize {
        self.ledger.note_reclaimed(self.free_until(|_| false));
        self.ledger.take_reclaimed()
    }
}
