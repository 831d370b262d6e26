// SPDX-License-Identifier: GPL-2.0

//! The lock of a dma-buf, `resv`.
//!
//! C header: [`include/linux/dma-resv.h`](srctree/include/linux/dma-resv.h)
//!
//! The dma-buf core holds it when it has an exporter map, unmap, vmap or vunmap. What leans on that
//! takes a [`ResvHeld`], so it cannot be called by somebody who holds the lock of no dma-buf.

use super::DmaBuf;
use core::marker::PhantomData;
use kernel::types::NotThreadSafe;

/// That the calling task holds `resv` of a dma-buf, for as long as `'a`.
#[derive(Clone, Copy)]
pub(crate) struct ResvHeld<'a>(PhantomData<&'a DmaBuf>, NotThreadSafe);

impl<'a> ResvHeld<'a> {
    /// # Safety
    ///
    /// The calling task must hold `resv` of `dma_buf` for `'a`.
    pub(super) unsafe fn new(_dma_buf: &'a DmaBuf) -> Self {
        Self(PhantomData, NotThreadSafe)
    }
}
