// SPDX-License-Identifier: GPL-2.0

//! VMAs that show frames: `VM_PFNMAP`.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)
//!
//! In the shape of `kernel::mm::virt`, which has VMAs that show pages (`VmaMixedMap`).

use crate::abstractions::{
    bindings,
    mm::fault::{
        FaultResult,
        VmFault, //
    },
    mm::ptes,
    versions, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop, //
};
use kernel::{
    mm::virt::{
        flags,
        VmaNew,
        VmaRef, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::Arc, //
};

/// What VMAs show, each of which holds a reference to it: `struct vm_operations_struct` as a trait.
pub(crate) trait PfnMapped: Send + Sync + 'static {
    /// A page without an entry was touched, or one with a read-only entry is to be written.
    ///
    /// `mmap_lock` is held for reading: without a `map_pages` the C side gives the VMA's lock up
    /// and tries that way. May sleep.
    fn fault(&self, fault: &VmFault<'_>) -> FaultResult;

    /// The same for all that an entry of `order` would show, where there is no page table yet, or
    /// such an entry is read-only. The VMA's lock is held, or `mmap_lock`, for reading.
    fn huge_fault(&self, fault: &VmFault<'_>, order: u32) -> FaultResult;

    /// A debugger, or `/proc/PID/mem`, reads or writes. Returns how many bytes that were.
    fn access(&self, access: VmaAccess<'_>) -> Result<usize>;
}

/// Bytes to be read or written through a VMA, of one page.
///
/// # Invariants
///
/// - The VMA is locked at least for reading, and `page` is in it; if `is_write`, it may be written.
/// - `buffer` is valid for `len` bytes, in the direction of `is_write`.
/// - `offset + len` is not beyond the page.
pub(crate) struct VmaAccess<'a> {
    pub(super) page: usize,
    pub(super) offset: usize,
    pub(super) buffer: *mut c_void,
    pub(super) len: usize,
    pub(super) is_write: bool,
    _vma: PhantomData<&'a ()>,
}

/// A VMA in its setup, to show frames.
///
/// If it is dropped before it has its operations, it shows nothing any more. (The C side would drop
/// the file of the mapping, and with it perhaps the frames' owner, before it looks at the entries.)
///
/// # Invariants
///
/// - The VMA has `VM_PFNMAP` and what belongs to that.
/// - It has not `VM_MIXEDMAP`, nor will: the fault code takes both together for a bug.
pub(crate) struct VmaPfnMap<'a>(&'a VmaNew);

impl<'a> VmaPfnMap<'a> {
    /// Sets the flags, as `remap_pfn_range()` does. Returns `EINVAL` for a VMA that shows pages,
    /// and for a private one, of which a write would silently leave what is shown.
    ///
    /// # Safety
    ///
    /// Nobody may set `VM_MIXEDMAP` of the VMA after this.
    pub(in crate::abstractions) unsafe fn new(vma: &'a VmaNew) -> Result<Self> {
        let is_shared = vma.flags() & versions::MAYSHARE != 0;

        // A shared mapping of a read-only file has VM_MAYSHARE without VM_SHARED.
        if !is_shared || vma.flags() & flags::MIXEDMAP != 0 {
            return Err(EINVAL);
        }

        // SAFETY: The VMA is being set up, by this task, and locked for writing.
        unsafe { bindings::rust_dma_heap_vma_set_pfnmap(vma.as_ptr()) };

        // INVARIANT: The flags were just set; the rest is the caller's promise.
        Ok(Self(vma))
    }

    /// Returns the page at which the VMA starts, of what is mapped.
    pub(crate) fn first_page(&self) -> usize {
        // SAFETY: The VMA is being set up by this task, so nobody changes the field.
        unsafe { (*self.0.as_ptr()).vm_pgoff }
    }

    /// Returns the length in pages.
    pub(crate) fn nr_pages(&self) -> usize {
        (self.0.end() - self.0.start()) >> PAGE_SHIFT
    }

    /// Returns the address at which it starts.
    pub(crate) fn start(&self) -> usize {
        self.0.start()
    }

    /// Tells whether it may be written as it is.
    pub(crate) fn is_writable(&self) -> bool {
        self.0.flags() & flags::WRITE != 0
    }

    /// Tells whether its task has locked it into memory, and counts on never waiting for a page.
    pub(crate) fn is_locked(&self) -> bool {
        self.0.flags() & bindings::RUST_DMA_HEAP_VM_LOCKED != 0
    }

    /// Shows `len` bytes of frames from `address` on. Wraps `apply_to_page_range()`. May sleep.
    ///
    /// # Safety
    ///
    /// The range must be in the VMA. The frames must not be used for anything else while the VMA
    /// may show them: until the value is dropped, or for as long as what [`Self::finish`] gives it
    /// lives.
    pub(super) unsafe fn fill(&self, address: usize, pfn: usize, len: usize) -> Result {
        // Not `remap_pfn_range()`: its entries are clean, and where the hardware does not note
        // writes, each page's first one would still fault.
        // SAFETY: By the type invariants, the VMA is for frames; it is being set up and locked for
        // writing; the rest is the caller's promise.
        unsafe { ptes::fill(self.0.as_ptr(), address, pfn, len, self.is_writable()) }
    }

    /// Sets the operations: from now on the VMA, and each copy of it, holds a reference to
    /// `target`. To be called last: of a setup that fails, the C side would not call `close`.
    pub(in crate::abstractions) fn finish<T: PfnMapped>(self, target: Arc<T>) {
        let vma = ManuallyDrop::new(self).0;
        let table: &'static bindings::vm_operations_struct = &VmaOps::<T>::TABLE;
        let private_data = Arc::into_raw(target).cast_mut().cast();

        // SAFETY: The VMA is being set up and locked for writing. The operations are static, and
        // the private data is what they expect.
        unsafe { bindings::rust_dma_heap_vma_set_ops(vma.as_ptr(), table, private_data) };
    }
}

impl Drop for VmaPfnMap<'_> {
    fn drop(&mut self) {
        // SAFETY: The VMA is being set up and locked for writing.
        unsafe { bindings::rust_dma_heap_vma_zap(self.0.as_ptr()) };
    }
}

/// What keeps a process's mapping and its memory together: each VMA that shows a `T` holds a
/// reference to it in `vm_private_data`.
struct VmaOps<T: PfnMapped>(PhantomData<T>);

impl<T: PfnMapped> VmaOps<T> {
    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        fault: Some(Self::fault),
        huge_fault: Some(Self::huge_fault),
        // Without it the C side would make read-only entries writable by itself.
        pfn_mkwrite: Some(Self::fault),
        access: Some(Self::access),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `vma` must be valid for `'a`, and have these operations.
    unsafe fn target<'a>(vma: *const bindings::vm_area_struct) -> &'a T {
        // SAFETY: By the safety requirements of this function, the VMA is valid.
        let target = unsafe { (*vma).vm_private_data };

        // SAFETY: The VMA holds a reference.
        unsafe { &*target.cast() }
    }

    /// # Safety
    ///
    /// Called by the C side for a fault in a VMA with these operations.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: By the safety requirements of this function; only `VmaPfnMap` sets them.
        let fault = unsafe { VmFault::from_raw(vmf) };
        // SAFETY: As above.
        let target = unsafe { Self::target(fault.vma()) };

        target.fault(&fault).into_raw()
    }

    /// # Safety
    ///
    /// As for [`Self::fault`].
    unsafe extern "C" fn huge_fault(
        vmf: *mut bindings::vm_fault,
        order: c_uint,
    ) -> bindings::vm_fault_t {
        // SAFETY: By the safety requirements of this function; only `VmaPfnMap` sets them.
        let fault = unsafe { VmFault::from_raw(vmf) };
        // SAFETY: As above.
        let target = unsafe { Self::target(fault.vma()) };

        target.huge_fault(&fault, order).into_raw()
    }

    /// From `address` on as much of `len` bytes as one page has.
    ///
    /// The C side asks nobody whether the mapping may be written (`__access_remote_vm()`), so that
    /// `EACCES` keeps those who may only read from writing.
    ///
    /// # Safety
    ///
    /// `vma` must have these operations and be locked at least for reading, with `address` inside;
    /// `buffer` must be valid for `len` bytes, in the direction of `write`.
    unsafe extern "C" fn access(
        vma: *mut bindings::vm_area_struct,
        address: c_ulong,
        buffer: *mut c_void,
        len: c_int,
        write: c_int,
    ) -> c_int {
        let is_write = write != 0;

        // SAFETY: By the safety requirements of this function, the VMA is valid and locked.
        let area = unsafe { VmaRef::from_raw(vma) };

        if is_write && area.flags() & flags::WRITE == 0 {
            return EACCES.to_errno();
        }
        // SAFETY: As above.
        let target = unsafe { Self::target(vma) };
        // SAFETY: As above.
        let first = unsafe { (*vma).vm_pgoff };
        let offset = address & (PAGE_SIZE - 1);

        // INVARIANT: By the safety requirements of this function, and by what was just asked.
        let access = VmaAccess {
            page: first + ((address - area.start()) >> PAGE_SHIFT),
            offset,
            buffer,
            len: (len.max(0) as usize).min(PAGE_SIZE - offset),
            is_write,
            _vma: PhantomData,
        };

        match target.access(access) {
            Ok(done) => done as c_int,
            Err(error) => error.to_errno(),
        }
    }

    /// A VMA was copied, by fork, split or mremap: the copy takes a reference of its own.
    ///
    /// # Safety
    ///
    /// `vma` must have these operations, as the copy of one that has them, too.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the safety requirements of this function, the VMA is valid.
        let target = unsafe { (*vma).vm_private_data };
        // SAFETY: The field holds a reference of the VMA that was copied, which is still there.
        let target = unsafe { Arc::from_raw(target.cast::<T>()) };

        // One count for the VMA that was copied, one for the copy.
        let _ = Arc::into_raw(target.clone());
        let _ = Arc::into_raw(target);
    }

    /// A VMA goes away, after its page tables: it gives its reference back.
    ///
    /// # Safety
    ///
    /// `vma` must have these operations, and not be used afterwards.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the safety requirements of this function, the VMA is valid.
        let target = unsafe { (*vma).vm_private_data };

        // SAFETY: The field holds a reference, which nobody takes after this.
        drop(unsafe { Arc::from_raw(target.cast::<T>()) });
    }
}
