// SPDX-License-Identifier: GPL-2.0

//! Pages that are linked to each other, and need no memory for it.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)
//!
//! What nobody uses is kept by linking its first `struct page` to the next one's, through
//! `page_private()`. So to keep it cannot fail, and takes no allocation under a lock.

use crate::abstractions::bindings;
use core::ptr::NonNull;

/// Pages of any kind, each linked to the next one. Dropping it forgets them.
///
/// # Invariants
///
/// `top` leads, by `page_private()` of each page, over `len` pages, of which each is the chain's.
pub(in crate::abstractions) struct PageChain {
    top: Option<NonNull<bindings::page>>,
    len: usize,
}

// SAFETY: Pages are not bound to a task.
unsafe impl Send for PageChain {}

impl PageChain {
    /// Makes a chain without pages.
    pub(in crate::abstractions) const fn new() -> Self {
        // INVARIANT: There is no page to lead to.
        Self { top: None, len: 0 }
    }

    /// Puts `page` on top.
    ///
    /// # Safety
    ///
    /// The page must be the caller's, who gives it up.
    pub(in crate::abstractions) unsafe fn push(&mut self, page: NonNull<bindings::page>) {
        if let Some(top) = self.top {
            // SAFETY: By the safety requirements of this function.
            unsafe { set_next(page, top) };
        }
        // INVARIANT: The new top leads to the old one, or is the only one.
        self.top = Some(page);
        self.len += 1;
    }

    /// Takes the page on top.
    pub(in crate::abstractions) fn pop(&mut self) -> Option<NonNull<bindings::page>> {
        let page = self.top?;

        // INVARIANT: The rest is what the old top led to.
        self.len -= 1;
        self.top = if self.len == 0 {
            None
        } else {
            // SAFETY: By the type invariants, a page above the last leads to one of the chain's.
            Some(unsafe { next(page) })
        };
        Some(page)
    }
}

/// Links `page` to the one below it. Wraps `set_page_private()`.
///
/// # Safety
///
/// `page` must be the caller's: the first of a block, or one by itself.
pub(super) unsafe fn set_next(page: NonNull<bindings::page>, below: NonNull<bindings::page>) {
    // SAFETY: By the safety requirements of this function.
    unsafe { bindings::rust_dma_heap_set_page_private(page.as_ptr(), below.as_ptr() as usize) }
}

/// Returns the page below. Wraps `page_private()`.
///
/// # Safety
///
/// `page` must have been linked by [`set_next`].
pub(super) unsafe fn next(page: NonNull<bindings::page>) -> NonNull<bindings::page> {
    // SAFETY: By the safety requirements of this function, the page is valid.
    let below = unsafe { bindings::rust_dma_heap_page_private(page.as_ptr()) };

    // SAFETY: By the safety requirements of this function, this is a pointer that was not null.
    unsafe { NonNull::new_unchecked(below as *mut bindings::page) }
}
