// SPDX-License-Identifier: GPL-2.0

//! Devices.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)

use super::bindings;
use kernel::{
    device::Device,
    types::Opaque, //
};

/// Returns the C side's pointer to `device`.
///
/// `kernel::device::Device::as_raw` is not open to modules.
pub(super) fn raw_device(device: &Device) -> *mut bindings::device {
    // CAST: `Device` is a transparent wrapper around `Opaque<struct device>`.
    Opaque::cast_into(core::ptr::from_ref(device).cast())
}

/// Tells whether a driver is bound to `device`, or about to be.
pub(crate) fn has_driver(device: &Device) -> bool {
    // SAFETY: The device is valid.
    unsafe { bindings::rust_dma_heap_device_has_driver(raw_device(device)) }
}
