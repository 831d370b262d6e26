// SPDX-License-Identifier: GPL-2.0

//! Descriptors of fixed numbers, which threads replace and close at will.
//!
//! The kernel gives new descriptors the lowest free number, and a process here
//! never has as many open as the first of these. So a descriptor that another
//! thread closes in the midst of a call is never one that belongs to somebody.

use super::check;
use rustix::io::Errno;
use rustix::io::Result;
use std::os::fd::AsRawFd as _;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

/// The first.
const FIRST: RawFd = 200;
/// One past the last.
const END: RawFd = 264;

/// A descriptor of a fixed number, open or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(RawFd);

impl Slot {
    /// The `index`th, counted around.
    pub(crate) const fn new(index: usize) -> Self {
        Self(FIRST + (index % (END - FIRST) as usize) as RawFd)
    }

    pub(crate) fn number(self) -> RawFd {
        self.0
    }

    /// Puts `fd` here, in the place of what was.
    pub(crate) fn put(self, fd: OwnedFd) -> Result<()> {
        // SAFETY: The number belongs to nobody, by this module's convention.
        check(unsafe { libc::dup3(fd.as_raw_fd(), self.0, libc::O_CLOEXEC) }.into()).map(drop)
    }

    /// Copies `from` here, in the place of what was.
    pub(crate) fn copy(self, from: Self) -> Result<()> {
        // SAFETY: As in `put`.
        check(unsafe { libc::dup3(from.0, self.0, libc::O_CLOEXEC) }.into()).map(drop)
    }

    /// A descriptor of its own of what is here.
    pub(crate) fn take(self) -> Result<OwnedFd> {
        // SAFETY: The call makes a new descriptor, and no use of memory.
        let fd = check(unsafe { libc::fcntl(self.0, libc::F_DUPFD_CLOEXEC, 0) }.into())?;
        // SAFETY: It is new, and ours.
        Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).map_err(|_| Errno::BADF)?) })
    }

    pub(crate) fn close(self) -> Result<()> {
        // SAFETY: The number belongs to nobody, by this module's convention.
        check(unsafe { libc::close(self.0) }.into()).map(drop)
    }

    pub(crate) fn seek(self, offset: i64, whence: i32) -> Result<i64> {
        // SAFETY: The call uses no memory of ours.
        check(unsafe { libc::lseek(self.0, offset as libc::off_t, whence) } as i64)
    }

    pub(crate) fn truncate(self, len: i64) -> Result<i64> {
        // SAFETY: The call uses no memory of ours.
        check(unsafe { libc::ftruncate(self.0, len as libc::off_t) }.into())
    }

    /// Sets or gets flags of the open file.
    pub(crate) fn flags(self, set: Option<i32>) -> Result<i64> {
        let result = match set {
            // SAFETY: The call uses no memory of ours.
            Some(flags) => unsafe { libc::fcntl(self.0, libc::F_SETFL, flags) },
            // SAFETY: The call uses no memory of ours.
            None => unsafe { libc::fcntl(self.0, libc::F_GETFL) },
        };
        check(result.into())
    }

    /// Asks for events, without waiting; returns which there are.
    pub(crate) fn poll(self, events: i16, milliseconds: i32) -> Result<i16> {
        let mut poll = libc::pollfd {
            fd: self.0,
            events,
            revents: 0,
        };
        // SAFETY: The kernel reads and writes the one structure.
        check(unsafe { libc::poll(&raw mut poll, 1, milliseconds) }.into())?;
        Ok(poll.revents)
    }
}

/// Takes the descriptor that an ioctl has just returned.
///
/// `None` if the number is none that the kernel could have given out new.
pub(crate) fn adopt(number: i64) -> Option<OwnedFd> {
    let number = RawFd::try_from(number).ok()?;
    if !(3..FIRST).contains(&number) {
        return None;
    }
    // SAFETY: The caller has it from an ioctl that makes descriptors, so it is
    // new and nobody's.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}
