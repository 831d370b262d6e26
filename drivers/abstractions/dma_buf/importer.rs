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

use crate::abstractions::{
    bindings,
    device::{
        raw_device,
        while_bound::OrphanDevice, //
    },
    dma_buf::{
        resv::ResvGuard,
        DmaBuf, //
    },
    versions::eopnotsupp, //
};
use core::ptr::NonNull;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::{
        DataDirection,
        DmaAddress, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    scatterlist::SGTable,
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
impl private::Sealed for &LockedAttachment<'_> {}

impl Attached for Arc<Attachment> {
    const IS_LOCKED: bool = false;

    fn attachment(&self) -> &Attachment {
        self
    }
}

impl Attached for &LockedAttachment<'_> {
    const IS_LOCKED: bool = true;

    fn attachment(&self) -> &Attachment {
        self.attachment
    }
}

impl OfDmaBuf for ARef<DmaBuf> {
    const IS_LOCKED: bool = false;

    fn dma_buf(&self) -> &DmaBuf {
        self
    }
}

impl OfDmaBuf for &LockedAttachment<'_> {
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
    pub(crate) fn lock(&self) -> LockedAttachment<'_> {
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
    attachment: &'a Attachment,
    _resv: ResvGuard<'a>,
}

impl LockedAttachment<'_> {
    /// Maps the whole buffer. Wraps `dma_buf_map_attachment()`. May sleep.
    ///
    /// Fails as [`MappedAttachment::new`] does.
    pub(crate) fn map(
        &self,
        device: &dyn Importing,
        direction: DataDirection,
    ) -> Result<MappedAttachment<&Self>> {
        MappedAttachment::of(self, device, direction)
    }

    /// Maps the whole buffer into kernel addresses. Wraps `dma_buf_vmap()`. May sleep.
    ///
    /// Fails as [`VmappedDmaBuf::new`] does.
    pub(crate) fn vmap(&self) -> Result<VmappedDmaBuf<&Self>> {
        VmappedDmaBuf::of(self)
    }
}

/// A dma-buf that is mapped for DMA by an attached device.
///
/// # Invariants
///
/// `table` is what mapping the attachment in `direction` returned, not unmapped yet.
pub(crate) struct MappedAttachment<A: Attached = Arc<Attachment>> {
    table: NonNull<bindings::sg_table>,
    direction: DataDirection,
    attached: A,
}

// SAFETY: Mappings are not bound to a task, unless a lock is.
unsafe impl Send for MappedAttachment {}

// SAFETY: Methods on `&MappedAttachment` only read the table.
unsafe impl Sync for MappedAttachment {}

impl MappedAttachment {
    /// Maps the whole buffer. Wraps `dma_buf_map_attachment_unlocked()`. May sleep.
    ///
    /// Returns `EINVAL` if another device is attached; else fails as the exporter does.
    pub(crate) fn new(
        attachment: Arc<Attachment>,
        device: &dyn Importing,
        direction: DataDirection,
    ) -> Result<Self> {
        Self::of(attachment, device, direction)
    }
}

impl<A: Attached> MappedAttachment<A> {
    fn of(attached: A, device: &dyn Importing, direction: DataDirection) -> Result<Self> {
        if !attached.attachment().is_of(device.device()) {
            return Err(EINVAL);
        }

        let raw = attached.attachment().raw.as_ptr();
        let table = if A::IS_LOCKED {
            // SAFETY: By the type invariant of `Attachment`, it is attached; `attached` says that
            // the lock is held.
            unsafe { bindings::dma_buf_map_attachment(raw, direction.into()) }
        } else {
            // SAFETY: By the type invariant of `Attachment`, it is attached.
            unsafe { bindings::dma_buf_map_attachment_unlocked(raw, direction.into()) }
        };
        let table = from_err_ptr(table)?;

        // INVARIANT: It was just mapped.
        Ok(Self {
            // SAFETY: The C side returns a table or an error, not null.
            table: unsafe { NonNull::new_unchecked(table) },
            direction,
            attached,
        })
    }

    /// Tells whether it is `device` that may use the mapping.
    pub(crate) fn is_for(&self, device: &Device) -> bool {
        self.attached.attachment().is_of(device)
    }

    /// Returns the table that was lent.
    fn table(&self) -> &SGTable {
        // SAFETY: By the type invariant, it is valid, and nobody changes a table that is lent.
        unsafe { SGTable::from_raw(self.table.as_ptr()) }
    }

    /// Returns address and length in bytes of each range that the device may use, in order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (DmaAddress, usize)> + use<'_, A> {
        self.table()
            .iter()
            .map(|entry| (entry.dma_address(), entry.dma_len() as usize))
    }

    /// Returns the DMA address of byte `offset` of the buffer, and how many of `len` bytes follow
    /// it there.
    ///
    /// Returns `EINVAL` for an offset that is not in the buffer.
    pub(crate) fn range_at(&self, offset: usize, len: usize) -> Result<(DmaAddress, usize)> {
        let mut start = 0;

        for (address, range_len) in self.ranges() {
            let end = start + range_len;

            if offset < end {
                let skip = offset - start;

                return Ok((address + skip as DmaAddress, len.min(range_len - skip)));
            }
            start = end;
        }
        Err(EINVAL)
    }
}

impl<A: Attached> Drop for MappedAttachment<A> {
    fn drop(&mut self) {
        let attachment = self.attached.attachment().raw.as_ptr();
        let (table, direction) = (self.table.as_ptr(), self.direction.into());

        if A::IS_LOCKED {
            // SAFETY: By the type invariant, the table is mapped for the attachment and direction;
            // `attached` says that the lock is held.
            unsafe { bindings::dma_buf_unmap_attachment(attachment, table, direction) };
        } else {
            // SAFETY: By the type invariant, the table is mapped for the attachment and direction.
            unsafe { bindings::dma_buf_unmap_attachment_unlocked(attachment, table, direction) };
        }
    }
}

/// Copies bytes that devices and processes may read and write at the same time.
///
/// In Rust's memory a plain copy would be a data race; this is the C side's `memcpy()`, which makes
/// no such promise. Each byte that comes is one that was there at some time.
///
/// # Safety
///
/// Both must be valid for `len` bytes, and what is Rust's of them must be the caller's alone.
pub(super) unsafe fn racy_copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: By the safety requirements of this function.
    unsafe { bindings::rust_dma_heap_memcpy(to.cast(), from.cast(), len) };
}

/// A dma-buf that is mapped into kernel addresses.
///
/// Not `kernel::io::IoSysMap`, which 7.2 does not have; and the bytes that it shows are nobody's
/// alone.
///
/// # Invariants
///
/// `map` is what mapping the dma-buf returned, not unmapped yet; it is memory, not I/O memory.
pub(crate) struct VmappedDmaBuf<D: OfDmaBuf = ARef<DmaBuf>> {
    map: bindings::iosys_map,
    of: D,
}

// SAFETY: Kernel mappings are not bound to a task, unless a lock is.
unsafe impl Send for VmappedDmaBuf {}

// SAFETY: Methods on `&VmappedDmaBuf` copy bytes that devices and processes share anyway.
unsafe impl Sync for VmappedDmaBuf {}

impl VmappedDmaBuf {
    /// Maps the whole buffer. Wraps `dma_buf_vmap_unlocked()`. May sleep.
    ///
    /// Returns `EOPNOTSUPP` for I/O memory, which the copies below are not made for.
    pub(crate) fn new(dma_buf: ARef<DmaBuf>) -> Result<Self> {
        Self::of(dma_buf)
    }
}

/// Undoes a vmap.
///
/// # Safety
///
/// `map` must be what mapping the dma-buf returned.
unsafe fn vunmap<D: OfDmaBuf>(of: &D, map: &mut bindings::iosys_map) {
    let dma_buf = of.dma_buf().as_raw();

    if D::IS_LOCKED {
        // SAFETY: By the safety requirements of this function; `of` says that the lock is held.
        unsafe { bindings::dma_buf_vunmap(dma_buf, map) };
    } else {
        // SAFETY: By the safety requirements of this function.
        unsafe { bindings::dma_buf_vunmap_unlocked(dma_buf, map) };
    }
}

impl<D: OfDmaBuf> VmappedDmaBuf<D> {
    fn of(of: D) -> Result<Self> {
        let mut map: bindings::iosys_map = pin_init::zeroed();
        let dma_buf = of.dma_buf().as_raw();

        to_result(if D::IS_LOCKED {
            // SAFETY: The dma-buf is valid, `of` says that the lock is held, and `map` is writable.
            unsafe { bindings::dma_buf_vmap(dma_buf, &mut map) }
        } else {
            // SAFETY: The dma-buf is valid, and `map` is writable.
            unsafe { bindings::dma_buf_vmap_unlocked(dma_buf, &mut map) }
        })?;

        if map.is_iomem {
            // SAFETY: It was just mapped.
            unsafe { vunmap(&of, &mut map) };
            return Err(eopnotsupp());
        }
        // INVARIANT: It was just mapped, and is memory.
        Ok(Self { map, of })
    }

    /// Returns the dma-buf that is mapped.
    pub(crate) fn dma_buf(&self) -> &DmaBuf {
        self.of.dma_buf()
    }

    /// Returns the kernel address of byte `offset`, if `len` bytes from there are in the buffer.
    fn address(&self, offset: usize, len: usize) -> Result<*mut u8> {
        if offset.checked_add(len).ok_or(EINVAL)? > self.dma_buf().len() {
            return Err(EINVAL);
        }

        // SAFETY: By the type invariant, it is the field in use.
        let start = unsafe { self.map.__bindgen_anon_1.vaddr };

        // SAFETY: By the type invariant, the whole buffer is mapped from there on; `offset` is
        // inside.
        Ok(unsafe { start.cast::<u8>().add(offset) })
    }

    /// Copies bytes out, whoever writes them meanwhile: then some are old and some are new. Returns
    /// `EINVAL` for a range that is not in the buffer.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) -> Result {
        let address = self.address(offset, bytes.len())?;

        // SAFETY: The range is mapped, and `bytes` is not part of it.
        unsafe { racy_copy(bytes.as_mut_ptr(), address, bytes.len()) };
        Ok(())
    }

    /// Sums up the 64-bit words in `len` bytes, from byte `offset` on. Returns `EINVAL` for a range
    /// that is not in the buffer, or not of whole words.
    pub(crate) fn sum(&self, offset: usize, len: usize) -> Result<u64> {
        const WORD: usize = size_of::<u64>();

        if offset % WORD != 0 || len % WORD != 0 {
            return Err(EINVAL);
        }

        let words = self.address(offset, len)?.cast::<u64>();

        Ok((0..len / WORD).fold(0, |sum: u64, index| {
            // SAFETY: The range is mapped.
            let word = unsafe { words.add(index) };

            // SAFETY: As above, from a page's beginning on, and so aligned.
            sum.wrapping_add(unsafe { word.read_volatile() })
        }))
    }

    /// Copies bytes in, whoever writes there meanwhile. Returns `EINVAL` for a range that is not in
    /// the buffer.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> Result {
        let address = self.address(offset, bytes.len())?;

        // SAFETY: The range is mapped, and `bytes` is not part of it.
        unsafe { racy_copy(address, bytes.as_ptr(), bytes.len()) };
        Ok(())
    }
}

impl<D: OfDmaBuf> Drop for VmappedDmaBuf<D> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, it is mapped.
        unsafe { vunmap(&self.of, &mut self.map) };
    }
}

impl DmaBuf {
    /// Returns the size of the buffer in bytes.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: The dma-buf is valid, and its size never changes.
        unsafe { (*self.as_raw()).size }
    }

    /// Announces an access by the CPU. Wraps `dma_buf_begin_cpu_access()`. May sleep.
    pub(crate) fn begin_cpu_access(&self, direction: DataDirection) -> Result {
        // SAFETY: The dma-buf is valid.
        to_result(unsafe { bindings::dma_buf_begin_cpu_access(self.as_raw(), direction.into()) })
    }

    /// Announces the end of an access by the CPU. Wraps `dma_buf_end_cpu_access()`. May sleep.
    pub(crate) fn end_cpu_access(&self, direction: DataDirection) -> Result {
        // SAFETY: The dma-buf is valid.
        to_result(unsafe { bindings::dma_buf_end_cpu_access(self.as_raw(), direction.into()) })
    }
}
