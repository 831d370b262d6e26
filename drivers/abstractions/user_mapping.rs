// SPDX-License-Identifier: GPL-2.0

//! Mappings of a buffer's memory into a process.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)
//!
//! `kernel::mm::virt` can insert single pages that the mapping then holds references to. An
//! exporter's pages are mapped by frame number instead: `get_user_pages()` must not be able to pin
//! them beyond the buffer's life.

use super::{
    bindings,
    block::BlockList, //
};
use kernel::{
    error::to_result,
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc, //
};

/// What keeps a process's mapping and its memory together: each VMA that shows a [`BlockList`]
/// holds a reference to it in `vm_private_data`.
struct VmaOps;

impl VmaOps {
    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        ..pin_init::zeroed()
    };

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
/// Wraps `remap_pfn_range()`. May sleep. All pages are mapped at once.
///
/// Returns `EINVAL` for a private mapping, of which a write would silently leave the buffer, and
/// for a range that is not inside the buffer.
///
/// Called with the mmap lock held for writing.
pub(crate) fn map(vma: &VmaNew, blocks: &Arc<BlockList>) -> Result {
    // A shared mapping of a read-only file has VM_MAYSHARE without VM_SHARED.
    if vma.flags() & flags::MAYSHARE == 0 {
        return Err(EINVAL);
    }

    let raw = vma.as_ptr();
    // SAFETY: `vma` is being set up by this task, so nobody changes the field.
    let first = unsafe { (*raw).vm_pgoff };
    let mut remaining = (vma.end() - vma.start()) >> PAGE_SHIFT;

    if first.checked_add(remaining).ok_or(EINVAL)? > blocks.nr_pages() {
        return Err(EINVAL);
    }

    let mut skip = first;
    let mut address = vma.start();

    for block in blocks.blocks() {
        if skip >= block.nr_pages() {
            skip -= block.nr_pages();
            continue;
        }
        if remaining == 0 {
            break;
        }

        let nr = remaining.min(block.nr_pages() - skip);

        // SAFETY:
        // - `vma` is being set up and locked for writing; the range is inside it.
        // - The frames are `nr` pages of the block, which the VMA keeps by its reference below. If
        //   a later step fails, the caller's mmap fails, and the C side zaps what was mapped
        //   before the buffer can go away: the file of the mmap holds the buffer until then.
        to_result(unsafe {
            bindings::rust_dma_heap_remap_pages(raw, address, block.pfn() + skip, nr << PAGE_SHIFT)
        })?;

        address += nr << PAGE_SHIFT;
        remaining -= nr;
        skip = 0;
    }

    let private_data = Arc::into_raw(blocks.clone()).cast_mut().cast();

    // SAFETY: `vma` is being set up and locked for writing. The operations are static, and the
    // private data is what they expect. Nothing can fail after this, so `close` is called for it.
    unsafe { bindings::rust_dma_heap_vma_set_ops(raw, &VmaOps::TABLE, private_data) };
    Ok(())
}
