// SPDX-License-Identifier: GPL-2.0

//! A mapped piece of a dma-buf and the accesses to its memory.
//!
//! The memory may change under us at any time: devices and other processes
//! write it. So no reference into it is ever made, since `&[u8]` promises the
//! compiler that the bytes stay. Every access is a volatile load or store of a
//! whole word or byte, which the compiler neither repeats nor invents, and of
//! which any bit pattern is a valid value.

use super::placement;
use rustix::io::Errno;
use rustix::io::Result;
use rustix::mm::MapFlags;
use rustix::mm::ProtFlags;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

/// Bytes of a word.
pub(crate) const WORD: usize = size_of::<u64>();

/// Words that are looked at together where no single one matters.
const GROUP: usize = 16;

/// A shared mapping of a dma-buf.
///
/// # Invariants
///
/// - `base` is page-aligned and `len` bytes from it on are mapped, and belong
///   to this value alone, until it is dropped.
/// - They may be read if `readable`, and written if `writable`.
/// - `len` is a multiple of the page size.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
    readable: bool,
    writable: bool,
}

// SAFETY: A mapping belongs to the process, not to a thread, and the value is
// its only owner.
unsafe impl Send for Region {}

impl Region {
    /// Maps `len` bytes from `offset` on, both in bytes and whole pages, at an
    /// address that lets the kernel map large blocks whole.
    pub(crate) fn new(
        dmabuf: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        prot: ProtFlags,
        flags: MapFlags,
    ) -> Result<Self> {
        // The kernel would accept a ragged length and map the whole page; the
        // invariant is kept simple instead.
        if len == 0 || len % rustix::param::page_size() != 0 {
            return Err(Errno::INVAL);
        }
        // The address is a wish, and must not be an order.
        if flags.contains(MapFlags::FIXED) {
            return Err(Errno::INVAL);
        }
        let hint = placement::hint(offset, len);
        // SAFETY: Without MAP_FIXED the kernel takes the hint only if nothing
        // is there, and chooses an unused range otherwise, so no memory known
        // to Rust changes.
        let base = unsafe { rustix::mm::mmap(hint, len, prot, flags, dmabuf, offset) }?;
        // INVARIANT: `mmap` has just given us this range with these rights.
        // Address zero is never given without MAP_FIXED.
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(Errno::NOMEM)?,
            len,
            readable: prot.contains(ProtFlags::READ),
            writable: prot.contains(ProtFlags::WRITE),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The address of the first byte.
    pub(crate) fn address(&self) -> usize {
        self.base.as_ptr().addr()
    }

    pub(crate) fn readable(&self) -> bool {
        self.readable
    }

    pub(crate) fn writable(&self) -> bool {
        self.writable
    }

    fn words(&self) -> *mut u64 {
        self.base.as_ptr().cast()
    }

    /// Whether `len` bytes from `offset` on lie inside.
    fn holds(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// The word at `index`, counted in words. `None` outside the mapping or if
    /// it may not be read.
    #[inline]
    pub(crate) fn load(&self, index: usize) -> Option<u64> {
        if !self.readable || index >= self.len / WORD {
            return None;
        }
        // SAFETY: `index` words and one more lie inside the mapping.
        let word = unsafe { self.words().add(index) };
        // SAFETY: Mapped and readable by the invariants, aligned because
        // `base` is page-aligned.
        Some(unsafe { word.read_volatile() })
    }

    /// Stores the word at `index`, counted in words. `None` outside the mapping
    /// or if it may not be written.
    #[inline]
    pub(crate) fn store(&self, index: usize, value: u64) -> Option<()> {
        if !self.writable || index >= self.len / WORD {
            return None;
        }
        // SAFETY: `index` words and one more lie inside the mapping.
        let word = unsafe { self.words().add(index) };
        // SAFETY: Mapped and writable by the invariants, aligned because
        // `base` is page-aligned.
        unsafe { word.write_volatile(value) };
        Some(())
    }

    /// Calls `f` with the index and value of every word, until it says `false`.
    #[inline]
    pub(crate) fn load_while(&self, mut f: impl FnMut(usize, u64) -> bool) {
        let words = if self.readable { self.len / WORD } else { 0 };
        for index in 0..words {
            // SAFETY: `index` is less than the number of words mapped.
            let word = unsafe { self.words().add(index) };
            // SAFETY: As in `load`; readable, or `words` would be zero.
            let value = unsafe { word.read_volatile() };
            if !f(index, value) {
                return;
            }
        }
    }

    /// Stores `f(index)` in every word.
    #[inline]
    pub(crate) fn store_all(&self, mut f: impl FnMut(usize) -> u64) {
        let words = if self.writable { self.len / WORD } else { 0 };
        for index in 0..words {
            // SAFETY: `index` is less than the number of words mapped.
            let word = unsafe { self.words().add(index) };
            let value = f(index);
            // SAFETY: As in `store`; writable, or `words` would be zero.
            unsafe { word.write_volatile(value) };
        }
    }

    /// Whether every word is zero; `None` if they may not be read. Faster than
    /// [`Region::load_while`]: it looks at several words at a time.
    pub(crate) fn is_zero(&self) -> Option<bool> {
        if !self.readable {
            return None;
        }
        // A page is a multiple of this, and so is the mapping.
        for index in (0..self.len / WORD).step_by(GROUP) {
            let mut sum = 0;
            for index in index..index + GROUP {
                // SAFETY: `index` is less than the number of words mapped.
                let word = unsafe { self.words().add(index) };
                // SAFETY: As in `load`.
                sum |= unsafe { word.read_volatile() };
            }
            if sum != 0 {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Stores one value in every word; `None` if they may not be written.
    pub(crate) fn fill(&self, value: u64) -> Option<()> {
        if !self.writable {
            return None;
        }
        for index in (0..self.len / WORD).step_by(GROUP) {
            for index in index..index + GROUP {
                // SAFETY: `index` is less than the number of words mapped.
                let word = unsafe { self.words().add(index) };
                // SAFETY: As in `store`.
                unsafe { word.write_volatile(value) };
            }
        }
        Some(())
    }

    /// Copies bytes out. `None` if they do not lie inside or may not be read.
    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) -> Option<()> {
        if !self.readable || !self.holds(offset, to.len()) {
            return None;
        }
        let (head, rest) = to.split_at_mut(bytes_to_word(offset, to.len()));
        let (words, tail) = rest.split_at_mut(rest.len() / WORD * WORD);
        let first = offset + head.len();
        let last = first + words.len();
        for (index, bytes) in (first / WORD..).zip(words.chunks_exact_mut(WORD)) {
            // SAFETY: `holds` has shown that all of them lie inside.
            let from = unsafe { self.words().add(index) };
            // SAFETY: Mapped and readable by the invariants, and aligned.
            *bytes.first_chunk_mut()? = unsafe { from.read_volatile() }.to_ne_bytes();
        }
        for (index, byte) in (offset..).zip(head).chain((last..).zip(tail)) {
            // SAFETY: `holds` has shown that all of them lie inside.
            let from = unsafe { self.base.add(index) };
            // SAFETY: Mapped and readable by the invariants.
            *byte = unsafe { from.read_volatile() };
        }
        Some(())
    }

    /// Copies bytes in. `None` if they do not fit or may not be written.
    pub(crate) fn copy_in(&self, offset: usize, from: &[u8]) -> Option<()> {
        if !self.writable || !self.holds(offset, from.len()) {
            return None;
        }
        let (head, rest) = from.split_at(bytes_to_word(offset, from.len()));
        let (words, tail) = rest.split_at(rest.len() / WORD * WORD);
        let first = offset + head.len();
        let last = first + words.len();
        for (index, bytes) in (first / WORD..).zip(words.chunks_exact(WORD)) {
            // SAFETY: `holds` has shown that all of them lie inside.
            let to = unsafe { self.words().add(index) };
            // SAFETY: Mapped and writable by the invariants, and aligned.
            unsafe { to.write_volatile(u64::from_ne_bytes(*bytes.first_chunk()?)) };
        }
        for (index, byte) in (offset..).zip(head).chain((last..).zip(tail)) {
            // SAFETY: `holds` has shown that all of them lie inside.
            let to = unsafe { self.base.add(index) };
            // SAFETY: Mapped and writable by the invariants.
            unsafe { to.write_volatile(*byte) };
        }
        Some(())
    }
}

/// How many of `len` bytes from `offset` on come before the first aligned word.
fn bytes_to_word(offset: usize, len: usize) -> usize {
    (offset.wrapping_neg() % WORD).min(len)
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: By the invariants the range is mapped and ours alone, and no
        // reference into it was ever made.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        // munmap of a whole mapping of ours can fail only if that was no
        // mapping of ours.
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::MemfdFlags;
    use std::os::fd::AsFd as _;

    #[test]
    fn bytes_are_copied_from_and_to_any_place() -> Result<()> {
        let len = rustix::param::page_size();
        let file = rustix::fs::memfd_create("region", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, len as u64)?;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let region = Region::new(file.as_fd(), 0, len, prot, MapFlags::SHARED)?;
        for offset in 0..2 * WORD {
            for end in 0..=40 {
                let piece: Vec<u8> = (1..=end).collect();
                region.store_all(|_| 0);
                assert_eq!(region.copy_in(offset, &piece), Some(()));
                let mut wanted = vec![0; offset];
                wanted.extend(&piece);
                wanted.resize(64, 0);
                let mut seen = vec![0; 64];
                assert_eq!(region.copy_out(0, &mut seen), Some(()));
                assert_eq!(seen, wanted);
                let mut seen = vec![0; piece.len()];
                assert_eq!(region.copy_out(offset, &mut seen), Some(()));
                assert_eq!(seen, piece);
            }
        }
        assert_eq!(region.copy_out(len - 1, &mut [0; 2]), None);
        assert_eq!(region.copy_in(usize::MAX, &[0; 2]), None);
        Ok(())
    }

    #[test]
    fn every_word_counts() -> Result<()> {
        let page = rustix::param::page_size();
        let file = rustix::fs::memfd_create("region", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, 2 * page as u64)?;
        let map = |prot| Region::new(file.as_fd(), 0, 2 * page, prot, MapFlags::SHARED);
        let region = map(ProtFlags::READ | ProtFlags::WRITE)?;
        for index in 0..2 * page / WORD {
            assert_eq!(region.is_zero(), Some(true));
            assert_eq!(region.store(index, 1 << (index % 64)), Some(()));
            assert_eq!(region.is_zero(), Some(false), "{index}");
            assert_eq!(region.store(index, 0), Some(()));
        }
        assert_eq!(region.fill(7), Some(()));
        let mut words = 0;
        region.load_while(|_, word| {
            words += 1;
            word == 7
        });
        assert_eq!(words, 2 * page / WORD);
        assert_eq!(map(ProtFlags::READ)?.fill(7), None);
        assert_eq!(map(ProtFlags::WRITE)?.is_zero(), None);
        Ok(())
    }
}
