// SPDX-License-Identifier: GPL-2.0

//! Devices: as the driver core has them, and as users see them.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)
//!
//! - [`class`], [`char_device`]: nodes in `/dev` (`struct class`, `struct cdev`);
//! - [`sysfs`], [`kernel_attribute`], [`debugfs`]: files that show and set
//!   (`struct device_attribute`, `struct kobj_attribute`);
//! - [`bus_notifier`]: to be told when a device loses its driver (`struct notifier_block`);
//! - [`while_bound`]: to keep it from that for as long as a call takes.

pub(crate) mod bus_notifier;
pub(crate) mod char_device;
pub(crate) mod class;
pub(crate) mod debugfs;
pub(crate) mod kernel_attribute;
pub(crate) mod sysfs;
#[allow(dead_code, reason = "for the test importer, which shares these files")]
pub(crate) mod while_bound;

use crate::abstractions::bindings;
use kernel::{
    device::Device,
    types::Opaque, //
};

/// Returns the C side's pointer to `device`.
///
/// `kernel::device::Device::as_raw` is not open to modules.
pub(in crate::abstractions) fn raw_device(device: &Device) -> *mut bindings::device {
    // CAST: `Device` is a transparent wrapper around `Opaque<struct device>`.
    Opaque::cast_into(core::ptr::from_ref(device).cast())
}

/// Tells whether a driver is bound to `device`, or about to be.
pub(crate) fn has_driver(device: &Device) -> bool {
    // SAFETY: The device is valid.
    let driver = unsafe { &raw const (*raw_device(device)).driver };

    // SAFETY: As above. Others set it at any time.
    !unsafe { driver.read_volatile() }.is_null()
}
