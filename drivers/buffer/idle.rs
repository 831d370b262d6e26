// SPDX-License-Identifier: GPL-2.0

//! How long a DMA mapping is kept that nobody uses.

use crate::abstractions::dma::iommu::DomainId;
use kernel::{
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// Whether a mapping is kept that nobody uses, to be read without a lock.
///
/// Changed under that of the [`Tables`](super::tables::Tables). What a reader finds may be out of
/// date.
pub(super) struct Idle {
    is_kept: Atomic<bool>,
    /// The number of the [`DomainId`] where it has its addresses.
    domain: Atomic<usize>,
    /// When it became idle, in about microseconds since `begin`.
    since: Atomic<usize>,
    begin: Instant<Monotonic>,
}

impl Idle {
    /// Nothing is kept yet.
    pub(super) fn new() -> Self {
        Self {
            is_kept: Atomic::new(false),
            domain: Atomic::new(0),
            since: Atomic::new(0),
            begin: Instant::now(),
        }
    }

    fn now(&self) -> usize {
        // Of 1024 ns each, so that 32 bits do for an hour.
        (self.begin.elapsed().as_nanos() >> 10) as usize
    }

    /// Notes that a mapping in `domain` is kept from now on.
    pub(super) fn begin(&self, domain: DomainId) {
        self.domain.store(domain.number(), Relaxed);
        self.since.store(self.now(), Relaxed);
        self.is_kept.store(true, Relaxed);
    }

    /// Notes that there is no such mapping any more.
    pub(super) fn end(&self) {
        self.is_kept.store(false, Relaxed);
    }

    /// Tells whether one is kept.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept.load(Relaxed)
    }

    /// Tells whether one is kept in `domain`.
    pub(super) fn is_kept_in(&self, domain: DomainId) -> bool {
        self.is_kept() && DomainId::from_number(self.domain.load(Relaxed)) == domain
    }

    /// Returns for how many microseconds, about, one is kept.
    pub(super) fn age(&self) -> Option<usize> {
        let since = self.since.load(Relaxed);

        self.is_kept().then(|| self.now().wrapping_sub(since))
    }
}
