// SPDX-License-Identifier: GPL-2.0

//! The importer side of dma-bufs.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)
//!
//! Each step holds what it stands on: an [`Attachment`] its dma-buf and device, a
//! [`MappedAttachment`] its attachment, a [`VmappedDmaBuf`] its dma-buf. So they may be dropped in
//! any order, each is undone once, and none outlives what it needs.
//!
//! Attaching and mapping are for whoever shows that the device has its driver ([`Importing`]). What
//! was made may end later, but a driver is to see to it that it does not.
//!
//! A mapping or vmap is made and ended by the core's calls that take the dma-buf's lock, or, of a
//! [`LockedAttachment`], by those for who holds it: then it cannot outlive the lock. Detaching
//! takes the lock: so nobody who holds it can drop the attachment by which he does.

mod mapping;
mod vmap;

pub(super) use self::vmap::racy_copy;
pub(crate) use self::{
    mapping::MappedAttachment,
    vmap::VmappedDmaBuf, //
};

use crate::abstractions::{
    bindings,
    device::{
        raw_device,
        while_bound::OrphanDevice, //
    },
    dma::segments,
    dma_buf::{
        resv::ResvGuard,
        DmaBuf, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::DataDirection,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

mod private {
    pub(crate) trait Sealed {}
}

/// Who keeps the attachment of a mapping.
pub(crate) trait Attached: private::Sealed {
    /// Whether the dma-buf's lock is held for as long as the value lives.
    const IS_LOCKED: bool;

    /// Returns the attachment.
    fn attachment(&self) -> &Attachment;
}

/// Who keeps the dma-buf of a vmap.
pub(crate) trait OfDmaBuf: private::Sealed {
    /// Whether its lock is held for as long as the value lives.
    const IS_LOCKED: bool;

    /// Returns the dma-buf.
    fn dma_buf(&self) -> &DmaBuf;
}

impl private::Sealed for Arc<Attachment> {}
impl private::Sealed for ARef<DmaBuf> {}
impl private::Sealed for UnderLock<'_> {}

impl Attached for Arc<Attachment> {
    const IS_LOCKED: bool = false;

    fn attachment(&self) -> &Attachment {
        self
    }
}

impl Attached for UnderLock<'_> {
    const IS_LOCKED: bool = true;

    fn attachment(&self) -> &Attachment {
        &self.attachment
    }
}

impl OfDmaBuf for ARef<DmaBuf> {
    const IS_LOCKED: bool = false;

    fn dma_buf(&self) -> &DmaBuf {
        self
    }
}

impl OfDmaBuf for UnderLock<'_> {
    const IS_LOCKED: bool = true;

    fn dma_buf(&self) -> &DmaBuf {
        &self.attachment.dma_buf
    }
}

/// A device that may be attached to a dma-buf, and for which one may be mapped.
///
/// One that has its driver, that is. Some drivers in the kernel go on all the same: what becomes of
/// a buffer then can be tried with what is left of a device, if it is said so.
pub(crate) trait Importing: private::Sealed {
    /// Returns it.
    fn device(&self) -> &Device;
}

impl private::Sealed for Device<Bound> {}
impl private::Sealed for OrphanDevice<'_> {}

impl Importing for Device<Bound> {
    fn device(&self) -> &Device {
        self
    }
}

impl Importing for OrphanDevice<'_> {
    fn device(&self) -> &Device {
        self
    }
}

/// A device that is attached to a dma-buf.
///
/// # Invariants
///
/// `raw` is a static attachment of `device` to `dma_buf`, not detached yet.
pub(crate) struct Attachment {
    raw: NonNull<bindings::dma_buf_attachment>,
    dma_buf: ARef<DmaBuf>,
    device: ARef<Device>,
}

// SAFETY: Attachments are not bound to a task.
unsafe impl Send for Attachment {}

// SAFETY: The C side locks attachments as needed.
unsafe impl Sync for Attachment {}

impl Attachment {
    /// Attaches `device`. Wraps `dma_buf_attach()`. May sleep.
    ///
    /// Fails as the exporter does.
    pub(crate) fn new(dma_buf: ARef<DmaBuf>, device: &dyn Importing) -> Result<Arc<Self>> {
        let device = device.device();
        // SAFETY: Both are valid, and the new value holds both.
        let raw = from_err_ptr(unsafe {
            bindings::dma_buf_attach(dma_buf.as_raw(), raw_device(device))
        })?;

        // INVARIANT: It was just attached.
        let this = Self {
            // SAFETY: `dma_buf_attach()` does not return null.
            raw: unsafe { NonNull::new_unchecked(raw) },
            dma_buf,
            device: device.into(),
        };

        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    /// Takes the dma-buf's lock, for more than one step. Wraps `dma_resv_lock()`. Sleeps until
    /// whoever has it lets go.
    ///
    /// A task that has that of another dma-buf must not call it: the order is by tickets
    /// (`struct ww_acquire_ctx`), which nothing here needs.
    pub(crate) fn lock(self: &Arc<Self>) -> LockedAttachment<'_> {
        LockedAttachment {
            attachment: self,
            _resv: self.dma_buf.lock_resv(),
        }
    }

    fn is_of(&self, device: &Device) -> bool {
        core::ptr::eq(raw_device(&self.device), raw_device(device))
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, it is attached. Mappings hold it, so there are none.
        unsafe { bindings::dma_buf_detach(self.dma_buf.as_raw(), self.raw.as_ptr()) };
    }
}

/// An attachment to a dma-buf whose lock is held.
pub(crate) struct LockedAttachment<'a> {
    attachment: &'a Arc<Attachment>,
    _resv: ResvGuard<'a>,
}

/// An attachment that is used while `'a`'s lock is held.
///
/// It is counted, so that one that is forgotten keeps the attachment, and the dma-buf: the C side
/// must not see the end of either before that of a mapping. The last one to let go it never is,
/// since [`LockedAttachment`] borrows another.
pub(crate) struct UnderLock<'a> {
    attachment: Arc<Attachment>,
    _lock: PhantomData<&'a LockedAttachment<'a>>,
}

impl LockedAttachment<'_> {
    fn under_lock(&self) -> UnderLock<'_> {
        UnderLock {
            attachment: self.attachment.clone(),
            _lock: PhantomData,
        }
    }

    /// Maps the whole buffer. Wraps `dma_buf_map_attachment()`. May sleep.
    ///
    /// Fails as [`MappedAttachment::new`] does.
    pub(crate) fn map(
        &self,
        device: &dyn Importing,
        direction: DataDirection,
    ) -> Result<MappedAttachment<UnderLock<'_>>> {
        MappedAttachment::of(self.under_lock(), device, direction)
    }

    /// Maps the whole buffer into kernel addresses. Wraps `dma_buf_vmap()`. May sleep.
    ///
    /// Fails as [`VmappedDmaBuf::new`] does.
    pub(crate) fn vmap(&self) -> Result<VmappedDmaBuf<UnderLock<'_>>> {
        VmappedDmaBuf::of(self.under_lock())
    }
}

impl DmaBuf {
    /// Returns the size of the buffer in bytes.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: The dma-buf is valid, and its size never changes.
        unsafe { (*self.as_raw()).size }
    }

    /// Announces an access by the CPU. Wraps `dma_buf_begin_cpu_access()`. May sleep.
    ///
    /// Returns `EINVAL` for no direction.
    pub(crate) fn begin_cpu_access(&self, direction: DataDirection) -> Result {
        segments::check_direction(direction)?;
        // SAFETY: The dma-buf is valid.
        to_result(unsafe { bindings::dma_buf_begin_cpu_access(self.as_raw(), direction.into()) })
    }

    /// Announces the end of an access by the CPU. Wraps `dma_buf_end_cpu_access()`. May sleep.
    ///
    /// Returns `EINVAL` for no direction.
    pub(crate) fn end_cpu_access(&self, direction: DataDirection) -> Result {
        segments::check_direction(direction)?;
        // SAFETY: The dma-buf is valid.
        to_result(unsafe { bindings::dma_buf_end_cpu_access(self.as_raw(), direction.into()) })
    }
}
