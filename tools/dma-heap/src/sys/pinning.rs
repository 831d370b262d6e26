// SPDX-License-Identifier: GPL-2.0

//! For tests: calls for which the kernel holds pages of this process themselves
//! (`get_user_pages()`), beside or instead of going by its page tables.

use super::pages::Pages;
use rustix::io::Errno;
use rustix::io::Result;
use rustix::pipe::IoSliceRaw;
use rustix::pipe::SpliceFlags;
use std::marker::PhantomData;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;

/// `IORING_REGISTER_BUFFERS`
const REGISTER_BUFFERS: libc::c_uint = 0;

/// `sizeof(struct io_uring_params)`
const IO_URING_PARAMS: usize = 120;

/// What a futex call is about: one between processes, or of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Futex {
    /// Between processes: the kernel tells them by the page.
    Shared,
    /// Of this process: the kernel tells them by the address.
    Private,
}

/// Reads from a file into pages, once.
///
/// With a file that was opened with O_DIRECT the device writes to the pages.
///
/// # Errors
///
/// What pread returns; EFAULT also if one of the pages is a hole or read-only.
pub fn read(file: BorrowedFd<'_>, pages: &mut Pages) -> Result<usize> {
    let (start, len) = pages.writable()?;
    // SAFETY: The kernel writes into pages that are ours and writable, into which no
    // reference exists.
    let result = unsafe { libc::pread(file.as_raw_fd(), start, len, 0) };
    usize::try_from(result).map_err(|_| last_error())
}

/// Sends pages to a socket, with flags of `send`.
///
/// # Errors
///
/// What send returns; EFAULT also if one of the pages is a hole.
pub fn send(socket: BorrowedFd<'_>, pages: &Pages, flags: Send) -> Result<usize> {
    let (start, len) = pages.whole()?;
    let flags = match flags {
        Send::Copy => 0,
        Send::ZeroCopy => libc::MSG_ZEROCOPY,
    };
    // SAFETY: The kernel only reads, from pages that are ours.
    let result = unsafe { libc::send(socket.as_raw_fd(), start, len, flags) };
    usize::try_from(result).map_err(|_| last_error())
}

/// How to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// The kernel copies what is sent.
    Copy,
    /// The network sends from the pages (MSG_ZEROCOPY; the socket has SO_ZEROCOPY).
    ZeroCopy,
}

/// Has a socket accept [`Send::ZeroCopy`].
///
/// # Errors
///
/// What setsockopt returns: ENOTSUP for a kind of socket that has no such thing.
pub fn allow_zero_copy(socket: BorrowedFd<'_>) -> Result<()> {
    let on: libc::c_int = 1;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ZEROCOPY);
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    let value: *const libc::c_int = &raw const on;
    // SAFETY: The kernel reads an int.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.cast(), len) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

/// Registers pages as a buffer of a ring of io_uring's, which then goes.
///
/// # Errors
///
/// EOPNOTSUPP if there can be no ring here; else what io_uring_register returns.
pub fn register_with_io_uring(pages: &mut Pages) -> Result<()> {
    let (start, len) = pages.writable()?;
    let mut parameters = [0u64; IO_URING_PARAMS / size_of::<u64>()];
    let at: *mut u64 = parameters.as_mut_ptr();
    // SAFETY: The kernel reads and fills the structure, whose size this is.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, at) };
    let ring = i32::try_from(ring)
        .ok()
        .filter(|ring| *ring >= 0)
        .ok_or(Errno::OPNOTSUPP)?;
    // SAFETY: The kernel has just given us this descriptor.
    let ring = unsafe { OwnedFd::from_raw_fd(ring) };
    let buffer = libc::iovec {
        iov_base: start,
        iov_len: len,
    };
    let buffers: *const libc::iovec = &raw const buffer;
    let call = libc::SYS_io_uring_register;
    // SAFETY: The kernel reads one description of pages that are ours. No operation is ever
    // asked for, so nobody writes to them.
    match unsafe { libc::syscall(call, ring.as_raw_fd(), REGISTER_BUFFERS, buffers, 1) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

/// Waits, for no time, until the first word of the first page is no more what it is now.
///
/// # Errors
///
/// What futex returns: ETIMEDOUT if the kernel would have waited.
pub fn wait_for_futex(pages: &Pages, kind: Futex) -> Result<()> {
    let (start, _) = pages.whole()?;
    let word = pages.load(0, 0).ok_or(Errno::FAULT)?;
    // Its first half is the one that the kernel looks at.
    let mut first = [0; size_of::<u32>()];
    first.copy_from_slice(word.to_ne_bytes().first_chunk::<4>().ok_or(Errno::FAULT)?);
    let operation = match kind {
        Futex::Shared => libc::FUTEX_WAIT,
        Futex::Private => libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
    };
    let no_time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let time: *const libc::timespec = &raw const no_time;
    let value = u32::from_ne_bytes(first);
    // SAFETY: The kernel reads a word of a page that is ours, and a time.
    match unsafe { libc::syscall(libc::SYS_futex, start, operation, value, time) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

/// Reads the beginning of the pages as another process would that may debug this one.
///
/// # Errors
///
/// What process_vm_readv returns.
pub fn read_as_another_process(pages: &Pages) -> Result<usize> {
    let (start, _) = pages.whole()?;
    let mut word = [0u8; size_of::<u64>()];
    let (to, from) = (
        libc::iovec {
            iov_base: word.as_mut_ptr().cast(),
            iov_len: word.len(),
        },
        libc::iovec {
            iov_base: start,
            iov_len: word.len(),
        },
    );
    // SAFETY: Always allowed.
    let this = unsafe { libc::getpid() };
    // SAFETY: The kernel reads a page that is ours, and writes to `word`, which is as long.
    let result = unsafe { libc::process_vm_readv(this, &raw const to, 1, &raw const from, 1, 0) };
    usize::try_from(result).map_err(|_| last_error())
}

/// Pages that a pipe holds, so that the kernel cannot move them, until this goes.
#[derive(Debug)]
pub struct HeldPages<'p> {
    _pipes: Vec<(OwnedFd, OwnedFd)>,
    _memory: PhantomData<&'p [u8]>,
}

impl<'p> HeldPages<'p> {
    /// Holds the page in which each piece begins.
    ///
    /// # Errors
    ///
    /// What pipe and vmsplice return: EFAULT for memory without pages.
    pub fn hold(pieces: &[&'p [u8]]) -> Result<Self> {
        /// What a pipe takes, each from another page.
        const SLOTS: usize = 16;
        let mut pipes = Vec::new();
        for pieces in pieces.chunks(SLOTS) {
            let pipe = rustix::pipe::pipe()?;
            let bytes: Vec<_> = pieces
                .iter()
                .filter_map(|piece| piece.get(..1))
                .map(IoSliceRaw::from_slice)
                .collect();
            // SAFETY: The descriptor is the one for writing, so the memory is only read, by
            // whoever reads from the pipe: nobody.
            let held = unsafe { rustix::pipe::vmsplice(&pipe.1, &bytes, SpliceFlags::empty()) }?;
            if held != pieces.len() {
                return Err(Errno::INVAL);
            }
            pipes.push(pipe);
        }
        Ok(Self {
            _pipes: pipes,
            _memory: PhantomData,
        })
    }

    /// As [`Self::hold`], of the first page of a mapping.
    ///
    /// # Errors
    ///
    /// What vmsplice returns.
    pub fn hold_mapping(pages: &'p Pages) -> Result<Self> {
        let (start, _) = pages.whole()?;
        let pipe = rustix::pipe::pipe()?;
        let byte = libc::iovec {
            iov_base: start,
            iov_len: 1,
        };
        let what: *const libc::iovec = &raw const byte;
        // SAFETY: The descriptor is the one for writing, so a byte that is ours is only read.
        match unsafe { libc::vmsplice(pipe.1.as_raw_fd(), what, 1, 0) } {
            1 => Ok(Self {
                _pipes: vec![pipe],
                _memory: PhantomData,
            }),
            _ => Err(last_error()),
        }
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
