// SPDX-License-Identifier: GPL-2.0

//! The ABI of heap nodes.
//!
//! C headers: `uapi/linux/dma-heap.h` and `uapi/linux/rust-dma-heap.h` of this tree.

use crate::abstractions::bindings;
use kernel::{
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    }, //
};

/// What [`IOCTL_ALLOC`] takes and returns: `struct dma_heap_allocation_data`.
pub(crate) type AllocationData = bindings::dma_heap_allocation_data;

/// `DMA_HEAP_IOCTL_ALLOC`.
pub(crate) const IOCTL_ALLOC: u32 = bindings::RUST_DMA_HEAP_IOCTL_ALLOC;

/// Flags that the new file descriptor may be given.
pub(crate) const VALID_FD_FLAGS: u32 = bindings::RUST_DMA_HEAP_VALID_FD_FLAGS;

/// Flags for the heap: none is defined.
pub(crate) const VALID_HEAP_FLAGS: u64 = bindings::RUST_DMA_HEAP_VALID_HEAP_FLAGS;

/// `RUST_DMA_HEAP_IOCTL_DESCRIBE`.
pub(crate) const IOCTL_DESCRIBE: u32 = bindings::RUST_DMA_HEAP_DESCRIBE;

/// `RUST_DMA_HEAP_IOCTL_DEVICES`.
pub(crate) const IOCTL_DEVICES: u32 = bindings::RUST_DMA_HEAP_DEVICES;

/// `RUST_DMA_HEAP_ATTACHMENT_KEPT`.
pub(crate) const ATTACHMENT_KEPT: u32 = bindings::RUST_DMA_HEAP_KEPT;

/// What [`IOCTL_DESCRIBE`] takes and returns: `struct rust_dma_heap_description`.
pub(crate) type Description = bindings::rust_dma_heap_description;

// SAFETY: Each field is an integer or an array of them, and takes any value.
unsafe impl FromBytes for Description {}

// SAFETY: Between the fields, and behind them, there is nothing.
unsafe impl AsBytes for Description {}

/// What [`IOCTL_DEVICES`] takes and returns: `struct rust_dma_heap_devices`.
pub(crate) type Devices = bindings::rust_dma_heap_devices;

// SAFETY: Each field is an integer, and takes any value.
unsafe impl FromBytes for Devices {}

// SAFETY: Between the fields, and behind them, there is nothing.
unsafe impl AsBytes for Devices {}

/// A device as both tell of it: `struct rust_dma_heap_attachment`.
pub(crate) type AttachmentDescription = bindings::rust_dma_heap_attachment;

// SAFETY: Between the fields, and behind them, there is nothing.
unsafe impl AsBytes for AttachmentDescription {}

/// The structures have no gaps: they are as long as their fields together.
const _: () = {
    assert!(size_of::<Description>() == 2 * 4 + 8 + 2 * 4 + 3 * 8 + 64);
    assert!(size_of::<Devices>() == 8 + 2 * 4);
    assert!(size_of::<AttachmentDescription>() == 64 + 3 * 8 + 2 * 4);
};

/// A name as the structures have it: cut to fit, and 0 behind it.
pub(crate) fn name<const N: usize>(text: &CStr) -> [c_char; N] {
    let mut name = [0; N];
    let room = N.saturating_sub(1);

    for (to, from) in name.iter_mut().take(room).zip(text.to_bytes()) {
        *to = *from;
    }
    name
}
