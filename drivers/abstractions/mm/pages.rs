// SPDX-License-Identifier: GPL-2.0

//! Runs of pages, and where they go back to.

use crate::abstractions::{
    bindings,
    mm::{
        contiguous::ContiguousMemory,
        numa,
        page, //
    }, //
};
use core::{
    num::NonZero,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A run of physically adjacent pages, owned.
///
/// # Invariants
///
/// - `first` points to the `struct page` of the first of `nr_pages` adjacent pages, which this
///   value owns and gives back on drop.
/// - If `memory` is [`None`], they come from the page allocator as one block of order
///   `ilog2(nr_pages)`; else they were allocated from there, which takes any part of an allocation
///   back.
/// - The `struct page` of all stand in a row.
/// - `nr_pages * PAGE_SIZE` fits `usize`.
pub(super) struct Pages {
    pub(super) first: NonNull<bindings::page>,
    pub(super) memory: Option<Arc<ContiguousMemory>>,
    pub(super) nr_pages: NonZero<u32>,
}

impl Pages {
    /// Tells how many pages from the first on are ours alone and not broken. All of a block of the
    /// page allocator's has one count of references, and its pages are looked at only if any of the
    /// machine's has broken since it was started.
    pub(super) fn fit(&self) -> usize {
        let nr_pages = self.nr_pages.get() as usize;

        if self.is_folio() {
            // SAFETY: By the type invariants, the page is valid.
            let is_fit = unsafe { page::is_ours_alone(self.first) } && !self.is_any_broken();

            return if is_fit { nr_pages } else { 0 };
        }
        self.each()
            .position(|page| {
                // SAFETY: By the type invariants, the page is valid.
                let is_alone = unsafe { page::is_ours_alone(page) };

                // SAFETY: As above.
                !is_alone || unsafe { page::is_broken(page) }
            })
            .unwrap_or(nr_pages)
    }

    /// Tells whether they are a block of the page allocator's of more than one page.
    fn is_folio(&self) -> bool {
        self.memory.is_none() && self.nr_pages.get() > 1
    }

    fn each(&self) -> impl Iterator<Item = NonNull<bindings::page>> + use<'_> {
        // SAFETY: By the type invariants, the page is one of those.
        (0..self.nr_pages.get() as usize).map(|n| unsafe { page::nth(self.first, n) })
    }

    /// Tells whether one of them is broken, which is known at once of a machine without faults.
    fn is_any_broken(&self) -> bool {
        // SAFETY: By the type invariants, the page is valid.
        numa::has_memory_failed() && self.each().any(|page| unsafe { page::is_broken(page) })
    }

    /// Tells whether it is a block with a broken page that the page allocator would hand out again:
    /// it looks at what comes back as a single page only. Wraps `PageHWPoison()`.
    fn is_broken_block(&self) -> bool {
        self.is_folio() && self.is_any_broken()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        match &self.memory {
            // SAFETY: By the type invariants, the pages were allocated from there, and are ours.
            Some(memory) => unsafe {
                memory.release_pages(self.first, self.nr_pages.get() as usize)
            },
            None if self.is_broken_block() => pr_warn!(
                "{} pages are no longer used: the hardware reported a fault in one of them\n",
                self.nr_pages.get()
            ),
            // SAFETY: By the type invariants, the pages are one block of this order, and ours.
            None => unsafe { bindings::__free_pages(self.first.as_ptr(), self.nr_pages.ilog2()) },
        }
    }
}
