// SPDX-License-Identifier: GPL-2.0

//! What makes a pool give everything back, for as long as the value lives.

use crate::abstractions::mm::{
    oom::{
        OomNotifier,
        OutOfMemory, //
    },
    shrinker::{
        self,
        CountObjects,
        ScanObjects,
        ShrinkControl,
        Shrinker,
        ShrinkerBuilder,
        ShrinkerRegistration, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// A pool of pages that it can do without.
///
/// All methods are called from within memory reclaim, so they must not allocate, nor wait for
/// anybody who may.
pub(super) trait Reclaim: OutOfMemory {
    /// Returns how many pages of NUMA node `node` are kept.
    fn count(&self, node: usize) -> usize;

    /// Frees up to `nr_pages` pages of NUMA node `node`, or somewhat more where a block is larger,
    /// and returns how many were freed.
    fn give_back(&self, node: usize, nr_pages: usize) -> usize;
}

/// How many pages reclaim asks for at once, and below which it leaves them for later: 512 KiB, as
/// many as without this with pages of 4 KiB. A shrinker's objects are expected to be of one size.
const BATCH: usize = (512 << 10) / PAGE_SIZE;

/// The pages of a pool as a shrinker has them.
struct PoolShrinker<T>(PhantomData<T>);

impl<T: Reclaim> Shrinker for PoolShrinker<T> {
    type Ptr = Arc<T>;

    fn count_objects(me: ArcBorrow<'_, T>, control: &ShrinkControl<'_>) -> CountObjects {
        CountObjects::from_count(me.count(control.nid()))
    }

    fn scan_objects(me: ArcBorrow<'_, T>, control: &mut ShrinkControl<'_>) -> ScanObjects {
        let freed = me.give_back(control.nid(), control.nr_to_scan());

        if freed == 0 {
            return ScanObjects::STOP;
        }
        shrinker::account_reclaimed_pages(freed);
        // Blocks are larger than what was asked for; the C side goes by this.
        control.set_nr_scanned(freed);
        ScanObjects::from_count(freed)
    }
}

/// A pool's ties to memory reclaim and to the OOM killer.
///
/// There is none to memory hotplug: the kernel isolates a range before it tells anybody, and takes
/// our pages for unmovable.
#[pin_data]
pub(super) struct Pressure<T: Reclaim> {
    #[pin]
    out_of_memory: OomNotifier<T>,
    shrinker: ShrinkerRegistration<PoolShrinker<T>>,
}

impl<T: Reclaim> Pressure<T> {
    /// Ties `pool`, whose shrinker is called `name`. May sleep.
    ///
    /// What it keeps costs nothing to be made anew: it goes before caches that would have to be
    /// read again.
    pub(super) fn on(name: &'static CStr, pool: Arc<T>) -> Result<Pin<KBox<Self>>> {
        let shrinker = ShrinkerBuilder::numa_aware(name)?
            .set_seeks(0)
            .set_batch(BATCH);

        KBox::try_pin_init(
            try_pin_init!(Self {
                out_of_memory <- OomNotifier::register(pool.clone()),
                shrinker: shrinker.register(pool),
            }? Error),
            GFP_KERNEL,
        )
    }
}
