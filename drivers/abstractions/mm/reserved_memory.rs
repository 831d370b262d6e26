// SPDX-License-Identifier: GPL-2.0

//! Memory that the device tree reserves.
//!
//! C header: [`include/linux/of_reserved_mem.h`](srctree/include/linux/of_reserved_mem.h)

use crate::abstractions::bindings;
use kernel::prelude::*;

/// Returns the bytes of the region `name`: a child of the tree's `/reserved-memory`, with its unit
/// address if it has one. [`None`] if the machine has no such tree or region.
///
/// Wraps `of_reserved_mem_lookup()`. Not under a spinlock.
pub(in crate::abstractions) fn size(name: &CStr) -> Option<u64> {
    // SAFETY: `name` is NUL-terminated. Regions are set up at boot and never change.
    let size = unsafe { bindings::rust_dma_heap_reserved_memory_size(name.as_char_ptr()) };

    Some(size).filter(|size| *size != 0)
}
