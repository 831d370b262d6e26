// SPDX-License-Identifier: GPL-2.0

//! The calling task.
//!
//! C headers: [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h),
//! [`include/linux/cred.h`](srctree/include/linux/cred.h),
//! [`include/linux/capability.h`](srctree/include/linux/capability.h)

use super::bindings;

/// Tells whether the calling task is about to be killed, so that it should not go on with long work.
///
/// Wraps `fatal_signal_pending(current)`.
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: Reads flags of the current task, from task context.
    unsafe { bindings::rust_dma_heap_fatal_signal_pending() }
}

/// Lets whoever else can run on this processor run first. May sleep.
///
/// For work of no importance. A woken thread may take the processor from its waker for a whole time
/// slice, however low its priority: the scheduler is fair, and it has had no time yet. Kernel
/// threads cannot have the policies for which that is not so.
///
/// Wraps `yield()`.
pub(super) fn give_way() {
    // SAFETY: Called from task context, where sleeping is allowed.
    unsafe { bindings::yield_() };
}

/// A user of the machine, the same one in every user namespace.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Uid(pub(crate) u32);

/// Returns the real user of the calling task. Wraps `current_uid()`.
pub(crate) fn current_uid() -> Uid {
    // SAFETY: Reads the credentials of the current task, from task context.
    Uid(unsafe { bindings::rust_dma_heap_current_uid() })
}

/// Tells whether the calling task may exceed resource limits: `CAP_SYS_RESOURCE` in the initial
/// user namespace, which nobody gets by making a namespace of their own.
///
/// Wraps `capable()`.
pub(crate) fn may_exceed_limits() -> bool {
    // SAFETY: Reads the credentials of the current task, from task context.
    unsafe { bindings::capable(bindings::CAP_SYS_RESOURCE as i32) }
}
