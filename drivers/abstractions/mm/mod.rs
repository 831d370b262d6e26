// SPDX-License-Identifier: GPL-2.0

//! Memory: pages by the block, where they come from, and where they are shown.
//!
//! - [`block`], [`block_list`], [`block_stack`], [`returned`]: runs of pages that know whether they
//!   are zeroed (`alloc_pages()`);
//! - [`page`]: what is noted of each (`struct page`), by which `page_chain` links those that nobody
//!   uses;
//! - [`contiguous`], [`cma`], [`reserved_memory`]: areas for runs of any length (`cma_alloc()`,
//!   `struct reserved_mem`);
//! - [`numa`], [`memory_policy`], [`meminfo`], [`gfp`]: nodes, sums and flags;
//! - [`shrinker`], [`oom`]: giving memory back (`struct shrinker`, OOM notifiers);
//! - [`kernel_mapping`]: one range of kernel addresses (`vmap()`);
//! - [`pfn_map`], [`fault`]: VMAs that show frames, and their faults (`struct
//!   vm_operations_struct`, `struct vm_fault`), in the shape of `kernel::mm::virt`; `ptes` makes
//!   the entries;
//! - [`user_mapping`]: a buffer's blocks in those.

pub(crate) mod block;
pub(crate) mod block_list;
mod block_runs;
pub(crate) mod block_stack;
pub(crate) mod cma;
pub(crate) mod contiguous;
pub(crate) mod fault;
pub(crate) mod gfp;
pub(crate) mod kernel_mapping;
pub(crate) mod meminfo;
mod memory_policy;
pub(crate) mod numa;
pub(crate) mod oom;
pub(in crate::abstractions) mod page;
mod page_chain;
mod pages;
pub(crate) mod pfn_map;
mod ptes;
mod reserved_memory;
pub(crate) mod returned;
mod shown_blocks;
pub(crate) mod shrinker;
pub(in crate::abstractions) mod user_mapping;
