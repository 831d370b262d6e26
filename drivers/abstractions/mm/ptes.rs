// SPDX-License-Identifier: GPL-2.0

//! Entries of page tables that show frames.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::abstractions::bindings;
use kernel::{
    error::to_result,
    mm::virt::VmaRef,
    prelude::*, //
};

/// Returns the protection of an entry that may be written or, for as long as nobody writes, of one
/// whose first write the module wants to see.
///
/// # Safety
///
/// The VMA must be valid, and locked at least for reading.
pub(super) unsafe fn protection(
    vma: *mut bindings::vm_area_struct,
    is_write: bool,
) -> bindings::pgprot_t {
    if is_write {
        // SAFETY: By the safety requirements of this function.
        let flags = unsafe { VmaRef::from_raw(vma) }.flags();

        // SAFETY: It only computes.
        unsafe { bindings::vm_get_page_prot(flags) }
    } else {
        // SAFETY: By the safety requirements of this function.
        unsafe { (*vma).vm_page_prot }
    }
}

/// Shows `len` bytes of frames by PTEs. Wraps `apply_to_page_range()`. May sleep.
///
/// # Safety
///
/// The VMA must be valid, locked at least for reading, and have `VM_PFNMAP`. The range must be in
/// it, in page tables in whose place no PMD entry can come. The frames must not be used for
/// anything else while the VMA may show them.
pub(super) unsafe fn fill(
    vma: *mut bindings::vm_area_struct,
    address: usize,
    pfn: usize,
    len: usize,
    is_write: bool,
) -> Result {
    // SAFETY: By the safety requirements of this function.
    let prot = unsafe { protection(vma, is_write) };

    // SAFETY: As above.
    to_result(unsafe { bindings::rust_dma_heap_fill_ptes(vma, address, pfn, len, prot, is_write) })
}
