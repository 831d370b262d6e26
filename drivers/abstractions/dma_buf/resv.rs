// SPDX-License-Identifier: GPL-2.0

//! The lock of a dma-buf, `resv`.
//!
//! C header: [`include/linux/dma-resv.h`](srctree/include/linux/dma-resv.h)
//!
//! The dma-buf core holds it when it has an exporter map, unmap, vmap or vunmap. What leans on that
//! takes a [`ResvHeld`], so it cannot be called by somebody who holds the lock of no dma-buf;
//! [`ResvHeld::is_of`] tells which one's it is.

use crate::abstractions::{
    bindings,
    dma_buf::DmaBuf, //
};
use kernel::types::NotThreadSafe;

/// That the calling task holds `resv` of a dma-buf, for as long as `'a`.
#[derive(Clone, Copy)]
pub(crate) struct ResvHeld<'a> {
    dma_buf: &'a DmaBuf,
    _not_send: NotThreadSafe,
}

impl<'a> ResvHeld<'a> {
    /// # Safety
    ///
    /// The calling task must hold `resv` of `dma_buf` for `'a`.
    pub(in crate::abstractions) unsafe fn new(dma_buf: &'a DmaBuf) -> Self {
        Self {
            dma_buf,
            _not_send: NotThreadSafe,
        }
    }

    /// Tells whether it is `resv` of this dma-buf.
    pub(crate) fn is_of(&self, dma_buf: &DmaBuf) -> bool {
        core::ptr::eq(self.dma_buf, dma_buf)
    }
}

/// `resv`, locked by an importer until the value is dropped.
///
/// # Invariants
///
/// The calling task holds the lock, by this value alone.
#[allow(dead_code, reason = "for the test importer, which shares these files")]
pub(crate) struct ResvGuard<'a>(ResvHeld<'a>);

#[allow(dead_code, reason = "for the test importer, which shares these files")]
impl DmaBuf {
    fn raw_resv(&self) -> *mut bindings::dma_resv {
        // SAFETY: The dma-buf is valid, and has the same lock for all its life.
        unsafe { (*self.as_raw()).resv }
    }

    /// Locks `resv`. Wraps `dma_resv_lock()`. May sleep.
    pub(crate) fn lock_resv(&self) -> ResvGuard<'_> {
        // SAFETY: The dma-buf is valid, and so its lock. Without a context there is no deadlock to
        // be told of.
        unsafe { bindings::rust_dma_heap_dma_resv_lock(self.raw_resv()) };

        // INVARIANT: It was just locked.
        // SAFETY: As above.
        ResvGuard(unsafe { ResvHeld::new(self) })
    }
}

#[allow(dead_code, reason = "for the test importer, which shares these files")]
impl ResvGuard<'_> {
    /// Says that the lock is held, for as long as it is.
    pub(crate) fn held(&self) -> ResvHeld<'_> {
        self.0
    }
}

impl Drop for ResvGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the lock is held, and the dma-buf is valid.
        unsafe { bindings::rust_dma_heap_dma_resv_unlock(self.0.dma_buf.raw_resv()) };
    }
}
