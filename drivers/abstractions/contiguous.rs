// SPDX-License-Identifier: GPL-2.0

//! Memory of a contiguous area, given back only when nobody uses it any more.
//!
//! C header: [`include/linux/cma.h`](srctree/include/linux/cma.h)
//!
//! `cma_release()` frees pages to which somebody else holds a reference, too, with a warning: the
//! holder's put would then free them once more. So such pages are kept aside until the last
//! reference is gone.

use super::{
    bindings,
    cma::CmaArea, //
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

/// How many spans of pages can be aside: what comes beyond is lost to the area, and the log says so.
const MAX_SPANS: usize = 32;

/// How long to wait for references when nobody could wait any longer.
const LAST_WAIT: Delta = Delta::from_millis(10);

/// How often.
const LAST_WAITS: usize = 100;

/// Adjacent pages that were allocated from the area and not given back.
#[derive(Clone, Copy)]
struct Span {
    first: NonNull<bindings::page>,
    nr_pages: usize,
}

/// A contiguous area, with what was allocated from it and cannot go back yet.
///
/// # Invariants
///
/// The spans in `aside` are allocated from `area`, and nobody but this value will give them back.
#[pin_data(PinnedDrop)]
pub(crate) struct ContiguousMemory {
    area: CmaArea,
    #[pin]
    aside: SpinLock<[Option<Span>; MAX_SPANS]>,
    /// How many pages that are.
    pages_aside: Atomic<usize>,
}

// SAFETY: Pages are not bound to a task.
unsafe impl Send for ContiguousMemory {}

// SAFETY: The list is locked, and so is the area by the C side.
unsafe impl Sync for ContiguousMemory {}

impl ContiguousMemory {
    /// Makes the memory of `area` available.
    pub(crate) fn new(area: CmaArea) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                area,
                // INVARIANT: There are none.
                aside <- new_spinlock!([None; MAX_SPANS]),
                pages_aside: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes `nr_pages` adjacent pages, as [`CmaArea::alloc_pages`] does. May sleep.
    pub(super) fn alloc_pages(
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
    /// The pages must be from [`Self::alloc_pages`] on this value, all of what a call has returned or
    /// a part, not given back yet, and the caller must not use them any more.
    pub(super) unsafe fn release_pages(&self, first: NonNull<bindings::page>, nr_pages: usize) {
        // SAFETY: By the safety requirements of this function.
        unsafe { self.release(Span { first, nr_pages }) };
        self.retry();
    }

    /// Tells whether pages are aside. Callable from any context.
    pub(crate) fn keeps_aside(&self) -> bool {
        self.pages_aside.load(Relaxed) > 0
    }

    /// Gives back what was kept aside and is not used any more. May sleep.
    pub(crate) fn retry(&self) {
        if !self.keeps_aside() {
            return;
        }

        let spans = core::mem::replace(&mut *self.aside.lock(), [None; MAX_SPANS]);

        for span in spans.into_iter().flatten() {
            let _ = self.pages_aside.fetch_sub(span.nr_pages, Relaxed);
            // SAFETY: By the type invariant, it is allocated and not given back; it is not in the
            // list any more.
            unsafe { self.release(span) };
        }
    }

    /// # Safety
    ///
    /// As for [`Self::release_pages`].
    unsafe fn release(&self, span: Span) {
        let mut done = 0;

        while done < span.nr_pages {
            // SAFETY: By the safety requirements of this function, the pages from `done` on are ours,
            // so their `struct page`s are there.
            let (part, is_ours_alone) = unsafe {
                let first = bindings::rust_dma_heap_nth_page(span.first.as_ptr(), done);
                let mut ours_alone = false;
                let nr_pages = bindings::rust_dma_heap_pages_alike(
                    first,
                    span.nr_pages - done,
                    &mut ours_alone,
                );

                (
                    Span {
                        first: NonNull::new_unchecked(first),
                        nr_pages,
                    },
                    ours_alone,
                )
            };

            if is_ours_alone {
                // SAFETY: By the safety requirements of this function, and nobody else holds a
                // reference.
                unsafe { self.area.release_pages(part.first, part.nr_pages) };
            } else {
                self.put_aside(part);
            }
            done += part.nr_pages;
        }
    }

    fn put_aside(&self, span: Span) {
        let mut aside = self.aside.lock();

        match aside.iter_mut().find(|slot| slot.is_none()) {
            // INVARIANT: The caller gives the span up.
            Some(slot) => {
                *slot = Some(span);
                let _ = self.pages_aside.fetch_add(span.nr_pages, Relaxed);
            }
            None => {
                drop(aside);
                pr_warn!(
                    "{} pages are lost to the contiguous area: somebody else uses them still, as too many others\n",
                    span.nr_pages
                );
            }
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
            "{} pages are lost to the contiguous area: somebody else uses them still\n",
            self.pages_aside.load(Relaxed)
        );
    }
}
