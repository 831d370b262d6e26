// SPDX-License-Identifier: GPL-2.0

//! The heap under test and the ways to ask it.

use crate::outcome::Failure;
use crate::outcome::fail;
use crate::patience::ample;
use crate::system;
use dma_heap::Errno;
use dma_heap::Error;
use dma_heap::Heap;
use dma_heap::HeapInfo;
use dma_heap::sys::abi::DMA_HEAP_IOC_MAGIC;
use dma_heap::sys::raw::Argument;
use dma_heap::sys::raw::RawHeap;
use rustix::ioctl::Direction;
use rustix::ioctl::Opcode;
use rustix::ioctl::opcode::from_components;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;

/// How long something freed may take to be counted as free: the last close of
/// a file is finished a moment after the call.
const SETTLE: Duration = Duration::from_secs(2);

/// A heap under test.
pub(crate) struct Target {
    info: HeapInfo,
    pub(crate) heap: Heap,
    pub(crate) raw: RawHeap,
    seed: u64,
    sequences: u64,
}

impl Target {
    /// Opens a heap for tests whose random numbers come from `seed`, with so
    /// many random sequences in one.
    pub(crate) fn open(name: &str, seed: u64, sequences: u64) -> Result<Self, Error> {
        Ok(Self {
            seed,
            sequences,
            heap: Heap::open(name)?,
            raw: Heap::open_raw(name)?,
            info: HeapInfo::of(name)?,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.info.name
    }

    /// What random numbers are made from, so that a failure can be had again.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// How many random sequences to test.
    pub(crate) fn sequences(&self) -> u64 {
        self.sequences
    }

    pub(crate) fn info(&self) -> &HeapInfo {
        &self.info
    }

    /// Whether the heap is one of the module's and not the kernel's own.
    pub(crate) fn is_ours(&self) -> bool {
        self.info.is_ours()
    }

    /// Whether each buffer is one run of physical addresses. Of the kernel's own
    /// heaps only the names say so, by its rules for them.
    pub(crate) fn is_contiguous(&self) -> bool {
        match self.info.attribute("contiguous") {
            Some(value) => value == 1,
            None => self.name() == "default_cma_region",
        }
    }

    /// Bytes that all buffers together may have.
    pub(crate) fn limit(&self) -> Option<u64> {
        self.info.attribute("limit")
    }

    /// Bytes that the buffers of one user may have.
    pub(crate) fn user_limit(&self) -> Option<u64> {
        self.info.attribute("user_limit")
    }

    /// Bytes that the living buffers have.
    pub(crate) fn used(&self) -> Option<u64> {
        self.info.attribute("used")
    }

    /// Fails unless the heap's `used` goes back to `before`. A kernel's own
    /// heap does not tell.
    pub(crate) fn expect_used(&self, before: Option<u64>) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            let now = self.used();
            if now == before {
                return Ok(());
            }
            if start.elapsed() > ample(SETTLE) {
                return fail(format!(
                    "the heap's `used` was {before:?} and is {now:?} (does another process use \
                     the heap?)"
                ));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Bytes from which the heap can still take: those of the contiguous areas,
    /// or of the machine.
    pub(crate) fn free_memory(&self) -> Result<u64, Failure> {
        if !self.is_contiguous() {
            return system::meminfo("MemAvailable");
        }
        // What is kept warm is as good as free.
        let kept = self.info.attribute("pool_held").unwrap_or(0);
        Ok(system::meminfo("CmaFree")? + kept)
    }

    /// Sends an allocation whose structure is as long as `argument`, with
    /// everything in it as the test wants it.
    pub(crate) fn send(&self, argument: &mut [u8]) -> Result<Option<OwnedFd>, Errno> {
        self.raw
            .ioctl(request(argument.len()), argument, Argument::Ordinary)
    }

    /// The largest power of two, at most `most` bytes, that the heap has now.
    pub(crate) fn largest(&self, most: u64) -> Result<u64, Failure> {
        let mut size = 1 << most.max(1).ilog2();
        while size >= dma_heap::page_size() as u64 {
            if self.heap.alloc(size).is_ok() {
                return Ok(size);
            }
            size /= 2;
        }
        fail("the heap has not even one page")
    }
}

/// The allocation request for a structure of `size` bytes.
pub(crate) fn request(size: usize) -> Opcode {
    from_components(Direction::ReadWrite, DMA_HEAP_IOC_MAGIC, 0, size)
}

/// An allocation's structure as it lies in memory.
pub(crate) fn argument(len: u64, fd: u32, fd_flags: u32, heap_flags: u64) -> Vec<u8> {
    [
        &len.to_ne_bytes()[..],
        &fd.to_ne_bytes(),
        &fd_flags.to_ne_bytes(),
        &heap_flags.to_ne_bytes(),
    ]
    .concat()
}

/// The flags of an ordinary allocation: read, write, close on exec.
pub(crate) fn ordinary_flags() -> u32 {
    (rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC).bits()
}

/// The page size in bytes.
pub(crate) fn page() -> u64 {
    dma_heap::page_size() as u64
}
