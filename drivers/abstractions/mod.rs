// SPDX-License-Identifier: GPL-2.0

//! Safe Rust over the C interfaces that the `kernel` crate does not cover yet.
//!
//! All unsafe code of the module is in the files below and nowhere else. Each file wraps one C
//! interface and knows nothing of heaps: it could go to `rust/kernel/` as it is.

#![deny(clippy::undocumented_unsafe_blocks)]
#![deny(unsafe_op_in_unsafe_fn)]

pub(crate) mod background;
mod bindings;
pub(crate) mod block;
pub(crate) mod block_list;
pub(crate) mod block_stack;
pub(crate) mod bus_notifier;
pub(crate) mod char_device;
pub(crate) mod class;
pub(crate) mod cma;
pub(crate) mod contiguous;
pub(crate) mod debugfs;
pub(crate) mod decimal;
pub(crate) mod delayed_work;
pub(crate) mod device;
pub(crate) mod dma_buf;
#[allow(dead_code, reason = "for the test importer, which shares these files")]
pub(crate) mod dma_buf_import;
pub(crate) mod dma_limits;
pub(crate) mod gfp;
pub(crate) mod iommu;
mod jiffies;
pub(crate) mod kernel_attribute;
pub(crate) mod kernel_mapping;
pub(crate) mod meminfo;
pub(crate) mod numa;
pub(crate) mod path;
pub(crate) mod rate_limit;
pub(crate) mod reclaim;
mod reserved_memory;
pub(crate) mod segments;
pub(crate) mod sg_table;
#[allow(dead_code, reason = "for the test importer, which shares these files")]
pub(crate) mod software_device;
pub(crate) mod sysfs;
pub(crate) mod task;
pub(crate) mod trace;
pub(crate) mod uapi;
pub(crate) mod user_mapping;
pub(crate) mod versions;
