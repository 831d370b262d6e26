// SPDX-License-Identifier: GPL-2.0

//! The calling task.
//!
//! C header: [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

use super::bindings;

/// Tells whether the calling task is about to be killed, so that it should not go on with long work.
///
/// Wraps `fatal_signal_pending(current)`.
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: Reads flags of the current task, from task context.
    unsafe { bindings::rust_dma_heap_fatal_signal_pending() }
}
