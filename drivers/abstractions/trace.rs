// SPDX-License-Identifier: GPL-2.0

//! Tracepoints: what happens to buffers and pools, for those who watch.
//!
//! C header: `include/rust_dma_heap_trace.h` of this tree.
//!
//! Nobody watches most of the time: each is a call then, and a jump that is patched. None of these
//! functions sleeps.

use crate::abstractions::bindings;
use kernel::prelude::*;

/// A buffer that an event is about.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Its heap.
    pub(crate) heap: &'a CStr,
    /// Its inode's number.
    pub(crate) inode: usize,
    /// Its length in bytes.
    pub(crate) len: usize,
    /// Blocks that it is made of.
    pub(crate) nr_blocks: usize,
}

/// A buffer came to the others: `total` is the bytes of all with it.
pub(crate) fn allocated(buffer: Subject<'_>, total: u64) {
    let (heap, len) = (buffer.heap.as_char_ptr(), buffer.len);

    // SAFETY: Takes numbers.
    unsafe { bindings::rust_dma_heap_trace_stat(buffer.inode, len as isize, total as usize) };
    // SAFETY: `heap` is NUL-terminated.
    unsafe {
        bindings::rust_dma_heap_trace_alloc(heap, buffer.inode, len as u64, buffer.nr_blocks as u64)
    };
}

/// A buffer went: `total` is the bytes of all without it.
pub(crate) fn released(buffer: Subject<'_>, total: u64) {
    let (heap, len) = (buffer.heap.as_char_ptr(), buffer.len);

    // On 32 bits, the length of 2 GiB has no negative.
    let gone = (len as isize).wrapping_neg();

    // SAFETY: Takes numbers.
    unsafe { bindings::rust_dma_heap_trace_stat(buffer.inode, gone, total as usize) };
    // SAFETY: `heap` is NUL-terminated.
    unsafe {
        bindings::rust_dma_heap_trace_release(
            heap,
            buffer.inode,
            len as u64,
            buffer.nr_blocks as u64,
        )
    };
}

/// Memory of a new buffer came out of the pool of `heap`.
pub(crate) fn pool_hit(heap: &CStr, bytes: u64) {
    // SAFETY: `heap` is NUL-terminated.
    unsafe { bindings::rust_dma_heap_trace_pool_hit(heap.as_char_ptr(), bytes) };
}

/// Memory of a new buffer did not.
pub(crate) fn pool_miss(heap: &CStr, bytes: u64) {
    // SAFETY: `heap` is NUL-terminated.
    unsafe { bindings::rust_dma_heap_trace_pool_miss(heap.as_char_ptr(), bytes) };
}

/// Memory of the pool was zeroed by the calling task.
pub(crate) fn pool_zero(heap: &CStr, bytes: u64) {
    // SAFETY: `heap` is NUL-terminated.
    unsafe { bindings::rust_dma_heap_trace_pool_zero(heap.as_char_ptr(), bytes) };
}

/// Memory of the pool went back because it was idle.
pub(crate) fn pool_trim(heap: &CStr, bytes: u64) {
    // SAFETY: `heap` is NUL-terminated.
    unsafe { bindings::rust_dma_heap_trace_pool_trim(heap.as_char_ptr(), bytes) };
}

/// Memory of the pool went back because the machine needed it.
pub(crate) fn pool_reclaim(heap: &CStr, bytes: u64) {
    // SAFETY: `heap` is NUL-terminated.
    unsafe { bindings::rust_dma_heap_trace_pool_reclaim(heap.as_char_ptr(), bytes) };
}
