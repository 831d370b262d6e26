// SPDX-License-Identifier: GPL-2.0

//! A range of addresses to do anything with.
//!
//! Nothing of Rust's lies in it, so the kernel may be told to read, write, map
//! and unmap there at will. Every page of it is always mapped, if only without
//! access, so that nothing else in the process comes to lie in a hole: what a
//! call unmaps is reserved again at once. In between nobody else may map
//! memory, so a process that has an arena allocates in one thread only.

use super::check;
use rustix::io::Errno;
use rustix::io::Result;
use std::ffi::c_int;
use std::ffi::c_void;
use std::ptr::NonNull;

/// Places for mappings.
pub(crate) const MAPS: usize = 12;
/// Bytes of each.
pub(crate) const MAP: usize = 8 << 20;
/// Threads that have memory for arguments.
pub(crate) const HANDS: usize = 2;
/// Bytes of that, for each.
pub(crate) const SCRATCH: usize = 128 << 10;
/// Bytes without access behind each, and the most that a call reads or writes.
pub(crate) const GUARD: usize = 64 << 10;

const HAND: usize = SCRATCH + GUARD;
const READ_ONLY: usize = MAPS * MAP + HANDS * HAND;
const LEN: usize = READ_ONLY + 2 * GUARD;

/// Where an argument lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Ordinary memory, at a byte of the hand's own.
    Scratch(usize),
    /// The same, such that only so many bytes of it can be reached.
    CutShort(usize),
    /// Memory that cannot be written.
    ReadOnly,
    /// Addresses without access.
    Guard,
    /// Address 0.
    Null,
    /// An address of the kernel's.
    Kernel,
    /// An address that the processor does not have.
    NonCanonical,
    /// In a place for mappings, whatever is there.
    Map(usize, usize),
}

/// An address that the kernel may be told to use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address(usize);

impl Address {
    /// As a number in an argument.
    pub(crate) fn word(self) -> u64 {
        self.0 as u64
    }
}

/// Whole pages of a place for mappings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    offset: usize,
    len: usize,
}

impl Span {
    /// `len` bytes from `offset` on of place `map`, cut to it and to whole pages,
    /// at least one.
    pub(crate) fn new(map: usize, offset: usize, len: usize) -> Self {
        let page = rustix::param::page_size();
        let offset = (offset % MAP) / page * page;
        let len = len.clamp(1, MAP - offset).next_multiple_of(page);
        Self {
            offset: map % MAPS * MAP + offset,
            len: len.min(MAP - offset),
        }
    }

    pub(crate) fn len(self) -> usize {
        self.len
    }
}

/// What a child does in its copy of the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Touch {
    /// Loads a word.
    Load(usize, usize),
    /// Stores a word.
    Store(usize, usize),
    /// Unmaps.
    Unmap(Span),
}

/// # Invariants
///
/// `base` and [`LEN`] bytes from it on belong to this value. Each page is
/// mapped; the scratch memory of each hand is anonymous and can be read and
/// written.
pub(crate) struct Arena {
    base: NonNull<u8>,
}

// SAFETY: The range belongs to the process, not to a thread.
unsafe impl Send for Arena {}
// SAFETY: What is in the range is reached through the kernel, or, in the
// scratch memory, by volatile accesses.
unsafe impl Sync for Arena {}

impl Arena {
    /// With `constant` in the memory that cannot be written.
    pub(crate) fn new(constant: &[u8]) -> Result<Self> {
        // Aligned to a place, so that the kernel can use large entries.
        let range = reserve(std::ptr::null_mut(), LEN + MAP, 0)?;
        let base = range.map_addr(|address| address.next_multiple_of(MAP));
        // INVARIANT: Mapped by `reserve`, and nobody else knows of it.
        let arena = Self {
            base: NonNull::new(base.cast()).ok_or(Errno::NOMEM)?,
        };
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        for hand in 0..HANDS {
            arena.protect_raw(Self::scratch_offset(hand), SCRATCH, writable)?;
        }
        arena.protect_raw(READ_ONLY, GUARD, writable)?;
        for (index, byte) in (READ_ONLY..READ_ONLY + GUARD).zip(constant) {
            // SAFETY: It was just made writable.
            unsafe { arena.at(index).cast::<u8>().write_volatile(*byte) };
        }
        arena.protect_raw(READ_ONLY, GUARD, libc::PROT_READ)?;
        Ok(arena)
    }

    fn scratch_offset(hand: usize) -> usize {
        MAPS * MAP + hand % HANDS * HAND
    }

    /// The address of byte `offset`.
    fn at(&self, offset: usize) -> *mut c_void {
        debug_assert!(offset <= LEN);
        // SAFETY: By the invariants it is inside, or at the end.
        unsafe { self.base.add(offset.min(LEN)) }.as_ptr().cast()
    }

    fn protect_raw(&self, offset: usize, len: usize, prot: c_int) -> Result<()> {
        // SAFETY: The range is the arena's, in which no object is.
        check(unsafe { libc::mprotect(self.at(offset), len, prot) }.into()).map(drop)
    }

    /// The address of a place, for an argument of `len` bytes of `hand`.
    pub(crate) fn address(&self, hand: usize, place: Place, len: usize) -> Address {
        let start = Self::scratch_offset(hand);
        Address(match place {
            Place::Scratch(offset) => self.at(start + offset.min(SCRATCH / 2)).addr(),
            Place::CutShort(reach) => {
                let reach = reach.min(len);
                self.at(start + SCRATCH - reach).addr()
            }
            Place::ReadOnly => self.at(READ_ONLY).addr(),
            Place::Guard => self.at(start + SCRATCH).addr(),
            Place::Null => 0,
            Place::Kernel => usize::MAX - 0xfff_ffff,
            Place::NonCanonical => usize::MAX / 4 + 8,
            Place::Map(map, offset) => self.at(map % MAPS * MAP + offset % MAP).addr(),
        })
    }

    /// Puts an argument at a place that can be written, else does nothing.
    pub(crate) fn put(&self, hand: usize, place: Place, bytes: &[u8]) {
        let offset = match place {
            Place::Scratch(offset) => offset.min(SCRATCH / 2),
            Place::CutShort(reach) => SCRATCH - reach.min(bytes.len()),
            _ => return,
        };
        for (index, byte) in (offset..SCRATCH).zip(bytes) {
            let to: *mut u8 = self.at(Self::scratch_offset(hand) + index).cast();
            // SAFETY: By the invariants, scratch memory can be written.
            unsafe { to.write_volatile(*byte) };
        }
    }

    /// Copies an argument out of scratch memory.
    pub(crate) fn get(&self, hand: usize, offset: usize, bytes: &mut [u8]) {
        for (index, byte) in (offset..SCRATCH).zip(bytes) {
            let from: *const u8 = self.at(Self::scratch_offset(hand) + index).cast();
            // SAFETY: By the invariants, scratch memory can be read.
            *byte = unsafe { from.read_volatile() };
        }
    }

    /// An ioctl. `number` must be that of a heap, a dma-buf, the test importer
    /// or a file that makes no use of memory beyond the argument.
    pub(crate) fn ioctl(&self, number: c_int, command: u32, argument: Address) -> Result<i64> {
        let argument = argument.0 as *mut c_void;
        // SAFETY: The kernel writes to the argument, which lies in the arena or
        // where nothing is, and no further than the guard behind it.
        check(unsafe { libc::ioctl(number, command as _, argument) }.into())
    }

    /// read() to an address of the arena.
    pub(crate) fn read(&self, number: c_int, to: Address, len: usize) -> Result<i64> {
        // SAFETY: As for `ioctl`.
        check(unsafe { libc::read(number, to.0 as *mut c_void, len.min(GUARD)) } as i64)
    }

    /// write() from an address of the arena.
    pub(crate) fn write(&self, number: c_int, from: Address, len: usize) -> Result<i64> {
        // SAFETY: Memory is only read.
        check(unsafe { libc::write(number, from.0 as *const c_void, len.min(GUARD)) } as i64)
    }

    /// vmsplice() from an address of the arena: the pipe gets the pages.
    pub(crate) fn splice_to(&self, number: c_int, from: Address, len: usize) -> Result<i64> {
        let vector = libc::iovec {
            iov_base: from.0 as *mut c_void,
            iov_len: len.min(GUARD),
        };
        let flags = libc::SPLICE_F_NONBLOCK;
        // SAFETY: Memory is only read. What of it the pipe holds is read from
        // there by nobody who relies on it.
        let result = unsafe { libc::vmsplice(number, &raw const vector, 1, flags) };
        check(result as i64)
    }

    /// Maps a file in a span, in the place of what was.
    pub(crate) fn map(
        &self,
        span: Span,
        prot: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> Result<()> {
        let address = self.at(span.offset);
        let flags = flags | libc::MAP_FIXED;
        // SAFETY: The range is the arena's, in which no object is.
        let mapped =
            unsafe { libc::mmap(address, span.len, prot, flags, fd, offset as libc::off_t) };
        if mapped == libc::MAP_FAILED {
            let error = check(-1);
            self.fill_hole(span);
            return error.map(drop);
        }
        Ok(())
    }

    pub(crate) fn unmap(&self, span: Span) -> Result<()> {
        // SAFETY: The range is the arena's, in which no object is.
        let result = check(unsafe { libc::munmap(self.at(span.offset), span.len) }.into());
        self.fill_hole(span);
        result.map(drop)
    }

    /// Moves what is mapped in `from` to `to`, or leaves it there, with another
    /// length.
    pub(crate) fn remap(&self, from: Span, len: usize, flags: c_int, to: Span) -> Result<()> {
        let len = len.clamp(1, to.len);
        let flags = flags | libc::MREMAP_FIXED | libc::MREMAP_MAYMOVE;
        let (old, new) = (self.at(from.offset), self.at(to.offset));
        // SAFETY: Both ranges are the arena's, in which no object is.
        let moved = unsafe { libc::mremap(old, from.len, len, flags, new) };
        let result = if moved == libc::MAP_FAILED {
            check(-1).map(drop)
        } else {
            Ok(())
        };
        // Which of it has become a hole depends on how far the call came.
        let page = rustix::param::page_size();
        let len = len.next_multiple_of(page);
        self.fill_hole(from);
        if from.len > len {
            self.fill_hole(Span {
                offset: from.offset + len,
                len: from.len - len,
            });
        }
        self.fill_hole(Span { len, ..to });
        result
    }

    /// Gives what is mapped in `span` another length, in place.
    pub(crate) fn resize(&self, span: Span, len: usize) -> Result<()> {
        let old = self.at(span.offset);
        // SAFETY: The range is the arena's; without a flag to move it the kernel
        // takes no more than addresses in which nothing is, and within the arena
        // there are none.
        let moved = unsafe { libc::mremap(old, span.len, len.clamp(1, MAP), 0) };
        if moved == libc::MAP_FAILED {
            return check(-1).map(drop);
        }
        let page = rustix::param::page_size();
        let len = len.clamp(1, MAP).next_multiple_of(page);
        if len < span.len {
            self.fill_hole(Span {
                offset: span.offset + len,
                len: span.len - len,
            });
        }
        Ok(())
    }

    pub(crate) fn protect(&self, span: Span, prot: c_int) -> Result<()> {
        self.protect_raw(span.offset, span.len, prot)
    }

    pub(crate) fn advise(&self, span: Span, advice: c_int) -> Result<()> {
        // SAFETY: The range is the arena's, in which no object is.
        check(unsafe { libc::madvise(self.at(span.offset), span.len, advice) }.into()).map(drop)
    }

    pub(crate) fn sync(&self, span: Span, flags: c_int) -> Result<()> {
        // SAFETY: The range is the arena's.
        check(unsafe { libc::msync(self.at(span.offset), span.len, flags) }.into()).map(drop)
    }

    pub(crate) fn lock(&self, span: Span, locked: bool) -> Result<()> {
        let address = self.at(span.offset);
        let result = if locked {
            // SAFETY: The range is the arena's.
            unsafe { libc::mlock(address, span.len) }
        } else {
            // SAFETY: The range is the arena's.
            unsafe { libc::munlock(address, span.len) }
        };
        check(result.into()).map(drop)
    }

    /// remap_file_pages(): shows another part of the file that is mapped there.
    pub(crate) fn remap_pages(&self, span: Span, page: usize) -> Result<()> {
        let address = self.at(span.offset);
        let number = libc::SYS_remap_file_pages;
        // SAFETY: The range is the arena's, in which no object is.
        let result = unsafe { libc::syscall(number, address, span.len, 0, page, 0) };
        check(result as i64).map(drop)
    }

    /// Reserves a span again, if nothing is mapped there.
    fn fill_hole(&self, span: Span) {
        let flags = libc::MAP_FIXED_NOREPLACE;
        match reserve(self.at(span.offset), span.len, flags) {
            Ok(_) | Err(Errno::EXIST) => {}
            // Whatever came to lie there would be destroyed: no way to go on.
            Err(_) => std::process::abort(),
        }
    }

    /// Forks a child that touches its copy of the arena and ends. Returns its
    /// wait status: 0, or [`FAULTED`] if the memory could not be touched.
    pub(crate) fn touch_in_child(&self, touches: &[Touch]) -> Result<c_int> {
        // SAFETY: The child calls nothing that is unsafe in a copy of a process
        // that has more threads: no allocator, no lock.
        let child = check(unsafe { libc::fork() }.into())?;
        if child == 0 {
            super::process::exit_on_fault(FAULTED);
            for touch in touches {
                match *touch {
                    Touch::Load(map, offset) => {
                        let from = self.word(map, offset);
                        // SAFETY: Whatever is mapped there, no object of Rust's
                        // is; without a mapping the handler ends the process.
                        unsafe { from.read_volatile() };
                    }
                    Touch::Store(map, offset) => {
                        let to = self.word(map, offset);
                        // SAFETY: As for the load.
                        unsafe { to.write_volatile(offset as u64) };
                    }
                    // A refusal has nobody to be told.
                    Touch::Unmap(span) => drop(self.unmap(span)),
                }
            }
            // SAFETY: It may always be called.
            unsafe { libc::_exit(0) };
        }
        let child = libc::pid_t::try_from(child).map_err(|_| Errno::CHILD)?;
        let mut status = 0;
        loop {
            // SAFETY: The kernel writes the status.
            match check(unsafe { libc::waitpid(child, &raw mut status, 0) }.into()) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
                Ok(_) if libc::WIFEXITED(status) => return Ok(libc::WEXITSTATUS(status)),
                Ok(_) => return Ok(-status),
            }
        }
    }

    fn word(&self, map: usize, offset: usize) -> *mut u64 {
        self.at(map % MAPS * MAP + offset % MAP / 8 * 8).cast()
    }
}

/// The exit status of a child that met a fault.
pub(crate) const FAULTED: c_int = 3;

fn reserve(address: *mut c_void, len: usize, flags: c_int) -> Result<*mut c_void> {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: Either the kernel chooses an unused range, or the address is one
    // that it is told not to take from anybody.
    let mapped = unsafe { libc::mmap(address, len, libc::PROT_NONE, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(check(-1).err().unwrap_or(Errno::NOMEM));
    }
    Ok(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_stay_in_their_place() {
        let page = rustix::param::page_size();
        for (offset, len) in [(0, 0), (MAP - 1, 1), (1, MAP), (5 * MAP + page, usize::MAX)] {
            let span = Span::new(MAPS + 1, offset, len);
            assert!(span.offset >= MAP && span.offset + span.len <= 2 * MAP);
            assert!(span.len >= page && span.offset % page == 0 && span.len % page == 0);
        }
    }

    #[test]
    fn holes_are_filled() -> Result<()> {
        let arena = Arena::new(&[])?;
        let span = Span::new(0, 0, MAP);
        arena.unmap(Span::new(0, 4 * MAP / 16, MAP / 4))?;
        arena.remap(Span::new(0, 0, MAP / 8), MAP / 16, 0, Span::new(1, 0, MAP))?;
        // All of it is there: advice for a range with a hole is refused.
        arena.advise(span, libc::MADV_NORMAL)?;
        arena.advise(Span::new(1, 0, MAP), libc::MADV_NORMAL)
    }

    #[test]
    fn arguments_lie_where_they_should() -> Result<()> {
        let arena = Arena::new(&[])?;
        arena.put(1, Place::Scratch(8), b"argument");
        let mut bytes = [0; 8];
        arena.get(1, 8, &mut bytes);
        assert_eq!(&bytes, b"argument");
        let (reader, writer) = rustix::pipe::pipe()?;
        let number = |fd: &std::os::fd::OwnedFd| std::os::fd::AsRawFd::as_raw_fd(fd);
        let write = |place| arena.write(number(&writer), arena.address(1, place, 8), 8);
        assert_eq!(write(Place::Scratch(8)), Ok(8));
        assert_eq!(write(Place::CutShort(4)), Err(Errno::FAULT));
        for place in [
            Place::Guard,
            Place::Null,
            Place::Kernel,
            Place::NonCanonical,
        ] {
            assert_eq!(write(place), Err(Errno::FAULT), "{place:?}");
        }
        let to = arena.address(1, Place::ReadOnly, 8);
        assert_eq!(arena.read(number(&reader), to, 8), Err(Errno::FAULT));
        Ok(())
    }

    #[test]
    fn a_child_meets_a_fault() -> Result<()> {
        let arena = Arena::new(&[])?;
        assert_eq!(arena.touch_in_child(&[]), Ok(0));
        let touched = arena.touch_in_child(&[Touch::Load(0, 0)]);
        assert_eq!(touched, Ok(FAULTED));
        Ok(())
    }
}
