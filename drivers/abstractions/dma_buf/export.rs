// SPDX-License-Identifier: GPL-2.0

//! How an [`Exporter`] and its memory become a dma-buf, and are found in it again.

use super::{
    exported::Exported,
    exporter::Exporter,
    vtable::Vtable,
    DmaBuf, //
};
use crate::abstractions::{
    bindings,
    mm::block_list::BlockList,
    versions::owner, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    pin::Pin,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::{
        aref::ARef,
        new_mutex,
        Arc, //
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
