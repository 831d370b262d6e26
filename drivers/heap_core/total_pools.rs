// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/dma_heap/total_pools_kb`: what the pools of all heaps keep, in KiB.
//!
//! A file of Android's kernels, which its libmeminfo and other tools read.

use crate::{
    abstractions::device::kernel_attribute::{
        KernelAttribute,
        KernelNumber, //
    },
    pool, //
};
use kernel::prelude::*;

/// The file, until this is dropped.
pub(super) type TotalPoolsFile = KernelAttribute<TotalPools>;

/// The number in it.
pub(super) struct TotalPools;

impl KernelNumber for TotalPools {
    const DIRECTORY: &'static CStr = c"dma_heap";
    const NAME: &'static CStr = c"total_pools_kb";

    fn show() -> u64 {
        pool::held_by_all() / 1024
    }
}

/// Makes the file, unless the kernel has one of its own. Without it, heaps work as well. May sleep.
pub(super) fn file() -> Option<TotalPoolsFile> {
    if TotalPoolsFile::is_taken() {
        return None;
    }
    TotalPoolsFile::new()
        .inspect_err(|error| pr_info!("no /sys/kernel/dma_heap/total_pools_kb: {:?}\n", error))
        .ok()
}
