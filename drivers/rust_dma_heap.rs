// SPDX-License-Identifier: GPL-2.0

//! Removable dma-buf heaps.
//!
//! Makes `/dev/dma_heap/<name>` nodes that take the ioctl of the kernel's own heaps and return
//! ordinary dma-bufs. The layers, each of which calls only those below it:
//!
//! - [`heaps`]: one file a heap, policy only;
//! - [`heap_core`]: names, nodes, attributes and the ioctl;
//! - [`buffer`]: the one exporter that all heaps share;
//! - [`pool`] and [`accounting`]: where memory comes from, and who may have how much;
//! - [`abstractions`]: safe Rust over C; all unsafe code is there.

mod abstractions;
mod accounting;
mod buffer;
mod counter;
mod heap_core;
mod heaps;
mod pool;

use abstractions::versions::parameter;
use heap_core::{
    NamePolicy,
    RegisteredHeaps, //
};
use kernel::prelude::*;

module! {
    type: RustDmaHeap,
    name: "rust_dma_heap",
    authors: ["The Rust dma-buf heaps developers"],
    description: "Removable dma-buf heaps: system memory and the default contiguous area",
    license: "GPL",
    imports_ns: ["DMA_BUF"],
    params: {
        pooled_names: i32 {
            default: -1,
            description: "Add -pooled to the names of heaps: 1 always, 0 never, -1 where the kernel has or could load such a heap (default)",
        },
        // No bool: the kernel has parameters of that type since 7.3 only.
        mem_accounting: u8 {
            default: 0,
            description: "Charge buffers of the system heap to the memory cgroup of the task that allocates; the heap then keeps nothing warm (default: 0)",
        },
        carveout_mib: u32 {
            default: 0,
            description: "MiB of the default contiguous area to reserve for the heap carveout (default: 0, no such heap)",
        },
    },
}

/// The loaded module.
struct RustDmaHeap {
    _heaps: RegisteredHeaps,
}

impl kernel::Module for RustDmaHeap {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let names = parameter(module_parameters::pooled_names.value());
        let policy = NamePolicy::from_parameter(names)
            .ok_or(EINVAL)
            .inspect_err(|_| pr_err!("pooled_names={} is not one of -1, 0 and 1\n", names))?;

        let mem_accounting = match parameter(module_parameters::mem_accounting.value()) {
            0 => false,
            1 => true,
            other => {
                pr_err!("mem_accounting={} is neither 0 nor 1\n", other);
                return Err(EINVAL);
            }
        };

        let heaps = heaps::all(
            mem_accounting,
            parameter(module_parameters::carveout_mib.value()),
        )?;

        Ok(Self {
            _heaps: RegisteredHeaps::new(heaps, policy)?,
        })
    }
}
