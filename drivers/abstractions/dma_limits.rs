// SPDX-License-Identifier: GPL-2.0

//! What a device can reach by DMA.
//!
//! C headers: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h),
//! [`include/linux/dma-direct.h`](srctree/include/linux/dma-direct.h)

use super::{
    bindings,
    block_list::BlockList,
    device::raw_device, //
};
use kernel::device::Device;

/// How a device gets at a buffer's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reach {
    /// Not at all: it has no DMA mask, as devices whose drivers only use the CPU.
    NoDma,
    /// Where it is, or through an IOMMU.
    Direct,
    /// Perhaps through a bounce buffer, which is scarce and holds a copy.
    MayBounce,
    /// The memory is beyond its DMA mask, and so is the bounce buffer, if there is one.
    Beyond,
}

impl Reach {
    /// Finds out for `device` and the memory of one buffer.
    pub(crate) fn of(device: &Device, blocks: &BlockList) -> Self {
        let dev = raw_device(device);

        // SAFETY: The device is valid.
        if !unsafe { bindings::rust_dma_heap_device_has_dma_mask(dev) } {
            return Self::NoDma;
        }
        // SAFETY: The device is valid.
        if unsafe { bindings::dma_max_mapping_size(dev) } != usize::MAX {
            // SAFETY: The device is valid and has a DMA mask.
            return if unsafe { bindings::rust_dma_heap_device_reaches_bounce_buffer(dev) } {
                Self::MayBounce
            } else {
                Self::Beyond
            };
        }

        let reached = blocks.iter().all(|block| {
            // SAFETY: The device is valid, and so are the block's frames.
            unsafe { bindings::rust_dma_heap_device_reaches(dev, block.pfn(), block.nr_pages()) }
        });

        if reached {
            Self::Direct
        } else {
            Self::Beyond
        }
    }
}
