// SPDX-License-Identifier: GPL-2.0

//! Allocation flags that `kernel::alloc::flags` does not name, nor makes of a number.
//!
//! C header: [`include/linux/gfp_types.h`](srctree/include/linux/gfp_types.h)

use crate::abstractions::bindings;
use kernel::alloc::Flags;

/// `GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN`: may sleep and reclaim, and then fails rather
/// than call the OOM killer.
///
/// For bookkeeping whose size a user chooses.
pub(crate) const GFP_KERNEL_MAYFAIL: Flags =
    // SAFETY: `Flags` is a struct whose only field is the `u32` of the raw flags. `transmute`
    // refuses to compile if the sizes differ, so that field fills the struct. Every bit pattern is
    // a valid `u32`.
    unsafe { core::mem::transmute::<u32, Flags>(bindings::RUST_DMA_HEAP_GFP_RETRY_MAYFAIL) };
