// SPDX-License-Identifier: GPL-2.0

//! The CPU's side of a buffer: mmap, page faults, brackets, fork.
//!
//! A page fault that finds no memory has no errno: the kernel lets the task try
//! again. So each must succeed in the end, with the right bytes.

use super::HUGE;
use super::SMALL;
use super::buffer;
use crate::failure::Failure;
use crate::sweep::Entry;
use crate::sweep::Outcome;
use crate::sweep::Sweep;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::sys::abi;
use dma_heap::sys::ioctl;
use dma_heap::sys::pages::Pages;
use rustix::mm::MlockAllFlags;
use std::os::fd::AsFd as _;

/// What is written.
const WORD: u64 = 0x5eed_5eed_5eed_5eed;

pub(crate) fn sweep(sweep: &mut Sweep, heap: &Heap) {
    let name = heap.name();
    map(sweep, heap);
    locked(sweep, heap);
    for (len, kind) in [(SMALL, "small pages"), (HUGE, "2 MiB")] {
        for read_first in [false, true] {
            let order = if read_first {
                "write after a read"
            } else {
                "write"
            };
            sweep.call(
                &Entry {
                    name: &format!("{name}: {order} fault, {kind}"),
                    errors: &[],
                    every: true,
                },
                || {
                    let (buffer, pages) = mapped(heap, len)?;
                    if read_first {
                        read(&pages, 0)?;
                    }
                    Ok((buffer, pages))
                },
                |(_, pages)| {
                    pages.store(1, 1, WORD).ok_or(Errno::FAULT)?;
                    read(pages, WORD)
                },
            );
        }
        sweep.call(
            &Entry {
                name: &format!("{name}: read fault, {kind}"),
                errors: &[],
                every: true,
            },
            || mapped(heap, len),
            |(_, pages)| read(pages, 0),
        );
    }
    brackets(sweep, heap);
}

fn read(pages: &Pages, wanted: u64) -> Outcome<()> {
    match pages.load(1, 1) {
        Some(word) if word == wanted => Ok(()),
        _ => Err(Errno::BADMSG),
    }
}

/// Far from any other mapping, so that there are no page tables yet.
#[cfg(target_pointer_width = "64")]
const FAR: usize = 1 << 36;
#[cfg(not(target_pointer_width = "64"))]
const FAR: usize = 1 << 28;

/// A buffer and a mapping of it, at an address that 2 MiB can be mapped to.
fn mapped(heap: &Heap, len: u64) -> Result<(Buffer, Pages), Failure> {
    let buffer = buffer(heap, len)?;
    let pages = pages(&buffer)?;
    Ok((buffer, pages))
}

fn pages(buffer: &Buffer) -> Outcome<Pages> {
    let count = usize::try_from(buffer.len()).map_err(|_| Errno::OVERFLOW)? / dma_heap::page_size();
    Pages::map_aligned(buffer.as_fd(), count, true, FAR, 0)
}

fn map(sweep: &mut Sweep, heap: &Heap) {
    sweep.call(
        &Entry {
            name: &format!("{}: mmap", heap.name()),
            errors: &[Errno::NOMEM],
            every: true,
        },
        || buffer(heap, SMALL),
        |buffer| {
            let count = SMALL as usize / dma_heap::page_size();
            Pages::map(buffer.as_fd(), 0, count, true)
        },
    );
}

/// Locked memory is filled at once.
fn locked(sweep: &mut Sweep, heap: &Heap) {
    struct Lock;
    impl Drop for Lock {
        fn drop(&mut self) {
            // To unlock needs no memory but for splitting ranges, of which none
            // is split here.
            let _ = rustix::mm::munlockall();
        }
    }
    sweep.call(
        &Entry {
            name: &format!("{}: mmap of locked memory", heap.name()),
            errors: &[Errno::NOMEM, Errno::AGAIN],
            every: true,
        },
        || {
            let buffer = buffer(heap, SMALL)?;
            rustix::mm::mlockall(MlockAllFlags::FUTURE)?;
            Ok((buffer, Lock))
        },
        |(buffer, _)| {
            let count = SMALL as usize / dma_heap::page_size();
            Pages::map(buffer.as_fd(), 0, count, true)
        },
    );
}

fn brackets(sweep: &mut Sweep, heap: &Heap) {
    let flags = abi::DMA_BUF_SYNC_READ | abi::DMA_BUF_SYNC_WRITE;
    for (step, ends) in [("start", false), ("end", true)] {
        sweep.call(
            &Entry {
                name: &format!("{}: DMA_BUF_IOCTL_SYNC, {step}", heap.name()),
                errors: &[Errno::NOMEM, Errno::FAULT],
                every: true,
            },
            || {
                let buffer = buffer(heap, SMALL)?;
                if ends {
                    ioctl::sync(buffer.as_fd(), flags)?;
                }
                Ok(buffer)
            },
            |buffer| {
                let end = if ends { abi::DMA_BUF_SYNC_END } else { 0 };
                ioctl::sync(buffer.as_fd(), flags | end)
            },
        );
    }
}
