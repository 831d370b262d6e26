// SPDX-License-Identifier: GPL-2.0

//! Linux dma-buf heaps from Rust: find a heap, allocate from it, and touch the
//! memory only where the kernel has been told.
//!
//! A dma-buf is shared with devices, and on many machines a CPU cache stands
//! between them and the CPU. The kernel must hear of every CPU access before
//! and after it (`DMA_BUF_IOCTL_SYNC`). Here that bracket is a guard: a
//! [`Mapping`] gives no access at all, only the guards that
//! [`Mapping::read`], [`Mapping::write`] and [`Mapping::read_write`] hand out
//! do, and dropping or finishing a guard closes the bracket.
//!
//! ```no_run
//! use dma_heap::Heap;
//!
//! # fn main() -> Result<(), dma_heap::Error> {
//! let heap = Heap::open("system")?;
//! let buffer = heap.alloc(1 << 20)?;
//! buffer.set_name("frame")?;
//!
//! let mut mapping = buffer.map()?;
//! let access = mapping.write()?;
//! access.copy_from_slice(0, b"hello")?;
//! access.finish()?; // ends the bracket and reports an error of that
//! # Ok(())
//! # }
//! ```
//!
//! An access outside a bracket does not compile, neither on the mapping …
//!
//! ```compile_fail,E0599
//! # fn f(buffer: &dma_heap::Buffer) -> Result<(), dma_heap::Error> {
//! let mapping = buffer.map()?;
//! let mut bytes = [0; 5];
//! mapping.copy_to_slice(0, &mut bytes)?; // no such method: no bracket is open
//! # Ok(())
//! # }
//! ```
//!
//! … nor after the bracket was closed:
//!
//! ```compile_fail,E0382
//! # fn f(buffer: &dma_heap::Buffer) -> Result<(), dma_heap::Error> {
//! let mut mapping = buffer.map()?;
//! let access = mapping.write()?;
//! access.finish()?;
//! access.copy_from_slice(0, b"late")?; // moved by `finish`
//! # Ok(())
//! # }
//! ```
//!
//! nor for writing inside a bracket that was opened for reading only:
//!
//! ```compile_fail,E0599
//! # fn f(buffer: &dma_heap::Buffer) -> Result<(), dma_heap::Error> {
//! let mapping = buffer.map()?;
//! let access = mapping.read()?;
//! access.copy_from_slice(0, b"no")?;
//! # Ok(())
//! # }
//! ```
//!
//! All unsafe code of the crate is in the module [`sys`].

mod access;
mod buffer;
pub mod capture;
mod describe;
mod discover;
mod error;
mod heap;
pub mod importer;
pub mod kcore;
pub mod pattern;
pub mod rng;
mod share;
#[expect(unsafe_code, reason = "ioctl, mmap and memory shared with devices")]
pub mod sys;

pub use access::CpuAccess;
pub use access::Mapping;
pub use access::Read;
pub use access::ReadGuard;
pub use access::ReadWrite;
pub use access::ReadWriteGuard;
pub use access::Readable;
pub use access::Writable;
pub use access::Write;
pub use access::WriteGuard;
pub use buffer::Buffer;
pub use describe::AttachedDevice;
pub use describe::Description;
pub use discover::Attributes;
pub use discover::HEAP_DIR;
pub use discover::HeapInfo;
pub use discover::MODULE_NAME;
pub use discover::Registered;
pub use discover::heaps;
pub use discover::registered;
pub use discover::registered_below;
pub use error::Error;
pub use heap::AllocOptions;
pub use heap::Heap;
pub use rustix::io::Errno;

/// README's first allocation.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The page size of the running kernel in bytes.
pub fn page_size() -> usize {
    rustix::param::page_size()
}

/// Rounds `len`, in bytes, up to whole pages, as a heap does with the length
/// it is asked for. `None` if that overflows.
pub fn page_align(len: u64) -> Option<u64> {
    // Lossless: usize is at most 64 bits wide on every Linux.
    let page = page_size() as u64;
    len.checked_next_multiple_of(page)
}
