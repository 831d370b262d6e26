// SPDX-License-Identifier: GPL-2.0

//! For tests: a mapping that may be taken to pieces, page by page.
//!
//! It stands on its own: the descriptor it was made with may be closed. There
//! are no brackets here, so it must not be used while a device works on the
//! buffer.

use rustix::io::Errno;
use rustix::io::Result;
use rustix::mm::Advice;
use rustix::mm::MapFlags;
use rustix::mm::MprotectFlags;
use rustix::mm::MremapFlags;
use rustix::mm::ProtFlags;
use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Hole,
    ReadOnly,
    ReadWrite,
}

/// Consecutive pages of address space, each mapped or not.
///
/// # Invariants
///
/// - `base` is page-aligned, and from there on each element of `pages` stands
///   for one page.
/// - A page that is no hole is mapped, belongs to this value alone, and may be
///   read, and written if `ReadWrite`. Of a hole nothing is known.
#[derive(Debug)]
pub struct Pages {
    base: NonNull<u8>,
    pages: Vec<Page>,
}

impl Pages {
    /// Maps `count` pages of a dma-buf from page `first` on, shared.
    ///
    /// # Errors
    ///
    /// What mmap returns.
    pub fn map(dmabuf: BorrowedFd<'_>, first: usize, count: usize, write: bool) -> Result<Self> {
        let hint = std::ptr::null_mut();
        let (len, offset) = (bytes(count)?, bytes(first)? as u64);
        let (prot, flags) = (prot(write), MapFlags::SHARED);
        // SAFETY: Without MAP_FIXED and with a null hint, the kernel chooses
        // an unused range, so no memory known to Rust changes.
        let base = unsafe { rustix::mm::mmap(hint, len, prot, flags, dmabuf, offset) }?;
        // INVARIANT: `mmap` has just given us these pages with these rights.
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(Errno::NOMEM)?,
            pages: vec![page(write); count],
        })
    }

    /// Maps as [`Self::map`], at an address that is `offset` pages above a
    /// multiple of `alignment` bytes.
    ///
    /// # Errors
    ///
    /// What mmap returns; EINVAL if `alignment` is no power of two of whole
    /// pages.
    pub fn map_aligned(
        dmabuf: BorrowedFd<'_>,
        count: usize,
        write: bool,
        alignment: usize,
        offset: usize,
    ) -> Result<Self> {
        if !alignment.is_power_of_two() || alignment < rustix::param::page_size() {
            return Err(Errno::INVAL);
        }
        let (len, skip) = (bytes(count)?, bytes(offset)?);
        let room = len
            .checked_add(skip)
            .and_then(|sum| sum.checked_add(alignment))
            .ok_or(Errno::OVERFLOW)?;
        let hint = std::ptr::null_mut();
        // SAFETY: With a null hint and no MAP_FIXED the kernel chooses an
        // unused range.
        let place = unsafe {
            rustix::mm::mmap_anonymous(hint, room, ProtFlags::empty(), MapFlags::PRIVATE)
        }?;
        let before = place.addr().next_multiple_of(alignment) - place.addr() + skip;
        // SAFETY: Less than `alignment + skip` bytes into the range.
        let start = unsafe { place.byte_add(before) };
        // SAFETY: At most `room` bytes into the range.
        let end = unsafe { start.byte_add(len) };
        // SAFETY: The range is ours, and no reference into it exists.
        let mapped = unsafe {
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            rustix::mm::mmap(start, len, prot(write), flags, dmabuf, 0)
        };
        // What lies around it goes, and all of it if there is no mapping.
        let rest = match mapped {
            Ok(_) => [(place, before), (end, room - before - len)],
            Err(_) => [(place, room), (end, 0)],
        };
        for (place, len) in rest {
            if len > 0 {
                // SAFETY: The pages are ours, and no reference into them exists.
                unsafe { rustix::mm::munmap(place, len) }?;
            }
        }
        // INVARIANT: `mmap` has just given us these pages with these rights.
        Ok(Self {
            base: NonNull::new(mapped?.cast()).ok_or(Errno::NOMEM)?,
            pages: vec![page(write); count],
        })
    }

    /// The address of the first page.
    pub fn address(&self) -> usize {
        self.base.as_ptr().addr()
    }

    /// Where pages begin and how many bytes they are.
    fn span(&self, range: &Range<usize>) -> Result<(*mut c_void, usize)> {
        if range.is_empty() || range.end > self.pages.len() {
            return Err(Errno::INVAL);
        }
        // SAFETY: `range.start` pages from `base` on are still pages of ours.
        let start = unsafe { self.base.add(bytes(range.start)?) };
        Ok((start.as_ptr().cast(), bytes(range.len())?))
    }

    /// As `span`, if none of the pages is a hole: what happens to an address
    /// that is not ours is not for us to decide.
    fn own_span(&self, range: &Range<usize>) -> Result<(*mut c_void, usize)> {
        let span = self.span(range)?;
        match self.pages.get(range.clone()) {
            Some(pages) if !pages.contains(&Page::Hole) => Ok(span),
            _ => Err(Errno::FAULT),
        }
    }

    /// Where all pages begin and how many bytes they are.
    pub(super) fn whole(&self) -> Result<(*mut c_void, usize)> {
        self.own_span(&(0..self.pages.len()))
    }

    /// The same, if the kernel may write to all of them.
    pub(super) fn writable(&mut self) -> Result<(*mut c_void, usize)> {
        match self.pages.iter().all(|page| *page == Page::ReadWrite) {
            true => self.whole(),
            false => Err(Errno::FAULT),
        }
    }

    fn mark(&mut self, range: Range<usize>, mark: Page) {
        if let Some(pages) = self.pages.get_mut(range) {
            pages.fill(mark);
        }
    }

    /// Unmaps pages.
    ///
    /// # Errors
    ///
    /// What munmap returns; EFAULT if one is a hole already.
    pub fn unmap(&mut self, range: Range<usize>) -> Result<()> {
        let (start, len) = self.own_span(&range)?;
        // INVARIANT: Holes now, whatever comes of it.
        self.mark(range, Page::Hole);
        // SAFETY: The pages are ours, and no reference into them exists.
        unsafe { rustix::mm::munmap(start, len) }
    }

    /// Makes pages writable, or read-only.
    ///
    /// # Errors
    ///
    /// What mprotect returns; EFAULT if one is a hole.
    pub fn protect(&mut self, range: Range<usize>, write: bool) -> Result<()> {
        let (start, len) = self.own_span(&range)?;
        let mut flags = MprotectFlags::READ;
        flags.set(MprotectFlags::WRITE, write);
        // SAFETY: The pages are ours, and no reference into them exists.
        unsafe { rustix::mm::mprotect(start, len, flags) }?;
        // INVARIANT: The rights were just changed to these.
        self.mark(range, page(write));
        Ok(())
    }

    /// Puts pages of a dma-buf, from its page `first` on, in the place of
    /// pages here (MAP_FIXED).
    ///
    /// # Errors
    ///
    /// What mmap returns; EFAULT if one is a hole.
    pub fn replace(
        &mut self,
        range: Range<usize>,
        dmabuf: BorrowedFd<'_>,
        first: usize,
    ) -> Result<()> {
        let (start, len) = self.own_span(&range)?;
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        let offset = bytes(first)? as u64;
        // A mapping that is refused may have unmapped the old one.
        self.mark(range.clone(), Page::Hole);
        // SAFETY: The pages replaced are ours, and no reference into them
        // exists.
        unsafe { rustix::mm::mmap(start, len, prot(true), flags, dmabuf, offset) }?;
        // INVARIANT: They were just mapped so.
        self.mark(range, Page::ReadWrite);
        Ok(())
    }

    /// Moves all pages to other addresses (MREMAP_FIXED).
    ///
    /// # Errors
    ///
    /// What mremap returns; EFAULT if there is a hole.
    pub fn relocate(&mut self) -> Result<()> {
        let (start, len) = self.own_span(&(0..self.pages.len()))?;
        let hint = std::ptr::null_mut();
        // SAFETY: With a null hint and no MAP_FIXED the kernel chooses an
        // unused range.
        let place = unsafe {
            rustix::mm::mmap_anonymous(hint, len, ProtFlags::empty(), MapFlags::PRIVATE)
        }?;
        // SAFETY: Both ranges are ours, and no reference into them exists.
        let moved =
            unsafe { rustix::mm::mremap_fixed(start, len, len, MremapFlags::MAYMOVE, place) };
        match moved {
            Ok(base) => {
                // INVARIANT: The pages are there now, with their rights.
                self.base = NonNull::new(base.cast()).ok_or(Errno::FAULT)?;
                Ok(())
            }
            Err(errno) => {
                // SAFETY: The new range is still ours, or nobody's.
                let unmapped = unsafe { rustix::mm::munmap(place, len) };
                debug_assert!(unmapped.is_ok());
                Err(errno)
            }
        }
    }

    /// Changes the number of pages, where they are or elsewhere.
    ///
    /// # Errors
    ///
    /// What mremap returns; EFAULT also if there is a hole.
    pub fn resize(&mut self, count: usize) -> Result<()> {
        let (start, len) = self.own_span(&(0..self.pages.len()))?;
        let (new_len, flags) = (bytes(count)?, MremapFlags::MAYMOVE);
        // SAFETY: The pages are ours, and no reference into them exists.
        let base = unsafe { rustix::mm::mremap(start, len, new_len, flags) }?;
        // INVARIANT: This is where they are now. Of pages that are new it is
        // only known that they are not to be touched.
        self.base = NonNull::new(base.cast()).ok_or(Errno::FAULT)?;
        self.pages.resize(count, Page::Hole);
        Ok(())
    }

    /// Advises the kernel.
    ///
    /// # Errors
    ///
    /// What madvise returns; EFAULT if one of the pages is a hole; ENOTSUP for
    /// MADV_DONTFORK, after which a child's copy of this value would be wrong.
    pub fn advise(&self, range: Range<usize>, advice: Advice) -> Result<()> {
        if advice == Advice::LinuxDontFork {
            return Err(Errno::NOTSUP);
        }
        let (start, len) = self.own_span(&range)?;
        // SAFETY: The pages are ours, and no reference into them exists.
        // Whatever the advice does to their contents, any contents are valid.
        unsafe { rustix::mm::madvise(start, len, advice) }
    }

    /// Has the kernel read from a file into pages, to their ends: so it writes
    /// them in this process's place.
    ///
    /// # Errors
    ///
    /// What read returns; EFAULT if one of the pages is a hole or read-only;
    /// IO at the end of the file.
    pub fn read_file(&mut self, range: Range<usize>, file: BorrowedFd<'_>) -> Result<()> {
        let (start, len) = self.own_span(&range)?;
        match self.pages.get(range) {
            Some(pages) if pages.iter().all(|page| *page == Page::ReadWrite) => {}
            _ => return Err(Errno::FAULT),
        }
        let mut done = 0;
        while done < len {
            // SAFETY: `done` is less than the pages' length.
            let to = unsafe { start.byte_add(done) };
            // SAFETY: The kernel writes at most up to the end of pages that
            // are ours and writable, into which no reference exists.
            let read = unsafe { libc::read(file.as_raw_fd(), to, len - done) };
            match usize::try_from(read) {
                Ok(0) => return Err(Errno::IO),
                Ok(read) => done += read,
                Err(_) => match Errno::from_io_error(&std::io::Error::last_os_error()) {
                    Some(Errno::INTR) => {}
                    errno => return Err(errno.unwrap_or(Errno::IO)),
                },
            }
        }
        Ok(())
    }

    /// The pages for several threads at a time.
    pub fn share(&mut self) -> Shared<'_> {
        // INVARIANT: The pages are lent mutably.
        Shared(self)
    }

    /// Pointer to a word of a page.
    fn word(&self, page: usize, index: usize) -> Option<(*mut u64, Page)> {
        let size = rustix::param::page_size();
        let state = *self.pages.get(page)?;
        if state == Page::Hole || index >= size / size_of::<u64>() {
            return None;
        }
        let offset = page * size + index * size_of::<u64>();
        // SAFETY: By the checks it is inside of the pages.
        Some((unsafe { self.base.add(offset) }.as_ptr().cast(), state))
    }

    /// The word at `index` of a page. `None` if the page is a hole or the word
    /// outside.
    pub fn load(&self, page: usize, index: usize) -> Option<u64> {
        let (word, _) = self.word(page, index)?;
        // SAFETY: By the invariants it is mapped and may be read; it is
        // aligned because pages are.
        Some(unsafe { word.read_volatile() })
    }

    /// Stores a word at `index` of a page. `None` if the page is a hole or
    /// read-only or the word outside.
    pub fn store(&mut self, page: usize, index: usize, value: u64) -> Option<()> {
        let (word, state) = self.word(page, index)?;
        if state != Page::ReadWrite {
            return None;
        }
        // SAFETY: By the invariants it is mapped and may be written; it is
        // aligned because pages are.
        unsafe { word.write_volatile(value) };
        Some(())
    }
}

/// [`Pages`] in the hands of several threads.
///
/// # Invariants
///
/// Nobody else has the pages, and every access is atomic.
#[derive(Debug)]
pub struct Shared<'p>(&'p mut Pages);

// SAFETY: A mapping belongs to the process, not to a thread, and by the
// invariant every access through `&Shared` is atomic.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    /// The word at `index` of a page. `None` if the page is a hole or the word
    /// outside.
    pub fn load(&self, page: usize, index: usize) -> Option<u64> {
        let (word, _) = self.0.word(page, index)?;
        // SAFETY: By the invariants of `Pages` it is mapped, may be read and is
        // aligned, and only accessed atomically while it is shared.
        Some(unsafe { AtomicU64::from_ptr(word) }.load(Relaxed))
    }

    /// Stores a word at `index` of a page. `None` if the page is a hole or
    /// read-only or the word outside.
    pub fn store(&self, page: usize, index: usize, value: u64) -> Option<()> {
        let (word, state) = self.0.word(page, index)?;
        if state != Page::ReadWrite {
            return None;
        }
        // SAFETY: As in `load`, and it may be written.
        unsafe { AtomicU64::from_ptr(word) }.store(value, Relaxed);
        Some(())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let mut first = 0;
        while let Some(page) = self.pages.get(first).copied() {
            let rest = self.pages.get(first..).unwrap_or(&[]);
            let same = rest
                .iter()
                .take_while(|other| (**other == Page::Hole) == (page == Page::Hole));
            let end = first + same.count();
            if page != Page::Hole {
                let unmapped = self.unmap(first..end);
                debug_assert!(unmapped.is_ok());
            }
            first = end;
        }
    }
}

fn bytes(pages: usize) -> Result<usize> {
    pages
        .checked_mul(rustix::param::page_size())
        .ok_or(Errno::OVERFLOW)
}

fn prot(write: bool) -> ProtFlags {
    let mut prot = ProtFlags::READ;
    prot.set(ProtFlags::WRITE, write);
    prot
}

fn page(write: bool) -> Page {
    if write {
        Page::ReadWrite
    } else {
        Page::ReadOnly
    }
}
