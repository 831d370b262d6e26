// SPDX-License-Identifier: GPL-2.0

//! Kernel mappings of a buffer's memory.
//!
//! C headers: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h),
//! [`include/linux/highmem.h`](srctree/include/linux/highmem.h)

use crate::abstractions::{
    bindings,
    mm::{
        block_list::BlockList,
        gfp::GFP_KERNEL_MAYFAIL, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A buffer's memory as one range of kernel addresses, with the memory behind it.
///
/// A single block of low memory is taken where the kernel's linear mapping has it. Several blocks,
/// high memory, and caches in which two addresses of one page do not see each other take a
/// `vmap()`.
///
/// # Invariants
///
/// - `address` is the start of a mapping of all pages of `blocks` in order.
/// - If `is_vmap`, the mapping comes from `vmap()` and is this value's to undo; else it is part of
///   the kernel's linear mapping.
pub(crate) struct KernelMapping {
    address: NonNull<c_void>,
    is_vmap: bool,
    blocks: Arc<BlockList>,
}

// SAFETY: Kernel mappings are not bound to a task.
unsafe impl Send for KernelMapping {}

// SAFETY: Methods on `&KernelMapping` do not touch the mapped bytes, but for cache maintenance.
unsafe impl Sync for KernelMapping {}

impl KernelMapping {
    /// Maps the memory. Wraps `vmap()`. May sleep.
    ///
    /// Returns `ENOMEM` if there is no memory for the page tables or no address range.
    pub(crate) fn new(blocks: Arc<BlockList>) -> Result<Self> {
        blocks.mark_all();
        if let Some(block) = blocks.single() {
            if let Some(address) = block.linear_address().filter(|_| !caches_alias()) {
                // INVARIANT: The linear mapping has the pages of one block side by side.
                return Ok(Self {
                    address,
                    is_vmap: false,
                    blocks,
                });
            }
        }

        let nr_pages = u32::try_from(blocks.nr_pages()).map_err(|_| ENOMEM)?;
        let mut pages = KVVec::with_capacity(blocks.nr_pages(), GFP_KERNEL_MAYFAIL)?;

        for block in blocks.iter() {
            for n in 0..block.nr_pages() {
                pages.push_within_capacity(block.page(n as u32).as_ptr())?;
            }
        }

        // SAFETY: `pages` holds `nr_pages` valid pages, which `blocks` keeps.
        let address = unsafe { bindings::rust_dma_heap_vmap(pages.as_mut_ptr(), nr_pages) };
        let address = NonNull::new(address).ok_or(ENOMEM)?;

        // INVARIANT: `vmap()` mapped the pages in order, for us.
        Ok(Self {
            address,
            is_vmap: true,
            blocks,
        })
    }

    /// Tells whether it costs next to nothing to keep the mapping when nobody uses it.
    ///
    /// Not so where addresses are scarce, nor where the caches would have to be told of it.
    pub(crate) fn is_cheap_to_keep(&self) -> bool {
        !self.is_vmap || (cfg!(CONFIG_64BIT) && !caches_alias())
    }

    /// Returns the memory that it shows.
    pub(crate) fn blocks(&self) -> &Arc<BlockList> {
        &self.blocks
    }

    /// Returns the address of the buffer's first byte.
    ///
    /// Whoever uses it must know by other means that the mapping lives.
    pub(crate) fn address(&self) -> NonNull<c_void> {
        self.address
    }

    /// Drops what a cache holds for the mapping, before the CPU reads what a device wrote.
    ///
    /// Wraps `invalidate_kernel_vmap_range()`: nothing to do on most architectures.
    pub(crate) fn sync_for_cpu(&self) {
        if self.is_vmap {
            // SAFETY: By the type invariants, the range is mapped, and it is a `vmap()`.
            unsafe {
                bindings::rust_dma_heap_invalidate_kernel_vmap_range(
                    self.address.as_ptr(),
                    self.blocks.len(),
                )
            };
        }
    }

    /// Writes back what a cache holds for the mapping, before a device reads what the CPU wrote.
    ///
    /// Wraps `flush_kernel_vmap_range()`: nothing to do on most architectures.
    pub(crate) fn sync_for_device(&self) {
        if self.is_vmap {
            // SAFETY: By the type invariants, the range is mapped, and it is a `vmap()`.
            unsafe {
                bindings::rust_dma_heap_flush_kernel_vmap_range(
                    self.address.as_ptr(),
                    self.blocks.len(),
                )
            };
        }
    }
}

/// Tells whether a cache may hold one page twice, for two addresses of it.
fn caches_alias() -> bool {
    // An architecture that has no such caches needs no call.
    cfg!(CONFIG_ARCH_HAS_CPU_CACHE_ALIASING)
        // SAFETY: Reads what the kernel found out at its start, callable from any context.
        && unsafe { bindings::rust_dma_heap_caches_alias() }
}

impl Drop for KernelMapping {
    fn drop(&mut self) {
        if self.is_vmap {
            // SAFETY: By the type invariants, the mapping comes from `vmap()` and is ours.
            unsafe { bindings::vunmap(self.address.as_ptr()) };
        }
    }
}
