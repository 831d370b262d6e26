// SPDX-License-Identifier: GPL-2.0

//! Device classes whose nodes stand in a directory of `/dev`, and their devices.
//!
//! C headers: [`include/linux/device/class.h`](srctree/include/linux/device/class.h),
//! [`include/linux/device.h`](srctree/include/linux/device.h)

use crate::abstractions::{
    bindings,
    device::{
        char_device::DeviceNumbers,
        sysfs::{
            AttributeGroups,
            AttributeList, //
        }, //
    }, //
};
use core::{
    marker::PhantomData,
    pin::Pin,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::Arc, //
};

/// Where the nodes of a class stand.
pub(crate) trait DevDirectory: 'static {
    /// The directory below `/dev`.
    const NAME: &'static CStr;
}

/// A class of devices, as `/sys/class` shows it.
///
/// # Invariants
///
/// The pointer is to a class that `class_create()` made for this value.
pub(crate) struct Class<D: DevDirectory>(NonNull<bindings::class>, PhantomData<D>);

// SAFETY: Classes are not bound to a task.
unsafe impl<D: DevDirectory> Send for Class<D> {}

// SAFETY: The C side locks classes.
unsafe impl<D: DevDirectory> Sync for Class<D> {}

impl<D: DevDirectory> Class<D> {
    /// Registers a class. Wraps `class_create()`. May sleep.
    ///
    /// The C side warns in the log if a class of that name exists.
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is NUL-terminated and static.
        let class = from_err_ptr(unsafe { bindings::class_create(name.as_char_ptr()) })?;

        // SAFETY: The class is ours, and has no device yet for which this might be called.
        unsafe { (*class).devnode = Some(Self::devnode) };

        // INVARIANT: `class_create()` made the class above.
        // SAFETY: `class_create()` does not return null.
        Ok(Self(unsafe { NonNull::new_unchecked(class) }, PhantomData))
    }

    /// Names a device's node. The C side frees the string. The mode stays 0600.
    ///
    /// Never fails: the C side would take the bare name instead, and when the device goes, look for
    /// the node there and leave the one that it has made.
    ///
    /// # Safety
    ///
    /// Called by the C side for a device of this class.
    unsafe extern "C" fn devnode(
        device: *const bindings::device,
        _mode: *mut bindings::umode_t,
    ) -> *mut c_char {
        // SAFETY: By the safety requirements of this function, the device is valid.
        let name = unsafe { bindings::dev_name(device) };

        // SAFETY: Both strings are valid; the format takes two.
        unsafe {
            bindings::kasprintf(
                bindings::RUST_DMA_HEAP_GFP_NOFAIL,
                c"%s/%s".as_char_ptr(),
                D::NAME.as_char_ptr(),
                name,
            )
        }
    }
}

impl<D: DevDirectory> Drop for Class<D> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the class is ours. Its devices hold it, so they are gone.
        unsafe { bindings::class_destroy(self.0.as_ptr()) };
    }
}

/// A device of a [`Class`]: its sysfs directory with attributes, and its node.
///
/// # Invariants
///
/// `number` belongs to a device that `device_create_with_groups()` made in `class` for this value,
/// with `owner` as driver data.
pub(crate) struct ClassDevice<D: DevDirectory, Owner> {
    number: bindings::dev_t,
    class: Arc<Class<D>>,
    // Dropped after the device is destroyed, because the C side uses them until then.
    _groups: Pin<KBox<AttributeGroups<Owner>>>,
    _owner: Arc<Owner>,
    _numbers: Arc<DeviceNumbers>,
}

impl<D: DevDirectory, Owner: Send + Sync + 'static> ClassDevice<D, Owner> {
    /// Makes the `n`th device of a region. Wraps `device_create_with_groups()`. May sleep.
    ///
    /// The node appears with it, but leads nowhere before a
    /// [`CharDevices`](crate::abstractions::device::char_device::CharDevices) is added for its
    /// number. A file that exists under the node's name is silently left in place, so look for one
    /// before.
    pub(crate) fn new(
        class: Arc<Class<D>>,
        numbers: Arc<DeviceNumbers>,
        n: usize,
        name: &CStr,
        attributes: &'static AttributeList<Owner>,
        owner: Arc<Owner>,
    ) -> Result<Self> {
        let number = numbers.get(n).ok_or(EINVAL)?;
        let groups = AttributeGroups::new(attributes)?;

        // SAFETY:
        // - The class is valid, and the device holds it until it is destroyed on drop.
        // - The groups and the driver data that they expect live in the new value until then.
        // - The format takes one string.
        from_err_ptr(unsafe {
            bindings::device_create_with_groups(
                class.0.as_ptr(),
                core::ptr::null_mut(),
                number,
                Arc::as_ptr(&owner).cast_mut().cast(),
                groups.as_raw(),
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })?;

        // INVARIANT: The call above made the device.
        Ok(Self {
            number,
            class,
            _groups: groups,
            _owner: owner,
            _numbers: numbers,
        })
    }
}

impl<D: DevDirectory, Owner> Drop for ClassDevice<D, Owner> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the number is that of our device in the class. The call
        // waits for those who read or write its attributes.
        unsafe { bindings::device_destroy(self.class.0.as_ptr(), self.number) };
    }
}
