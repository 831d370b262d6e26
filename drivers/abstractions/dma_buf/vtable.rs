// SPDX-License-Identifier: GPL-2.0

//! An [`Exporter`] as C calls it.

use super::{
    exported::Exported,
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
    dma::sg_table::SgTable, //
};
use core::{
    marker::PhantomData,
    pin::Pin, //
};
use kernel::{
    device::Device,
    dma::DataDirection,
    error::from_result,
    mm::virt::VmaNew,
    prelude::*,
    sync::Arc,
    types::ForeignOwnable, //
};

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
pub(super) struct Vtable<T: Exporter>(PhantomData<T>);

impl<T: Exporter> Vtable<T> {
    pub(super) const OPS: bindings::dma_buf_ops = {
        assert!(
            T::HAS_VMAP == T::HAS_VUNMAP,
            "what is mapped must be unmapped"
        );
        Self::ALL
    };

    const ALL: bindings::dma_buf_ops = bindings::dma_buf_ops {
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
    pub(super) unsafe fn exported<'a>(dma_buf: *mut bindings::dma_buf) -> Pin<&'a Exported<T>> {
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

            let shown = exported.exporter.mmap(MmapRequest {
                vma,
                blocks: &exported.blocks,
                _tied: PhantomData,
            })?;

            shown.finish();
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

        // Without the lock of the place, which `resv` keeps as it is.
        let mapping = exported.vmap.lock().take();

        if let Some(mapping) = mapping {
            exported.exporter.vunmap(mapping, resv);
        }
        // SAFETY: `map` is the caller's, who expects it to be cleared.
        unsafe { *map = pin_init::zeroed() };
    }
}
