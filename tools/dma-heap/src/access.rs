// SPDX-License-Identifier: GPL-2.0

//! Mappings, and the brackets in which alone their memory can be touched.

use crate::error::Error;
use crate::sys::abi;
use crate::sys::ioctl;
use crate::sys::region::Region;
use crate::sys::region::WORD;
use rustix::io::Errno;
use std::cell::Cell;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

mod mode {
    /// Seals the modes and carries their `DMA_BUF_SYNC_*` flags.
    pub trait Mode {
        const FLAGS: u64;
    }
}

/// Mode of a bracket for reading.
#[derive(Debug)]
pub enum Read {}

/// Mode of a bracket for writing.
#[derive(Debug)]
pub enum Write {}

/// Mode of a bracket for reading and writing.
#[derive(Debug)]
pub enum ReadWrite {}

impl mode::Mode for Read {
    const FLAGS: u64 = abi::DMA_BUF_SYNC_READ;
}

impl mode::Mode for Write {
    const FLAGS: u64 = abi::DMA_BUF_SYNC_WRITE;
}

impl mode::Mode for ReadWrite {
    const FLAGS: u64 = abi::DMA_BUF_SYNC_READ | abi::DMA_BUF_SYNC_WRITE;
}

/// Modes that allow reading.
pub trait Readable: mode::Mode {}

impl Readable for Read {}
impl Readable for ReadWrite {}

/// Modes that allow writing.
pub trait Writable: mode::Mode {}

impl Writable for Write {}
impl Writable for ReadWrite {}

/// A piece of a buffer in this process's address space, unmapped on drop.
///
/// It gives no access by itself; see the crate's documentation.
#[derive(Debug)]
pub struct Mapping<'b> {
    dmabuf: BorrowedFd<'b>,
    region: Region,
    /// An end of a bracket that failed in a drop, for the next bracket to
    /// report.
    failed: Cell<Option<Errno>>,
}

impl<'b> Mapping<'b> {
    pub(crate) fn new(dmabuf: BorrowedFd<'b>, region: Region) -> Self {
        Self {
            dmabuf,
            region,
            failed: Cell::new(None),
        }
    }

    /// The address of the first byte, for a look at `/proc/self/smaps` or the
    /// like. A mapping of 2 MiB or more is placed so that the kernel can map
    /// large blocks whole (with pages of another size, it is another length).
    pub fn address(&self) -> usize {
        self.region.address()
    }

    /// Bytes mapped.
    #[expect(clippy::len_without_is_empty, reason = "no mapping is empty")]
    pub fn len(&self) -> usize {
        self.region.len()
    }

    /// Starts a bracket for reading.
    ///
    /// # Errors
    ///
    /// [`Error::Sync`] if it cannot be started, or if the bracket before it on
    /// this mapping was dropped and failed to end; [`Error::AccessMode`] if
    /// the buffer was allocated for writing only.
    pub fn read(&self) -> Result<ReadGuard<'_>, Error> {
        self.start()
    }

    /// Starts a bracket for writing.
    ///
    /// # Errors
    ///
    /// As [`Mapping::read`]; [`Error::AccessMode`] if the buffer was allocated
    /// for reading only.
    pub fn write(&mut self) -> Result<WriteGuard<'_>, Error> {
        self.start()
    }

    /// Starts a bracket for reading and writing.
    ///
    /// # Errors
    ///
    /// As [`Mapping::read`] and [`Mapping::write`].
    pub fn read_write(&mut self) -> Result<ReadWriteGuard<'_>, Error> {
        self.start()
    }

    fn start<M: mode::Mode>(&self) -> Result<CpuAccess<'_, M>, Error> {
        let reads = M::FLAGS & abi::DMA_BUF_SYNC_READ != 0;
        let writes = M::FLAGS & abi::DMA_BUF_SYNC_WRITE != 0;
        if (reads && !self.region.readable()) || (writes && !self.region.writable()) {
            return Err(Error::AccessMode {
                write: writes && !self.region.writable(),
            });
        }
        if let Some(errno) = self.failed.take() {
            return Err(Error::Sync { end: true, errno });
        }
        sync(self.dmabuf, M::FLAGS | abi::DMA_BUF_SYNC_START)
            .map_err(|errno| Error::Sync { end: false, errno })?;
        Ok(CpuAccess {
            mapping: Some(self),
            mode: PhantomData,
        })
    }
}

/// One `DMA_BUF_IOCTL_SYNC`, repeated as the ABI asks when a signal or a busy
/// fence got in the way.
fn sync(dmabuf: BorrowedFd<'_>, flags: u64) -> Result<(), Errno> {
    loop {
        match ioctl::sync(dmabuf, flags) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            result => return result,
        }
    }
}

/// Access in a bracket for reading.
pub type ReadGuard<'m> = CpuAccess<'m, Read>;
/// Access in a bracket for writing.
pub type WriteGuard<'m> = CpuAccess<'m, Write>;
/// Access in a bracket for reading and writing.
pub type ReadWriteGuard<'m> = CpuAccess<'m, ReadWrite>;

/// CPU access to a mapping, from the start of a bracket to its end.
///
/// Devices and other processes may write the memory meanwhile, so it is copied
/// in and out and never lent as a slice. Words are native-endian and 8 bytes
/// long; a mapping is always whole words.
///
/// Dropping the guard ends the bracket. An error of that is kept and returned
/// by the next bracket on the same mapping; [`CpuAccess::finish`] returns it
/// at once.
#[derive(Debug)]
#[must_use = "the bracket ends when the guard is dropped"]
pub struct CpuAccess<'m, M: mode::Mode> {
    /// `None` once the bracket has ended.
    mapping: Option<&'m Mapping<'m>>,
    mode: PhantomData<M>,
}

impl<'m, M: mode::Mode> CpuAccess<'m, M> {
    /// Ends the bracket.
    ///
    /// # Errors
    ///
    /// [`Error::Sync`].
    pub fn finish(mut self) -> Result<(), Error> {
        self.end().map_err(|errno| Error::Sync { end: true, errno })
    }

    fn end(&mut self) -> Result<(), Errno> {
        match self.mapping.take() {
            Some(mapping) => sync(mapping.dmabuf, M::FLAGS | abi::DMA_BUF_SYNC_END),
            None => Ok(()),
        }
    }

    fn region(&self) -> Option<&'m Region> {
        self.mapping.map(|mapping| &mapping.region)
    }

    fn outside(&self, offset: usize, len: usize) -> Error {
        Error::OutOfBounds {
            offset,
            len,
            size: self.region().map_or(0, Region::len),
        }
    }
}

impl<M: Readable> CpuAccess<'_, M> {
    /// The word at `index`, counted in words.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`].
    pub fn word(&self, index: usize) -> Result<u64, Error> {
        self.region()
            .and_then(|region| region.load(index))
            .ok_or_else(|| self.outside(index.saturating_mul(WORD), WORD))
    }

    /// The first word, by index, for which `wanted` is not equal to what is
    /// there: its index and what is there.
    pub fn find_mismatch(&self, wanted: impl Fn(usize) -> u64) -> Option<(usize, u64)> {
        let mut found = None;
        if let Some(region) = self.region() {
            region.load_while(|index, word| {
                if word != wanted(index) {
                    found = Some((index, word));
                }
                found.is_none()
            });
        }
        found
    }

    /// Whether every byte of the mapping is zero.
    pub fn is_zero(&self) -> bool {
        // Readable by its type, so there is an answer.
        self.region().and_then(Region::is_zero).unwrap_or(false)
    }

    /// Copies bytes out, from byte `offset` of the mapping on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`]; nothing is copied then.
    pub fn copy_to_slice(&self, offset: usize, to: &mut [u8]) -> Result<(), Error> {
        let len = to.len();
        self.region()
            .and_then(|region| region.copy_out(offset, to))
            .ok_or_else(|| self.outside(offset, len))
    }
}

impl<M: Writable> CpuAccess<'_, M> {
    /// Stores a word at `index`, counted in words.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`].
    pub fn set_word(&self, index: usize, value: u64) -> Result<(), Error> {
        self.region()
            .and_then(|region| region.store(index, value))
            .ok_or_else(|| self.outside(index.saturating_mul(WORD), WORD))
    }

    /// Stores `value` in every word of the mapping.
    pub fn fill(&self, value: u64) {
        if let Some(region) = self.region() {
            // Writable by its type.
            let _ = region.fill(value);
        }
    }

    /// Stores `value(index)` in every word of the mapping.
    pub fn fill_with(&self, value: impl FnMut(usize) -> u64) {
        if let Some(region) = self.region() {
            region.store_all(value);
        }
    }

    /// Copies bytes in, from byte `offset` of the mapping on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`]; nothing is copied then.
    pub fn copy_from_slice(&self, offset: usize, from: &[u8]) -> Result<(), Error> {
        self.region()
            .and_then(|region| region.copy_in(offset, from))
            .ok_or_else(|| self.outside(offset, from.len()))
    }
}

impl<M: mode::Mode> Drop for CpuAccess<'_, M> {
    fn drop(&mut self) {
        let mapping = self.mapping;
        if let (Err(errno), Some(mapping)) = (self.end(), mapping) {
            mapping.failed.set(Some(errno));
        }
    }
}
