// SPDX-License-Identifier: GPL-2.0

//! Character devices that share one major number.
//!
//! C headers: [`include/linux/cdev.h`](srctree/include/linux/cdev.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)
//!
//! `kernel::miscdevice` gives each node a minor of the misc class. Here a module has a region of
//! minors, and nodes in a class of its own.

use crate::abstractions::{
    bindings,
    versions::owner, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    container_of,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::Arc,
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
    pub(in crate::abstractions) fn get(&self, n: usize) -> Option<bindings::dev_t> {
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

/// What an open leads to.
struct Nodes<T: FileOperations> {
    /// What the C side calls. A file that is being opened has the address of this field in `f_op`,
    /// by which [`Vtable::open`] finds the others.
    operations: bindings::file_operations,
    nodes: KVec<Arc<T>>,
    first: bindings::dev_t,
}

/// Open-for-business nodes: minor `n` of the region leads to `nodes[n]`.
///
/// The `struct cdev` is memory of the C side, which frees it: that may be long after the last
/// reference is gone, when there is no module any more.
///
/// # Invariants
///
/// `cdev_alloc()` made `cdev` for this value, and it is added for the first `nodes.nodes.len()`
/// numbers of `numbers`. Its operations are those of `nodes`.
pub(crate) struct CharDevices<T: FileOperations> {
    cdev: NonNull<bindings::cdev>,
    // Both are used until `cdev` is deleted on drop. `nodes` stays where it is until then.
    _nodes: KBox<Nodes<T>>,
    _numbers: Arc<DeviceNumbers>,
}

// SAFETY: The C side locks `cdev`, and `T` is `Send` and `Sync`.
unsafe impl<T: FileOperations> Send for CharDevices<T> {}

// SAFETY: As for `Send`; there are no methods on `&CharDevices`.
unsafe impl<T: FileOperations> Sync for CharDevices<T> {}

impl<T: FileOperations> CharDevices<T> {
    /// Lets processes open the nodes. Wraps `cdev_alloc()` and `cdev_add()`. May sleep.
    ///
    /// A process may hold a node open from here on, so that this must be the last step of a module
    /// that can fail. An open node keeps the module from being unloaded.
    ///
    /// Returns `EINVAL` if there are more nodes than numbers.
    pub(crate) fn add(numbers: Arc<DeviceNumbers>, nodes: KVec<Arc<T>>) -> Result<Self> {
        let count = u32::try_from(nodes.len())?;

        if count == 0 || count > numbers.count {
            return Err(EINVAL);
        }

        let nodes = KBox::new(
            Nodes {
                operations: Vtable::<T>::OPERATIONS,
                nodes,
                first: numbers.first,
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The function may be called from where one can sleep.
        let cdev = NonNull::new(unsafe { bindings::cdev_alloc() }).ok_or(ENOMEM)?;

        // SAFETY: `cdev` is new and nobody else's.
        unsafe { (*cdev.as_ptr()).owner = owner!(T) };
        // SAFETY: As above.
        unsafe { (*cdev.as_ptr()).ops = &raw const nodes.operations };

        // SAFETY: `cdev` is initialized. What processes find through it is, too, and stays until
        // `cdev` is deleted.
        to_result(unsafe { bindings::cdev_add(cdev.as_ptr(), numbers.first, count) }).inspect_err(
            |_| {
                // SAFETY: `cdev` is valid.
                let kobj = unsafe { &raw mut (*cdev.as_ptr()).kobj };

                // SAFETY: The reference is that of `cdev_alloc()`, and nobody has found `cdev`.
                unsafe { bindings::kobject_put(kobj) }
            },
        )?;

        // INVARIANT: The calls above made `cdev` and added it.
        Ok(Self {
            cdev,
            _nodes: nodes,
            _numbers: numbers,
        })
    }
}

impl<T: FileOperations> Drop for CharDevices<T> {
    /// Closes the nodes for good. Waits for an RCU grace period.
    ///
    /// An inode that was opened once points to `cdev` until the C side frees that, which it may do
    /// late. Whoever opens it meanwhile must not be led to a module that is gone: `chrdev_open()`
    /// looks at `owner` first, and then at `ops`.
    fn drop(&mut self) {
        let cdev = self.cdev.as_ptr();

        // SAFETY: `cdev` is alive, by the reference that the type has.
        let kobj = unsafe { &raw mut (*cdev).kobj };
        // SAFETY: As above.
        let ops = unsafe { &raw mut (*cdev).ops };
        // SAFETY: As above.
        let owner = unsafe { &raw mut (*cdev).owner };

        // SAFETY: As above.
        unsafe { bindings::kobject_get(kobj) };

        // SAFETY: By the type invariant, `cdev` is added. No file is open, as each holds the
        // module.
        unsafe { bindings::cdev_del(cdev) };

        // SAFETY: The reference taken above keeps `cdev`. Nobody reads `ops` now who has not got
        // hold of the module first, and nobody can, because it is going.
        unsafe { ops.write_volatile(core::ptr::null()) };

        // Whoever sees the owner gone sees that there are no operations: between the two writes
        // each processor has passed a barrier.
        // SAFETY: This may sleep.
        unsafe { bindings::synchronize_rcu() };

        // SAFETY: As above, the reference keeps `cdev`.
        unsafe { owner.write_volatile(core::ptr::null_mut()) };

        // SAFETY: The reference was taken above, and `cdev` is not used after this.
        unsafe { bindings::kobject_put(kobj) };
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
            // SAFETY: By the safety requirements of this function, the file is valid.
            let operations = unsafe { (*file).f_op };
            // SAFETY: By the safety requirements of this function, it is the field of a `Nodes<T>`.
            #[allow(
                clippy::multiple_unsafe_ops_per_block,
                reason = "the macro is one operation to us"
            )]
            let this = unsafe { container_of!(operations, Nodes<T>, operations) };
            // SAFETY: That lives at least until the module goes, which this open holds.
            let this = unsafe { &*this };
            // SAFETY: The inode is valid, and its number is in our range.
            let minor = unsafe { (*inode).i_rdev } - this.first;
            let node = this.nodes.get(minor as usize).ok_or(ENODEV)?;

            // SAFETY: The file is being opened, and the field is for us.
            unsafe { (*file).private_data = Arc::into_raw(node.clone()).cast_mut().cast() };
            // SAFETY: As above.
            Ok(unsafe { bindings::nonseekable_open(inode, file) })
        })
    }

    /// # Safety
    ///
    /// Called by the C side once for each file that [`Self::open`] opened.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the safety requirements of this function, the file is valid.
        let node = unsafe { (*file).private_data };

        // SAFETY: `open` gave this reference away, and nobody uses the file after this call.
        drop(unsafe { Arc::from_raw(node.cast::<T>()) });
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
        // SAFETY: By the safety requirements of this function, the file is valid.
        let node = unsafe { (*file).private_data };
        // SAFETY: The file holds a reference until `release`.
        let node = unsafe { &*node.cast::<T>() };

        match node.ioctl(command, UserPtr::from_addr(argument)) {
            Ok(value) => value as c_long,
            Err(e) => e.to_errno() as c_long,
        }
    }
}
