// SPDX-License-Identifier: GPL-2.0

//! A device whose driver cannot be unbound meanwhile.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)
//!
//! `kernel::devres::Devres` gives a resource only for moments in which nobody sleeps. This is for
//! system calls that do more than that with a device, as to map a dma-buf for it. They end before
//! the driver's `unbind` does: resources end later than a bus takes back what DMA needs
//! (`dma_cleanup()` in `drivers/base/dd.c`).

use core::ops::Deref;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        MutexGuard, //
    }, //
};

/// A device that was bound once, and may be still.
///
/// # Invariants
///
/// While `is_bound` says so, the device is bound to its driver, which has not begun to end anything
/// of what it has.
#[pin_data]
pub(crate) struct WhileBound {
    device: ARef<Device>,
    #[pin]
    is_bound: Mutex<bool>,
}

/// The device, bound until this is dropped. One task at a time has it, and whoever unbinds the
/// driver waits for that one.
///
/// # Invariants
///
/// The lock of `is_bound` is held, and that is true.
pub(crate) struct BoundDevice<'a> {
    device: &'a Device,
    _is_bound: MutexGuard<'a, bool>,
}

/// The device when it has lost its driver, or is about to: for drivers that do not let go then, and
/// so for tests.
///
/// # Invariants
///
/// The lock of `is_bound` is held, and that is false.
pub(crate) struct OrphanDevice<'a> {
    device: &'a Device,
    _is_bound: MutexGuard<'a, bool>,
}

impl WhileBound {
    /// # Safety
    ///
    /// The driver's `unbind` must call [`Self::end`] before it does anything else, and nobody else
    /// may have the value before the driver's `probe` cannot fail any more.
    pub(crate) unsafe fn new(device: &Device<Bound>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                device: device.into(),
                // INVARIANT: It is bound, and by the safety requirements it is for as long as this
                // is true.
                is_bound <- new_mutex!(true),
            }),
            GFP_KERNEL,
        )
    }

    /// Waits for whoever has the device, and gives it to nobody any more. May sleep.
    pub(crate) fn end(&self) {
        *self.is_bound.lock() = false;
    }

    /// Returns the device, or what is left of one that has lost its driver. May sleep.
    pub(crate) fn get(&self) -> Result<BoundDevice<'_>, OrphanDevice<'_>> {
        let (device, is_bound) = (&*self.device, self.is_bound.lock());

        // INVARIANT: That is what is asked here.
        if *is_bound {
            Ok(BoundDevice {
                device,
                _is_bound: is_bound,
            })
        } else {
            Err(OrphanDevice {
                device,
                _is_bound: is_bound,
            })
        }
    }
}

impl Deref for OrphanDevice<'_> {
    type Target = Device;

    fn deref(&self) -> &Device {
        self.device
    }
}

impl Deref for BoundDevice<'_> {
    type Target = Device<Bound>;

    fn deref(&self) -> &Self::Target {
        // SAFETY: By the type invariants, `is_bound` is true and stays so: `unbind` waits for the
        // lock before it does anything else.
        unsafe { self.device.as_bound() }
    }
}
