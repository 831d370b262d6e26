// SPDX-License-Identifier: GPL-2.0

//! Memory that the device tree reserves.
//!
//! C headers: [`include/linux/of.h`](srctree/include/linux/of.h),
//! [`include/linux/of_reserved_mem.h`](srctree/include/linux/of_reserved_mem.h)

use kernel::prelude::*;

/// Returns the bytes of the region `name`: a child of the tree's `/reserved-memory`, with its unit
/// address if it has one. [`None`] if the machine has no such tree or region.
///
/// Wraps `of_reserved_mem_lookup()`. Not under a spinlock.
#[cfg(CONFIG_OF_RESERVED_MEM)]
pub(in crate::abstractions) fn size(name: &CStr) -> Option<u64> {
    let parent = tree::Node::find(c"/reserved-memory")?;
    let mut child = parent.next_child(None);

    while let Some(node) = child {
        if let Some((_, size)) = node.region().filter(|(region, _)| *region == name) {
            return Some(size).filter(|&size| size != 0);
        }
        child = parent.next_child(Some(node));
    }
    None
}

/// Returns [`None`]: this kernel is built without `CONFIG_OF_RESERVED_MEM`.
#[cfg(not(CONFIG_OF_RESERVED_MEM))]
pub(in crate::abstractions) fn size(_name: &CStr) -> Option<u64> {
    None
}

#[cfg(CONFIG_OF_RESERVED_MEM)]
mod tree {
    use crate::abstractions::bindings;
    use core::{
        mem::ManuallyDrop,
        ptr::{
            self,
            NonNull, //
        }, //
    };
    use kernel::prelude::*;

    /// A node of the device tree.
    ///
    /// # Invariants
    ///
    /// The pointer is to a node, with a reference that is this value's.
    pub(super) struct Node(NonNull<bindings::device_node>);

    impl Node {
        /// Wraps `of_find_node_opts_by_path()`.
        pub(super) fn find(path: &CStr) -> Option<Self> {
            // SAFETY: The path is NUL-terminated, and no options are asked for.
            let node =
                unsafe { bindings::of_find_node_opts_by_path(path.as_char_ptr(), ptr::null_mut()) };

            // INVARIANT: The call took a reference.
            NonNull::new(node).map(Self)
        }

        /// Returns the child behind `previous`, or the first. Wraps `of_get_next_child()`.
        pub(super) fn next_child(&self, previous: Option<Self>) -> Option<Self> {
            let previous =
                previous.map_or(ptr::null_mut(), |node| ManuallyDrop::new(node).0.as_ptr());
            // SAFETY: By the type invariant, both are nodes, or there is no previous one, whose
            // reference the call drops.
            let node = unsafe { bindings::of_get_next_child(self.0.as_ptr(), previous) };

            // INVARIANT: The call took a reference.
            NonNull::new(node).map(Self)
        }

        /// Returns name and size in bytes of the region that the node describes. Wraps
        /// `of_reserved_mem_lookup()`.
        pub(super) fn region(&self) -> Option<(&'static CStr, u64)> {
            // SAFETY: By the type invariant, it is a node.
            let region = unsafe { bindings::of_reserved_mem_lookup(self.0.as_ptr()) };
            let region = NonNull::new(region)?.as_ptr();
            // SAFETY: Regions are set up at boot, and neither change nor go.
            let name = unsafe { (*region).name };
            // SAFETY: As above. It is a string of the tree.
            let name = unsafe { CStr::from_char_ptr(name) };

            // SAFETY: As above.
            Some((name, unsafe { (*region).size }.into()))
        }
    }

    impl Drop for Node {
        fn drop(&mut self) {
            // SAFETY: By the type invariant, there is a reference to drop.
            unsafe { bindings::rust_dma_heap_of_node_put(self.0.as_ptr()) };
        }
    }
}
