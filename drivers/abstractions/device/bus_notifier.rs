// SPDX-License-Identifier: GPL-2.0

//! To be told when a device loses its driver.
//!
//! C headers: [`include/linux/device/bus.h`](srctree/include/linux/device/bus.h),
//! [`include/linux/notifier.h`](srctree/include/linux/notifier.h)

use crate::abstractions::{
    bindings,
    device::raw_device, //
};
use core::ptr::NonNull;
use kernel::{
    container_of,
    device::Device,
    error::to_result,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// Somebody who wants to know.
pub(crate) trait Unbinding: Send + Sync + 'static {
    /// `device` is about to lose its driver, or to go; or a driver has found that it is not for it.
    ///
    /// The device's lock is held, and that of its bus's notifiers for reading. May sleep, but must
    /// wait for nobody who waits for either.
    fn unbinding(&self, device: &Device);
}

/// A bus that was registered when the value was made.
///
/// # Invariants
///
/// `kset` is what the driver core keeps of the bus, with a reference that is this value's. So no
/// other bus is taken for it, even if this one goes and another one comes in its place.
pub(crate) struct Bus {
    kset: NonNull<bindings::kset>,
    /// Not to be looked into: the bus may have gone.
    raw: *const bindings::bus_type,
}

// SAFETY: References to a kset may be dropped by any task.
unsafe impl Send for Bus {}

// SAFETY: Nothing can be changed by a `&Bus`.
unsafe impl Sync for Bus {}

impl Bus {
    /// Returns the bus that `device` is on. [`None`] says that there is none that tells of drivers.
    ///
    /// Wraps `bus_get_kset()`.
    pub(crate) fn of(device: &Device) -> Option<Self> {
        // SAFETY: The device is valid, and keeps its bus.
        let raw = unsafe { (*raw_device(device)).bus };

        if raw.is_null() {
            return None;
        }
        // SAFETY: As above.
        let kset = unsafe { bindings::bus_get_kset(raw) };
        // SAFETY: It is null, or of the bus, which the device keeps.
        let kset = unsafe { bindings::rust_dma_heap_kset_get(kset) };

        // INVARIANT: The call took a reference.
        Some(Self {
            kset: NonNull::new(kset)?,
            raw,
        })
    }

    /// Returns what tells it from any other bus for as long as the value lives.
    pub(crate) fn id(&self) -> usize {
        self.kset.as_ptr().addr()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, there is a reference to drop.
        unsafe { bindings::rust_dma_heap_kset_put(self.kset.as_ptr()) };
    }
}

/// Tells a [`Unbinding`] of all devices on a bus, for as long as the value lives.
///
/// # Invariants
///
/// `block` is registered with `bus`, unless that has gone.
#[pin_data(PinnedDrop)]
pub(crate) struct BusNotifier<T: Unbinding> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    bus: Bus,
    target: Arc<T>,
}

// SAFETY: A notifier is not bound to a task.
unsafe impl<T: Unbinding> Send for BusNotifier<T> {}

// SAFETY: Nothing can be done with a `&BusNotifier`.
unsafe impl<T: Unbinding> Sync for BusNotifier<T> {}

impl<T: Unbinding> BusNotifier<T> {
    /// Registers `target`. Wraps `bus_register_notifier()`.
    ///
    /// May sleep, and waits for callbacks of the bus: to be called without locks that `target`
    /// takes in its own. Returns `EINVAL` if the bus has gone.
    pub(crate) fn register(bus: Bus, target: Arc<T>) -> impl PinInit<Self, Error> {
        let raw = bus.raw;

        try_pin_init!(Self {
            bus,
            target,
            // The last step: a call may come at once.
            block <- Opaque::try_ffi_init(move |block: *mut bindings::notifier_block| {
                let filled_in = bindings::notifier_block {
                    notifier_call: Some(Self::call),
                    ..pin_init::zeroed()
                };

                // SAFETY: `block` is valid for writing and pinned.
                unsafe { block.write(filled_in) };
                // SAFETY: The block is filled in. If it is registered, the value is complete, and
                // its drop undoes that. `raw` is compared, not looked into.
                to_result(unsafe { bindings::bus_register_notifier(raw, block) })
            }),
        })
    }

    /// # Safety
    ///
    /// Called by the chain of a bus for the `block` of a registered value, with one of its devices.
    unsafe extern "C" fn call(
        block: *mut bindings::notifier_block,
        action: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        const OF_INTEREST: [bindings::bus_notifier_event; 4] = [
            bindings::bus_notifier_event_BUS_NOTIFY_UNBIND_DRIVER,
            bindings::bus_notifier_event_BUS_NOTIFY_DRIVER_NOT_BOUND,
            // For what was attached while the driver was on its way out.
            bindings::bus_notifier_event_BUS_NOTIFY_UNBOUND_DRIVER,
            bindings::bus_notifier_event_BUS_NOTIFY_DEL_DEVICE,
        ];

        if OF_INTEREST.iter().any(|&event| event as c_ulong == action) {
            // SAFETY: By the safety requirements of this function, it is the field of a value.
            #[allow(
                clippy::multiple_unsafe_ops_per_block,
                reason = "the macro is one operation to us"
            )]
            let this = unsafe { container_of!(Opaque::cast_from(block), Self, block) };
            // SAFETY: The value is registered, so it lives.
            let this = unsafe { &*this };
            // SAFETY: By the safety requirements of this function, it is a device, which the driver
            // core keeps during the call.
            let device = unsafe { Device::from_raw(data.cast()) };

            this.target.unbinding(device);
        }
        bindings::NOTIFY_OK as c_int
    }
}

#[pinned_drop]
impl<T: Unbinding> PinnedDrop for BusNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, it is registered, or the bus has gone with all that was;
        // then this fails: the pointer is compared, not looked into. Waits for the callbacks to
        // end.
        unsafe { bindings::bus_unregister_notifier(self.bus.raw, self.block.get()) };
    }
}
