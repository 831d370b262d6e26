// SPDX-License-Identifier: GPL-2.0

//! The lock of a dma-buf, `resv`.
//!
//! C header: [`include/linux/dma-resv.h`](srctree/include/linux/dma-resv.h)
//!
//! The dma-buf core holds it when it has an exporter map, unmap, vmap or vunmap. What leans on that
//! takes a [`ResvHeld`], so it cannot be called by somebody who holds the lock of no dma-buf.
//! Importers have calls that take the lock, and calls for those who hold it
//! ([`ResvGuard`]).

use super::DmaBuf;
use crate::abstractions::bindings;
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

/// The lock of a dma-buf, held until this is dropped.
///
/// # Invariants
///
/// The task that has the value holds `resv` of `dma_buf`.
#[allow(dead_code, reason = "for the test importer, which shares these files")]
pub(super) struct ResvGuard<'a> {
    dma_buf: &'a DmaBuf,
    _of_task: NotThreadSafe,
}

#[allow(dead_code, reason = "for the test importer, which shares these files")]
impl DmaBuf {
    /// Takes the lock. Wraps `dma_resv_lock()`. Sleeps until whoever has it lets go.
    pub(super) fn lock_resv(&self) -> ResvGuard<'_> {
        // SAFETY: The dma-buf is valid.
        unsafe { bindings::rust_dma_heap_dma_buf_lock(self.as_raw()) };
        // INVARIANT: It was just taken.
        ResvGuard {
            dma_buf: self,
            _of_task: NotThreadSafe,
        }
    }
}

impl Drop for ResvGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, this task holds the lock.
        unsafe { bindings::rust_dma_heap_dma_buf_unlock(self.dma_buf.as_raw()) };
    }
}
