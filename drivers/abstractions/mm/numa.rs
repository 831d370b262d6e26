// SPDX-License-Identifier: GPL-2.0

//! NUMA nodes.
//!
//! C headers: [`include/linux/nodemask.h`](srctree/include/linux/nodemask.h),
//! [`include/linux/mmzone.h`](srctree/include/linux/mmzone.h),
//! [`include/linux/vmstat.h`](srctree/include/linux/vmstat.h)

use crate::abstractions::bindings;
use core::ptr::NonNull;

/// A node of the machine that has, or had, memory.
///
/// # Invariants
///
/// `0` is below `nr_node_ids`, and the node has a `struct pglist_data`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Node(u32);

impl Node {
    /// Returns node `n` if it has memory. Wraps `node_state(n, N_MEMORY)`.
    pub(crate) fn with_memory(n: usize) -> Option<Self> {
        if n >= Self::possible() {
            return None;
        }
        // SAFETY: Reads the node masks, callable from any context; the number is one of theirs.
        let has_memory = unsafe { bindings::rust_dma_heap_node_has_memory(n as i32) };

        // INVARIANT: A node with memory has its data.
        has_memory.then_some(Self(n as u32))
    }

    /// Returns the nodes that have memory.
    fn all() -> impl Iterator<Item = Self> {
        (0..Self::possible()).filter_map(Self::with_memory)
    }

    /// Returns how many nodes the machine may have: one more than the highest number.
    ///
    /// Wraps `nr_node_ids`.
    pub(crate) fn possible() -> usize {
        // SAFETY: Reads a number that is fixed at boot.
        unsafe { bindings::rust_dma_heap_nr_node_ids() as usize }
    }

    /// Returns the node of a page. Wraps `page_to_nid()`.
    ///
    /// # Safety
    ///
    /// The page must be valid. (A reference would say that nobody writes it, which C does.)
    pub(in crate::abstractions) unsafe fn of_page(page: NonNull<bindings::page>) -> Self {
        // SAFETY: By the safety requirements of this function.
        let n = unsafe { bindings::rust_dma_heap_page_to_nid(page.as_ptr()) };

        // INVARIANT: The node of a page has its data.
        Self(n as u32)
    }

    /// Returns the number.
    pub(crate) fn id(self) -> i32 {
        self.0 as i32
    }

    /// Returns the node whose memory is nearest to where the calling task runs, if it has some.
    /// Wraps `numa_mem_id()`.
    pub(super) fn local() -> Option<Self> {
        // SAFETY: Reads a number of the processor that this runs on, whichever that is.
        Self::with_memory(unsafe { bindings::rust_dma_heap_numa_mem_id() } as usize)
    }

    #[cfg(any(CONFIG_MEMORY_FAILURE, CONFIG_CMA))]
    fn data(self) -> NonNull<bindings::pglist_data> {
        // SAFETY: By the type invariant, there is one.
        let data = unsafe { bindings::rust_dma_heap_node_data(self.id()) };

        // SAFETY: By the type invariant, it is not null.
        unsafe { NonNull::new_unchecked(data.cast()) }
    }

    /// Tells whether the hardware reported a fault in memory of this node since the machine was
    /// started. Reads `mf_stats`.
    fn has_failed(self) -> bool {
        #[cfg(CONFIG_MEMORY_FAILURE)]
        {
            // SAFETY: The node's data is valid, and stays.
            let total = unsafe { &raw const (*self.data().as_ptr()).mf_stats.total };

            // SAFETY: As above. The C side counts up at any time.
            unsafe { total.read_volatile() != 0 }
        }
        #[cfg(not(CONFIG_MEMORY_FAILURE))]
        {
            false
        }
    }

    /// Returns the pages of this node's zones that were set aside for contiguous areas at boot.
    pub(super) fn cma_pages(self) -> usize {
        #[cfg(CONFIG_CMA)]
        {
            // SAFETY: The node's data is valid, and stays; nobody writes these fields after boot.
            let zones = unsafe { &raw const (*self.data().as_ptr()).node_zones };

            (0..bindings::MAX_NR_ZONES as usize)
                // SAFETY: As above.
                .map(|zone| unsafe { (*zones)[zone].cma_pages })
                .sum()
        }
        #[cfg(not(CONFIG_CMA))]
        {
            0
        }
    }

    /// Counts `pages`, which may be negative, as memory of this node that the kernel could have
    /// back (`KReclaimable` in `/proc/meminfo`, `NR_KERNEL_MISC_RECLAIMABLE`).
    ///
    /// Wraps `mod_node_page_state()`.
    pub(crate) fn account_reclaimable(self, pages: isize) {
        // SAFETY: By the type invariant, the node has its data.
        unsafe { bindings::rust_dma_heap_account_reclaimable(self.id(), pages) }
    }
}

/// Tells whether the hardware reported a fault in any of the machine's memory since it was started.
pub(super) fn has_memory_failed() -> bool {
    cfg!(CONFIG_MEMORY_FAILURE) && Node::all().any(Node::has_failed)
}

/// Returns the pages that were set aside for contiguous areas at boot. Wraps `zone_cma_pages()`.
pub(super) fn cma_pages() -> usize {
    Node::all().map(Node::cma_pages).sum()
}
