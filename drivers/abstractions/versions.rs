// SPDX-License-Identifier: GPL-2.0

//! What differs between the kernel series that the module is built for.
//!
//! Kbuild tells by a `cfg` for each difference whether the kernel has what is new. Other files use
//! what is here and know of no versions; what goes with a series goes with its lines here and
//! there.

use crate::abstractions::bindings;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    faux,
    mm::virt::vm_flags_t,
    prelude::*,
    time::Delta, //
};

/// The `struct module` that the vtables of type `$t` belong to.
///
/// Since 7.3, `#[vtable]` notes the module in the trait. Before, it is that of the crate, and an
/// abstraction is compiled with the crate that uses it.
#[cfg(kernel_has_owner_module)]
macro_rules! owner {
    ($t:ty) => {
        ::kernel::module::this_module::<<$t>::OwnerModule>().as_ptr()
    };
}

#[cfg(not(kernel_has_owner_module))]
macro_rules! owner {
    ($t:ty) => {
        crate::THIS_MODULE.as_ptr()
    };
}

pub(crate) use owner;

/// `VM_MAYSHARE`. What 7.2 calls `flags::MAYSHARE` is another flag, `VM_MAYEXEC`.
pub(crate) const MAYSHARE: vm_flags_t = bindings::RUST_DMA_HEAP_VM_MAYSHARE;

/// Returns `EOPNOTSUPP`, which `kernel::error::code` has since 7.3.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}

/// Returns `EDQUOT`, which is there since 7.3, too.
pub(crate) fn edquot() -> Error {
    Error::from_errno(-(bindings::EDQUOT as c_int))
}

/// Returns the value of a module parameter, which before 7.3 came as a reference.
#[cfg(kernel_has_parameter_values)]
pub(crate) fn parameter<T: Copy>(value: T) -> T {
    value
}

#[cfg(not(kernel_has_parameter_values))]
pub(crate) fn parameter<T: Copy>(value: &T) -> T {
    *value
}

/// Returns the milliseconds that `delta` takes, rounded up: `Delta::as_millis_ceil()`, since 7.3.
pub(crate) fn millis_ceil(delta: Delta) -> i64 {
    let floor = delta.as_millis();

    floor + i64::from(Delta::from_millis(floor) < delta)
}

/// Returns the device of `registration`, which is bound for as long as that lives.
pub(crate) fn faux_device(registration: &faux::Registration) -> &Device<Bound> {
    #[cfg(kernel_has_faux_bound)]
    {
        let device: &faux::Device<Bound> = registration.as_ref();

        device.as_ref()
    }
    #[cfg(not(kernel_has_faux_bound))]
    {
        let device: &Device = registration.as_ref();

        // SAFETY: The C side binds a faux device when it registers it, and unbinds it only when the
        // registration is dropped.
        unsafe { device.as_bound() }
    }
}

/// The function that shows an attribute of a kobject.
type KobjShow = unsafe extern "C" fn(
    *mut bindings::kobject,
    *mut bindings::kobj_attribute,
    *mut c_char,
) -> isize;

/// Returns `attribute` with a function that shows it. Since 7.3 there are two kinds of those.
pub(super) const fn with_show(
    mut attribute: bindings::kobj_attribute,
    show: KobjShow,
) -> bindings::kobj_attribute {
    #[cfg(kernel_has_const_kobj_attribute)]
    {
        attribute.__bindgen_anon_1.show = Some(show);
    }
    #[cfg(not(kernel_has_const_kobj_attribute))]
    {
        attribute.show = Some(show);
    }
    attribute
}

/// What the test importer needs of PCI devices.
#[cfg(CONFIG_PCI)]
#[allow(
    dead_code,
    unused_macros,
    reason = "for the test importer, which shares these files"
)]
mod pci {
    /// A BAR, for as long as the device is bound.
    #[cfg(kernel_has_devres_bar)]
    pub(crate) use kernel::pci::DevresBar;
    #[cfg(not(kernel_has_devres_bar))]
    pub(crate) type DevresBar<const SIZE: usize> =
        kernel::devres::Devres<kernel::pci::Bar<'static, SIZE>>;

    /// What a driver noted of a device in its table, which need not have it since 7.3.
    #[cfg(kernel_has_optional_id_info)]
    pub(crate) type PciIdInfo<'a, T> = Option<&'a T>;
    #[cfg(not(kernel_has_optional_id_info))]
    pub(crate) type PciIdInfo<'a, T> = &'a T;

    /// A table of devices. Before 7.3 it wanted a second name, for what depmod reads.
    #[cfg(kernel_has_unnamed_id_table)]
    macro_rules! pci_device_table {
        ($name:ident, $info:ty, $table:tt) => {
            ::kernel::pci_device_table!($name, $info, $table);
        };
    }
    #[cfg(not(kernel_has_unnamed_id_table))]
    macro_rules! pci_device_table {
        ($name:ident, $info:ty, $table:tt) => {
            ::kernel::pci_device_table!($name, MODULE_TABLE, $info, $table);
        };
    }

    pub(crate) use pci_device_table;
}

#[cfg(CONFIG_PCI)]
#[allow(
    unused_imports,
    reason = "for the test importer, which shares these files"
)]
pub(crate) use pci::{
    pci_device_table,
    DevresBar,
    PciIdInfo, //
};
