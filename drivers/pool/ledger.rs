// SPDX-License-Identifier: GPL-2.0

//! How much a pool keeps, may keep, and has done.

use crate::{
    abstractions::{
        trace,
        versions::millis_ceil, //
    },
    counter::Counter, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        SetOnce, //
    },
    time::Delta, //
};

/// What all pools keep, in bytes.
static HELD: Atomic<u64> = Atomic::new(0);

/// Returns what all pools keep, in bytes.
pub(crate) fn held_by_all() -> u64 {
    HELD.load(Relaxed)
}

/// The sums of one pool. Counters are in bytes unless they say otherwise.
pub(crate) struct Ledger {
    /// The heap's, for tracepoints.
    name: SetOnce<CString>,
    cap: Atomic<u64>,
    held: Atomic<u64>,
    trim_ms: Atomic<u64>,
    /// Memory of new buffers that came from the pool.
    pub(crate) hits: Counter,
    /// Memory of new buffers that did not.
    pub(crate) misses: Counter,
    /// Memory from the pool that the allocating task had to zero.
    pub(crate) zeroed_inline: Counter,
    /// Memory that was zeroed in the background.
    pub(crate) zeroed_background: Counter,
    /// Memory that was allocated in the background, in expectation of another buffer.
    pub(crate) refilled: Counter,
    /// Memory that came back from buffers unwritable, so that it needed no zeroing.
    pub(crate) returned_zeroed: Counter,
    /// Memory that came back from buffers and had to be zeroed.
    pub(crate) returned_dirty: Counter,
    /// Memory that went back because it was idle.
    pub(crate) trimmed: Counter,
    /// Memory that went back because the machine needed it.
    pub(crate) reclaimed: Counter,
    /// How many pages of it went since the OOM killer last asked.
    reclaimed_since: Atomic<usize>,
}

impl Ledger {
    /// Makes a ledger of a pool that keeps nothing yet.
    ///
    /// `cap` is in bytes; `trim` is how long something idle is kept at least.
    pub(super) fn new(cap: u64, trim: Delta) -> Self {
        Self {
            name: SetOnce::new(),
            cap: Atomic::new(cap),
            held: Atomic::new(0),
            trim_ms: Atomic::new(millis_ceil(trim).max(0) as u64),
            hits: Counter::new(),
            misses: Counter::new(),
            zeroed_inline: Counter::new(),
            zeroed_background: Counter::new(),
            refilled: Counter::new(),
            returned_zeroed: Counter::new(),
            returned_dirty: Counter::new(),
            trimmed: Counter::new(),
            reclaimed: Counter::new(),
            reclaimed_since: Atomic::new(0),
        }
    }

    /// Says whose pool it is, once.
    pub(crate) fn set_name(&self, heap: CString) {
        self.name.populate(heap);
    }

    fn name(&self) -> &CStr {
        self.name.as_ref().map_or(c"", |name| name)
    }

    /// Notes that `nr_pages` pages of a new buffer came from the pool.
    pub(super) fn note_hit(&self, nr_pages: usize) {
        self.hits.add(bytes(nr_pages));
        trace::pool_hit(self.name(), bytes(nr_pages));
    }

    /// Notes that they did not.
    pub(super) fn note_miss(&self, nr_pages: usize) {
        self.misses.add(bytes(nr_pages));
        trace::pool_miss(self.name(), bytes(nr_pages));
    }

    /// Notes that whoever needs them had to zero `nr_pages` pages.
    pub(super) fn note_zeroed_inline(&self, nr_pages: usize) {
        self.zeroed_inline.add(bytes(nr_pages));
        trace::pool_zero(self.name(), bytes(nr_pages));
    }

    /// Notes that the background had zeroed them.
    pub(super) fn note_zeroed_background(&self, nr_pages: usize) {
        self.zeroed_background.add(bytes(nr_pages));
        trace::pool_zero(self.name(), bytes(nr_pages));
    }

    /// Notes that `nr_pages` pages went back because they were idle.
    pub(super) fn note_trimmed(&self, nr_pages: usize) {
        self.trimmed.add(bytes(nr_pages));
        trace::pool_trim(self.name(), bytes(nr_pages));
    }

    /// Returns how much may be kept, in bytes.
    pub(crate) fn cap(&self) -> u64 {
        self.cap.load(Relaxed)
    }

    /// Sets how much may be kept, in bytes.
    pub(crate) fn set_cap(&self, bytes: u64) {
        self.cap.store(bytes, Relaxed);
    }

    /// Returns how much is kept, in bytes.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Returns how long something idle is kept at least; it goes after twice that at most.
    pub(crate) fn trim(&self) -> Delta {
        // An hour is as good as for ever, and every sum with it fits.
        Delta::from_millis(self.trim_ms().min(3_600_000) as i64)
    }

    /// Returns the same in milliseconds, as it was set.
    pub(crate) fn trim_ms(&self) -> u64 {
        self.trim_ms.load(Relaxed)
    }

    /// Sets it.
    pub(crate) fn set_trim_ms(&self, ms: u64) {
        self.trim_ms.store(ms, Relaxed);
    }

    /// Takes room for up to `nr_pages` pages, and returns for how many there was some.
    pub(super) fn reserve(&self, nr_pages: usize) -> usize {
        let mut held = self.held();

        loop {
            let room = self.cap().saturating_sub(held) / PAGE_SIZE as u64;
            let granted = room.min(nr_pages as u64);

            if granted == 0 {
                return 0;
            }
            match self
                .held
                .cmpxchg(held, held + granted * PAGE_SIZE as u64, Relaxed)
            {
                Ok(_) => {
                    let _ = HELD.fetch_add(granted * PAGE_SIZE as u64, Relaxed);

                    return granted as usize;
                }
                Err(now) => held = now,
            }
        }
    }

    /// Takes room for `nr_pages` pages, or none.
    pub(super) fn reserve_all(&self, nr_pages: usize) -> bool {
        let granted = self.reserve(nr_pages);

        if granted < nr_pages {
            self.release(granted);
        }
        granted == nr_pages
    }

    /// Gives the room of `nr_pages` pages back.
    pub(super) fn release(&self, nr_pages: usize) {
        let _ = self.held.fetch_sub(bytes(nr_pages), Relaxed);
        let _ = HELD.fetch_sub(bytes(nr_pages), Relaxed);
    }

    /// Notes that `nr_pages` pages went back because the machine needed them.
    pub(super) fn note_reclaimed(&self, nr_pages: usize) {
        self.reclaimed.add(bytes(nr_pages));
        if nr_pages > 0 {
            trace::pool_reclaim(self.name(), bytes(nr_pages));
        }
        let _ = self.reclaimed_since.fetch_add(nr_pages, Relaxed);
    }

    /// Returns how many pages went so since this was last called.
    ///
    /// Before somebody is killed: between the moment when an allocation finds nothing for the last
    /// time and the one when the OOM killer asks, another task may have had all of it back. Then
    /// there is memory again, and to try once more is right.
    pub(super) fn take_reclaimed(&self) -> usize {
        self.reclaimed_since.xchg(0, Relaxed)
    }

    /// Returns by how many pages more is kept than may be.
    pub(super) fn excess(&self) -> usize {
        (self.held().saturating_sub(self.cap())).div_ceil(PAGE_SIZE as u64) as usize
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // What the pool had goes with it.
        let _ = HELD.fetch_sub(self.held(), Relaxed);
    }
}

/// Returns the length of `nr_pages` pages.
pub(super) fn bytes(nr_pages: usize) -> u64 {
    nr_pages as u64 * PAGE_SIZE as u64
}

#[kunit_tests(rust_dma_heap_ledger)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_up_to_the_cap() {
        let ledger = Ledger::new(bytes(10), Delta::ZERO);

        assert_eq!(ledger.reserve(6), 6);
        assert_eq!(ledger.reserve(6), 4);
        assert_eq!(ledger.reserve(1), 0);
        ledger.release(3);
        assert!(!ledger.reserve_all(4));
        assert_eq!(ledger.held(), bytes(7));
        assert!(ledger.reserve_all(3));
    }

    #[test]
    fn a_lower_cap_leaves_an_excess() {
        let ledger = Ledger::new(bytes(10), Delta::ZERO);

        ledger.reserve(8);
        ledger.set_cap(bytes(5) + 1);
        assert_eq!(ledger.excess(), 3);
        ledger.set_cap(0);
        assert_eq!(ledger.excess(), 8);
        assert_eq!(ledger.reserve(1), 0);
    }

    #[test]
    fn pages_that_went_back_are_told_once() {
        let ledger = Ledger::new(0, Delta::ZERO);

        ledger.note_reclaimed(2);
        ledger.note_reclaimed(3);
        assert_eq!(ledger.take_reclaimed(), 5);
        assert_eq!(ledger.take_reclaimed(), 0);
    }

    #[test]
    fn an_absurd_idle_time_is_an_hour() {
        let ledger = Ledger::new(0, Delta::ZERO);

        ledger.set_trim_ms(u64::MAX);
        assert_eq!(ledger.trim_ms(), u64::MAX);
        assert_eq!(ledger.trim().as_millis(), 3_600_000);
    }
}
