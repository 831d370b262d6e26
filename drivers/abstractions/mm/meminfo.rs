// SPDX-License-Identifier: GPL-2.0

//! Facts about the machine's memory.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/mmzone.h`](srctree/include/linux/mmzone.h)

use crate::abstractions::{
    bindings,
    mm::numa, //
};
use kernel::page::PAGE_SIZE;

/// Base-2 logarithm of the bytes that one PMD entry maps.
pub(crate) const PMD_SHIFT: u32 = bindings::RUST_DMA_HEAP_PMD_SHIFT;

/// The largest order that the page allocator serves.
pub(crate) const MAX_PAGE_ORDER: u32 = bindings::RUST_DMA_HEAP_MAX_PAGE_ORDER;

/// Returns the memory that the page allocator manages, in bytes.
///
/// Wraps `totalram_pages()`. Changes with memory hotplug and ballooning.
pub(crate) fn total_ram() -> u64 {
    // SAFETY: Reads one atomic counter, callable from any context.
    let pages = unsafe { bindings::rust_dma_heap_totalram_pages() };

    pages as u64 * PAGE_SIZE as u64
}

/// Returns the memory of all contiguous areas together, in bytes: 0 without `CONFIG_CMA`.
///
/// Wraps `zone_cma_pages()` of each zone, which counts what was set aside at boot.
pub(in crate::abstractions) fn cma_total() -> u64 {
    numa::cma_pages() as u64 * PAGE_SIZE as u64
}
