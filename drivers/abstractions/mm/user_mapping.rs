// SPDX-License-Identifier: GPL-2.0

//! A buffer's memory in the address space of a process.
//!
//! Pages are mapped when they are touched, in windows of at most 2 MiB: by one PMD entry where
//! block and address are aligned to one, else by all PTEs of the window at once. What is only read
//! is mapped read-only, so that the first write is seen and the blocks are marked.
//!
//! The PTEs are filled by `apply_to_page_range()`, as i915 does in its fault handler:
//! `vmf_insert_pfn_prot()` would walk the page tables anew for each of them.

use crate::abstractions::{
    bindings,
    mm::{
        block_list::BlockList,
        fault::{
            FaultResult,
            VmFault, //
        },
        meminfo::PMD_SHIFT,
        page,
        pfn_map::{
            PfnMapped,
            VmaAccess,
            VmaPfnMap, //
        }, //
    },
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

/// The most pages that are mapped at one fault: 2 MiB, and never more than one page table holds.
const WINDOW_PAGES: usize = {
    let shift = if PMD_SHIFT < 21 { PMD_SHIFT } else { 21 };

    1 << (shift - PAGE_SHIFT as u32)
};

/// What one PMD entry maps: the order of its pages, and how many they are.
const PMD_ORDER: u32 = PMD_SHIFT - PAGE_SHIFT as u32;
const PMD_PAGES: usize = 1 << PMD_ORDER;

/// Where in a VMA a page was touched.
struct Place {
    /// The VMA, as the buffer's page that is, or would be, at address 0.
    base: usize,
    /// The buffer's page at which the VMA starts.
    start: usize,
    /// The buffer's page behind the VMA.
    end: usize,
    /// The buffer's page that was touched.
    page: usize,
}

impl Place {
    fn of(fault: &VmFault<'_>) -> Self {
        let start = fault.first_page();

        Self {
            base: start.wrapping_sub(fault.start() >> PAGE_SHIFT),
            start,
            end: start + fault.nr_pages(),
            page: fault.page(),
        }
    }

    /// Returns the address of a page of the buffer.
    fn address(&self, page: usize) -> usize {
        page.wrapping_sub(self.base) << PAGE_SHIFT
    }

    /// Returns the `nr_pages` pages around the touched one, aligned by address, as the first and
    /// the one behind: what of them is in the VMA.
    fn window(&self, nr_pages: usize) -> (usize, usize) {
        let number = self.page.wrapping_sub(self.base);
        let before = self.page - self.start;
        let aligned = number & (nr_pages - 1);
        let first = self.page - aligned.min(before);

        (first, self.end.min(self.page + (nr_pages - aligned)))
    }

    /// Returns the frame that a PMD entry for the touched page would show, if there can be one, and
    /// what marks it as written.
    fn pmd<'a>(&self, blocks: &'a BlockList) -> Option<(usize, impl FnOnce() + use<'a>)> {
        if !bindings::RUST_DMA_HEAP_SUPPORTS_PMD_PFNMAP || PMD_PAGES > WINDOW_PAGES {
            return None;
        }

        let (first, end) = self.window(PMD_PAGES);
        let part = blocks.range(first, PMD_PAGES).next()?;

        if end - first != PMD_PAGES || part.nr_pages != PMD_PAGES || part.pfn % PMD_PAGES != 0 {
            return None;
        }
        Some((part.pfn, move || part.mark()))
    }
}

impl BlockList {
    /// Maps the touched page alone. May sleep.
    fn insert_pte(&self, fault: &VmFault<'_>, page: usize) -> FaultResult {
        let Some(part) = self.range(page, 1).next() else {
            return FaultResult::SIGBUS;
        };

        if fault.is_write() {
            part.mark();
        }
        // SAFETY: The frame is of a block, which the VMA keeps by its reference to `self`. Only a
        // marked block becomes writable.
        let result = unsafe { fault.insert_pfn(part.pfn) };

        // It also fails this way if there is a PMD entry now.
        if result == FaultResult::OOM && fault.pmd_is_leaf() {
            return FaultResult::NOPAGE;
        }
        result
    }
}

impl PfnMapped for BlockList {
    /// Maps the window around the touched page by PTEs.
    fn fault(&self, fault: &VmFault<'_>) -> FaultResult {
        let place = Place::of(fault);

        // Where a PMD entry could be, somebody else may have put it there at this moment. An empty
        // place is filled by one PTE first, which makes it a page table for good.
        if place.pmd(self).is_some() {
            if fault.pmd_is_none() {
                return self.insert_pte(fault, place.page);
            }
            if fault.pmd_is_leaf() {
                return FaultResult::NOPAGE;
            }
        }

        let (first, end) = place.window(WINDOW_PAGES);
        let mut page = first;

        for part in self.range(first, end - first) {
            if fault.is_write() {
                part.mark();
            }

            // SAFETY: The frames are of a block, which the VMA keeps by its reference to `self`;
            // the range is inside the VMA and inside one page table, which no PMD entry can
            // replace. Only a marked block becomes writable.
            let filled = unsafe { fault.fill(place.address(page), part.pfn, part.nr_pages) };

            if filled.is_err() {
                return FaultResult::OOM;
            }
            page += part.nr_pages;
        }
        FaultResult::NOPAGE
    }

    /// Maps all that a PMD entry covers.
    fn huge_fault(&self, fault: &VmFault<'_>, order: u32) -> FaultResult {
        if order != PMD_ORDER {
            return FaultResult::FALLBACK;
        }
        let Some((pfn, mark)) = Place::of(fault).pmd(self) else {
            return FaultResult::FALLBACK;
        };

        if fault.is_write() {
            mark();
        }
        // SAFETY: The frames are of a block, which the VMA keeps by its reference to `self`, and
        // aligned as their address is. Only a marked block becomes writable.
        unsafe { fault.insert_pmd(pfn) }
    }

    fn access(&self, access: VmaAccess<'_>) -> Result<usize> {
        let (offset, buffer, len) = (access.offset, access.buffer, access.len);
        let part = self.range(access.page, 1).next().ok_or(EFAULT)?;
        // SAFETY: The frame is of a block, so it has a page.
        let page = unsafe { page::of_frame(part.pfn) };

        // To touch a broken one would take the machine down, and not only who asked for it.
        // SAFETY: The page is the block's.
        if unsafe { page::is_broken(page) } {
            return Err(EIO);
        }
        if access.is_write {
            part.mark();
            // SAFETY: The page is of a block that the VMA keeps; by the invariants of `access`, the
            // bytes are inside it, and of the caller's buffer.
            unsafe { bindings::rust_dma_heap_copy_to_page(page.as_ptr(), offset, buffer, len) };
        } else {
            // SAFETY: As above.
            unsafe { bindings::rust_dma_heap_copy_from_page(buffer, page.as_ptr(), offset, len) };
        }
        Ok(len)
    }
}

/// Gets a VMA ready to show `blocks`, from the page offset that the process asked for.
///
/// Maps nothing before it is touched, unless `at_once` says so, or the process locks its memory
/// (`VM_LOCKED`): that one counts on never waiting for a page, so it gets all of them at once. What
/// else asks for that (`MAP_POPULATE`, `mlock()`) is not told to drivers. May sleep.
///
/// Returns `EINVAL` for a range that is not inside the buffer.
pub(in crate::abstractions) fn fill(
    vma: &VmaPfnMap<'_>,
    blocks: &BlockList,
    at_once: bool,
) -> Result {
    let (first, nr_pages) = (vma.first_page(), vma.nr_pages());

    if first.checked_add(nr_pages).ok_or(EINVAL)? > blocks.nr_pages() {
        return Err(EINVAL);
    }

    if at_once || vma.is_locked() {
        let mut address = vma.start();

        for part in blocks.range(first, nr_pages) {
            let len = part.nr_pages << PAGE_SHIFT;

            if vma.is_writable() {
                part.mark();
            }
            // SAFETY: The range is inside the VMA. The frames are of a block, which is here until
            // the VMA has a reference of its own, or shows nothing any more.
            unsafe { vma.fill(address, part.pfn, len) }?;
            address += len;
        }
    }
    Ok(())
}
