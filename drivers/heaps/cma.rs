// SPDX-License-Identifier: GPL-2.0

//! The CMA heap: physically contiguous buffers from the default contiguous memory area.

use crate::{
    abstractions::{
        block::{
            Block,
            Zeroed, //
        },
        cma::CmaArea, //
    },
    heap_core::{
        Heap,
        HeapDescription, //
    },
    pool::PoolState, //
};
use kernel::prelude::*;

struct CmaHeap {
    area: CmaArea,
}

impl Heap for CmaHeap {
    fn contiguous(&self) -> bool {
        true
    }

    fn allocate(&self, nr_pages: usize) -> Result<KVVec<Block<Zeroed>>> {
        // Before the pages are taken: a buffer is one block, so that this cannot fail later.
        let mut blocks = KVVec::with_capacity(1, GFP_KERNEL)?;
        let block = Block::alloc_contiguous(self.area, nr_pages)?.zero()?;

        blocks.push(block, GFP_KERNEL)?;
        Ok(blocks)
    }

    fn pool(&self) -> PoolState {
        PoolState::EMPTY
    }
}

/// Describes the heap of the default area, under the name that the kernel's own has, or returns
/// [`None`] if there is no such area.
pub(super) fn describe() -> Result<Option<HeapDescription>> {
    let Some(area) = CmaArea::default_area() else {
        return Ok(None);
    };

    Ok(Some(HeapDescription {
        name: c"default_cma_region",
        kernel_has_it: cfg!(CONFIG_DMABUF_HEAPS_CMA),
        heap: KBox::new(CmaHeap { area }, GFP_KERNEL)?,
    }))
}
