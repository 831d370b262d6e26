// SPDX-License-Identifier: GPL-2.0

//! The only module with unsafe code: system calls with arguments that no safe
//! interface would let through.
//!
//! What makes it safe to call is where the addresses lie: in an [`Arena`], a
//! range of addresses in which no object of Rust's ever is, or where no process
//! has memory. And which descriptors are closed: those with a fixed number
//! ([`fds`]), which nothing else in the process has.

pub(crate) mod arena;
pub(crate) mod fds;
pub(crate) mod process;

use rustix::io::Errno;
use rustix::io::Result;

/// The result of a system call by C's convention.
fn check(result: i64) -> Result<i64> {
    if result == -1 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    Ok(result)
}
