// SPDX-License-Identifier: GPL-2.0

//! What `kernel::debugfs` does not tell.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

#[cfg(CONFIG_DEBUG_FS)]
use {
    crate::abstractions::bindings,
    core::ptr::NonNull,
    kernel::error::from_err_ptr, //
};

use kernel::prelude::*;

/// Tells whether debugfs has something of this name at its root. Wraps `debugfs_lookup()`. May
/// sleep.
///
/// A `Dir` for which there was no memory looks like any other, but the files of a scope in it would
/// be made at the root of debugfs, and stay there after what they show is gone.
pub(crate) fn exists(name: &CStr) -> bool {
    #[cfg(CONFIG_DEBUG_FS)]
    {
        // SAFETY: `name` is NUL-terminated, and a null parent is the root.
        let found = unsafe { bindings::debugfs_lookup(name.as_char_ptr(), core::ptr::null_mut()) };
        let Some(dentry) = from_err_ptr(found).ok().and_then(NonNull::new) else {
            return false;
        };

        // SAFETY: The call took a reference.
        unsafe { bindings::dput(dentry.as_ptr()) };
        true
    }
    #[cfg(not(CONFIG_DEBUG_FS))]
    {
        let _ = name;
        false
    }
}
