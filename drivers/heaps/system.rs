// SPDX-License-Identifier: GPL-2.0

//! The system heap: any memory of the machine, in blocks as large as can be had.

use crate::{
    abstractions::block::{
        Block,
        Zeroed, //
    },
    heap_core::{
        Heap,
        HeapDescription, //
    },
    pool::{
        self,
        PoolState, //
    }, //
};
use kernel::prelude::*;

struct SystemHeap;

impl Heap for SystemHeap {
    fn contiguous(&self) -> bool {
        false
    }

    fn allocate(&self, nr_pages: usize) -> Result<KVVec<Block<Zeroed>>> {
        pool::take(nr_pages)
    }

    fn pool(&self) -> PoolState {
        PoolState::EMPTY
    }
}

/// Describes the heap, under the name that the kernel's own has.
pub(super) fn describe() -> Result<HeapDescription> {
    Ok(HeapDescription {
        name: c"system",
        kernel_has_it: cfg!(CONFIG_DMABUF_HEAPS_SYSTEM),
        heap: KBox::new(SystemHeap, GFP_KERNEL)?,
    })
}
