// SPDX-License-Identifier: GPL-2.0

//! Contiguous memory areas.
//!
//! C headers: [`include/linux/cma.h`](srctree/include/linux/cma.h),
//! [`include/linux/dma-map-ops.h`](srctree/include/linux/dma-map-ops.h)

use crate::abstractions::{
    bindings,
    mm::{
        meminfo,
        reserved_memory, //
    }, //
};
use core::ptr::NonNull;
use kernel::prelude::*;

/// A contiguous memory area of the kernel.
///
/// # Invariants
///
/// `0` points to a `struct cma` of the running kernel. Areas are set up at boot and never go away.
#[derive(Clone, Copy, PartialEq)]
#[repr(transparent)]
pub(crate) struct CmaArea(NonNull<bindings::cma>);

// SAFETY: Areas live as long as the kernel, and the C side locks them.
unsafe impl Send for CmaArea {}

// SAFETY: As for `Send`; no method needs exclusive access.
unsafe impl Sync for CmaArea {}

impl CmaArea {
    /// Returns the default area (`cma=` on the kernel's command line, or `CONFIG_CMA_SIZE_MBYTES`),
    /// or [`None`] if the kernel reserved none.
    ///
    /// Wraps `dev_get_cma_area(NULL)`.
    #[cfg(CONFIG_DMA_CMA)]
    pub(crate) fn default_area() -> Option<Self> {
        // SAFETY: A null device asks for the default area. The function only reads a pointer that
        // is set at boot.
        let area = unsafe { bindings::dev_get_cma_area(core::ptr::null_mut()) };

        // INVARIANT: The C side returns an area of the running kernel, or null.
        NonNull::new(area).map(Self)
    }

    /// Returns [`None`]: this kernel is built without `CONFIG_DMA_CMA`.
    #[cfg(not(CONFIG_DMA_CMA))]
    pub(crate) fn default_area() -> Option<Self> {
        None
    }

    /// Returns the area's name: that of its folder in `/sys/kernel/mm/cma`.
    ///
    /// Wraps `cma_get_name()`.
    pub(crate) fn name(&self) -> &'static CStr {
        #[cfg(CONFIG_DMA_CMA)]
        {
            // SAFETY: By the type invariant, the area is valid, and it stays.
            let name = unsafe { bindings::cma_get_name(self.0.as_ptr()) };

            // SAFETY: It is a NUL-terminated array in the area that nobody writes after boot.
            unsafe { CStr::from_char_ptr(name) }
        }
        #[cfg(not(CONFIG_DMA_CMA))]
        {
            c""
        }
    }

    /// Returns what the area has, in bytes, or an upper bound.
    ///
    /// `cma_get_size()` is not for modules. It is known of an area that the device tree describes;
    /// of another, only what all areas have together is.
    pub(crate) fn size_at_most(&self) -> u64 {
        reserved_memory::size(self.name()).unwrap_or_else(meminfo::cma_total)
    }

    /// Takes `nr_pages` adjacent pages out of the area, aligned to `1 << order` pages or to
    /// `CONFIG_CMA_ALIGNMENT`, whichever is less. Returns [`None`] if the area cannot serve them.
    ///
    /// Wraps `cma_alloc()`. May sleep and migrate other users' pages. Logs nothing.
    pub(in crate::abstractions) fn alloc_pages(
        self,
        nr_pages: usize,
        order: u32,
    ) -> Option<NonNull<bindings::page>> {
        #[cfg(CONFIG_DMA_CMA)]
        {
            let align = order.min(bindings::RUST_DMA_HEAP_CMA_ALIGNMENT);

            // SAFETY: By the type invariant, the area is valid.
            NonNull::new(unsafe { bindings::cma_alloc(self.0.as_ptr(), nr_pages, align, true) })
        }
        #[cfg(not(CONFIG_DMA_CMA))]
        {
            let _ = (nr_pages, order);
            None
        }
    }

    /// Gives pages back to the area. Wraps `cma_release()`. May sleep.
    ///
    /// # Safety
    ///
    /// The `nr_pages` pages from `pages` on must be from [`Self::alloc_pages`] on this area, all of
    /// what a call has returned or a part, not given back yet, and nobody may use them any more.
    pub(in crate::abstractions) unsafe fn release_pages(
        self,
        pages: NonNull<bindings::page>,
        nr_pages: usize,
    ) {
        #[cfg(CONFIG_DMA_CMA)]
        // SAFETY: By the safety requirements of this function. The result says only whether the
        // pages belong to the area, which they do.
        unsafe {
            bindings::cma_release(self.0.as_ptr(), pages.as_ptr(), nr_pages)
        };
        #[cfg(not(CONFIG_DMA_CMA))]
        let _ = (pages, nr_pages);
    }
}
