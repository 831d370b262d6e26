// SPDX-License-Identifier: GPL-2.0

//! Where a buffer's pages are in physical memory, found without asking the
//! driver.
//!
//! `/proc/self/pagemap` shows no frames of a PFN mapping, as the mapping of a
//! dma-buf is one. But root can read all RAM through `/proc/kcore`, an ELF
//! core whose program headers name physical addresses. So every page of the
//! buffer is signed with a random nonce and its index, one of them is searched
//! for in RAM, and the others must stand around it. Then all are signed anew,
//! and the same places must show the new signatures: a stale copy of a page
//! cannot pass for the page.

use crate::access::Mapping;
use crate::error::Error;
use crate::pattern;
use crate::sys::region::WORD;
use rustix::io::Errno;
use segments::Segment;
use std::fs::File;
use std::os::unix::fs::FileExt;

mod segments;

const PATH: &str = "/proc/kcore";

/// Bytes read from each page: a nonce and an index.
const SIGNATURE: usize = 2 * WORD;

/// Why memory cannot be searched.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The file cannot be opened or read.
    #[error("/proc/kcore cannot be read: {errno}; {}", kcore_advice(*errno))]
    Read {
        /// Why.
        errno: Errno,
    },
    /// Its headers are not understood.
    #[error("/proc/kcore has headers of an unknown form")]
    Format,
    /// It does not say where its segments are in physical memory.
    #[error("/proc/kcore names no physical memory")]
    NoRam,
}

fn kcore_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT => "the kernel is built without CONFIG_PROC_KCORE",
        Errno::ACCESS => "run as root",
        Errno::PERM => "it needs CAP_SYS_RAWIO and a kernel that is not locked down",
        _ => "the kernel log may tell more (`dmesg`)",
    }
}

/// Why a contiguity check ended without an answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Memory could not be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The buffer could not be written.
    #[error(transparent)]
    Buffer(#[from] Error),
}

/// Where a buffer's pages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contiguity {
    /// All in a row.
    Contiguous {
        /// Physical address of the first byte.
        start: u64,
    },
    /// Not in a row.
    Scattered {
        /// Index of a page that was found.
        found: usize,
        /// Physical address of that page.
        at: u64,
        /// Index of the first page that is not where it would have to be.
        elsewhere: usize,
    },
    /// The buffer is not in the RAM that can be read: highmem on a 32-bit
    /// kernel, or memory that the kernel does not count as its own.
    NotFound,
}

/// An open `/proc/kcore`.
#[derive(Debug)]
pub struct Kcore {
    file: File,
    /// By physical address.
    segments: Vec<Segment>,
    page: u64,
    /// Physical address from which on to search: where the last buffer was.
    hint: u64,
}

impl Kcore {
    /// Opens `/proc/kcore` and reads its headers.
    ///
    /// # Errors
    ///
    /// Whatever is missing.
    pub fn open() -> Result<Self, Unavailable> {
        let file = File::open(PATH).map_err(unreadable)?;
        let read = |bytes: &mut [u8], offset| file.read_exact_at(bytes, offset);
        let segments = segments::of_ram(read)?;
        if segments.is_empty() {
            return Err(Unavailable::NoRam);
        }
        Ok(Self {
            file,
            segments,
            page: crate::page_size() as u64,
            hint: 0,
        })
    }

    /// Finds out whether the pages of a mapped buffer are contiguous in
    /// physical memory. Overwrites the start of each page.
    ///
    /// # Errors
    ///
    /// If the buffer cannot be signed or memory not be read.
    pub fn check(&mut self, mapping: &mut Mapping<'_>) -> Result<Contiguity, CheckError> {
        let pages = mapping.len() / crate::page_size();
        let nonce = sign(mapping, self.page)?;
        let Some((at, found)) = self.find(nonce, pages)? else {
            return Ok(Contiguity::NotFound);
        };
        self.hint = at;
        let scattered = |elsewhere| {
            Ok(Contiguity::Scattered {
                found,
                at,
                elsewhere,
            })
        };
        let Some(start) = at.checked_sub(self.page.saturating_mul(found as u64)) else {
            return scattered(0);
        };
        if let Some(elsewhere) = self.first_misplaced(start, nonce, pages)? {
            return scattered(elsewhere);
        }
        let nonce = sign(mapping, self.page)?;
        match self.first_misplaced(start, nonce, pages)? {
            Some(elsewhere) => scattered(elsewhere),
            None => Ok(Contiguity::Contiguous { start }),
        }
    }

    /// Index of the first of the pages from `start` on that has not its
    /// signature.
    fn first_misplaced(
        &self,
        start: u64,
        nonce: u64,
        pages: usize,
    ) -> Result<Option<usize>, Unavailable> {
        let mut physical = start;
        for index in 0..pages {
            let here = match self.offset_of(physical) {
                Some(offset) => Some(self.signature(offset)?),
                None => None,
            };
            if here != Some((nonce, index as u64)) {
                return Ok(Some(index));
            }
            physical = physical.saturating_add(self.page);
        }
        Ok(None)
    }

    /// Physical address and index of a page of the buffer that was signed with
    /// `nonce`.
    ///
    /// The kernel copies a page through a buffer of its own when kcore is
    /// read, and this process has one too; either holds what was last read, so
    /// the first page found is never one of those.
    fn find(&self, nonce: u64, pages: usize) -> Result<Option<(u64, usize)>, Unavailable> {
        // A buffer that is in a row cannot slip through steps of its length.
        // Only for one that is not, or that is a single page, every page has
        // to be looked at.
        for stride in [pages as u64, 1] {
            for (physical, offset) in self.around_hint(stride.saturating_mul(self.page)) {
                // A few bytes from each page rather than whole pages: copying
                // them takes far longer than the calls do.
                let (seen, index) = self.signature(offset)?;
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                if seen == nonce && index < pages {
                    return Ok(Some((physical, index)));
                }
            }
        }
        Ok(None)
    }

    /// Physical addresses, each with its place in the file, in steps of
    /// `stride` bytes, upwards and downwards from the hint in turn: a heap's
    /// buffers tend to be near each other.
    fn around_hint(&self, stride: u64) -> impl Iterator<Item = (u64, u64)> {
        let hint = self.hint;
        let mut up = self
            .segments
            .iter()
            .filter_map(move |segment| {
                let skip = hint.saturating_sub(segment.physical);
                (skip < segment.len).then(|| segment.skip(skip))
            })
            .flat_map(move |segment| segment.steps(stride));
        let mut down = self
            .segments
            .iter()
            .rev()
            .filter_map(move |segment| {
                let len = hint.saturating_sub(segment.physical).min(segment.len);
                (len > 0).then_some(Segment { len, ..*segment })
            })
            .flat_map(move |segment| segment.steps(stride).rev());
        let mut upwards = false;
        std::iter::from_fn(move || {
            upwards = !upwards;
            if upwards {
                up.next().or_else(|| down.next())
            } else {
                down.next().or_else(|| up.next())
            }
        })
    }

    /// The nonce and index at a place in the file.
    fn signature(&self, offset: u64) -> Result<(u64, u64), Unavailable> {
        let mut bytes = [0; SIGNATURE];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(unreadable)?;
        let (mut nonce, mut index) = ([0; WORD], [0; WORD]);
        let (first, second) = bytes.split_at(WORD);
        nonce.copy_from_slice(first);
        index.copy_from_slice(second);
        Ok((u64::from_ne_bytes(nonce), u64::from_ne_bytes(index)))
    }

    fn offset_of(&self, physical: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let skip = physical.checked_sub(segment.physical)?;
            (skip < segment.len).then(|| segment.skip(skip).offset)
        })
    }
}

fn unreadable(error: std::io::Error) -> Unavailable {
    match Errno::from_io_error(&error) {
        Some(errno) => Unavailable::Read { errno },
        // It ends before what its headers name.
        None => Unavailable::Format,
    }
}

/// Signs every page with a fresh nonce, which is returned, and its index.
fn sign(mapping: &mut Mapping<'_>, page: u64) -> Result<u64, Error> {
    let nonce = pattern::random_word().map_err(|errno| Error::Examine { errno })?;
    let len = mapping.len();
    let access = mapping.write()?;
    let words = usize::try_from(page).unwrap_or(len) / WORD;
    for (index, word) in (0..len / WORD).step_by(words).enumerate() {
        access.set_word(word, nonce)?;
        access.set_word(word + 1, index as u64)?;
    }
    access.finish()?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of RAM in two segments stands in for kcore: pages 16 to 19 and
    /// 32 to 39.
    fn kcore(name: &str, signatures: &[(u64, u64, u64)]) -> std::io::Result<Kcore> {
        let page = crate::page_size() as u64;
        let path = std::env::temp_dir().join(format!("kcore-{name}-{}", std::process::id()));
        std::fs::write(&path, vec![0; 12 * crate::page_size()])?;
        let file = File::options().read(true).write(true).open(&path)?;
        std::fs::remove_file(&path)?;
        let segment = |first: u64, pages: u64, place: u64| Segment {
            physical: first * page,
            len: pages * page,
            offset: place * page,
        };
        let kcore = Kcore {
            file,
            segments: vec![segment(16, 4, 0), segment(32, 8, 4)],
            page,
            hint: 0,
        };
        for (at, nonce, index) in signatures {
            let offset = kcore.offset_of(at * page).unwrap_or(u64::MAX);
            let bytes = [nonce.to_ne_bytes(), index.to_ne_bytes()].concat();
            kcore.file.write_all_at(&bytes, offset)?;
        }
        Ok(kcore)
    }

    #[test]
    fn every_page_is_visited_once() -> std::io::Result<()> {
        let mut kcore = kcore("visits", &[])?;
        let page = kcore.page;
        for hint in [0, 16, 18, 25, 32, 35, 39, 40, 99] {
            kcore.hint = hint * page;
            let mut visited: Vec<u64> = kcore
                .around_hint(page)
                .map(|(physical, _)| physical / page)
                .collect();
            visited.sort_unstable();
            let wanted: Vec<u64> = (16..20).chain(32..40).collect();
            assert_eq!(visited, wanted, "hint {hint}");
        }
        Ok(())
    }

    #[test]
    fn a_contiguous_buffer_is_found_from_everywhere() -> Result<(), Box<dyn std::error::Error>> {
        let mut kcore = kcore(
            "contiguous",
            &[(34, 5, 0), (35, 5, 1), (36, 5, 2), (17, 6, 0)],
        )?;
        let page = kcore.page;
        for hint in [0, 16, 17, 19, 33, 35, 36, 40] {
            kcore.hint = hint * page;
            let (at, index) = kcore.find(5, 3)?.unwrap_or_default();
            assert_eq!(at / page, 34 + index as u64, "hint {hint}");
            assert_eq!(kcore.find(6, 1)?, Some((17 * page, 0)));
            assert_eq!(kcore.find(7, 1)?, None);
        }
        assert_eq!(kcore.first_misplaced(34 * page, 5, 3)?, None);
        assert_eq!(kcore.first_misplaced(34 * page, 5, 4)?, Some(3));
        assert_eq!(kcore.first_misplaced(33 * page, 5, 3)?, Some(0));
        Ok(())
    }

    #[test]
    fn a_scattered_buffer_is_found_too() -> Result<(), Box<dyn std::error::Error>> {
        // No step of three pages from the segments' starts meets one of these.
        let kcore = kcore("scattered", &[(17, 5, 0), (34, 5, 1), (36, 5, 2)])?;
        let page = kcore.page;
        let (at, index) = kcore.find(5, 3)?.unwrap_or_default();
        assert_eq!((at / page, index), (17, 0));
        assert_eq!(kcore.first_misplaced(at, 5, 3)?, Some(1));
        Ok(())
    }
}
