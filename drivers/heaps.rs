// SPDX-License-Identifier: GPL-2.0

//! The heaps that this module brings: one file each, policy only.

#![deny(unsafe_code)]

mod carveout;
mod cma;
mod system;

use crate::heap_core::HeapDescription;
use kernel::prelude::*;

/// Returns the heaps that this machine can have.
///
/// `charges_cgroups` is for those whose memory can be charged: that of contiguous areas cannot.
/// `carveout_mib` is the size of the carveout heap in MiB, or 0 for none. The log says which heap
/// is missing, and why.
pub(crate) fn all(charges_cgroups: bool, carveout_mib: u32) -> Result<KVec<HeapDescription>> {
    let mut heaps = KVec::new();

    heaps.push(system::describe(charges_cgroups)?, GFP_KERNEL)?;

    match cma::describe()? {
        Some(heap) => heaps.push(heap, GFP_KERNEL)?,
        None if cfg!(CONFIG_DMA_CMA) => pr_info!(
            "no CMA heap: the kernel has no default contiguous area; boot with cma=64M or more\n"
        ),
        None => pr_info!("no CMA heap: the kernel is built without CONFIG_DMA_CMA\n"),
    }
    if let Some(heap) = carveout::describe(carveout_mib)? {
        heaps.push(heap, GFP_KERNEL)?;
    }

    Ok(heaps)
}
