// SPDX-License-Identifier: GPL-2.0

//! The calling task.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h),
//! [`include/linux/cred.h`](srctree/include/linux/cred.h),
//! [`include/linux/user_namespace.h`](srctree/include/linux/user_namespace.h),
//! [`include/linux/capability.h`](srctree/include/linux/capability.h)

use crate::abstractions::{
    bindings,
    sync::jiffies, //
};
use kernel::{
    prelude::*,
    time::Delta, //
};

/// Tells whether the calling task is about to be killed, so that it should not go on with long
/// work.
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

/// Lets others have the processor, if they want it, between two portions of work. May sleep.
///
/// Wraps `cond_resched()`.
pub(crate) fn rest() {
    // SAFETY: Called from task context, where sleeping is allowed.
    unsafe { bindings::rust_dma_heap_cond_resched() };
}

/// Waits for `time`, rounded up to the kernel's ticks. May sleep.
///
/// Returns `EINTR`, soon, if the task gets a fatal signal.
///
/// Wraps `schedule_timeout_killable()`.
pub(crate) fn wait(time: Delta) -> Result {
    // SAFETY: Called from task context, where sleeping is allowed.
    unsafe { bindings::schedule_timeout_killable(jiffies::from_delta(time) as isize) };
    check_alive()
}

/// Returns `EINTR` if the calling task is about to be killed.
pub(crate) fn check_alive() -> Result {
    if fatal_signal_pending() {
        return Err(EINTR);
    }
    Ok(())
}

/// A user of the machine, the same one in every user namespace.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Uid(pub(crate) u32);

impl Uid {
    /// The user 0 of the initial user namespace.
    pub(crate) const ROOT: Self = Self(0);
}

/// Returns the real user of the calling task. Wraps `current_uid()`.
pub(crate) fn current_uid() -> Uid {
    // SAFETY: Reads the credentials of the current task, from task context.
    Uid(unsafe { bindings::rust_dma_heap_current_uid() })
}

/// Returns the owner of the outermost user namespace below the initial one in which the calling
/// task is: who made it. [`None`] in the initial one.
///
/// Wraps `current_user_ns()`. Namespaces that are made inside one do not change the answer.
pub(crate) fn current_namespace_owner() -> Option<Uid> {
    let initial = &raw const bindings::init_user_ns;
    // SAFETY: Reads the credentials of the current task, from task context.
    let mut namespace = unsafe { bindings::rust_dma_heap_current_user_ns() }.cast_const();

    if namespace == initial {
        return None;
    }
    loop {
        // SAFETY: The task's namespace is valid, it keeps its parent, and so on; none of this ever
        // changes, and all paths lead to the initial one.
        let parent = unsafe { (*namespace).parent };

        if parent.cast_const() == initial {
            break;
        }
        namespace = parent;
    }
    // SAFETY: As above.
    Some(Uid(unsafe { (*namespace).owner.val }))
}

/// Tells whether the calling task may exceed resource limits: `CAP_SYS_RESOURCE` in the initial
/// user namespace, which nobody gets by making a namespace of their own.
///
/// Leaves no audit record, but marks a task that has the capability as one that used it
/// (`PF_SUPERPRIV`): only to be asked when the answer matters. May not be called under a spinlock:
/// security modules answer, too.
///
/// Wraps `ns_capable_noaudit()`.
pub(crate) fn may_exceed_limits() -> bool {
    // SAFETY: Reads the credentials of the current task, from task context.
    unsafe { bindings::rust_dma_heap_capable_noaudit(bindings::CAP_SYS_RESOURCE as i32) }
}
