// SPDX-License-Identifier: GPL-2.0

//! As much of the ELF core format as `/proc/kcore` needs.
//!
//! The kernel decides on 32 or 64 bits, whatever this program has.

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

/// Bytes of the longer one of the two ELF headers.
pub(super) const HEADER: usize = 64;

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
pub(super) fn program_headers(header: &[u8]) -> Option<(u64, usize)> {
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
pub(super) fn ram(header: &[u8], headers: &[u8]) -> Option<Vec<Segment>> {
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
}
