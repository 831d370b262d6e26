// SPDX-License-Identifier: GPL-2.0

//! What was asked of work that comes in portions, while one was being done.

use super::jiffies;
use kernel::{
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    },
    time::{
        Delta,
        Jiffies, //
    }, //
};

/// How soon the next portion was asked for since the last one began.
///
/// What a caller has made ready before it asks, the next portion sees, by the order of the
/// exchanges: one that has begun no earlier than that is about to come.
pub(super) struct Asked {
    /// For at once.
    hurried: Atomic<bool>,
    /// For the next tick.
    due_soon: Atomic<bool>,
}

impl Asked {
    pub(super) fn new() -> Self {
        Self {
            hurried: Atomic::new(false),
            due_soon: Atomic::new(false),
        }
    }

    /// Notes that a portion begins.
    pub(super) fn begin(&self) {
        self.due_soon.xchg(false, Full);
        self.hurried.xchg(false, Full);
    }

    /// Asks for the next one at once. Returns whether nobody had.
    pub(super) fn hurry(&self) -> bool {
        !self.hurried.xchg(true, Full)
    }

    /// Asks for the next one with the next tick. Returns whether nobody had.
    pub(super) fn soon(&self) -> bool {
        !self.due_soon.xchg(true, Full)
    }

    /// Tells whether it was asked for at once.
    pub(super) fn is_hurried(&self) -> bool {
        self.hurried.load(Relaxed)
    }

    /// Tells whether it was asked for at all.
    pub(super) fn is_due(&self) -> bool {
        self.is_hurried() || self.due_soon.load(Relaxed)
    }

    /// Returns when the next one is due, if that was asked for before the last one put it off by
    /// `delay`. To be called after the work was queued with that: the lock of the queue, which both
    /// sides have taken since, orders the two.
    pub(super) fn sooner_than(&self, delay: Delta) -> Option<Jiffies> {
        if self.hurried.load(Acquire) {
            Some(0)
        } else if self.due_soon.load(Acquire) && !delay.is_zero() {
            Some(jiffies::NEXT_TICK)
        } else {
            None
        }
    }
}
