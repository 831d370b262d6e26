// SPDX-License-Identifier: GPL-2.0

//! The system heap: any memory of the machine, in blocks as large as can be had.

use crate::{
    abstractions::{
        mm::block_list::BlockList,
        versions::eopnotsupp, //
    },
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
    /// Keeps nothing if buffers are charged: what one cgroup has paid for, another shall not get.
    pool: BlockPool,
    charges_cgroups: bool,
}

impl Heap for SystemHeap {
    fn contiguous(&self) -> bool {
        false
    }

    fn allocate(&self, nr_pages: usize) -> Result<UniqueArc<BlockList>> {
        if self.charges_cgroups {
            self.pool.take_charged(nr_pages)
        } else {
            self.pool.take(nr_pages)
        }
    }

    fn charges_cgroups(&self) -> bool {
        self.charges_cgroups
    }

    fn pool(&self) -> Option<&dyn Pool> {
        Some(&self.pool)
    }
}

/// Describes the heap, under the name that the kernel's own has.
///
/// `charges_cgroups` has each buffer charged to the memory cgroup of the task that allocates it.
/// Returns `EOPNOTSUPP`, with a line in the log, if the kernel has no memory cgroups.
pub(super) fn describe(charges_cgroups: bool) -> Result<HeapDescription> {
    if charges_cgroups && !cfg!(CONFIG_MEMCG) {
        pr_err!("mem_accounting=1 needs a kernel with CONFIG_MEMCG\n");
        return Err(eopnotsupp());
    }

    Ok(HeapDescription {
        name: c"system",
        kernel_has_it: cfg!(CONFIG_DMABUF_HEAPS_SYSTEM),
        heap: KBox::new(
            SystemHeap {
                pool: BlockPool::new()?,
                charges_cgroups,
            },
            GFP_KERNEL,
        )?,
    })
}
