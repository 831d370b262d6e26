// SPDX-License-Identifier: GPL-2.0

//! Test devices: the importer that plays them, and what to expect of it here.

use crate::mmap::fill;
use crate::outcome::Failure;
use crate::outcome::TestResult;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::target::Target;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Error;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::DmaMapping;
use dma_heap::importer::Importer;
use dma_heap::pattern::Pattern;

/// Bytes that any bounce buffer takes in one piece.
const BOUNCED: u64 = 64 << 10;

/// Runs a test with a device, or skips it where there is no test importer.
pub(crate) fn with(
    settings: DeviceSettings,
    test: impl FnOnce(&Importer) -> TestResult,
) -> TestResult {
    match Importer::with_device(settings) {
        Ok(importer) => test(&importer),
        Err(error @ Error::ImporterOpen { .. }) => skip(error.to_string()),
        Err(error) => Err(error.into()),
    }
}

/// Runs a test with a device without limits.
pub(crate) fn with_any(test: impl FnOnce(&Importer) -> TestResult) -> TestResult {
    with(DeviceSettings::default(), test)
}

/// Runs a test with QEMU's edu device, or skips it where there is none.
pub(crate) fn with_edu(test: impl FnOnce(&Importer) -> TestResult) -> TestResult {
    match Importer::with_edu(0) {
        Ok(importer) => test(&importer),
        Err(error @ Error::ImporterOpen { .. }) => skip(error.to_string()),
        Err(Error::Importer {
            errno: Errno::NODEV,
            ..
        }) => skip("needs QEMU's edu device (-device edu), which does real DMA"),
        Err(error) => Err(error.into()),
    }
}

/// How many bits the addresses have that the machine's IOMMU gives to QEMU's edu
/// device, if there is an IOMMU before it.
pub(crate) fn edu_iommu_bits() -> Result<Option<u32>, Failure> {
    for entry in std::fs::read_dir("/sys/bus/pci/drivers/dma_buf_test_importer")? {
        let device = entry?.path();
        if device.join("iommu_group").exists() {
            let bits = std::fs::read_to_string(device.join("dma_mask_bits"))?;
            return Ok(Some(bits.trim().parse()?));
        }
    }
    Ok(None)
}

/// Whether this machine makes every device bounce, as it can be told to.
pub(crate) fn all_bounce() -> Result<bool, Failure> {
    let line = std::fs::read_to_string("/proc/cmdline")?;
    Ok(line
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("swiotlb="))
        .any(|value| value.split(',').any(|part| part == "force")))
}

/// Whether the machine has memory that an address below `limit` does not reach.
pub(crate) fn has_memory_above(limit: u64) -> Result<bool, Failure> {
    for line in std::fs::read_to_string("/proc/iomem")?.lines() {
        if let Some((range, "System RAM")) = line.split_once(" : ") {
            let end = range.split_once('-').map_or(range, |(_, end)| end);
            if u64::from_str_radix(end, 16)? >= limit {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether the machine was told to have its contiguous area where devices of 32
/// address bits reach it.
pub(crate) fn area_is_low() -> Result<bool, Failure> {
    let line = std::fs::read_to_string("/proc/cmdline")?;
    Ok(line
        .split_whitespace()
        .any(|word| word.starts_with("cma=") && word.ends_with("@0-4G")))
}

impl Target {
    /// Whether devices of 32 address bits may be out of reach of its buffers.
    pub(crate) fn may_lie_high(&self) -> Result<bool, Failure> {
        Ok(has_memory_above(1 << 32)? && !(self.is_contiguous() && area_is_low()?))
    }

    /// The size to use instead of `wanted` for a buffer that is to be mapped:
    /// the kernel's own heaps make entries that no bounce buffer takes.
    pub(crate) fn mappable(&self, wanted: u64) -> Result<u64, Failure> {
        if self.is_ours() || !all_bounce()? {
            Ok(wanted)
        } else {
            Ok(wanted.min(BOUNCED))
        }
    }

    /// A buffer that can be mapped, of the size `wanted` where possible, and
    /// what it holds.
    pub(crate) fn filled(&self, wanted: u64) -> Result<(Buffer, Pattern), Failure> {
        let buffer = self.heap.alloc(self.mappable(wanted)?)?;
        let pattern = Pattern::random()?;
        fill(&mut buffer.map()?, pattern)?;
        Ok((buffer, pattern))
    }
}

/// The bytes of a pattern, from byte `offset` on.
pub(crate) fn pattern_bytes(pattern: Pattern, offset: usize, len: usize) -> Vec<u8> {
    const WORD: usize = size_of::<u64>();
    let mut bytes = Vec::with_capacity(len + 2 * WORD);
    for index in offset / WORD..=(offset + len) / WORD {
        bytes.extend_from_slice(&pattern.word(index).to_ne_bytes());
    }
    bytes.drain(..offset % WORD);
    bytes.truncate(len);
    bytes
}

/// Fails at the first byte that is not as wanted.
pub(crate) fn same_bytes(
    what: &str,
    offset: usize,
    seen: &[u8],
    wanted: &[u8],
) -> Result<(), Failure> {
    // Whole slices are compared much faster than byte by byte.
    if seen == wanted {
        return Ok(());
    }
    match seen.iter().zip(wanted).position(|(a, b)| a != b) {
        None => fail(format!(
            "{what}: {} bytes instead of {}",
            seen.len(),
            wanted.len()
        )),
        Some(at) => fail(format!(
            "{what}: byte {} reads {:#04x} instead of {:#04x} (of bytes {offset} to {})",
            offset + at,
            seen.get(at).unwrap_or(&0),
            wanted.get(at).unwrap_or(&0),
            offset + seen.len(),
        )),
    }
}

/// Reads bytes of a buffer with the CPU.
pub(crate) fn cpu_reads(buffer: &Buffer, offset: u64, len: u64) -> Result<Vec<u8>, Failure> {
    let mapping = buffer.map()?;
    let mut seen = vec![0; usize::try_from(len)?];
    let access = mapping.read()?;
    access.copy_to_slice(usize::try_from(offset)?, &mut seen)?;
    access.finish()?;
    Ok(seen)
}

/// Fails unless the device reads what the CPU has written into a buffer.
pub(crate) fn device_reads(
    mapping: &DmaMapping<'_>,
    buffer: &Buffer,
    pattern: Pattern,
) -> Result<(), Failure> {
    let mut seen = vec![0; usize::try_from(buffer.len())?];
    mapping.read(0, &mut seen)?;
    same_bytes(
        "the device",
        0,
        &seen,
        &pattern_bytes(pattern, 0, seen.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_pattern() {
        let pattern = Pattern::new(3);
        let all = pattern_bytes(pattern, 0, 40);
        assert_eq!(all.get(8..16), Some(&pattern.word(1).to_ne_bytes()[..]));
        assert_eq!(all.get(5..22), Some(&pattern_bytes(pattern, 5, 17)[..]));
    }

    #[test]
    fn differences_are_found() {
        assert!(same_bytes("x", 0, &[1, 2], &[1, 2]).is_ok());
        let failure = same_bytes("x", 10, &[1, 2], &[1, 3]);
        assert!(failure.is_err_and(|Failure(what)| what.contains("byte 11 ")));
    }
}
