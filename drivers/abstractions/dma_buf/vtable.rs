// SPDX-License-Identifier: GPL-2.0

//! An [`Exporter`] as C calls it.

use super::{
    exporter::Exporter,
    requests::{
        MapRequest,
        MmapRequest,
        VmapRequest, //
    },
    resv::ResvHeld,
    DmaBuf, //
};
use crate::abstractions::{
    bindings,
    dma::sg_table::SgTable,
    mm::{
        block_list::BlockList,
        kernel_mapping::KernelMapping, //
    },
    versions::owner, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    pin::Pin,
    ptr::NonNull, //
};
use kernel::{
    device::Device,
    dma::DataDirection,
    error::{
        from_err_ptr,
        from_result, //
    },
    mm::virt::VmaNew,
    prelude::*,
    sync::{
        aref::ARef,
        new_mutex,
        Arc,
        Mutex, //
    },
    types::ForeignOwnable, //
};

/// The operations of the dma-bufs that a `T` is behind, as the C side calls them.
///
/// By its address a dma-buf shows whose it is. So it can only be a `static`: the compiler would put
/// a constant anywhere, even where an equal one is, were it not for the cell.
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
    /// The memory, of the same size for all of the dma-buf's life. The exporter may hold it for
    /// longer.
    blocks: Arc<BlockList>,
    #[pin]
    exporter: T,
    /// The mapping whose address C holds between `vmap` and `vunmap`.
    #[pin]
    vmap: Mutex<Option<Arc<KernelMapping>>>,
}

impl DmaBuf {
    /// Makes a dma-buf of `blocks` and who decides about them. Wraps `dma_buf_export()`. May sleep.
    ///
    /// `file_flags` are those of the file: an access mode and `O_CLOEXEC`. The module that the
    /// exporter belongs to cannot be unloaded while the dma-buf lives.
    pub(crate) fn export<T: Exporter>(
        ops: &'static ExporterOps<T>,
        blocks: Arc<BlockList>,
        exporter: impl PinInit<T, Error>,
        file_flags: u32,
    ) -> Result<ARef<Self>> {
        let size = blocks.len();
        let exported = KBox::try_pin_init(
            try_pin_init!(Exported {
                blocks,
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
            size,
            flags: file_flags as i32,
            ..pin_init::zeroed()
        };

        info.priv_ = exported.into_foreign();

        // SAFETY: `info` is filled in; the operations expect an `Exported<T>` in `priv_`.
        match from_err_ptr(unsafe { bindings::dma_buf_export(&info) }) {
            Ok(dma_buf) => {
                // SAFETY: On success the pointer is not null.
                let dma_buf = unsafe { NonNull::new_unchecked(dma_buf) };

                // SAFETY: `dma_buf_export()` returns a new dma-buf with one reference, for us.
                Ok(unsafe { Self::take(dma_buf) })
            }
            Err(e) => {
                // SAFETY: The pointer is from `into_foreign()` above, and no dma-buf took it.
                drop(unsafe { Pin::<KBox<Exported<T>>>::from_foreign(info.priv_) });
                Err(e)
            }
        }
    }

    /// Returns what is behind the dma-buf, if [`Self::export`] made it with these `ops`.
    pub(crate) fn exporter<T: Exporter>(&self, ops: &'static ExporterOps<T>) -> Option<&T> {
        // SAFETY: The dma-buf is valid, and its operations never change.
        let theirs = unsafe { (*self.as_raw()).ops };

        if !core::ptr::eq(theirs, &ops.ops) {
            return None;
        }
        // SAFETY: No other exporter has operations at the address of this static, so `export` made
        // the dma-buf of a `T`. It is not released before the reference that `self` has is dropped.
        let exported = unsafe { Vtable::<T>::exported(self.as_raw()) };

        Some(&exported.get_ref().exporter)
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
        // SAFETY: By the safety requirements of this function, the dma-buf is valid.
        let exported = unsafe { (*dma_buf).priv_ };

        // SAFETY: It comes from `into_foreign()`, and nobody takes it back before `release`.
        unsafe { Pin::<KBox<Exported<T>>>::borrow(exported) }
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
    /// `dma_buf` must be valid for `'a`, and `resv` of it held by the calling task.
    unsafe fn resv<'a>(dma_buf: *mut bindings::dma_buf) -> ResvHeld<'a> {
        // SAFETY: By the safety requirements of this function.
        let dma_buf = unsafe { DmaBuf::from_raw(dma_buf) };

        // SAFETY: As above.
        unsafe { ResvHeld::new(dma_buf) }
    }

    /// # Safety
    ///
    /// `attachment` must be valid for `'a`, and one that [`Self::attach`] has set up.
    unsafe fn attachment<'a>(attachment: *mut bindings::dma_buf_attachment) -> &'a T::Attachment {
        // SAFETY: By the safety requirements of this function, the field is valid.
        let ours = unsafe { (*attachment).priv_ };

        // SAFETY: It holds a reference since `attach`.
        unsafe { &*ours.cast() }
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
            // SAFETY: By the safety requirements of this function, the attachment is valid.
            let device = unsafe { (*attachment).dev };
            // SAFETY: The importer keeps its device during the call.
            let device = unsafe { Device::from_raw(device) };
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
        // SAFETY: By the safety requirements of this function, the attachment is valid.
        let ours = unsafe { (*attachment).priv_ };
        // SAFETY: `attach` gave this reference away, and nobody uses it after this call.
        let ours = unsafe { Arc::from_raw(ours.cast::<T::Attachment>()) };

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
        let ours = unsafe { Self::attachment(attachment) };
        // SAFETY: An attachment keeps its dma-buf.
        let dma_buf = unsafe { (*attachment).dmabuf };
        // SAFETY: By the safety requirements of this function, the attachment is valid.
        let device = unsafe { (*attachment).dev };
        // SAFETY: The importer keeps its device for as long as it is attached.
        let device = unsafe { Device::from_raw(device) };
        // SAFETY: The dma-buf is of this exporter.
        let exported = unsafe { Self::exported(dma_buf) }.get_ref();
        // SAFETY: The core holds `resv` during the call.
        let resv = unsafe { Self::resv(dma_buf) };

        let lent = direction(raw_direction).and_then(|direction| {
            exported.exporter.map(
                ours,
                MapRequest {
                    device,
                    direction,
                    blocks: &exported.blocks,
                    resv,
                    _tied: PhantomData,
                },
            )
        });

        match lent {
            Ok(lent) => SgTable::into_raw(lent.0),
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
        let ours = unsafe { Self::attachment(attachment) };
        // SAFETY: An attachment keeps its dma-buf.
        let dma_buf = unsafe { (*attachment).dmabuf };
        // SAFETY: `map_dma_buf` gave this reference away.
        let table = unsafe { SgTable::from_raw(table) };
        // SAFETY: The core holds `resv` during the call.
        let resv = unsafe { Self::resv(dma_buf) };

        // SAFETY: The dma-buf is of this exporter.
        unsafe { Self::exporter(dma_buf) }.unmap(ours, table, resv);
    }

    /// # Safety
    ///
    /// Called by the dma-buf core once, as the last operation on a dma-buf of this exporter.
    unsafe extern "C" fn release(dma_buf: *mut bindings::dma_buf) {
        // SAFETY: By the safety requirements of this function, the dma-buf is valid.
        let exported = unsafe { (*dma_buf).priv_ };

        // SAFETY: `export` gave the exporter away, and nobody uses it after this call.
        drop(unsafe { Pin::<KBox<Exported<T>>>::from_foreign(exported) });
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
            let exported = unsafe { Self::exported(dma_buf) }.get_ref();
            // SAFETY: The VMA is being set up, for this file.
            let vma = unsafe { VmaNew::from_raw(vma) };

            exported.exporter.mmap(MmapRequest {
                vma,
                blocks: &exported.blocks,
                _tied: PhantomData,
            })?;
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
            let exported = unsafe { Self::exported(dma_buf) }.get_ref();
            // SAFETY: The core holds `resv` during the call.
            let resv = unsafe { Self::resv(dma_buf) };
            let mut slot = exported.vmap.lock();

            if slot.is_some() {
                return Err(EBUSY);
            }

            let given = exported.exporter.vmap(VmapRequest {
                blocks: &exported.blocks,
                _resv: resv,
                _tied: PhantomData,
            })?;
            let mapping = given.0;
            let address = mapping.address().as_ptr();

            *slot = Some(mapping);
            let mut filled_in: bindings::iosys_map = pin_init::zeroed();

            // Memory, not I/O memory.
            filled_in.__bindgen_anon_1.vaddr = address;
            // SAFETY: `map` is the caller's to fill in.
            unsafe { map.write(filled_in) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the dma-buf core once for each successful [`Self::vmap`].
    unsafe extern "C" fn vunmap(dma_buf: *mut bindings::dma_buf, map: *mut bindings::iosys_map) {
        // SAFETY: By the safety requirements of this function.
        let exported = unsafe { Self::exported(dma_buf) };
        // SAFETY: The core holds `resv` during the call.
        let resv = unsafe { Self::resv(dma_buf) };

        if let Some(mapping) = exported.vmap.lock().take() {
            exported.exporter.vunmap(mapping, resv);
        }
        // SAFETY: `map` is the caller's, who expects it to be cleared.
        unsafe { *map = pin_init::zeroed() };
    }
}
