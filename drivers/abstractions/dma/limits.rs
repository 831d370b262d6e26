// SPDX-License-Identifier: GPL-2.0

//! Which addresses a device can put out.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use crate::abstractions::{
    bindings,
    device::raw_device, //
};
use kernel::{
    device::Device,
    prelude::*, //
};

/// Addresses are 32 bits wide on some machines, and 64 on the others.
pub(crate) fn wide(address: impl Into<u64>) -> u64 {
    address.into()
}

/// Returns the highest address that `device` can put out, or 0 if it does no DMA. To be called
/// while an importer attaches or maps.
pub(crate) fn dma_mask(device: &Device) -> u64 {
    // SAFETY: The device is valid.
    let mask = unsafe { &raw const (*raw_device(device)).dma_mask };
    // SAFETY: As above. Its bus or its driver may set it at any time.
    let mask = unsafe { mask.read_volatile() };

    if mask.is_null() {
        return 0;
    }
    // SAFETY: What it leads to is the device's, its parent's or its driver's, and there while an
    // importer attaches or maps. Drivers write it at any time.
    unsafe { mask.read_volatile() }
}

/// Returns the last address that `device` can put out and its bus can carry.
pub(super) fn last_address(device: &Device) -> u64 {
    // SAFETY: The device is valid. It is set when that is made ready for DMA, before its driver.
    let limit = unsafe { (*raw_device(device)).bus_dma_limit };

    min_not_zero(dma_mask(device), limit)
}

/// The lesser of two limits, of which 0 is none.
pub(super) fn min_not_zero(one: u64, other: u64) -> u64 {
    match (one, other) {
        (0, limit) | (limit, 0) => limit,
        (one, other) => one.min(other),
    }
}

/// Returns the most bytes that one mapping of `device` may have, [`None`] if any number.
///
/// Wraps `dma_max_mapping_size()`: what a bounce buffer holds, if the device might need one.
pub(in crate::abstractions) fn max_mapping(device: &Device) -> Option<usize> {
    // SAFETY: The device is valid.
    let bytes = unsafe { bindings::dma_max_mapping_size(raw_device(device)) };

    (bytes != usize::MAX).then_some(bytes)
}

#[kunit_tests(rust_dma_heap_limits)]
mod tests {
    use super::*;

    #[test]
    fn the_lesser_limit_counts() {
        assert_eq!(min_not_zero(0, 0), 0);
        assert_eq!(min_not_zero(0, 5), 5);
        assert_eq!(min_not_zero(5, 0), 5);
        assert_eq!(min_not_zero(7, 5), 5);
    }
}
