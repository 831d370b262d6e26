// SPDX-License-Identifier: GPL-2.0

//! Character devices that share one major number.
//!
//! C headers: [`include/linux/cdev.h`](srctree/include/linux/cdev.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)
//!
//! `kernel::miscdevice` gives each node a minor of the misc class. Here a module has a region of
//! minors, and nodes in a class of its own.

use super::{
    bindings,
    versions::owner, //
};
use core::marker::PhantomData;
use kernel::{
    container_of,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::Arc,
    types::Opaque,
    uaccess::UserPtr, //
};

/// A range of device numbers, as `/proc/devices` shows it.
///
/// # Invariants
///
/// `count` numbers from `first` on are reserved for this value.
pub(crate) struct DeviceNumbers {
    first: bindings::dev_t,
    count: u32,
}

impl DeviceNumbers {
    /// Reserves `count` minors of a major that is free. Wraps `alloc_chrdev_region()`. May sleep.
    pub(crate) fn reserve(count: u32, name: &'static CStr) -> Result<Self> {
        let mut first = 0;

        // SAFETY: `first` is writable, and `name` is NUL-terminated.
        to_result(unsafe {
            bindings::alloc_chrdev_region(&mut first, 0, count, name.as_char_ptr())
        })?;

        // INVARIANT: The call above reserved the numbers.
        Ok(Self { first, count })
    }

    /// Returns the `n`th number, or [`None`] past the end.
    pub(super) fn get(&self, n: usize) -> Option<bindings::dev_t> {
        u32::try_from(n)
            .ok()
            .filter(|n| *n < self.count)
            .map(|n| self.first + n)
    }
}

impl Drop for DeviceNumbers {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the numbers are reserved for this value.
        unsafe { bindings::unregister_chrdev_region(self.first, self.count) };
    }
}

/// What a node does when a process uses it.
#[vtable]
pub(crate) trait FileOperations: Send + Sync + 'static {
    /// A process called `ioctl()`. 32-bit callers come here, too, with their pointer widened.
    ///
    /// May sleep.
    fn ioctl(&self, command: u32, argument: UserPtr) -> Result<isize>;
}

/// Open-for-business nodes: minor `n` of the region leads to `nodes[n]`.
///
/// # Invariants
///
/// `cdev` is added for the first `nodes.len()` numbers of `numbers`.
#[pin_data(PinnedDrop)]
pub(crate) struct CharDevices<T: FileOperations> {
    #[pin]
    cdev: Opaque<bindings::cdev>,
    nodes: KVec<Arc<T>>,
    numbers: Arc<DeviceNumbers>,
}

// SAFETY: The C side locks `cdev`, and `T` is `Send` and `Sync`.
unsafe impl<T: FileOperations> Send for CharDevices<T> {}

// SAFETY: As for `Send`; methods on `&CharDevices` only read `nodes`.
unsafe impl<T: FileOperations> Sync for CharDevices<T> {}

impl<T: FileOperations> CharDevices<T> {
    /// Lets processes open the nodes. Wraps `cdev_add()`. May sleep.
    ///
    /// A process may hold a node open from here on, so that this must be the last step of a module
    /// that can fail. An open node keeps the module from being unloaded.
    ///
    /// Returns `EINVAL` if there are more nodes than numbers.
    pub(crate) fn add(
        numbers: Arc<DeviceNumbers>,
        nodes: KVec<Arc<T>>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            _: {
                if nodes.is_empty() || nodes.len() > numbers.count as usize {
                    return Err(EINVAL);
                }
            },
            nodes,
            numbers,
            // The last field: once it is added, a process that opens a node reads the others.
            cdev <- Opaque::try_ffi_init(|cdev| {
                // SAFETY: `this` is where the value is being made; both fields are initialized.
                let (numbers, nodes) = unsafe {
                    let this = this.as_ptr();

                    (&(*this).numbers, &(*this).nodes)
                };
                let (first, count) = (numbers.first, nodes.len() as u32);

                // INVARIANT: On success, the numbers lead to `cdev`.
                // SAFETY: `cdev` is pinned memory for us to initialize, and the operations are
                // static. What processes find through `cdev` is initialized.
                unsafe {
                    bindings::cdev_init(cdev, &Vtable::<T>::OPERATIONS);
                    (*cdev).owner = owner!(T);
                    to_result(bindings::cdev_add(cdev, first, count))
                }
            }),
        })
    }
}

#[pinned_drop]
impl<T: FileOperations> PinnedDrop for CharDevices<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, `cdev` is added. No file is open, as each holds the module.
        unsafe { bindings::cdev_del(self.cdev.get()) };
    }
}

/// The file operations as the C side calls them. `private_data` of an open file holds an [`Arc`].
struct Vtable<T: FileOperations>(PhantomData<T>);

impl<T: FileOperations> Vtable<T> {
    const OPERATIONS: bindings::file_operations = bindings::file_operations {
        owner: owner!(T),
        open: Some(Self::open),
        release: Some(Self::release),
        unlocked_ioctl: Some(Self::ioctl),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: bindings::compat_ptr_ioctl,
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the C side for a node of a [`CharDevices<T>`], with a file that is being opened.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements of this function, `i_cdev` is the `cdev` of a
            // `CharDevices<T>`, which lives at least until the module goes, which this open holds.
            let this = unsafe {
                let cdev = bindings::rust_dma_heap_inode_cdev(inode);

                &*container_of!(Opaque::cast_from(cdev), CharDevices<T>, cdev)
            };
            // SAFETY: The inode is valid, and its number is in our range.
            let minor = unsafe { (*inode).i_rdev } - this.numbers.first;
            let node = this.nodes.get(minor as usize).ok_or(ENODEV)?;

            // SAFETY: The file is being opened, and the field is for us.
            unsafe {
                (*file).private_data = Arc::into_raw(node.clone()).cast_mut().cast();
                Ok(bindings::nonseekable_open(inode, file))
            }
        })
    }

    /// # Safety
    ///
    /// Called by the C side once for each file that [`Self::open`] opened.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` gave this reference away, and nobody uses the file after this call.
        drop(unsafe { Arc::from_raw((*file).private_data.cast::<T>()) });
        0
    }

    /// # Safety
    ///
    /// Called by the C side for a file that [`Self::open`] opened.
    unsafe extern "C" fn ioctl(
        file: *mut bindings::file,
        command: c_uint,
        argument: c_ulong,
    ) -> c_long {
        // SAFETY: The file holds a reference until `release`.
        let node = unsafe { &*(*file).private_data.cast::<T>() };

        match node.ioctl(command, UserPtr::from_addr(argument)) {
            Ok(value) => value as c_long,
            Err(e) => e.to_errno() as c_long,
        }
    }
}
