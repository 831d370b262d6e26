// SPDX-License-Identifier: GPL-2.0

//! How a device gets at a buffer's memory.
//!
//! C headers: [`include/linux/dma-direct.h`](srctree/include/linux/dma-direct.h),
//! [`include/linux/swiotlb.h`](srctree/include/linux/swiotlb.h)

use crate::abstractions::{
    bindings,
    device::raw_device,
    dma::{
        iommu,
        limits::{
            self,
            wide, //
        }, //
    },
    mm::block_list::BlockList, //
};
use kernel::{
    device::Device,
    dma::DmaAddress,
    io::PhysAddr,
    page::PAGE_SHIFT,
    prelude::*, //
};

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

        if limits::dma_mask(device) == 0 {
            return Self::NoDma;
        }
        // Behind an IOMMU those bounce that the kernel does not trust.
        if iommu::is_behind_iommu(device) {
            return if limits::max_mapping(device).is_some() {
                Self::MayBounce
            } else {
                Self::Direct
            };
        }

        let last = limits::last_address(device);
        let reached = || {
            blocks.iter().all(|block| {
                let start = (block.pfn() as PhysAddr) << PAGE_SHIFT;
                // SAFETY: The device is valid, and it only computes.
                let start = unsafe { bindings::rust_dma_heap_phys_to_dma(dev, start) };

                reaches(start, (block.nr_pages() as u64) << PAGE_SHIFT, last)
            })
        };

        if !bounces_all(device) && reached() {
            return Self::Direct;
        }
        if limits::max_mapping(device).is_none() {
            return Self::Beyond;
        }
        if reaches_bounce_buffer(device, last) {
            Self::MayBounce
        } else {
            Self::Beyond
        }
    }
}

/// Tells whether addresses up to `last` cover `len` bytes from `start` on.
///
/// That is `dma_capable()`, which is not for modules: on x86 it needs a function that is not
/// exported.
fn reaches(start: DmaAddress, len: u64, last: u64) -> bool {
    // `DMA_MAPPING_ERROR` says that there is no address for it.
    start != DmaAddress::MAX
        && wide(start)
            .checked_add(len - 1)
            .is_some_and(|end| end <= last.min(wide(DmaAddress::MAX)))
}

/// Tells whether `device`, which stands behind no IOMMU, bounces whatever the memory is: because
/// the kernel was told so (`swiotlb=force`), or because memory is encrypted that it could not read.
fn bounces_all(device: &Device) -> bool {
    // SAFETY: The device is valid.
    let is_forced = unsafe { bindings::rust_dma_heap_is_swiotlb_force_bounce(raw_device(device)) };

    is_forced || is_forced_unencrypted(device)
}

/// Wraps `force_dma_unencrypted()`.
#[cfg(any(CONFIG_ARM64, not(CONFIG_ARCH_HAS_FORCE_DMA_UNENCRYPTED)))]
fn is_forced_unencrypted(device: &Device) -> bool {
    // SAFETY: The device is valid.
    unsafe { bindings::rust_dma_heap_force_dma_unencrypted(raw_device(device)) }
}

/// It is not for modules here. This is what x86 asks; before 7.3, the first alone.
#[cfg(not(any(CONFIG_ARM64, not(CONFIG_ARCH_HAS_FORCE_DMA_UNENCRYPTED))))]
#[cfg_attr(
    not(all(CONFIG_AMD_MEM_ENCRYPT, kernel_has_sme_by_mask)),
    expect(unused_variables, reason = "it does not matter which device it is")
)]
fn is_forced_unencrypted(device: &Device) -> bool {
    let has = |attribute| {
        // SAFETY: It reads what was found at boot.
        unsafe { bindings::cc_platform_has(attribute) }
    };

    if has(bindings::cc_attr_CC_ATTR_GUEST_MEM_ENCRYPT) {
        return true;
    }
    #[cfg(all(CONFIG_AMD_MEM_ENCRYPT, kernel_has_sme_by_mask))]
    if has(bindings::cc_attr_CC_ATTR_HOST_MEM_ENCRYPT) {
        // SAFETY: It is set at boot.
        let bit = unsafe { bindings::sme_me_mask };
        // SAFETY: The device is valid.
        let mask = unsafe { &raw const (*raw_device(device)).coherent_dma_mask };
        // SAFETY: As above. Its driver may write it at any time.
        let mask = unsafe { mask.read_volatile() };
        // SAFETY: As above. It is set when the device is made ready for DMA, before its driver.
        let limit = unsafe { (*raw_device(device)).bus_dma_limit };

        return limits::min_not_zero(mask, limit) < bit;
    }
    false
}

/// Tells whether the bounce buffer, if there is one, is within what `device` reaches.
#[cfg(CONFIG_SWIOTLB)]
fn reaches_bounce_buffer(device: &Device, last: u64) -> bool {
    let dev = raw_device(device);
    // SAFETY: The device is valid, and keeps its bounce buffer.
    let mem = unsafe { (*dev).dma_io_tlb_mem };
    let mem = mem.cast_const().cast::<bindings::io_tlb_mem>();

    if mem.is_null() {
        return true;
    }
    // SAFETY: As above. The default pool is set up at boot.
    let start = unsafe { (*mem).defpool.start };
    // SAFETY: As above.
    let end = unsafe { (*mem).defpool.end };

    if end <= start {
        return true;
    }
    // SAFETY: The device is valid, and it only computes.
    let first = unsafe { bindings::rust_dma_heap_phys_to_dma_unencrypted(dev, start) };

    reaches(first, wide(end - start), last)
}

#[cfg(not(CONFIG_SWIOTLB))]
fn reaches_bounce_buffer(_device: &Device, _last: u64) -> bool {
    true
}

#[kunit_tests(rust_dma_heap_reach)]
mod tests {
    use super::*;

    #[test]
    fn what_addresses_reach() {
        const PAGE: u64 = 4096;
        const LAST: u64 = (1 << 28) - 1;

        assert!(reaches(0, PAGE, LAST));
        assert!(reaches((LAST + 1 - PAGE) as DmaAddress, PAGE, LAST));
        assert!(!reaches((LAST + 1 - PAGE) as DmaAddress, PAGE + 1, LAST));
        assert!(!reaches((LAST + 1) as DmaAddress, PAGE, LAST));
        // Around the end of all addresses, and none at all.
        assert!(!reaches(DmaAddress::MAX - 1, PAGE, u64::MAX));
        assert!(!reaches(DmaAddress::MAX, 1, u64::MAX));
    }
}
