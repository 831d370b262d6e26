// SPDX-License-Identifier: GPL-2.0

//! Where a buffer's pages are in physical memory, found without asking the
//! driver.
//!
//! `/proc/self/pagemap` shows no frames of a PFN mapping, as the mapping of a
//! dma-buf is one. But root can read all RAM through `/proc/kcore`, an ELF
//! core whose program headers name physical addresses. So every page of the
//! buffer is signed with a random nonce and its index, page 0 is searched for
//! in RAM, and the others must follow it. Then all are signed anew, and the
//! same places must show the new signatures: a stale copy of a page cannot
//! pass for the page.

use crate::access::Mapping;
use crate::error::Error;
use crate::pattern;
use crate::sys::region::WORD;
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;

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
        /// Physical address of the first byte.
        start: u64,
        /// Index of the first page that is not where a contiguous buffer
        /// would have it.
        page: usize,
    },
    /// The first page is not in the RAM that can be read: highmem on a 32-bit
    /// kernel, or memory that the kernel does not count as its own.
    NotFound,
}

/// A piece of RAM that kcore shows; all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    physical: u64,
    len: u64,
    offset: u64,
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
        let mut ident = [0; HEADER];
        file.read_exact_at(&mut ident, 0).map_err(unreadable)?;
        let (offset, len) = program_headers(&ident).ok_or(Unavailable::Format)?;
        let mut headers = vec![0; len];
        file.read_exact_at(&mut headers, offset)
            .map_err(unreadable)?;
        let segments = ram(&ident, &headers).ok_or(Unavailable::Format)?;
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
        let nonce = sign(mapping, self.page)?;
        let Some(start) = self.find([nonce, 0])? else {
            return Ok(Contiguity::NotFound);
        };
        self.hint = start;
        if let Some(page) = self.first_misplaced(start, nonce, mapping.len())? {
            return Ok(Contiguity::Scattered { start, page });
        }
        let nonce = sign(mapping, self.page)?;
        match self.first_misplaced(start, nonce, mapping.len())? {
            Some(page) => Ok(Contiguity::Scattered { start, page }),
            None => Ok(Contiguity::Contiguous { start }),
        }
    }

    /// Index of the first page of the `len` bytes from `start` on that has not
    /// its signature.
    fn first_misplaced(
        &self,
        start: u64,
        nonce: u64,
        len: usize,
    ) -> Result<Option<usize>, Unavailable> {
        let mut physical = start;
        for (index, _) in (0..len as u64).step_by(self.step()).enumerate() {
            let here = match self.offset_of(physical) {
                Some(offset) => Some(self.signature(offset)?),
                None => None,
            };
            if here != Some([nonce, index as u64]) {
                return Ok(Some(index));
            }
            physical = physical.saturating_add(self.page);
        }
        Ok(None)
    }

    /// Physical address of the page that starts with `signature`.
    ///
    /// The kernel copies a page through a buffer of its own when kcore is
    /// read, and this process has one too; either holds what was last read, so
    /// the first page found is never one of those.
    fn find(&self, signature: [u64; 2]) -> Result<Option<u64>, Unavailable> {
        let after = self.segments.iter().filter_map(|segment| {
            let skip = self.hint.saturating_sub(segment.physical);
            (skip < segment.len).then(|| segment.skip(skip))
        });
        let before = self.segments.iter().filter_map(|segment| {
            let len = self.hint.saturating_sub(segment.physical).min(segment.len);
            (len > 0).then_some(Segment { len, ..*segment })
        });
        for segment in after.chain(before) {
            for skip in (0..segment.len).step_by(self.step()) {
                // A few bytes from each page rather than whole pages: copying
                // them takes far longer than the calls do.
                let offset = segment.offset.saturating_add(skip);
                if self.signature(offset)? == signature {
                    return Ok(Some(segment.physical.saturating_add(skip)));
                }
            }
        }
        Ok(None)
    }

    fn step(&self) -> usize {
        crate::page_size()
    }

    fn signature(&self, offset: u64) -> Result<[u64; 2], Unavailable> {
        let mut bytes = [0; SIGNATURE];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(unreadable)?;
        let [
            a0,
            a1,
            a2,
            a3,
            a4,
            a5,
            a6,
            a7,
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
        ] = bytes;
        Ok([
            u64::from_ne_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            u64::from_ne_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
        ])
    }

    fn offset_of(&self, physical: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let skip = physical.checked_sub(segment.physical)?;
            (skip < segment.len).then(|| segment.skip(skip).offset)
        })
    }
}

impl Segment {
    /// What is left after `bytes` of it.
    fn skip(&self, bytes: u64) -> Self {
        Self {
            physical: self.physical.saturating_add(bytes),
            len: self.len.saturating_sub(bytes),
            offset: self.offset.saturating_add(bytes),
        }
    }
}

fn unreadable(error: std::io::Error) -> Unavailable {
    Unavailable::Read {
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
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

/// Bytes of the longer one of the two ELF headers.
const HEADER: usize = 64;

/// `PT_LOAD` of a program header.
const PT_LOAD: u64 = 1;

/// A number of `len` bytes at `at`, native-endian: kcore is the running
/// kernel's own.
fn field(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(match len {
        2 => u16::from_ne_bytes(bytes.try_into().ok()?).into(),
        4 => u32::from_ne_bytes(bytes.try_into().ok()?).into(),
        8 => u64::from_ne_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

/// Whether an ELF header is of the 64-bit form; `None` if it is no ELF header.
fn is_64_bit(header: &[u8]) -> Option<bool> {
    match header.get(..5)? {
        [0x7f, b'E', b'L', b'F', 1] => Some(false),
        [0x7f, b'E', b'L', b'F', 2] => Some(true),
        _ => None,
    }
}

/// Offset and length in bytes of the program headers.
fn program_headers(header: &[u8]) -> Option<(u64, usize)> {
    let (offset, entry, count) = if is_64_bit(header)? {
        (
            field(header, 32, 8)?,
            field(header, 54, 2)?,
            field(header, 56, 2)?,
        )
    } else {
        (
            field(header, 28, 4)?,
            field(header, 42, 2)?,
            field(header, 44, 2)?,
        )
    };
    Some((offset, usize::try_from(entry.checked_mul(count)?).ok()?))
}

/// The segments that have a physical address, in its order.
fn ram(header: &[u8], headers: &[u8]) -> Option<Vec<Segment>> {
    let wide = is_64_bit(header)?;
    let entry = if wide { 56 } else { 32 };
    let stated = if wide {
        field(header, 54, 2)?
    } else {
        field(header, 42, 2)?
    };
    if stated != entry {
        return None;
    }
    let mut segments = Vec::new();
    for program in headers.chunks_exact(usize::try_from(entry).ok()?) {
        // What has no physical address says so with all ones.
        let (offset, physical, len, none) = if wide {
            (
                field(program, 8, 8)?,
                field(program, 24, 8)?,
                field(program, 32, 8)?,
                u64::MAX,
            )
        } else {
            let none = u32::MAX.into();
            (
                field(program, 4, 4)?,
                field(program, 12, 4)?,
                field(program, 16, 4)?,
                none,
            )
        };
        if field(program, 0, 4)? == PT_LOAD && physical != none && len > 0 {
            segments.push(Segment {
                physical,
                len,
                offset,
            });
        }
    }
    segments.sort_by_key(|segment| segment.physical);
    Some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(bytes: &mut Vec<u8>, at: usize, value: &[u8]) {
        bytes.resize(bytes.len().max(at + value.len()), 0);
        bytes.splice(at..at + value.len(), value.iter().copied());
    }

    fn wide() -> (Vec<u8>, Vec<u8>) {
        let mut header = vec![0; HEADER];
        put(&mut header, 0, &[0x7f, b'E', b'L', b'F', 2]);
        put(&mut header, 32, &64u64.to_ne_bytes());
        put(&mut header, 54, &56u16.to_ne_bytes());
        put(&mut header, 56, &4u16.to_ne_bytes());
        let mut headers = vec![0; 4 * 56];
        for (index, kind, physical, len) in [
            (0, 4u32, 0u64, 100u64),
            (1, 1, u64::MAX, 1 << 40),
            (2, 1, 0x10_0000, 0x8000),
            (3, 1, 0x1000, 0x9_0000),
        ] {
            let at = index * 56;
            put(&mut headers, at, &kind.to_ne_bytes());
            put(
                &mut headers,
                at + 8,
                &(physical.wrapping_add(7)).to_ne_bytes(),
            );
            put(&mut headers, at + 24, &physical.to_ne_bytes());
            put(&mut headers, at + 32, &len.to_ne_bytes());
        }
        (header, headers)
    }

    #[test]
    fn headers_of_64_bits() {
        let (header, headers) = wide();
        assert_eq!(program_headers(&header), Some((64, 4 * 56)));
        assert_eq!(
            ram(&header, &headers),
            Some(vec![
                Segment {
                    physical: 0x1000,
                    len: 0x9_0000,
                    offset: 0x1007
                },
                Segment {
                    physical: 0x10_0000,
                    len: 0x8000,
                    offset: 0x10_0007
                },
            ])
        );
    }

    #[test]
    fn headers_of_32_bits() {
        let mut header = vec![0; HEADER];
        put(&mut header, 0, &[0x7f, b'E', b'L', b'F', 1]);
        put(&mut header, 28, &52u32.to_ne_bytes());
        put(&mut header, 42, &32u16.to_ne_bytes());
        put(&mut header, 44, &1u16.to_ne_bytes());
        let mut headers = vec![0; 32];
        put(&mut headers, 0, &1u32.to_ne_bytes());
        put(&mut headers, 4, &0x3000u32.to_ne_bytes());
        put(&mut headers, 12, &0x8000_0000u32.to_ne_bytes());
        put(&mut headers, 16, &0x2000u32.to_ne_bytes());
        assert_eq!(program_headers(&header), Some((52, 32)));
        assert_eq!(
            ram(&header, &headers),
            Some(vec![Segment {
                physical: 0x8000_0000,
                len: 0x2000,
                offset: 0x3000
            }])
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let (mut header, headers) = wide();
        assert_eq!(program_headers(header.get(..10).unwrap_or_default()), None);
        put(&mut header, 54, &48u16.to_ne_bytes());
        assert_eq!(ram(&header, &headers), None);
        put(&mut header, 0, b"#!/bin/sh");
        assert_eq!(program_headers(&header), None);
    }

    #[test]
    fn search_starts_at_the_hint_and_wraps() -> Result<(), Box<dyn std::error::Error>> {
        // A file of three "pages" of RAM stands in for kcore.
        let page = crate::page_size();
        let path = std::env::temp_dir().join(format!("kcore-{}", std::process::id()));
        let mut content = vec![0u8; 4 * page];
        for (at, signature) in [(page, [5u64, 0u64]), (2 * page, [5, 1]), (3 * page, [6, 0])] {
            put(&mut content, at, &signature[0].to_ne_bytes());
            put(&mut content, at + 8, &signature[1].to_ne_bytes());
        }
        std::fs::write(&path, &content)?;
        let bytes = page as u64;
        let mut kcore = Kcore {
            file: File::open(&path)?,
            segments: vec![
                Segment {
                    physical: 16 * bytes,
                    len: 2 * bytes,
                    offset: 0,
                },
                Segment {
                    physical: 18 * bytes,
                    len: 2 * bytes,
                    offset: 2 * bytes,
                },
            ],
            page: bytes,
            hint: 0,
        };
        std::fs::remove_file(&path)?;
        for hint in [0, 16, 17, 18, 19, 40] {
            kcore.hint = hint * bytes;
            assert_eq!(kcore.find([5, 0])?, Some(17 * bytes));
            assert_eq!(kcore.find([6, 0])?, Some(19 * bytes));
            assert_eq!(kcore.find([7, 0])?, None);
        }
        assert_eq!(kcore.first_misplaced(17 * bytes, 5, 2 * page)?, None);
        assert_eq!(kcore.first_misplaced(17 * bytes, 5, 3 * page)?, Some(2));
        Ok(())
    }
}
