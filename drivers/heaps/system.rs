// SPDX-License-Identifier: GPL-2.0

//! The system heap: any memory of the machine, in blocks as large as can be had.

use crate::{
    abstractions::block_list::BlockList,
    heap_core::{
        Heap,
        HeapDescription, //
    },
    pool::{
        BlockPool,
        Pool, //
    }, //
};
use kernel::{
    prelude::*,
    sync::UniqueArc, //
};

struct SystemHeap {
    pool: BlockPool,
}

impl Heap for SystemHeap {
    fn contiguous(&self) -> bool {
        false
    }

    fn allocate(&self, nr_pages: usize) -> Result<UniqueArc<BlockList>> {
        self.pool.take(nr_pages)
    }

    fn pool(&self) -> Option<&dyn Pool> {
        Some(&self.pool)
    }
}

/// Describes the heap, under the name that the kernel's own has.
pub(super) fn describe() -> Result<HeapDescription> {
    Ok(HeapDescription {
        name: c"system",
        kernel_has_it: cfg!(CONFIG_DMABUF_HEAPS_SYSTEM),
        heap: KBox::new(
            SystemHeap {
                pool: BlockPool::new()?,
            },
            GFP_KERNEL,
        )?,
    })
}
