// SPDX-License-Identifier: GPL-2.0

//! What makes a heap out of a way to get memory: a name, a node, attributes and the ioctls.
//!
//! The kernel's own heap core is not used: it has no way to remove a heap, and many kernels are
//! built without it.

#![deny(unsafe_code)]

mod abi;
mod attributes;
mod debug;
mod device;
mod names;
mod own_ioctls;
mod registration;
mod total_pools;

pub(crate) use names::NamePolicy;
pub(crate) use registration::RegisteredHeaps;

use crate::{
    abstractions::mm::{
        block_list::BlockList,
        cma::CmaArea, //
    },
    pool::Pool, //
};
use kernel::{
    prelude::*,
    sync::UniqueArc, //
};

/// A way to get memory for buffers.
pub(crate) trait Heap: Send + Sync {
    /// Tells whether each buffer is one run of physical addresses.
    fn contiguous(&self) -> bool;

    /// Gets the memory of one buffer: blocks of `nr_pages` pages in all, which is not 0.
    ///
    /// May sleep. Returns `ENOMEM` without an OOM kill, and `EINTR` if the task got a fatal signal.
    fn allocate(&self, nr_pages: usize) -> Result<UniqueArc<BlockList>>;

    /// Returns the bytes that there are for the heap's buffers and nobody else's: its `limit`, and
    /// one user may have them all. [`None`] if they are made of any memory of the machine, of which
    /// others need some.
    fn capacity(&self) -> Option<u64> {
        None
    }

    /// Returns the contiguous area of which the heap has all. What [`Self::capacity`] says then may
    /// be too much: a udev rule knows better (tools/udev).
    fn area(&self) -> Option<CmaArea> {
        None
    }

    /// Tells whether the memory cgroup of the task that allocates a buffer pays for it.
    fn charges_cgroups(&self) -> bool {
        false
    }

    /// Returns what the heap keeps warm, if it does.
    fn pool(&self) -> Option<&dyn Pool> {
        None
    }
}

/// A heap that is to be registered.
pub(crate) struct HeapDescription {
    /// The name that the kernel's heap naming rules give it.
    pub(crate) name: &'static CStr,
    /// Whether the kernel has, or could load, a heap of its own under that name.
    pub(crate) kernel_has_it: bool,
    /// Where its memory comes from.
    pub(crate) heap: KBox<dyn Heap>,
}
