// SPDX-License-Identifier: GPL-2.0

//! How long a DMA mapping is kept that nobody uses.

use crate::abstractions::{
    dma::iommu::DomainId,
    sync::jiffies, //
};
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Whether a mapping is kept that nobody uses, to be read without a lock.
///
/// Changed under that of the [`Tables`](super::tables::Tables). What a reader finds may be out of
/// date.
pub(super) struct Idle {
    is_kept: Atomic<bool>,
    /// The number of the [`DomainId`] where it has its addresses.
    domain: Atomic<usize>,
    /// When it became idle, in jiffies.
    since: Atomic<usize>,
}

impl Idle {
    /// Nothing is kept yet.
    pub(super) fn new() -> Self {
        Self {
            is_kept: Atomic::new(false),
            domain: Atomic::new(0),
            since: Atomic::new(0),
        }
    }

    /// Notes that a mapping was made in `domain`.
    pub(super) fn mapped_in(&self, domain: DomainId) {
        self.domain.store(domain.number(), Relaxed);
    }

    /// Notes that the mapping is kept from now on.
    pub(super) fn begin(&self) {
        self.since.store(jiffies::now(), Relaxed);
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

    /// Returns for how many jiffies one is kept.
    pub(super) fn age(&self) -> Option<usize> {
        let since = self.since.load(Relaxed);

        self.is_kept().then(|| jiffies::now().wrapping_sub(since))
    }
}
