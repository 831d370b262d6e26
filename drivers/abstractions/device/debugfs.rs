// SPDX-License-Identifier: GPL-2.0

//! What `kernel::debugfs` does not tell.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use crate::abstractions::bindings;
use kernel::prelude::*;

/// Tells whether debugfs has something of this name at its root. Wraps `debugfs_lookup()`. May
/// sleep.
///
/// A `Dir` for which there was no memory looks like any other, but the files of a scope in it would
/// be made at the root of debugfs, and stay there after what they show is gone.
pub(crate) fn exists(name: &CStr) -> bool {
    // SAFETY: `name` is NUL-terminated.
    unsafe { bindings::rust_dma_heap_debugfs_exists(name.as_char_ptr()) }
}
