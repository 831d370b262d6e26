// SPDX-License-Identifier: GPL-2.0

//! A device whose driver cannot be unbound meanwhile.
//!
//! C header: [`include/linux/device/devres.h`](srctree/include/linux/device/devres.h)
//!
//! `kernel::devres::Devres` gives a resource only for moments in which nobody sleeps. This is for
//! system calls that do more than that with a device.

use core::ops::Deref;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    devres,
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
/// While `is_bound` says so, the device is bound to its driver: a resource of the device clears it
/// before that ends.
#[pin_data]
pub(crate) struct WhileBound {
    device: ARef<Device>,
    #[pin]
    is_bound: Mutex<bool>,
}

/// The resource. Dropping it waits for whoever has the device.
struct End(Arc<WhileBound>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
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
    /// Wraps `devres_add()`. May sleep.
    pub(crate) fn new(device: &Device<Bound>) -> Result<Arc<Self>> {
        let this = Arc::pin_init(
            pin_init!(Self {
                device: device.into(),
                // INVARIANT: It is bound, and the resource is added before anybody asks.
                is_bound <- new_mutex!(true),
            }),
            GFP_KERNEL,
        )?;

        devres::register(device, End(this.clone()), GFP_KERNEL)?;
        Ok(this)
    }

    /// Waits for whoever has the device, and gives it to nobody any more: for a driver that has
    /// something to end in its `unbind` first. May sleep.
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
        // SAFETY: By the type invariants, it is bound for as long as `self` lives.
        unsafe { self.device.as_bound() }
    }
}
