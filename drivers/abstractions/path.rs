// SPDX-License-Identifier: GPL-2.0

//! Looking up file names.
//!
//! C header: [`include/linux/namei.h`](srctree/include/linux/namei.h)

use crate::abstractions::bindings;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Tells whether `path` names a file in the calling task's mount namespace.
///
/// Wraps `kern_path()` without following a symbolic link at the end, so that a dangling link counts
/// as a file, too. May sleep. Fails as path lookup fails, but for `ENOENT` and `ENOTDIR`, which
/// mean "no".
pub(crate) fn exists(path: &CStr) -> Result<bool> {
    let mut found: bindings::path = pin_init::zeroed();

    // SAFETY: `path` is NUL-terminated and `found` is writable for the call.
    match to_result(unsafe { bindings::kern_path(path.as_char_ptr(), 0, &mut found) }) {
        Ok(()) => {
            // SAFETY: `kern_path()` succeeded, so `found` holds references that are ours to drop.
            unsafe { bindings::path_put(&found) };
            Ok(true)
        }
        Err(e) if e == ENOENT || e == ENOTDIR => Ok(false),
        Err(e) => Err(e),
    }
}
