// SPDX-License-Identifier: GPL-2.0

//! A buffer's memory in the address space of a process.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h)
//!
//! Pages are mapped when they are touched, in windows of at most 2 MiB: by one PMD entry where block
//! and address are aligned to one, else by all PTEs of the window at once. What is only read is
//! mapped read-only, so that the first write is seen and the blocks are marked.
//!
//! The PTEs are filled by `apply_to_page_range()`, as i915 does in its fault handler:
//! `vmf_insert_pfn_prot()` would walk the page tables anew for each of them.

use crate::abstractions::{
    bindings,
    mm::{
        block_list::BlockList,
        meminfo::PMD_SHIFT, //
    },
    versions, //
};
use kernel::{
    error::to_result,
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::Arc, //
};

/// The most pages that are mapped at one fault: 2 MiB, and never more than one page table holds.
const WINDOW_PAGES: usize = {
    let shift = if PMD_SHIFT < 21 { PMD_SHIFT } else { 21 };

    1 << (shift - PAGE_SHIFT as u32)
};

/// Pages that one PMD entry maps.
const PMD_PAGES: usize = 1 << (PMD_SHIFT - PAGE_SHIFT as u32);

/// A page fault in a VMA that [`map`] set up.
///
/// # Invariants
///
/// `vmf` is a fault that the C side has this module handle, with the VMA locked for reading.
struct Fault<'a> {
    vmf: *mut bindings::vm_fault,
    blocks: &'a BlockList,
    /// The VMA, as the buffer's page that is, or would be, at address 0.
    base: usize,
    /// The buffer's page at which the VMA starts.
    start: usize,
    /// The buffer's page behind the VMA.
    end: usize,
    /// The buffer's page that was touched.
    page: usize,
    /// Whether it was written, or is about to be.
    write: bool,
}

impl Fault<'_> {
    /// # Safety
    ///
    /// `vmf` must be valid and for a VMA that [`map`] set up, or a copy of one, which is locked at
    /// least for reading until the value is dropped.
    unsafe fn new(vmf: *mut bindings::vm_fault) -> Self {
        // SAFETY: By the safety requirements of this function, all of these are valid, and the VMA
        // holds a reference to the list.
        unsafe {
            let vma = (*vmf).__bindgen_anon_1.vma;
            let start = (*vma).vm_pgoff;
            let (first, last) = (
                (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_start,
                (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_end,
            );

            // INVARIANT: By the safety requirements of this function.
            Self {
                vmf,
                blocks: &*(*vma).vm_private_data.cast::<BlockList>(),
                base: start.wrapping_sub(first >> PAGE_SHIFT),
                start,
                end: start + ((last - first) >> PAGE_SHIFT),
                page: (*vmf).__bindgen_anon_1.pgoff,
                write: bindings::rust_dma_heap_fault_is_write(vmf),
            }
        }
    }

    /// Returns the address of a page of the buffer.
    fn address(&self, page: usize) -> usize {
        page.wrapping_sub(self.base) << PAGE_SHIFT
    }

    /// Returns the `nr_pages` pages around the touched one, aligned by address, as the first and the
    /// one behind: what of them is in the VMA.
    fn window(&self, nr_pages: usize) -> (usize, usize) {
        let number = self.page.wrapping_sub(self.base);
        let before = self.page - self.start;
        let aligned = number & (nr_pages - 1);
        let first = self.page - aligned.min(before);

        (first, self.end.min(self.page + (nr_pages - aligned)))
    }

    /// Returns the frame that a PMD entry for the touched page would show, if there can be one.
    fn pmd(&self) -> Option<(usize, impl FnOnce() + use<'_>)> {
        if !bindings::RUST_DMA_HEAP_SUPPORTS_PMD_PFNMAP || PMD_PAGES > WINDOW_PAGES {
            return None;
        }

        let (first, end) = self.window(PMD_PAGES);
        let part = self.blocks.range(first, PMD_PAGES).next()?;

        if end - first != PMD_PAGES || part.nr_pages != PMD_PAGES || part.pfn % PMD_PAGES != 0 {
            return None;
        }
        Some((part.pfn, move || part.mark()))
    }

    /// Maps all that a PMD entry covers. Wraps `vmf_insert_pfn_pmd()`.
    fn insert_pmd(&self) -> bindings::vm_fault_t {
        let Some((pfn, mark)) = self.pmd() else {
            return bindings::RUST_DMA_HEAP_VM_FAULT_FALLBACK;
        };

        if self.write {
            mark();
        }
        // SAFETY: By the type invariant, the fault is ours to handle. The frames are of a block that
        // the VMA keeps, and aligned as its address is. Only a marked block becomes writable.
        unsafe { bindings::rust_dma_heap_fault_insert_pmd(self.vmf, pfn, self.write) }
    }

    /// Maps the window around the touched page by PTEs. May sleep.
    fn insert_ptes(&self) -> bindings::vm_fault_t {
        // Where a PMD entry could be, somebody else may have put it there at this moment. An empty
        // place is filled by one PTE first, which makes it a page table for good.
        if self.pmd().is_some() {
            // SAFETY: By the type invariant, the fault is valid.
            if unsafe { bindings::rust_dma_heap_fault_pmd_is_none(self.vmf) } {
                return self.insert_pte();
            }
            if self.pmd_is_leaf() {
                return bindings::RUST_DMA_HEAP_VM_FAULT_NOPAGE;
            }
        }

        let (first, end) = self.window(WINDOW_PAGES);
        let mut page = first;

        for part in self.blocks.range(first, end - first) {
            if self.write {
                part.mark();
            }

            let (address, nr_pages) = (self.address(page), part.nr_pages);

            // SAFETY: By the type invariant, the fault is ours to handle. The frames are of a block
            // that the VMA keeps; the range is inside the VMA and inside one page table, which no
            // PMD entry can replace. Only a marked block becomes writable.
            let result = to_result(unsafe {
                bindings::rust_dma_heap_fault_fill(
                    self.vmf, address, part.pfn, nr_pages, self.write,
                )
            });

            if result.is_err() {
                return bindings::RUST_DMA_HEAP_VM_FAULT_OOM;
            }
            page += nr_pages;
        }
        bindings::RUST_DMA_HEAP_VM_FAULT_NOPAGE
    }

    /// Maps the touched page alone. Wraps `vmf_insert_pfn_prot()`. May sleep.
    fn insert_pte(&self) -> bindings::vm_fault_t {
        let Some(part) = self.blocks.range(self.page, 1).next() else {
            return bindings::RUST_DMA_HEAP_VM_FAULT_SIGBUS;
        };

        if self.write {
            part.mark();
        }
        // SAFETY: As in `insert_ptes`.
        let result =
            unsafe { bindings::rust_dma_heap_fault_insert_pfn(self.vmf, part.pfn, self.write) };

        // It also fails this way if there is a PMD entry now.
        if result == bindings::RUST_DMA_HEAP_VM_FAULT_OOM && self.pmd_is_leaf() {
            return bindings::RUST_DMA_HEAP_VM_FAULT_NOPAGE;
        }
        result
    }

    fn pmd_is_leaf(&self) -> bool {
        // SAFETY: By the type invariant, the fault is valid.
        unsafe { bindings::rust_dma_heap_fault_pmd_is_leaf(self.vmf) }
    }
}

/// What keeps a process's mapping and its memory together: each VMA that shows a [`BlockList`]
/// holds a reference to it in `vm_private_data`.
struct VmaOps;

impl VmaOps {
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

    /// A page without an entry was touched, or one with a read-only entry is to be written.
    ///
    /// # Safety
    ///
    /// Called by the C side for a fault in a VMA that [`map`] set up, or a copy of one.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: By the safety requirements of this function.
        unsafe { Fault::new(vmf) }.insert_ptes()
    }

    /// The same, where there is no page table yet or a PMD entry is read-only.
    ///
    /// # Safety
    ///
    /// As for [`Self::fault`].
    unsafe extern "C" fn huge_fault(
        vmf: *mut bindings::vm_fault,
        order: c_uint,
    ) -> bindings::vm_fault_t {
        if order != PMD_SHIFT - PAGE_SHIFT as u32 {
            return bindings::RUST_DMA_HEAP_VM_FAULT_FALLBACK;
        }
        // SAFETY: By the safety requirements of this function.
        unsafe { Fault::new(vmf) }.insert_pmd()
    }

    /// A debugger, or `/proc/PID/mem`, reads or writes through a mapping: from `address` on as much of
    /// `len` bytes as one page has. Returns how many that were.
    ///
    /// The C side asks nobody whether the mapping may be written (`__access_remote_vm()`), so that
    /// `EACCES` keeps those who may only read from writing.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA that [`map`] set up, or a copy of one, locked at least for reading, with
    /// `address` inside; `buffer` must be valid for `len` bytes, in the direction of `write`.
    unsafe extern "C" fn access(
        vma: *mut bindings::vm_area_struct,
        address: c_ulong,
        buffer: *mut c_void,
        len: c_int,
        write: c_int,
    ) -> c_int {
        let write = write != 0;

        // SAFETY: By the safety requirements of this function, the VMA is valid.
        if write && !unsafe { bindings::rust_dma_heap_vma_is_writable(vma) } {
            return EACCES.to_errno();
        }
        // SAFETY: By the safety requirements of this function, the VMA holds a reference.
        let blocks = unsafe { &*(*vma).vm_private_data.cast::<BlockList>() };
        // SAFETY: As above.
        let (start, first) = unsafe {
            (
                (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_start,
                (*vma).vm_pgoff,
            )
        };
        let page = first + ((address - start) >> PAGE_SHIFT);
        let offset = address & (PAGE_SIZE - 1);
        let len = (len.max(0) as usize).min(PAGE_SIZE - offset);
        let Some(part) = blocks.range(page, 1).next() else {
            return EFAULT.to_errno();
        };

        // SAFETY: The frame is of a block, so it has a page.
        let page = unsafe { bindings::rust_dma_heap_pfn_to_page(part.pfn) };

        // To touch a broken one would take the machine down, and not only who asked for it.
        // SAFETY: The page is the block's.
        if unsafe { bindings::rust_dma_heap_pages_are_broken(page, 1) } {
            return EIO.to_errno();
        }
        if write {
            part.mark();
            // SAFETY: The frame is of a block that the VMA keeps; the bytes are inside the page, and
            // of the caller's buffer.
            unsafe { bindings::rust_dma_heap_copy_to_page(page, offset, buffer, len) };
        } else {
            // SAFETY: As above.
            unsafe { bindings::rust_dma_heap_copy_from_page(buffer, page, offset, len) };
        }
        len as c_int
    }

    /// A VMA was copied, by fork, split or mremap: the copy takes a reference of its own.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA that [`map`] set up, or a copy of one.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the safety requirements of this function, the field holds a reference of the
        // VMA that was copied, which is still there.
        let blocks = unsafe { Arc::from_raw((*vma).vm_private_data.cast::<BlockList>()) };

        // One count for the VMA that was copied, one for the copy.
        let _ = Arc::into_raw(blocks.clone());
        let _ = Arc::into_raw(blocks);
    }

    /// A VMA goes away, after its page tables: it gives its reference back.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA that [`map`] set up, or a copy of one, and not be used afterwards.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the safety requirements of this function, the field holds a reference, which
        // nobody takes after this.
        drop(unsafe { Arc::from_raw((*vma).vm_private_data.cast::<BlockList>()) });
    }
}

/// Shows `blocks` in `vma`, from the page offset that the process asked for.
///
/// Maps nothing before it is touched, unless `at_once` says so, or the process locks its memory
/// (`VM_LOCKED`): that one counts on never waiting for a page, so it gets all of them at once. What
/// else asks for that (`MAP_POPULATE`, `mlock()`) is not told to drivers. May sleep.
///
/// Returns `EINVAL` for a private mapping, of which a write would silently leave the buffer, and
/// for a range that is not inside the buffer.
///
/// Called with the mmap lock held for writing.
pub(crate) fn map(vma: &VmaNew, blocks: &Arc<BlockList>, at_once: bool) -> Result {
    // A shared mapping of a read-only file has VM_MAYSHARE without VM_SHARED.
    if vma.flags() & versions::MAYSHARE == 0 {
        return Err(EINVAL);
    }

    let raw = vma.as_ptr();
    // SAFETY: `vma` is being set up by this task, so nobody changes the field.
    let first = unsafe { (*raw).vm_pgoff };
    let nr_pages = (vma.end() - vma.start()) >> PAGE_SHIFT;

    if first.checked_add(nr_pages).ok_or(EINVAL)? > blocks.nr_pages() {
        return Err(EINVAL);
    }

    // Before there is an entry: without a page behind it, it would be taken for a bad one.
    // SAFETY: `vma` is being set up and locked for writing.
    unsafe { bindings::rust_dma_heap_vma_set_pfnmap(raw) };
    if at_once || vma.flags() & bindings::RUST_DMA_HEAP_VM_LOCKED != 0 {
        fill(vma, blocks, first, nr_pages).inspect_err(|_| {
            // The C side drops the file of the mapping before it zaps what is mapped, and with it
            // perhaps the last reference to the buffer.
            // SAFETY: `vma` is being set up and locked for writing.
            unsafe { bindings::rust_dma_heap_vma_zap(raw) };
        })?;
    }

    let private_data = Arc::into_raw(blocks.clone()).cast_mut().cast();

    // SAFETY: `vma` is being set up and locked for writing. The operations are static, and the
    // private data is what they expect. Nothing can fail after this, so `close` is called for it.
    unsafe {
        bindings::rust_dma_heap_vma_set_ops(raw, &VmaOps::TABLE, private_data);
    }
    Ok(())
}

/// Maps all of `vma` at once. Wraps `apply_to_page_range()`. May sleep.
fn fill(vma: &VmaNew, blocks: &BlockList, first: usize, nr_pages: usize) -> Result {
    let mut address = vma.start();

    for part in blocks.range(first, nr_pages) {
        let len = part.nr_pages << PAGE_SHIFT;

        if vma.flags() & flags::WRITE != 0 {
            part.mark();
        }
        // SAFETY:
        // - `vma` is being set up and locked for writing; the range is inside it.
        // - The frames are of a block, which the VMA will keep by its reference. If a later step
        //   fails, the caller zaps what was mapped; until then it has `blocks`.
        to_result(unsafe {
            bindings::rust_dma_heap_map_pages(vma.as_ptr(), address, part.pfn, len)
        })?;
        address += len;
    }
    Ok(())
}
