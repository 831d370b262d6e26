// SPDX-License-Identifier: GPL-2.0

//! A dma-buf owned by this process.

use crate::access::Mapping;
use crate::error::Error;
use crate::heap::AllocOptions;
use crate::sys::ioctl;
use crate::sys::region::Region;
use rustix::fs::OFlags;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use rustix::mm::MapFlags;
use rustix::mm::ProtFlags;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::PidfdGetfdFlags;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

/// The file system of dma-bufs, in statfs.
const DMA_BUF_MAGIC: u64 = 0x444d_4142;

/// Whether a descriptor is that of a dma-buf.
pub(crate) fn is_dma_buf(fd: BorrowedFd<'_>) -> bool {
    // The type of the number differs between architectures.
    rustix::fs::fstatfs(fd).is_ok_and(|it| u64::try_from(it.f_type) == Ok(DMA_BUF_MAGIC))
}

/// A buffer from a heap: its file descriptor, closed on drop.
///
/// The memory is free when the last descriptor, mapping and device
/// attachment, in whatever process, is gone.
#[derive(Debug)]
pub struct Buffer {
    fd: OwnedFd,
    len: u64,
    read: bool,
    write: bool,
}

impl Buffer {
    /// Takes a dma-buf that came from elsewhere, another process for example.
    ///
    /// # Errors
    ///
    /// [`Error::NotADmaBuf`] if the descriptor is of another kind,
    /// [`Error::Examine`] if it cannot be examined.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let fail = |errno| Error::Examine { errno };
        if !is_dma_buf(fd.as_fd()) {
            return Err(Error::NotADmaBuf);
        }
        let mode = rustix::fs::fcntl_getfl(&fd).map_err(fail)? & OFlags::ACCMODE;
        Ok(Self {
            len: rustix::fs::seek(&fd, SeekFrom::End(0)).map_err(fail)?,
            fd,
            read: mode != OFlags::WRONLY,
            write: mode != OFlags::RDONLY,
        })
    }

    /// Takes descriptor `fd` of the process `pid`, this one perhaps, as one of
    /// our own; that process keeps its own. Needs the right to trace it.
    ///
    /// # Errors
    ///
    /// [`Error::Take`] if there is no such process or descriptor, or the caller
    /// may not, and those of [`Buffer::from_fd`].
    pub fn of_process(pid: u32, fd: u32) -> Result<Self, Error> {
        let fail = |errno| Error::Take { pid, fd, errno };
        let process = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| fail(Errno::SRCH))?;
        let number = i32::try_from(fd).map_err(|_| fail(Errno::BADF))?;
        let process = rustix::process::pidfd_open(process, PidfdFlags::empty()).map_err(fail)?;
        let taken = rustix::process::pidfd_getfd(process, number, PidfdGetfdFlags::empty())
            .map_err(fail)?;
        Self::from_fd(taken)
    }

    /// Another descriptor of the same buffer, closed by execve.
    ///
    /// # Errors
    ///
    /// [`Error::Examine`].
    pub fn try_clone(&self) -> Result<Self, Error> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)
            .map_err(|errno| Error::Examine { errno })?;
        Ok(Self { fd, ..*self })
    }

    pub(crate) fn from_alloc(fd: OwnedFd, options: AllocOptions) -> Result<Self, Error> {
        let len =
            rustix::fs::seek(&fd, SeekFrom::End(0)).map_err(|errno| Error::Examine { errno })?;
        Ok(Self {
            fd,
            len,
            read: options.read || !options.write,
            write: options.write,
        })
    }

    /// Bytes of the buffer, whole pages, as the kernel says.
    #[expect(clippy::len_without_is_empty, reason = "no buffer is empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The inode number: the same for every descriptor of this buffer, in
    /// every process, and the one that debugfs and fdinfo show.
    ///
    /// # Errors
    ///
    /// [`Error::Examine`].
    pub fn inode(&self) -> Result<u64, Error> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| Error::Examine { errno })?;
        Ok(stat.st_ino)
    }

    /// Names the buffer for debugfs, fdinfo and whoever hunts a leak.
    ///
    /// # Errors
    ///
    /// [`Error::SetName`] if the name has more than 31 bytes or a NUL in it.
    pub fn set_name(&self, name: &str) -> Result<(), Error> {
        let fail = |errno| Error::SetName {
            name: name.to_owned(),
            errno,
        };
        let text = CString::new(name).map_err(|_| fail(Errno::INVAL))?;
        ioctl::set_name(self.fd.as_fd(), &text).map_err(fail)
    }

    /// Maps the whole buffer, with the access that its descriptor allows.
    ///
    /// # Errors
    ///
    /// [`Error::Map`].
    pub fn map(&self) -> Result<Mapping<'_>, Error> {
        self.map_range(0, self.len)
    }

    /// Maps `len` bytes from `offset` on; both in whole pages.
    ///
    /// # Errors
    ///
    /// [`Error::Map`], also if a 32-bit process has no room for the range.
    pub fn map_range(&self, offset: u64, len: u64) -> Result<Mapping<'_>, Error> {
        let fail = |errno| Error::Map { offset, len, errno };
        let mut prot = ProtFlags::empty();
        prot.set(ProtFlags::READ, self.read);
        prot.set(ProtFlags::WRITE, self.write);
        let bytes = usize::try_from(len).map_err(|_| fail(Errno::OVERFLOW))?;
        let region =
            Region::new(self.fd.as_fd(), offset, bytes, prot, MapFlags::SHARED).map_err(fail)?;
        Ok(Mapping::new(self.fd.as_fd(), region))
    }
}

impl AsFd for Buffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Buffer> for OwnedFd {
    fn from(buffer: Buffer) -> Self {
        buffer.fd
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn only_buffers_of_processes_are_taken() -> std::io::Result<()> {
        let take = |pid, fd| Buffer::of_process(pid, fd).map(drop);
        let own = std::process::id();
        let null = std::fs::File::open("/dev/null")?;
        let number = u32::try_from(null.as_raw_fd()).unwrap_or(u32::MAX);
        assert!(matches!(take(own, number), Err(Error::NotADmaBuf)));
        drop(null);
        for (pid, fd, wanted) in [
            (own, u32::MAX, Errno::BADF),
            (own, 1 << 30, Errno::BADF),
            (0, 0, Errno::SRCH),
            (u32::MAX, 0, Errno::SRCH),
        ] {
            let result = take(pid, fd);
            assert!(
                matches!(result, Err(Error::Take { errno, .. }) if errno == wanted),
                "{pid}:{fd} gave {result:?}"
            );
        }
        Ok(())
    }
}
