// SPDX-License-Identifier: GPL-2.0

//! Numbers of a whole module, in files below `/sys/kernel`.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::abstractions::{
    bindings,
    versions::with_show, //
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// A file `/sys/kernel/DIRECTORY/NAME` that holds one number, readable by everyone.
pub(crate) trait KernelNumber: 'static {
    /// The directory below `/sys/kernel`, which nobody else has made.
    const DIRECTORY: &'static CStr;

    /// The file's name.
    const NAME: &'static CStr;

    /// Returns the number to show. May sleep.
    fn show() -> u64;
}

/// The directory and file of an `A`, until this is dropped.
///
/// # Invariants
///
/// The pointer is to a `struct kobject` that `kobject_create_and_add()` made for this value.
pub(crate) struct KernelAttribute<A: KernelNumber>(NonNull<bindings::kobject>, PhantomData<A>);

// SAFETY: The C side locks kobjects as needed.
unsafe impl<A: KernelNumber> Send for KernelAttribute<A> {}

// SAFETY: There are no methods on `&KernelAttribute`.
unsafe impl<A: KernelNumber> Sync for KernelAttribute<A> {}

impl<A: KernelNumber> KernelAttribute<A> {
    const ATTRIBUTE: bindings::kobj_attribute = {
        let mut attribute: bindings::kobj_attribute = pin_init::zeroed();

        attribute.attr.name = kernel::str::as_char_ptr_in_const_context(A::NAME);
        attribute.attr.mode = 0o444;
        with_show(attribute, Self::show)
    };

    /// Tells whether the directory is there already. Asks sysfs itself, whether or not it is
    /// mounted anywhere. May sleep.
    pub(crate) fn is_taken() -> bool {
        // SAFETY: `kernel_kobj` is set early at boot and stays.
        let parent = unsafe { bindings::kernel_kobj };
        // SAFETY: As above, with its directory.
        let parent = unsafe { (*parent).sd };
        let name = A::DIRECTORY.as_char_ptr();
        // SAFETY: As above; the name is NUL-terminated, and the directory has no namespaces.
        let node = unsafe { bindings::kernfs_find_and_get_ns(parent, name, ptr::null()) };

        // SAFETY: It is null, or the call took a reference.
        unsafe { bindings::kernfs_put(node) };
        !node.is_null()
    }

    /// Makes both. May sleep. The C side warns if there is such a directory already.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: `kernel_kobj` is set early at boot and stays.
        let parent = unsafe { bindings::kernel_kobj };
        // SAFETY: Both are valid.
        let directory =
            unsafe { bindings::kobject_create_and_add(A::DIRECTORY.as_char_ptr(), parent) };

        // INVARIANT: It was just made.
        let this = Self(NonNull::new(directory).ok_or(ENOMEM)?, PhantomData);
        let attribute: &'static bindings::kobj_attribute = &Self::ATTRIBUTE;

        // SAFETY: The directory is there; the attribute is static, and of the kind that directories
        // of `kobject_create_and_add()` expect.
        to_result(unsafe {
            bindings::sysfs_create_file_ns(this.0.as_ptr(), &attribute.attr, core::ptr::null())
        })?;
        Ok(this)
    }

    /// # Safety
    ///
    /// Called by the C side with a page to fill.
    unsafe extern "C" fn show(
        _directory: *mut bindings::kobject,
        _attribute: *mut bindings::kobj_attribute,
        page: *mut c_char,
    ) -> isize {
        // SAFETY: `page` is a page to fill; the format takes one `unsigned long long`.
        unsafe { bindings::sysfs_emit(page, c"%llu\n".as_char_ptr(), A::show()) as isize }
    }
}

impl<A: KernelNumber> Drop for KernelAttribute<A> {
    /// Waits for whoever reads the file.
    fn drop(&mut self) {
        // SAFETY: By the type invariant, it is valid and added. What is freed late, with the last
        // reference, is the C side's.
        unsafe { bindings::kobject_del(self.0.as_ptr()) };

        // SAFETY: The reference is this value's.
        unsafe { bindings::kobject_put(self.0.as_ptr()) };
    }
}
