// SPDX-License-Identifier: GPL-2.0

//! Nodes and buffers: open, allocate, close.

use super::HUGE;
use super::MIXED;
use super::SMALL;
use super::buffer;
use super::errno;
use crate::failure::Failure;
use crate::sweep::Entry;
use crate::sweep::Sweep;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::sys::raw;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::process::Uid;
use std::os::fd::AsFd as _;

/// Some user who owns nothing, by tradition.
const NOBODY: u32 = 65534;

pub(crate) fn sweep(sweep: &mut Sweep, heap: &Heap) {
    let name = heap.name();
    let errors = [Errno::NOMEM, Errno::FAULT];

    let node = format!("/dev/dma_heap/{name}");
    sweep.call(
        &Entry {
            name: &format!("{name}: open and close the node"),
            errors: &errors,
            every: true,
        },
        || Ok(()),
        |()| rustix::fs::open(&node, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()),
    );
    for len in [SMALL, HUGE, MIXED] {
        allocate(sweep, heap, len);
    }
    longer(sweep, heap);
    as_user(sweep, heap);
    sweep.call(
        &Entry {
            name: &format!("{name}: close a buffer"),
            errors: &[],
            every: true,
        },
        || Ok(Some(buffer(heap, MIXED)?)),
        |buffer| {
            drop(buffer.take());
            Ok(())
        },
    );
}

/// Allocates with whatever the pool holds.
pub(crate) fn allocate(sweep: &mut Sweep, heap: &Heap, len: u64) {
    let name = heap.name();
    sweep.call(
        &Entry {
            name: &format!("{name}: DMA_HEAP_IOCTL_ALLOC of {} KiB", len >> 10),
            errors: &[Errno::NOMEM, Errno::FAULT],
            every: true,
        },
        || Ok(()),
        |()| errno(heap.alloc(len)),
    );
}

/// A structure longer than the one that the module knows, of which it keeps what
/// it does not know.
fn longer(sweep: &mut Sweep, heap: &Heap) {
    sweep.call(
        &Entry {
            name: &format!(
                "{}: DMA_HEAP_IOCTL_ALLOC with a longer structure",
                heap.name()
            ),
            errors: &[Errno::NOMEM, Errno::FAULT],
            every: true,
        },
        || Ok(()),
        |()| raw::alloc_longer(heap.as_fd(), SMALL, (OFlags::RDWR | OFlags::CLOEXEC).bits()),
    );
}

/// This thread as a user without rights, until it is dropped.
struct AsNobody;

impl AsNobody {
    fn new() -> Result<Self, Failure> {
        let nobody = Uid::from_raw(NOBODY);
        // The saved one is the way back.
        rustix::thread::set_thread_res_uid(nobody, nobody, Uid::ROOT)?;
        Ok(Self)
    }
}

impl Drop for AsNobody {
    fn drop(&mut self) {
        // If that fails, so does all that only root may do from here on.
        let _ = rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT);
    }
}

/// The first buffer of a user without rights, for whom an account is opened.
fn as_user(sweep: &mut Sweep, heap: &Heap) {
    sweep.call(
        &Entry {
            name: &format!(
                "{}: DMA_HEAP_IOCTL_ALLOC by a user without rights",
                heap.name()
            ),
            errors: &[Errno::NOMEM, Errno::FAULT],
            every: true,
        },
        AsNobody::new,
        |_| errno(heap.alloc(SMALL)),
    );
}
