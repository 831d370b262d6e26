// SPDX-License-Identifier: GPL-2.0

//! The CMA heap: physically contiguous buffers from the default contiguous memory area.

use crate::{
    abstractions::mm::{
        block_list::BlockList,
        cma::CmaArea, //
    },
    heap_core::{
        Heap,
        HeapDescription, //
    },
    pool::{
        Pool,
        RunPool, //
    }, //
};
use kernel::{
    prelude::*,
    sync::UniqueArc, //
};

struct CmaHeap {
    area: CmaArea,
    pool: RunPool,
}

impl Heap for CmaHeap {
    fn contiguous(&self) -> bool {
        true
    }

    fn allocate(&self, nr_pages: usize) -> Result<UniqueArc<BlockList>> {
        self.pool.take(nr_pages)
    }

    fn capacity(&self) -> Option<u64> {
        Some(self.area.size_at_most())
    }

    fn area(&self) -> Option<CmaArea> {
        Some(self.area)
    }

    fn pool(&self) -> Option<&dyn Pool> {
        Some(&self.pool)
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
        heap: KBox::new(
            CmaHeap {
                area,
                pool: RunPool::new(area)?,
            },
            GFP_KERNEL,
        )?,
    }))
}
