// SPDX-License-Identifier: GPL-2.0

//! What the kernel notes of each page, for runs of them.
//!
//! C headers: [`include/linux/page_ref.h`](srctree/include/linux/page_ref.h),
//! [`include/linux/page-flags.h`](srctree/include/linux/page-flags.h)
//!
//! A kernel that GCC has built inlines no helper into Rust, and a run has thousands of pages: so
//! the two fields that matter are read here. Others change them at any time.

use crate::abstractions::bindings;
use core::ptr::NonNull;

/// Returns the page of a frame. Wraps `pfn_to_page()`.
///
/// # Safety
///
/// The frame must have one: `pfn_valid()`.
pub(in crate::abstractions) unsafe fn of_frame(pfn: usize) -> NonNull<bindings::page> {
    // SAFETY: By the safety requirements of this function.
    let page = unsafe { bindings::rust_dma_heap_pfn_to_page(pfn) };

    // SAFETY: The kernel keeps a `struct page`, so no null pointer, for each page.
    unsafe { NonNull::new_unchecked(page) }
}

/// Returns the `n`th page from `first` on.
///
/// # Safety
///
/// It must be of one block of the page allocator's with `first`, or of what was allocated at a time
/// from a contiguous area: the `struct page` of those stand in a row (`page_range_contiguous()` in
/// `mm/cma.c`).
pub(super) unsafe fn nth(first: NonNull<bindings::page>, n: usize) -> NonNull<bindings::page> {
    // SAFETY: By the safety requirements of this function.
    unsafe { first.add(n) }
}

/// Tells whether there is no reference to `page` but one: `page_count()`, of which the caller has
/// one. A page that somebody else has made the tail of a larger one has none.
///
/// # Safety
///
/// The page must be valid.
pub(super) unsafe fn is_ours_alone(page: NonNull<bindings::page>) -> bool {
    // SAFETY: By the safety requirements of this function.
    let count = unsafe { &raw const (*page.as_ptr())._refcount.counter };

    // SAFETY: As above. The C side writes the field atomically.
    unsafe { count.read_volatile() == 1 }
}

/// Tells of how many pages from `first` on, of `nr_pages`, [`is_ours_alone`] says the same, and
/// what.
///
/// # Safety
///
/// As for [`nth`], and all of them must be valid; there must be one.
pub(super) unsafe fn alike(first: NonNull<bindings::page>, nr_pages: usize) -> (usize, bool) {
    let is_alone = |n| {
        // SAFETY: By the safety requirements of this function.
        let page = unsafe { nth(first, n) };

        // SAFETY: As above.
        unsafe { is_ours_alone(page) }
    };
    let ours_alone = is_alone(0);
    let other = (1..nr_pages).find(|&n| is_alone(n) != ours_alone);

    (other.unwrap_or(nr_pages), ours_alone)
}

/// Tells whether the hardware reported a fault in `page`: `PageHWPoison()`.
///
/// # Safety
///
/// The page must be valid.
#[cfg(CONFIG_MEMORY_FAILURE)]
pub(super) unsafe fn is_broken(page: NonNull<bindings::page>) -> bool {
    // SAFETY: By the safety requirements of this function.
    let flags = unsafe { &raw const (*page.as_ptr()).flags.f };

    // SAFETY: As above. The C side writes the field atomically.
    unsafe { flags.read_volatile() & (1 << bindings::pageflags_PG_hwpoison) != 0 }
}

/// Says no: this kernel is built without `CONFIG_MEMORY_FAILURE`.
///
/// # Safety
///
/// None: where faults are noted, the page must be valid.
#[cfg(not(CONFIG_MEMORY_FAILURE))]
pub(super) unsafe fn is_broken(_page: NonNull<bindings::page>) -> bool {
    false
}
