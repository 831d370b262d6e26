// SPDX-License-Identifier: GPL-2.0

//! Which nodes a task's pages shall come from.
//!
//! C headers: [`include/linux/mempolicy.h`](srctree/include/linux/mempolicy.h),
//! [`include/linux/cpuset.h`](srctree/include/linux/cpuset.h)

use crate::abstractions::{
    bindings,
    mm::numa::Node, //
};
use kernel::{
    prelude::*,
    task::Task,
    types::NotThreadSafe, //
};

/// Memory policy and cpuset of the calling task.
///
/// # Invariants
///
/// `task` is the task that made the value, and has it still. Only a task itself sets its policy.
/// The nodes of that and of the cpuset may change at any time (`cpuset_change_task_nodemask()`):
/// one that has just been taken away is as good as any.
struct MemoryPolicy {
    #[cfg_attr(not(any(CONFIG_NUMA, CONFIG_CPUSETS)), expect(dead_code))]
    task: *const bindings::task_struct,
    _of_task: NotThreadSafe,
}

impl MemoryPolicy {
    /// From task context.
    fn of_current_task() -> Self {
        // INVARIANT: It is the task that runs this, and the value stays with it.
        Self {
            task: Task::current_raw().cast_const().cast(),
            _of_task: NotThreadSafe,
        }
    }

    /// Returns the mode, and the nodes that go with it, for [`has`]. [`None`]: the nearest.
    #[cfg(CONFIG_NUMA)]
    fn mode(&self) -> Option<(u32, *const bindings::nodemask_t)> {
        // SAFETY: By the type invariant, the task is valid.
        let policy = unsafe { (*self.task).mempolicy };
        let policy = policy.cast_const().cast::<bindings::mempolicy>();

        if policy.is_null() {
            return None;
        }
        // SAFETY: By the type invariant, the task keeps it meanwhile; its mode never changes.
        let mode = u32::from(unsafe { (*policy).mode });
        // SAFETY: As above.
        let nodes = unsafe { &raw const (*policy).nodes };

        Some((mode, nodes)).filter(|_| mode != bindings::RUST_DMA_HEAP_MPOL_LOCAL)
    }

    #[cfg(not(CONFIG_NUMA))]
    fn mode(&self) -> Option<(u32, *const bindings::nodemask_t)> {
        None
    }

    /// Tells whether pages are to come from many nodes in turn: the page allocator knows which.
    fn spreads(&self) -> bool {
        const OTHERS: [u32; 3] = [
            bindings::RUST_DMA_HEAP_MPOL_BIND,
            bindings::RUST_DMA_HEAP_MPOL_PREFERRED,
            bindings::RUST_DMA_HEAP_MPOL_PREFERRED_MANY,
        ];

        self.mode().is_some_and(|(mode, _)| !OTHERS.contains(&mode))
    }

    /// Tells whether they may come from `node`.
    fn allows(&self, node: Node) -> bool {
        self.cpuset_allows(node)
            && self.mode().is_none_or(|(_, nodes)| {
                // SAFETY: By the type invariant, the task keeps its policy.
                unsafe { has(nodes, node) }
            })
    }

    #[cfg(CONFIG_CPUSETS)]
    fn cpuset_allows(&self, node: Node) -> bool {
        // SAFETY: By the type invariant, the task is valid.
        let mems_allowed = unsafe { &raw const (*self.task).mems_allowed };

        // SAFETY: As above.
        unsafe { has(mems_allowed, node) }
    }

    #[cfg(not(CONFIG_CPUSETS))]
    fn cpuset_allows(&self, _node: Node) -> bool {
        true
    }
}

impl Node {
    /// Tells whether the calling task's next page would rather come from this node than from any
    /// other, by its cpuset and memory policy and by where it runs.
    ///
    /// Says no to every node for a policy that spreads pages: the page allocator does that.
    pub(crate) fn is_preferred(self) -> bool {
        let policy = MemoryPolicy::of_current_task();

        !policy.spreads()
            && match Self::local().filter(|local| policy.allows(*local)) {
                Some(local) => local == self,
                // It may have lost its memory meanwhile.
                None => Self::with_memory(self.id() as usize).is_some() && policy.allows(self),
            }
    }
}

/// Wraps `node_isset()`.
///
/// # Safety
///
/// `nodes` must be valid. Others may write it.
unsafe fn has(nodes: *const bindings::nodemask_t, node: Node) -> bool {
    let (node, bits) = (node.id() as usize, c_ulong::BITS as usize);
    // CAST: The mask is an array of words.
    // SAFETY: By the safety requirements of this function; there is a bit for each node's number.
    let word = unsafe { nodes.cast::<c_ulong>().add(node / bits) };

    // SAFETY: As above.
    unsafe { word.read_volatile() >> (node % bits) & 1 != 0 }
}
