// SPDX-License-Identifier: GPL-2.0

//! Buffers mapped into kernel addresses.

use super::OfDmaBuf;
use crate::abstractions::{
    bindings,
    dma_buf::DmaBuf,
    versions::eopnotsupp, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::aref::ARef, //
};

/// Copies bytes that devices and processes may read and write at the same time.
///
/// In Rust's memory a plain copy would be a data race; this is the C side's `memcpy()`, which makes
/// no such promise. Each byte that comes is one that was there at some time.
///
/// # Safety
///
/// Both must be valid for `len` bytes, and what is Rust's of them must be the caller's alone.
pub(in crate::abstractions::dma_buf) unsafe fn racy_copy(to: *mut u8, from: *const u8, len: usize) {
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
    pub(super) fn of(of: D) -> Result<Self> {
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
    /// that is not in the buffer, or not of whole words at addresses of words.
    pub(crate) fn sum(&self, offset: usize, len: usize) -> Result<u64> {
        const WORD: usize = size_of::<u64>();

        if offset % WORD != 0 || len % WORD != 0 {
            return Err(EINVAL);
        }

        let words = self.address(offset, len)?.cast::<u64>();

        // Not each exporter's mapping begins with a page.
        if !words.is_aligned() {
            return Err(EINVAL);
        }
        Ok((0..len / WORD).fold(0, |sum: u64, index| {
            // SAFETY: The range is mapped.
            let word = unsafe { words.add(index) };

            // SAFETY: As above, and aligned.
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
