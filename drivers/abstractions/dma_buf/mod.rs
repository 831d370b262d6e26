// SPDX-License-Identifier: GPL-2.0

//! dma-bufs: memory that devices, processes and the kernel share.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)
//!
//! Reference: <https://docs.kernel.org/driver-api/dma-buf.html>
//!
//! - [`DmaBuf`]: a `struct dma_buf`, counted as `kernel` counts C's objects;
//! - [`exporter`]: who decides about the memory behind one (`struct dma_buf_ops`), what it is asked
//!   ([`requests`]), how C asks (`vtable`), what C holds of it (`exported`), and how it gets its
//!   dma-buf ([`mod@export`]);
//! - [`importer`]: who attaches a device to one, maps it or has it in kernel addresses
//!   (`struct dma_buf_attachment`);
//! - [`software_device`]: a device without hardware that is an importer, for tests;
//! - [`resv`]: the lock that the core holds in the middle of most of that (`struct dma_resv`).

pub(crate) mod export;
mod exported;
pub(crate) mod exporter;
#[allow(dead_code, reason = "for the test importer, which shares these files")]
pub(crate) mod importer;
pub(crate) mod requests;
pub(crate) mod resv;
#[allow(dead_code, reason = "for the test importer, which shares these files")]
pub(crate) mod software_device;
mod vtable;

use crate::abstractions::bindings;
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    fs::file::FileDescriptorReservation,
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    types::Opaque, //
};

/// A dma-buf.
///
/// # Invariants
///
/// It lives for as long as it has references, and is never looked at without one.
#[repr(transparent)]
pub(crate) struct DmaBuf(Opaque<bindings::dma_buf>);

// SAFETY: References to a dma-buf may be dropped by any task.
unsafe impl Send for DmaBuf {}

// SAFETY: The C side locks dma-bufs as needed.
unsafe impl Sync for DmaBuf {}

// SAFETY: A dma-buf is a file, and counted as one: it is freed with the last reference.
unsafe impl AlwaysRefCounted for DmaBuf {
    fn inc_ref(&self) {
        // SAFETY: The reference says that the dma-buf is valid.
        unsafe { bindings::rust_dma_heap_get_dma_buf(self.as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the safety requirements of this function, there is a reference to drop.
        unsafe { bindings::dma_buf_put(obj.cast().as_ptr()) };
    }
}

impl DmaBuf {
    /// Looks at a dma-buf of C's.
    ///
    /// # Safety
    ///
    /// `raw` must be valid for `'a`.
    pub(in crate::abstractions) unsafe fn from_raw<'a>(raw: *mut bindings::dma_buf) -> &'a Self {
        // CAST: A `DmaBuf` is a transparent wrapper.
        // SAFETY: By the safety requirements of this function.
        unsafe { &*raw.cast() }
    }

    /// Takes a reference over from C.
    ///
    /// # Safety
    ///
    /// `raw` must be valid, with a reference that is given away.
    unsafe fn take(raw: NonNull<bindings::dma_buf>) -> ARef<Self> {
        // CAST: A `DmaBuf` is a transparent wrapper.
        // SAFETY: By the safety requirements of this function.
        unsafe { ARef::from_raw(raw.cast()) }
    }

    /// Returns the dma-buf that a file descriptor of the calling task leads to.
    ///
    /// Wraps `dma_buf_get()`. `EBADF` says that there is no such descriptor, `EINVAL` that it is no
    /// dma-buf.
    pub(crate) fn from_fd(fd: i32) -> Result<ARef<Self>> {
        // SAFETY: Any number may be asked for.
        let raw = from_err_ptr(unsafe { bindings::dma_buf_get(fd) })?;
        let raw = NonNull::new(raw).ok_or(EINVAL)?;

        // SAFETY: `dma_buf_get()` gives us a reference.
        Ok(unsafe { Self::take(raw) })
    }

    /// Returns the number of the inode, by which fdinfo and debugfs name the dma-buf.
    pub(crate) fn inode(&self) -> usize {
        // SAFETY: The dma-buf is valid, and so has a file.
        unsafe { bindings::rust_dma_heap_dma_buf_inode(self.as_raw()) }
    }

    /// Returns the C side's pointer.
    pub(in crate::abstractions) fn as_raw(&self) -> *mut bindings::dma_buf {
        self.0.get()
    }

    /// Puts the dma-buf into the calling task's file table. Wraps `dma_buf_fd_install()`.
    pub(crate) fn install(this: ARef<Self>, reservation: FileDescriptorReservation) {
        let fd = ManuallyDrop::new(reservation).reserved_fd();
        let raw = ARef::into_raw(this).cast().as_ptr();

        // SAFETY: The dma-buf is valid, and its reference given away. The descriptor is reserved
        // for this task, and its destructor does not run.
        unsafe { bindings::dma_buf_fd_install(raw, fd as i32) };
    }
}
