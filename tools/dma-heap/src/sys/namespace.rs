// SPDX-License-Identifier: GPL-2.0

//! For tests: a process that is in a user namespace of its own.

use rustix::io::Result;
use rustix::thread::UnshareFlags;
use std::io;

/// Moves this process, of one thread, into a new user namespace in which it has
/// all capabilities and is user 0. To the rest of the machine it is who it was.
///
/// # Errors
///
/// EINVAL if the process has more threads than one, EPERM or ENOSPC if the
/// machine does not allow namespaces, or what the files of /proc say.
pub fn become_root_of_own() -> io::Result<()> {
    let user = rustix::process::getuid().as_raw();
    unshare()?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1\n"))
}

/// Moves this process, of one thread, into a new user namespace, in which it has all
/// capabilities, and in which another process is to say who is who.
///
/// # Errors
///
/// As above.
pub fn enter_own() -> io::Result<()> {
    Ok(unshare()?)
}

fn unshare() -> Result<()> {
    // SAFETY: Only the user namespace changes, no table of descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }
}
