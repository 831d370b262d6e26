// SPDX-License-Identifier: GPL-2.0

//! NUMA nodes.
//!
//! C headers: [`include/linux/nodemask.h`](srctree/include/linux/nodemask.h),
//! [`include/linux/mempolicy.h`](srctree/include/linux/mempolicy.h),
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
        // SAFETY: Reads the node masks, callable from any context. Checks the number.
        let has_memory = unsafe { bindings::rust_dma_heap_node_has_memory(n) };

        // INVARIANT: A node with memory has its data.
        has_memory.then_some(Self(n as u32))
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

    /// Tells whether the calling task's next page would rather come from this node than from any
    /// other, by its cpuset and memory policy and by where it runs.
    ///
    /// Says no to every node for a policy that spreads pages: the page allocator does that.
    pub(crate) fn is_preferred(self) -> bool {
        // SAFETY: Reads the policy of the current task, from task context.
        unsafe { bindings::rust_dma_heap_node_is_preferred(self.id()) }
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
