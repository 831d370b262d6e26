// SPDX-License-Identifier: GPL-2.0

//! Page faults in VMAs that show frames.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h)

use crate::abstractions::{
    bindings,
    mm::ptes, //
};
use core::marker::PhantomData;
use kernel::{
    mm::virt::VmaRef,
    page::{
        PAGE_MASK,
        PAGE_SHIFT, //
    },
    prelude::*, //
};

/// How a fault was handled: `vm_fault_t`.
#[derive(Clone, Copy, Eq, PartialEq)]
#[must_use]
pub(crate) struct FaultResult(bindings::vm_fault_t);

impl FaultResult {
    /// `VM_FAULT_NOPAGE`: there is an entry now.
    pub(crate) const NOPAGE: Self = Self(bindings::RUST_DMA_HEAP_VM_FAULT_NOPAGE);
    /// `VM_FAULT_OOM`: there was no memory for page tables.
    pub(crate) const OOM: Self = Self(bindings::RUST_DMA_HEAP_VM_FAULT_OOM);
    /// `VM_FAULT_SIGBUS`: there is nothing to show.
    pub(crate) const SIGBUS: Self = Self(bindings::RUST_DMA_HEAP_VM_FAULT_SIGBUS);
    /// `VM_FAULT_FALLBACK`: by single pages, then.
    pub(crate) const FALLBACK: Self = Self(bindings::RUST_DMA_HEAP_VM_FAULT_FALLBACK);

    /// Returns what the C side expects.
    pub(super) fn into_raw(self) -> bindings::vm_fault_t {
        self.0
    }
}

/// A fault that this module is to handle.
///
/// # Invariants
///
/// - The C side waits for an answer to this fault, with the VMA locked at least for reading.
/// - The VMA has `VM_PFNMAP`.
pub(crate) struct VmFault<'a> {
    raw: *mut bindings::vm_fault,
    is_write: bool,
    _fault: PhantomData<&'a ()>,
}

impl VmFault<'_> {
    /// # Safety
    ///
    /// The type invariants must hold until the value is dropped.
    pub(super) unsafe fn from_raw(raw: *mut bindings::vm_fault) -> Self {
        // SAFETY: By the safety requirements of this function, the fault is valid.
        let is_write = unsafe { bindings::rust_dma_heap_fault_is_write(raw) };

        // INVARIANT: By the safety requirements of this function.
        Self {
            raw,
            is_write,
            _fault: PhantomData,
        }
    }

    pub(super) fn vma(&self) -> *mut bindings::vm_area_struct {
        // SAFETY: By the type invariants, the fault is valid.
        unsafe { (*self.raw).__bindgen_anon_1.vma }
    }

    fn vma_ref(&self) -> &VmaRef {
        // SAFETY: By the type invariants, the VMA is valid and locked.
        unsafe { VmaRef::from_raw(self.vma()) }
    }

    /// Returns the page that was touched, counted from the beginning of what is mapped.
    pub(crate) fn page(&self) -> usize {
        // SAFETY: By the type invariants, the fault is valid.
        unsafe { (*self.raw).__bindgen_anon_1.pgoff }
    }

    /// Returns the page at which the VMA starts, counted alike.
    pub(crate) fn first_page(&self) -> usize {
        // SAFETY: By the type invariants, the VMA is valid and locked.
        unsafe { (*self.vma()).vm_pgoff }
    }

    /// Returns the address at which the VMA starts.
    pub(crate) fn start(&self) -> usize {
        self.vma_ref().start()
    }

    /// Returns the length of the VMA in pages.
    pub(crate) fn nr_pages(&self) -> usize {
        let vma = self.vma_ref();

        (vma.end() - vma.start()) >> PAGE_SHIFT
    }

    /// Tells whether the page was written, or is about to be.
    pub(crate) fn is_write(&self) -> bool {
        self.is_write
    }

    /// Tells whether there is neither a page table for the address yet, nor a PMD entry.
    pub(crate) fn pmd_is_none(&self) -> bool {
        // SAFETY: By the type invariants, the fault is valid.
        unsafe { bindings::rust_dma_heap_fault_pmd_is_none(self.raw) }
    }

    /// Tells whether a PMD entry shows memory at the address.
    pub(crate) fn pmd_is_leaf(&self) -> bool {
        // SAFETY: By the type invariants, the fault is valid.
        unsafe { bindings::rust_dma_heap_fault_pmd_is_leaf(self.raw) }
    }

    /// Shows a frame at the touched address, for writing if that was a write. Wraps
    /// `vmf_insert_pfn_prot()`. May sleep.
    ///
    /// # Safety
    ///
    /// The frame must not be used for anything else while the VMA may show it.
    pub(super) unsafe fn insert_pfn(&self, pfn: usize) -> FaultResult {
        // SAFETY: By the type invariants, the fault is valid.
        let address = unsafe { (*self.raw).__bindgen_anon_1.address };
        // SAFETY: By the type invariants, the VMA is valid and locked.
        let prot = unsafe { ptes::protection(self.vma(), self.is_write) };

        // SAFETY: By the type invariants, the fault is ours to handle; the rest is the caller's to
        // promise.
        FaultResult(unsafe {
            bindings::vmf_insert_pfn_prot(self.vma(), address & PAGE_MASK, pfn, prot)
        })
    }

    /// Shows frames by a PMD entry, for writing if that was a write. Wraps `vmf_insert_pfn_pmd()`.
    ///
    /// # Safety
    ///
    /// As for [`Self::insert_pfn`], for all frames that the entry shows. All of what it shows must
    /// be in the VMA, and the first frame aligned as its address is.
    pub(super) unsafe fn insert_pmd(&self, pfn: usize) -> FaultResult {
        // SAFETY: As in `insert_pfn`.
        FaultResult(unsafe {
            bindings::rust_dma_heap_fault_insert_pmd(self.raw, pfn, self.is_write)
        })
    }

    /// Shows `nr_pages` frames from `address` on by PTEs, for writing if that was a write. Wraps
    /// `apply_to_page_range()`. May sleep.
    ///
    /// # Safety
    ///
    /// As for [`Self::insert_pfn`], for all the frames. The range must be in the VMA and in one
    /// page table, in whose place no PMD entry can come.
    pub(super) unsafe fn fill(&self, address: usize, pfn: usize, nr_pages: usize) -> Result {
        let len = nr_pages << PAGE_SHIFT;

        // SAFETY: By the type invariants, the VMA is valid, locked, and for frames; the rest is the
        // caller's promise.
        unsafe { ptes::fill(self.vma(), address, pfn, len, self.is_write) }
    }
}
