// SPDX-License-Identifier: GPL-2.0

//! The runs that are kept of a contiguous area, and the work of keeping them.

use super::ledger::{
    bytes,
    Ledger, //
};
use crate::abstractions::{
    mm::{
        block::{
            Block,
            Dirty, //
        },
        contiguous::ContiguousMemory,
        returned::ReturnedBlock, //
    },
    sync::worker::Background,
    task, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLock, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// The most runs that are kept.
pub(super) const MAX_RUNS: usize = 16;

/// After how long to look again at pages that others still use.
const RETRY: Delta = Delta::from_millis(100);

/// How often to look whether a run that was being zeroed has been let go.
const HAND_POLL: Delta = Delta::from_millis(1);

/// How long to wait before another try where the area should have the memory. What is in the way is
/// pinned for a moment, and no place for the run was free of that: a fork copies the mappings of
/// such pages, say, or a disk writes them.
const PINNED: [Delta; 4] = [
    Delta::from_millis(1),
    Delta::from_millis(4),
    Delta::from_millis(16),
    Delta::from_millis(64),
];

/// After how long there is no other try but the first of these. In a large area each one takes
/// long: the kernel moves what it can away from every place before it finds what does not move.
const PINNED_FOR_LONG: Delta = Delta::from_millis(250);

/// A run that is kept.
pub(super) struct Run {
    pub(super) block: ReturnedBlock,
    /// When it came.
    pub(super) since: Instant<Monotonic>,
    /// How long it was kept before that, between other buffers.
    pub(super) kept_before: Delta,
}

impl Run {
    pub(super) fn nr_pages(&self) -> usize {
        self.block.nr_pages()
    }

    pub(super) fn is_dirty(&self) -> bool {
        matches!(self.block, ReturnedBlock::Dirty(_))
    }

    /// Returns how long it has been kept altogether since it was allocated from the area.
    pub(super) fn kept(&self, now: Instant<Monotonic>) -> Delta {
        self.kept_before + (now - self.since)
    }
}

/// What the lock protects.
pub(super) struct State {
    /// Has room for [`MAX_RUNS`], so that nothing is allocated under the lock.
    pub(super) runs: KVec<Run>,
    /// Whether a run is being zeroed, and thus in nobody's list.
    pub(super) in_hand: bool,
}

/// The runs, and the work of keeping them.
#[pin_data]
pub(super) struct Runs {
    pub(super) memory: Arc<ContiguousMemory>,
    pub(super) ledger: Ledger,
    /// How many pages buffers have.
    pub(super) living: Atomic<usize>,
    /// Asks that the run that is being zeroed be let go.
    pub(super) let_go: Atomic<bool>,
    #[pin]
    pub(super) state: SpinLock<State>,
}

impl Runs {
    /// Takes the first run for which `wanted` says yes.
    pub(super) fn take(&self, wanted: impl FnMut(&Run) -> bool) -> Option<Run> {
        let run = {
            let mut state = self.state.lock();
            let n = state.runs.iter().position(wanted)?;

            state.runs.remove(n).ok()?
        };

        self.taken(&run);
        Some(run)
    }

    /// Takes a run that has to be zeroed; [`Self::put_down`] tells the others that it is zeroed, or
    /// gone.
    pub(super) fn take_in_hand(&self) -> Option<Run> {
        let run = {
            let mut state = self.state.lock();
            let n = state.runs.iter().position(Run::is_dirty)?;
            let run = state.runs.remove(n).ok()?;

            state.in_hand = true;
            self.let_go.store(false, Relaxed);
            run
        };

        self.taken(&run);
        Some(run)
    }

    pub(super) fn put_down(&self) {
        self.state.lock().in_hand = false;
    }

    /// Settles the sums for a run that has left.
    pub(super) fn taken(&self, run: &Run) {
        self.ledger.release(run.nr_pages());
        run.block
            .node()
            .account_reclaimable(-(run.nr_pages() as isize));
    }

    /// Keeps a run, if there is room. Returns it if not.
    pub(super) fn put(&self, run: Run) -> Result<(), Run> {
        let nr_pages = run.nr_pages();
        let node = run.block.node();

        if !self.ledger.reserve_all(nr_pages) {
            return Err(run);
        }
        node.account_reclaimable(nr_pages as isize);

        let result = self.state.lock().runs.push_within_capacity(run);

        result.map_err(|error| {
            self.ledger.release(nr_pages);
            node.account_reclaimable(-(nr_pages as isize));
            error.0
        })
    }

    /// Frees runs until `enough` says so. Returns how many pages were freed.
    pub(super) fn free_until(&self, mut enough: impl FnMut(usize) -> bool) -> usize {
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

    /// Frees all runs, the one that is being zeroed, too, as long as `go_on` agrees to wait a
    /// little longer for that. Returns whether there was any.
    pub(super) fn free_all(&self, mut go_on: impl FnMut() -> bool) -> bool {
        let freed = self.free_until(|_| false);
        let mut waited = false;

        while self.state.lock().in_hand && go_on() {
            self.let_go.store(true, Relaxed);
            waited = true;
            fsleep(HAND_POLL);
        }
        freed + self.free_until(|_| false) > 0 || waited
    }

    /// Takes a run from the area, from which everything that is kept goes before there is said to
    /// be none. Whoever waits here can be killed.
    pub(super) fn take_from_area(&self, nr_pages: usize) -> Result<Block<Dirty>> {
        let allocate = || match Block::alloc_contiguous(&self.memory, nr_pages) {
            // It gives up for a task that is killed, too.
            Err(e) if e == ENOMEM && task::fatal_signal_pending() => Err(EINTR),
            Err(e) if e == ENOMEM => Ok(None),
            result => result.map(Some),
        };
        let free_all = || self.free_all(|| !task::fatal_signal_pending());

        if let Some(block) = allocate()? {
            return Ok(block);
        }
        if free_all() {
            if let Some(block) = allocate()? {
                return Ok(block);
            }
        }

        let begin = Instant::<Monotonic>::now();

        for (n, pause) in PINNED.into_iter().enumerate() {
            // What others have of the area, nobody tells.
            let is_full = bytes(self.living.load(Relaxed) + nr_pages) > self.memory.size_at_most();

            if is_full || n > 0 && begin.elapsed() > PINNED_FOR_LONG {
                break;
            }
            task::wait(pause)?;
            // What has come back meanwhile.
            free_all();
            if let Some(block) = allocate()? {
                return Ok(block);
            }
        }
        Err(ENOMEM)
    }

    /// Zeroes a run that has to be, unless there is none. Returns whether there was one.
    pub(super) fn zero_one(&self) -> bool {
        let Some(run) = self.take_in_hand() else {
            return false;
        };
        let nr_pages = run.nr_pages();

        if let ReturnedBlock::Dirty(block) = run.block {
            // One that is not fit any more goes back, and so does one that somebody needs.
            let block = block.recheck().ok();
            let zeroed =
                block.and_then(|block| block.zero_while(|| !self.let_go.load(Relaxed)).ok());

            if let Some(block) = zeroed.filter(|_| self.living.load(Relaxed) > 0) {
                self.ledger.note_zeroed_background(nr_pages);
                // Freed if its room was taken meanwhile.
                let _ = self.put(Run {
                    block: ReturnedBlock::Zeroed(block.keep()),
                    ..run
                });
            }
        }
        self.put_down();
        true
    }
}

impl Background for Runs {
    fn run(&self) -> Option<Delta> {
        let now = Instant::now();
        let trim = self.ledger.trim();

        self.memory.retry();
        // What was being zeroed when the cap was lowered.
        self.free_until(|_| self.ledger.excess() == 0);
        while let Some(run) = self.take(|run| run.kept(now) >= trim) {
            self.ledger.note_trimmed(run.nr_pages());
        }
        if self.zero_one() {
            return Some(Delta::ZERO);
        }

        let state = self.state.lock();
        let trims = state.runs.iter().map(|run| trim - run.kept(now));
        let retry = self.memory.keeps_aside().then_some(RETRY);

        Iterator::chain(trims, retry).min_by_key(|delay| delay.as_nanos())
    }

    fn end(&self) {
        // So that what is freed does not count as reclaimable for ever.
        self.free_until(|_| false);
    }
}
