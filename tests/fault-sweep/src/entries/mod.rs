// SPDX-License-Identifier: GPL-2.0

//! Everything that can be called, by subject.

pub(crate) mod alloc;
pub(crate) mod cpu;
pub(crate) mod device;
pub(crate) mod knobs;
pub(crate) mod module;
pub(crate) mod threads;

use crate::failure::Failure;
use crate::sweep::Outcome;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Heap;

/// Blocks of every order: 2 MiB, 1 MiB, 64 KiB and single pages.
pub(crate) const MIXED: u64 = (2 << 20) + (1 << 20) + (64 << 10) + (8 << 10);

/// One block that a PMD entry can map.
pub(crate) const HUGE: u64 = 2 << 20;

/// Single pages.
pub(crate) const SMALL: u64 = 12 << 10;

/// What a call of the library came to, as an errno. Those without one do not
/// come from the kernel.
pub(crate) fn errno<T>(result: Result<T, dma_heap::Error>) -> Outcome<T> {
    result.map_err(|error| error.errno().unwrap_or(Errno::PROTO))
}

/// The errno of a call of the standard library.
pub(crate) fn os<T>(result: std::io::Result<T>) -> Outcome<T> {
    result.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::PROTO))
}

pub(crate) fn buffer(heap: &Heap, len: u64) -> Result<Buffer, Failure> {
    Ok(heap.alloc(len)?)
}
