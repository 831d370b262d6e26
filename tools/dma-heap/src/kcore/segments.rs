// SPDX-License-Identifier: GPL-2.0

//! Which pieces of RAM `/proc/kcore` shows.

use super::Unavailable;
use super::unreadable;
use elf::ParseError;
use elf::abi::EI_NIDENT;
use elf::abi::PT_LOAD;
use elf::endian::AnyEndian;
use elf::file::Class;
use elf::file::ELF32_EHDR_TAILSIZE;
use elf::file::ELF64_EHDR_TAILSIZE;
use elf::file::FileHeader;
use elf::file::parse_ident;
use elf::parse::ParseAt as _;
use elf::segment::ProgramHeader;
use elf::segment::SegmentTable;

/// A piece of RAM that kcore shows; all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) physical: u64,
    pub(super) len: u64,
    pub(super) offset: u64,
}

impl Segment {
    /// What is left after `bytes` of it.
    pub(super) fn skip(&self, bytes: u64) -> Self {
        Self {
            physical: self.physical.saturating_add(bytes),
            len: self.len.saturating_sub(bytes),
            offset: self.offset.saturating_add(bytes),
        }
    }

    /// Physical addresses in steps of `stride` bytes, each with its place in
    /// the file.
    pub(super) fn steps(self, stride: u64) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        (0..self.len.div_ceil(stride.max(1))).map(move |step| {
            let here = self.skip(step.saturating_mul(stride));
            (here.physical, here.offset)
        })
    }
}

/// The segments that have a physical address, in its order. `read` fills a buffer from a
/// place of the file.
///
/// Not by `elf::ElfStream`, which takes offsets for `usize`: the kernel may have 64 bits
/// where this program has 32.
pub(super) fn of_ram(
    read: impl Fn(&mut [u8], u64) -> std::io::Result<()>,
) -> Result<Vec<Segment>, Unavailable> {
    let mut ident = [0; EI_NIDENT];
    read(&mut ident, 0).map_err(unreadable)?;
    let ident = parse_ident::<AnyEndian>(&ident)?;
    let (class, none) = match ident.1 {
        Class::ELF32 => (ELF32_EHDR_TAILSIZE, u32::MAX.into()),
        Class::ELF64 => (ELF64_EHDR_TAILSIZE, u64::MAX),
    };
    let mut tail = vec![0; class];
    read(&mut tail, EI_NIDENT as u64).map_err(unreadable)?;
    let header = FileHeader::parse_tail(ident, &tail)?;
    let entry = ProgramHeader::validate_entsize(header.class, header.e_phentsize.into())?;
    let mut headers = vec![0; entry * usize::from(header.e_phnum)];
    read(&mut headers, header.e_phoff).map_err(unreadable)?;

    let mut segments: Vec<_> = SegmentTable::new(header.endianness, header.class, &headers)
        .iter()
        // What has no physical address says so with all ones.
        .filter(|it| it.p_type == PT_LOAD && it.p_paddr != none && it.p_filesz > 0)
        .map(|it| Segment {
            physical: it.p_paddr,
            len: it.p_filesz,
            offset: it.p_offset,
        })
        .collect();
    segments.sort_by_key(|segment| segment.physical);
    Ok(segments)
}

impl From<ParseError> for Unavailable {
    fn from(_: ParseError) -> Self {
        Self::Format
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(bytes: &mut Vec<u8>, at: usize, value: &[u8]) {
        bytes.resize(bytes.len().max(at + value.len()), 0);
        bytes.splice(at..at + value.len(), value.iter().copied());
    }

    /// The beginning of a file, of this machine's byte order.
    fn ident(class: u8) -> Vec<u8> {
        let order = if cfg!(target_endian = "little") { 1 } else { 2 };
        let mut file = vec![0x7f, b'E', b'L', b'F', class, order, 1];
        put(&mut file, 20, &1u32.to_ne_bytes());
        file
    }

    fn wide() -> Vec<u8> {
        let mut file = ident(2);
        put(&mut file, 32, &64u64.to_ne_bytes());
        put(&mut file, 54, &56u16.to_ne_bytes());
        put(&mut file, 56, &4u16.to_ne_bytes());
        for (index, kind, physical, len) in [
            (0, 4u32, 0u64, 100u64),
            (1, 1, u64::MAX, 1 << 40),
            (2, 1, 0x10_0000, 0x8000),
            (3, 1, 0x1000, 0x9_0000),
        ] {
            let at = 64 + index * 56;
            put(&mut file, at, &kind.to_ne_bytes());
            put(&mut file, at + 8, &physical.wrapping_add(7).to_ne_bytes());
            put(&mut file, at + 24, &physical.to_ne_bytes());
            put(&mut file, at + 32, &len.to_ne_bytes());
            put(&mut file, at + 55, &[0]);
        }
        file
    }

    fn found(file: &[u8]) -> Option<Vec<(u64, u64, u64)>> {
        let segments = of_ram(|bytes, offset| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let part = file
                .get(start..)
                .and_then(|rest| rest.get(..bytes.len()))
                .ok_or(std::io::ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(part);
            Ok(())
        });
        let all = segments.ok()?.into_iter();
        Some(all.map(|it| (it.physical, it.len, it.offset)).collect())
    }

    #[test]
    fn headers_of_64_bits() {
        let expected = vec![(0x1000, 0x9_0000, 0x1007), (0x10_0000, 0x8000, 0x10_0007)];
        assert_eq!(found(&wide()), Some(expected));
    }

    #[test]
    fn headers_of_32_bits() {
        let mut file = ident(1);
        put(&mut file, 28, &52u32.to_ne_bytes());
        put(&mut file, 42, &32u16.to_ne_bytes());
        put(&mut file, 44, &2u16.to_ne_bytes());
        for (at, physical) in [(52, u32::MAX), (84, 0x8000_0000)] {
            put(&mut file, at, &1u32.to_ne_bytes());
            put(&mut file, at + 4, &0x3000u32.to_ne_bytes());
            put(&mut file, at + 12, &physical.to_ne_bytes());
            put(&mut file, at + 16, &0x2000u32.to_ne_bytes());
            put(&mut file, at + 31, &[0]);
        }
        assert_eq!(found(&file), Some(vec![(0x8000_0000, 0x2000, 0x3000)]));
    }

    #[test]
    fn nonsense_is_refused() {
        let file = wide();
        assert_eq!(found(file.get(..10).unwrap_or_default()), None);
        assert_eq!(found(file.get(..100).unwrap_or_default()), None);
        let mut other = file.clone();
        put(&mut other, 54, &48u16.to_ne_bytes());
        assert_eq!(found(&other), None);
        let mut other = file;
        put(&mut other, 0, b"#!/bin/sh");
        assert_eq!(found(&other), None);
    }
}
