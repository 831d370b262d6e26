// SPDX-License-Identifier: GPL-2.0

//! Event counters.

#![deny(unsafe_code)]

use crate::abstractions::decimal;
use kernel::{
    fmt,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// How often something happened, or how much of it, since the module was loaded.
///
/// Each counter stands alone: nothing is ordered by it.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    /// Makes a counter that stands at 0.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds `n`.
    pub(crate) fn add(&self, n: u64) {
        let _ = self.0.fetch_add(n, Relaxed);
    }
}

/// What a debugfs file shows.
impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal::write(f, self.0.load(Relaxed))
    }
}
