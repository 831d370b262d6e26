// SPDX-License-Identifier: GPL-2.0

//! The exporter side of dma-bufs.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)
//!
//! Reference: <https://docs.kernel.org/driver-api/dma-buf.html>
//!
//! Something that implements [`Exporter`] becomes a dma-buf by [`DmaBuf::export`], which takes it
//! over until the last user of the dma-buf is gone. [`DmaBuf::exporter`] finds it again in a dma-buf
//! that came from anywhere.

#[allow(dead_code, reason = "for the test importer, which shares these files")]
pub(crate) mod importer;

use crate::abstractions::{
    bindings,
    dma::sg_table::SgTable,
    mm::kernel_mapping::KernelMapping,
    versions::owner, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::ManuallyDrop,
    pin::Pin,
    ptr::NonNull, //
};
use kernel::{
    device::Device,
    dma::DataDirection,
    error::{
        from_err_ptr,
        from_result,
        VTABLE_DEFAULT_ERROR, //
    },
    fs::file::FileDescriptorReservation,
    mm::virt::VmaNew,
    prelude::*,
    sync::{
        new_mutex,
        Arc,
        Mutex, //
    },
    types::ForeignOwnable, //
};

/// The memory behind a dma-buf: `struct dma_buf_ops` as a trait.
///
/// `dmabuf->resv` is held by the caller in [`map`], [`unmap`], [`vmap`] and [`vunmap`], and in no
/// other method. All methods may sleep.
///
/// The value is dropped, as `release`, once no file descriptor, mapping, attachment or `vmap` of
/// the dma-buf is left.
///
/// [`map`]: Exporter::map
/// [`unmap`]: Exporter::unmap
/// [`vmap`]: Exporter::vmap
/// [`vunmap`]: Exporter::vunmap
#[vtable]
pub(crate) trait Exporter: Sized + Send + Sync + 'static {
    /// What the exporter keeps for each device that is attached.
    type Attachment: Send + Sync + 'static;

    /// Returns the name under which the kernel lists the exporter.
    fn name(&self) -> &CStr;

    /// Returns the size of the buffer in bytes: whole pages, the same for all its life.
    fn size(&self) -> usize;

    /// A device is about to use the buffer.
    ///
    /// `EBUSY` says that the device cannot reach the memory.
    fn attach(&self, device: &Device) -> Result<Arc<Self::Attachment>>;

    /// A device is done. What [`Exporter::map`] gave for it has come back before.
    fn detach(&self, attachment: Arc<Self::Attachment>);

    /// Maps the whole buffer for an attached device.
    fn map(&self, attachment: &Self::Attachment, direction: DataDirection) -> Result<Arc<SgTable>>;

    /// Takes back a table that [`Exporter::map`] returned for this attachment.
    fn unmap(&self, attachment: &Self::Attachment, table: Arc<SgTable>);

    /// The CPU is going to access the buffer.
    fn begin_cpu_access(&self, _direction: DataDirection) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The CPU has finished its access.
    fn end_cpu_access(&self, _direction: DataDirection) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Shows the buffer to a process. The C side has checked that the range is inside the buffer.
    fn mmap(&self, _vma: &VmaNew) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Maps the buffer into kernel addresses.
    ///
    /// The C side counts its users: it asks again only after [`Exporter::vunmap`]. It warns in the
    /// log, once, if this fails.
    fn vmap(&self) -> Result<Arc<KernelMapping>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Takes back what [`Exporter::vmap`] returned.
    fn vunmap(&self, _mapping: Arc<KernelMapping>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The operations of the dma-bufs that a `T` is behind, as the C side calls them.
///
/// By its address a dma-buf shows whose it is. So it can only be a `static`: the compiler would put a
/// constant anywhere, even where an equal one is, were it not for the cell.
pub(crate) struct ExporterOps<T: Exporter> {
    ops: bindings::dma_buf_ops,
    _is_no_constant: UnsafeCell<()>,
    _exporter: PhantomData<fn(T) -> T>,
}

// SAFETY: The cell has nothing in it, and the operations are never written.
unsafe impl<T: Exporter> Sync for ExporterOps<T> {}

impl<T: Exporter> ExporterOps<T> {
    /// The operations of `T`.
    pub(crate) const fn new() -> Self {
        Self {
            ops: Vtable::<T>::OPS,
            _is_no_constant: UnsafeCell::new(()),
            _exporter: PhantomData,
        }
    }
}

/// What `priv` of a dma-buf of ours points to.
#[pin_data]
struct Exported<T: Exporter> {
    #[pin]
    exporter: T,
    /// The mapping whose address C holds between `vmap` and `vunmap`.
    #[pin]
    vmap: Mutex<Option<Arc<KernelMapping>>>,
}

/// A dma-buf, with a reference to it.
///
/// # Invariants
///
/// The pointer is valid, and one reference to it is this value's.
pub(crate) struct DmaBuf(NonNull<bindings::dma_buf>);

// SAFETY: References to a dma-buf may be dropped by any task.
unsafe impl Send for DmaBuf {}

// SAFETY: The C side locks dma-bufs as needed.
unsafe impl Sync for DmaBuf {}

impl DmaBuf {
    /// Makes a dma-buf of `exporter`. Wraps `dma_buf_export()`. May sleep.
    ///
    /// `file_flags` are those of the file: an access mode and `O_CLOEXEC`. The module that the
    /// exporter belongs to cannot be unloaded while the dma-buf lives.
    pub(crate) fn export<T: Exporter>(
        ops: &'static ExporterOps<T>,
        exporter: impl PinInit<T, Error>,
        file_flags: u32,
    ) -> Result<Self> {
        let exported = KBox::try_pin_init(
            try_pin_init!(Exported {
                exporter <- exporter,
                vmap <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )?;
        let exporter = &exported.exporter;
        let mut info = bindings::dma_buf_export_info {
            // The name stays as long as the exporter does, because it is part of it.
            exp_name: exporter.name().as_char_ptr(),
            owner: owner!(T),
            ops: &ops.ops,
            size: exporter.size(),
            flags: file_flags as i32,
            ..pin_init::zeroed()
        };

        info.priv_ = exported.into_foreign();

        // SAFETY: `info` is filled in; the operations expect an `Exported<T>` in `priv_`.
        match from_err_ptr(unsafe { bindings::dma_buf_export(&info) }) {
            // INVARIANT: `dma_buf_export()` returns a new dma-buf with one reference, for us.
            // SAFETY: On success the pointer is not null.
            Ok(dma_buf) => Ok(Self(unsafe { NonNull::new_unchecked(dma_buf) })),
            Err(e) => {
                // SAFETY: The pointer is from `into_foreign()` above, and no dma-buf took it.
                drop(unsafe { Pin::<KBox<Exported<T>>>::from_foreign(info.priv_) });
                Err(e)
            }
        }
    }

    /// Returns the dma-buf that a file descriptor of the calling task leads to.
    ///
    /// Wraps `dma_buf_get()`. `EBADF` says that there is no such descriptor, `EINVAL` that it is no
    /// dma-buf.
    pub(crate) fn from_fd(fd: i32) -> Result<Self> {
        // SAFETY: Any number may be asked for.
        let raw = from_err_ptr(unsafe { bindings::dma_buf_get(fd) })?;

        // INVARIANT: `dma_buf_get()` gives us a reference.
        // SAFETY: On success the pointer is not null.
        Ok(Self(unsafe { NonNull::new_unchecked(raw) }))
    }

    /// Returns the number of the inode, by which fdinfo and debugfs name the dma-buf.
    pub(crate) fn inode(&self) -> usize {
        // SAFETY: By the type invariant, the dma-buf is valid, and so has a file.
        unsafe { bindings::rust_dma_heap_dma_buf_inode(self.as_raw()) }
    }

    /// Returns what is behind the dma-buf, if [`Self::export`] made it with these `ops`.
    pub(crate) fn exporter<T: Exporter>(&self, ops: &'static ExporterOps<T>) -> Option<&T> {
        // SAFETY: By the type invariant, the dma-buf is valid, and its operations never change.
        let theirs = unsafe { (*self.as_raw()).ops };

        if !core::ptr::eq(theirs, &ops.ops) {
            return None;
        }
        // SAFETY: No other exporter has operations at the address of this static, so `export` made
        // the dma-buf of a `T`. It is not released before the reference that `self` has is dropped.
        Some(unsafe { Vtable::<T>::exporter(self.as_raw()) })
    }

    /// Returns the C side's pointer.
    pub(in crate::abstractions) fn as_raw(&self) -> *mut bindings::dma_buf {
        self.0.as_ptr()
    }

    /// Puts the dma-buf into the calling task's file table. Wraps `dma_buf_fd_install()`.
    pub(crate) fn install(self, reservation: FileDescriptorReservation) {
        let fd = ManuallyDrop::new(reservation).reserved_fd();

        // SAFETY: By the type invariant, the dma-buf is valid. The descriptor is reserved for this
        // task. Both are given away, and neither destructor runs.
        unsafe { bindings::dma_buf_fd_install(ManuallyDrop::new(self).0.as_ptr(), fd as i32) };
    }
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, there is a reference to drop.
        unsafe { bindings::dma_buf_put(self.0.as_ptr()) };
    }
}

/// Turns the C side's direction into ours.
fn direction(raw: bindings::dma_data_direction) -> Result<DataDirection> {
    [
        DataDirection::Bidirectional,
        DataDirection::ToDevice,
        DataDirection::FromDevice,
    ]
    .into_iter()
    .find(|&ours| raw == ours.into())
    .ok_or(EINVAL)
}

/// The operations of an exporter as the C side calls them.
struct Vtable<T: Exporter>(PhantomData<T>);

impl<T: Exporter> Vtable<T> {
    const OPS: bindings::dma_buf_ops = bindings::dma_buf_ops {
        attach: Some(Self::attach),
        detach: Some(Self::detach),
        map_dma_buf: Some(Self::map_dma_buf),
        unmap_dma_buf: Some(Self::unmap_dma_buf),
        release: Some(Self::release),
        begin_cpu_access: if T::HAS_BEGIN_CPU_ACCESS {
            Some(Self::begin_cpu_access)
        } else {
            None
        },
        end_cpu_access: if T::HAS_END_CPU_ACCESS {
            Some(Self::end_cpu_access)
        } else {
            None
        },
        mmap: if T::HAS_MMAP { Some(Self::mmap) } else { None },
        vmap: if T::HAS_VMAP { Some(Self::vmap) } else { None },
        vunmap: if T::HAS_VUNMAP {
            Some(Self::vunmap)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `dma_buf` must be valid for `'a`, and be one that [`DmaBuf::export`] made of a `T`.
    unsafe fn exported<'a>(dma_buf: *mut bindings::dma_buf) -> Pin<&'a Exported<T>> {
        // SAFETY: By the safety requirements of this function, `priv_` comes from `into_foreign()`,
        // and nobody takes it back before `release`.
        unsafe { Pin::<KBox<Exported<T>>>::borrow((*dma_buf).priv_) }
    }

    /// # Safety
    ///
    /// As for [`Self::exported`].
    unsafe fn exporter<'a>(dma_buf: *mut bindings::dma_buf) -> &'a T {
        // SAFETY: By the safety requirements of this function.
        &unsafe { Self::exported(dma_buf) }.get_ref().exporter
    }

    /// # Safety
    ///
    /// `attachment` must be valid for `'a`, and one that [`Self::attach`] has set up.
    unsafe fn attached<'a>(
        attachment: *mut bindings::dma_buf_attachment,
    ) -> (&'a T, &'a T::Attachment) {
        // SAFETY: By the safety requirements of this function, the fields are valid: `priv_` holds
        // a reference since `attach`.
        unsafe {
            (
                Self::exporter((*attachment).dmabuf),
                &*(*attachment).priv_.cast::<T::Attachment>(),
            )
        }
    }

    /// # Safety
    ///
    /// Called by the dma-buf core for a dma-buf of this exporter, with a new attachment to it.
    unsafe extern "C" fn attach(
        dma_buf: *mut bindings::dma_buf,
        attachment: *mut bindings::dma_buf_attachment,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements of this function.
            let exporter = unsafe { Self::exporter(dma_buf) };
            // SAFETY: The importer keeps its device during the call.
            let device = unsafe { Device::from_raw((*attachment).dev) };
            let ours = exporter.attach(device)?;

            // SAFETY: The attachment is new, and this field is for the exporter.
            unsafe { (*attachment).priv_ = Arc::into_raw(ours).cast_mut().cast() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the dma-buf core once for each attachment that [`Self::attach`] accepted.
    unsafe extern "C" fn detach(
        dma_buf: *mut bindings::dma_buf,
        attachment: *mut bindings::dma_buf_attachment,
    ) {
        // SAFETY: By the safety requirements of this function.
        let exporter = unsafe { Self::exporter(dma_buf) };
        // SAFETY: `attach` gave this reference away, and nobody uses it after this call.
        let ours = unsafe { Arc::from_raw((*attachment).priv_.cast::<T::Attachment>()) };

        exporter.detach(ours);
    }

    /// # Safety
    ///
    /// Called by the dma-buf core for an attachment that [`Self::attach`] accepted.
    unsafe extern "C" fn map_dma_buf(
        attachment: *mut bindings::dma_buf_attachment,
        raw_direction: bindings::dma_data_direction,
    ) -> *mut bindings::sg_table {
        // SAFETY: By the safety requirements of this function.
        let (exporter, ours) = unsafe { Self::attached(attachment) };

        match direction(raw_direction).and_then(|dir| exporter.map(ours, dir)) {
            Ok(table) => SgTable::into_raw(table),
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the dma-buf core once for each table that [`Self::map_dma_buf`] returned.
    unsafe extern "C" fn unmap_dma_buf(
        attachment: *mut bindings::dma_buf_attachment,
        table: *mut bindings::sg_table,
        _raw_direction: bindings::dma_data_direction,
    ) {
        // SAFETY: By the safety requirements of this function.
        let (exporter, ours) = unsafe { Self::attached(attachment) };
        // SAFETY: `map_dma_buf` gave this reference away.
        let table = unsafe { SgTable::from_raw(table) };

        exporter.unmap(ours, table);
    }

    /// # Safety
    ///
    /// Called by the dma-buf core once, as the last operation on a dma-buf of this exporter.
    unsafe extern "C" fn release(dma_buf: *mut bindings::dma_buf) {
        // SAFETY: `export` gave the exporter away, and nobody uses it after this call.
        drop(unsafe { Pin::<KBox<Exported<T>>>::from_foreign((*dma_buf).priv_) });
    }

    /// # Safety
    ///
    /// Called by the dma-buf core for a dma-buf of this exporter.
    unsafe extern "C" fn begin_cpu_access(
        dma_buf: *mut bindings::dma_buf,
        raw_direction: bindings::dma_data_direction,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements of this function.
            unsafe { Self::exporter(dma_buf) }.begin_cpu_access(direction(raw_direction)?)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the dma-buf core for a dma-buf of this exporter.
    unsafe extern "C" fn end_cpu_access(
        dma_buf: *mut bindings::dma_buf,
        raw_direction: bindings::dma_data_direction,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements of this function.
            unsafe { Self::exporter(dma_buf) }.end_cpu_access(direction(raw_direction)?)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the dma-buf core for a dma-buf of this exporter, with a VMA that is being set up.
    unsafe extern "C" fn mmap(
        dma_buf: *mut bindings::dma_buf,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements of this function.
            unsafe { Self::exporter(dma_buf).mmap(VmaNew::from_raw(vma)) }?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the dma-buf core for a dma-buf of this exporter, with a `map` to fill in.
    unsafe extern "C" fn vmap(
        dma_buf: *mut bindings::dma_buf,
        map: *mut bindings::iosys_map,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements of this function.
            let exported = unsafe { Self::exported(dma_buf) };
            let mut slot = exported.vmap.lock();

            if slot.is_some() {
                return Err(EBUSY);
            }

            let mapping = exported.exporter.vmap()?;
            let address = mapping.address().as_ptr();

            *slot = Some(mapping);
            // SAFETY: `map` is the caller's to fill in.
            unsafe {
                (*map).is_iomem = false;
                (*map).__bindgen_anon_1.vaddr = address;
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the dma-buf core once for each successful [`Self::vmap`].
    unsafe extern "C" fn vunmap(dma_buf: *mut bindings::dma_buf, map: *mut bindings::iosys_map) {
        // SAFETY: By the safety requirements of this function.
        let exported = unsafe { Self::exported(dma_buf) };

        if let Some(mapping) = exported.vmap.lock().take() {
            exported.exporter.vunmap(mapping);
        }
        // SAFETY: `map` is the caller's, who expects it to be cleared.
        unsafe { *map = pin_init::zeroed() };
    }
}
