// SPDX-License-Identifier: GPL-2.0

//! The ABI of heap nodes.
//!
//! C header: `uapi/linux/dma-heap.h` of this tree.

use super::bindings;

/// What [`IOCTL_ALLOC`] takes and returns: `struct dma_heap_allocation_data`.
pub(crate) type AllocationData = bindings::dma_heap_allocation_data;

/// `DMA_HEAP_IOCTL_ALLOC`.
pub(crate) const IOCTL_ALLOC: u32 = bindings::RUST_DMA_HEAP_IOCTL_ALLOC;

/// Flags that the new file descriptor may be given.
pub(crate) const VALID_FD_FLAGS: u32 = bindings::RUST_DMA_HEAP_VALID_FD_FLAGS;

/// Flags for the heap: none is defined.
pub(crate) const VALID_HEAP_FLAGS: u64 = bindings::RUST_DMA_HEAP_VALID_HEAP_FLAGS;
