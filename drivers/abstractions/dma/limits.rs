// SPDX-License-Identifier: GPL-2.0

//! What a device can reach by DMA.
//!
//! C headers: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h),
//! [`include/linux/dma-direct.h`](srctree/include/linux/dma-direct.h)

use crate::abstractions::{
    bindings,
    device::raw_device,
    dma::iommu,
    mm::block_list::BlockList, //
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
    ///
    /// What matters is where that memory is, not where the machine has more: a device of few
    /// address bits reaches a contiguous area that lies low.
    pub(crate) fn of(device: &Device, blocks: &BlockList) -> Self {
        let dev = raw_device(device);

        if dma_mask(device) == 0 {
            return Self::NoDma;
        }
        // Behind an IOMMU those bounce that the kernel does not trust.
        if iommu::is_behind_iommu(device) {
            return if max_mapping(device).is_some() {
                Self::MayBounce
            } else {
                Self::Direct
            };
        }

        // SAFETY: The device is valid.
        let bounces_all = unsafe { bindings::rust_dma_heap_device_bounces_all(dev) };
        let reached = || {
            blocks.iter().all(|block| {
                // SAFETY: The device is valid, has a DMA mask, and so are the block's frames.
                unsafe {
                    bindings::rust_dma_heap_device_reaches(dev, block.pfn(), block.nr_pages())
                }
            })
        };

        if !bounces_all && reached() {
            return Self::Direct;
        }
        if max_mapping(device).is_none() {
            return Self::Beyond;
        }
        // SAFETY: The device is valid and has a DMA mask.
        if unsafe { bindings::rust_dma_heap_device_reaches_bounce_buffer(dev) } {
            Self::MayBounce
        } else {
            Self::Beyond
        }
    }
}

/// Returns the highest address that `device` can put out, or 0 if it does no DMA.
pub(crate) fn dma_mask(device: &Device) -> u64 {
    // SAFETY: The device is valid.
    unsafe { bindings::rust_dma_heap_device_dma_mask(raw_device(device)) }
}

/// Returns the most bytes that one mapping of `device` may have, [`None`] if any number.
///
/// Wraps `dma_max_mapping_size()`: what a bounce buffer holds, if the device might need one.
pub(in crate::abstractions) fn max_mapping(device: &Device) -> Option<usize> {
    // SAFETY: The device is valid.
    let bytes = unsafe { bindings::dma_max_mapping_size(raw_device(device)) };

    (bytes != usize::MAX).then_some(bytes)
}
