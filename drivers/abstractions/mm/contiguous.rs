// SPDX-License-Identifier: GPL-2.0

//! Memory of a contiguous area, given back only when nobody uses it any more.
//!
//! C header: [`include/linux/cma.h`](srctree/include/linux/cma.h)
//!
//! `cma_release()` frees pages to which somebody else holds a reference, too, with a warning: the
//! holder's put would then free them once more. So such pages are kept aside until the last
//! reference is gone.

use crate::abstractions::{
    bindings,
    mm::{
        cma::CmaArea,
        page, //
        page_chain::PageChain,
    }, //
};
use core::ptr::NonNull;
use kernel::{
    new_spinlock,
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
        Delta, //
    }, //
};

/// How long to wait for references when nobody could wait any longer.
const LAST_WAIT: Delta = Delta::from_millis(10);

/// How often.
const LAST_WAITS: usize = 100;

/// A contiguous area, with what was allocated from it and cannot go back yet.
///
/// # Invariants
///
/// The pages in `aside` are allocated from `area`, and nobody but this value will give them back.
#[pin_data(PinnedDrop)]
pub(crate) struct ContiguousMemory {
    area: CmaArea,
    #[pin]
    aside: SpinLock<PageChain>,
    /// How many pages that are, or are being looked at again.
    nr_aside: Atomic<usize>,
}

impl ContiguousMemory {
    /// Makes the memory of `area` available.
    pub(crate) fn new(area: CmaArea) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                area,
                // INVARIANT: There are none.
                aside <- new_spinlock!(PageChain::new()),
                nr_aside: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns what the area has, in bytes, or an upper bound, as [`CmaArea::size_at_most`] does.
    pub(crate) fn size_at_most(&self) -> u64 {
        self.area.size_at_most()
    }

    /// Takes `nr_pages` adjacent pages, as [`CmaArea::alloc_pages`] does. May sleep.
    pub(in crate::abstractions) fn alloc_pages(
        &self,
        nr_pages: usize,
        order: u32,
    ) -> Option<NonNull<bindings::page>> {
        self.retry();
        self.area.alloc_pages(nr_pages, order)
    }

    /// Gives pages back, or has them kept aside for as long as somebody else uses them. May sleep.
    ///
    /// # Safety
    ///
    /// The pages must be from [`Self::alloc_pages`] on this value, all of what a call has returned
    /// or a part, not given back yet, and the caller must not use them any more.
    pub(in crate::abstractions) unsafe fn release_pages(
        &self,
        first: NonNull<bindings::page>,
        nr_pages: usize,
    ) {
        let mut done = 0;

        while done < nr_pages {
            // SAFETY: By the safety requirements of this function, the pages from `done` on are
            // ours, and of one run.
            let page = unsafe { page::nth(first, done) };
            // SAFETY: As above.
            let (alike, ours_alone) = unsafe { page::alike(page, nr_pages - done) };

            if ours_alone {
                // SAFETY: By the safety requirements of this function, and nobody else holds a
                // reference.
                unsafe { self.area.release_pages(page, alike) };
            } else {
                // SAFETY: By the safety requirements of this function, these pages are ours.
                unsafe { self.put_aside(page, alike) };
            }
            done += alike;
        }
        self.retry();
    }

    /// Tells whether pages are aside. Callable from any context.
    pub(crate) fn keeps_aside(&self) -> bool {
        self.nr_aside.load(Relaxed) > 0
    }

    /// Gives back what was kept aside and is not used any more. May sleep.
    pub(crate) fn retry(&self) {
        if !self.keeps_aside() {
            return;
        }

        let mut pages = core::mem::replace(&mut *self.aside.lock(), PageChain::new());

        while let Some(page) = pages.pop() {
            // SAFETY: By the type invariant, the page is ours.
            if unsafe { page::is_ours_alone(page) } {
                // SAFETY: By the type invariant, it is allocated from the area and not given back;
                // it is not in the chain any more, and nobody else holds a reference.
                unsafe { self.area.release_pages(page, 1) };
            } else {
                // SAFETY: By the type invariant, the page is ours.
                unsafe { self.put_aside(page, 1) };
            }
            // After it has come back, if it did: so nobody finds that there are none meanwhile.
            let _ = self.nr_aside.fetch_sub(1, Relaxed);
        }
    }

    /// # Safety
    ///
    /// The pages must be allocated from the area, and the caller's, who gives them up.
    unsafe fn put_aside(&self, first: NonNull<bindings::page>, nr_pages: usize) {
        let _ = self.nr_aside.fetch_add(nr_pages, Relaxed);
        for n in 0..nr_pages {
            // SAFETY: By the safety requirements of this function, the page is of the run.
            let page = unsafe { page::nth(first, n) };

            // INVARIANT: By the safety requirements of this function.
            // SAFETY: By the safety requirements of this function, nobody else links the page.
            unsafe { self.aside.lock().push(page) };
        }
    }
}

#[pinned_drop]
impl PinnedDrop for ContiguousMemory {
    fn drop(self: Pin<&mut Self>) {
        for _ in 0..LAST_WAITS {
            self.retry();
            if !self.keeps_aside() {
                return;
            }
            fsleep(LAST_WAIT);
        }
        pr_warn!(
            "{} pages cannot go back to the contiguous area: somebody still uses them\n",
            self.nr_aside.load(Relaxed)
        );
    }
}
