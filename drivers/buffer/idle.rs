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

/// How many mappings were made, by all attachments.
static MADE: Atomic<usize> = Atomic::new(0);

/// A moment, to say which mapping is idle for longest.
///
/// Jiffies cost less than a clock, but many mappings become idle in one: the order in which they
/// were made tells those apart.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    jiffies: usize,
    made: usize,
}

/// For how long a mapping is kept that nobody uses. The longer, the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    jiffies: usize,
    made_since: usize,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self {
            jiffies: jiffies::now(),
            made: MADE.load(Relaxed),
        }
    }
}

/// Whether a mapping is kept that nobody uses, to be read without a lock.
///
/// Changed under that of the [`Tables`](super::tables::Tables). What a reader finds may be out of
/// date.
pub(super) struct Idle {
    is_kept: Atomic<bool>,
    /// The number of the [`DomainId`] where it has its addresses.
    domain: Atomic<usize>,
    /// Which of all mappings it is.
    number: Atomic<usize>,
    /// When it became idle, in jiffies.
    since: Atomic<usize>,
}

impl Idle {
    /// Nothing is kept yet.
    pub(super) fn new() -> Self {
        Self {
            is_kept: Atomic::new(false),
            domain: Atomic::new(0),
            number: Atomic::new(0),
            since: Atomic::new(0),
        }
    }

    /// Notes that a mapping was made in `domain`.
    pub(super) fn mapped_in(&self, domain: DomainId) {
        self.domain.store(domain.number(), Relaxed);
        self.number.store(MADE.fetch_add(1, Relaxed), Relaxed);
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

    /// Returns for how long one is kept at `now`.
    pub(super) fn age(&self, now: Moment) -> Option<Age> {
        // Both counts wrap. It may have become idle after `now`.
        let since = |now: usize, then: usize| (now.wrapping_sub(then) as isize).max(0) as usize;

        self.is_kept().then(|| Age {
            jiffies: since(now.jiffies, self.since.load(Relaxed)),
            made_since: since(now.made, self.number.load(Relaxed)),
        })
    }
}
