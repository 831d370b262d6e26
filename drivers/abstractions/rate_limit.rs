// SPDX-License-Identifier: GPL-2.0

//! Lines in the kernel's log that others can cause.
//!
//! C header: [`include/linux/ratelimit.h`](srctree/include/linux/ratelimit.h)

use crate::abstractions::bindings;

/// Tells whether a line may go to the log that a process or a driver has caused: ten in five
/// seconds. How many were held back is in the log, then.
///
/// Wraps `__ratelimit()`. For any context.
pub(crate) fn may_log() -> bool {
    // SAFETY: The state is the helper's own, and locks itself.
    unsafe { bindings::rust_dma_heap_may_log() }
}
