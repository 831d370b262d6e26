// SPDX-License-Identifier: GPL-2.0

//! A device that really does DMA, with or without an IOMMU before it: QEMU's
//! edu. Its buffer is a page, and a transfer takes a tenth of a second.

use crate::Test;
use crate::device;
use crate::device::cpu_reads;
use crate::device::pattern_bytes;
use crate::device::same_bytes;
use crate::mapping_cache;
use crate::mmap::expect;
use crate::mmap::fill;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::patience::ample;
use crate::target::Target;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::importer::Direction;
use dma_heap::importer::DmaRange;
use dma_heap::importer::Importer;
use dma_heap::pattern::Pattern;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::ErrorKind;
use std::io::Read as _;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    ("hardware moves bytes from and to any offset", any_offset),
    (
        "hardware and CPU see each other's writes between maps",
        between_maps,
    ),
    (
        "two mapped buffers do not get into each other's way",
        side_by_side,
    ),
    (
        "an IOMMU stops hardware once it is detached",
        stopped_after_detach,
    ),
    (
        "an IOMMU forgets a mapping before it is detached",
        stopped_at_detach,
    ),
    ("what hardware had mapped is closed at once", closed_at_once),
    (
        "few address bits are enough for memory that lies low",
        low_memory,
    ),
];

/// A size with blocks of several kinds.
const LARGE: u64 = (1 << 20) + (192 << 10);

/// Bytes of the device's buffer.
const DEVICE: u64 = 4096;

/// Bytes that QEMU writes in one access, so that an IOMMU has one fault to report.
pub(crate) const WORD: u64 = 4;

/// An IOMMU may flush what has ended with a delay of 10 ms and a tick.
pub(crate) const FLUSH: Duration = Duration::from_millis(50);

/// How long the kernel may take to write a fault into its log.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the second range of a mapping begins, or the middle of the buffer.
fn seam(ranges: &[DmaRange], buffer: &Buffer) -> u64 {
    match ranges {
        [first, _, ..] => first.len,
        _ => buffer.len() / 2,
    }
}

/// Other memory of the machine is beyond the device's mask, and bounces or is out of
/// reach. That is no reason to cut this buffer for a bounce buffer, nor to forget its
/// mapping.
fn low_memory(target: &Target) -> TestResult {
    if !device::has_memory_above(1 << 32)? || !device::area_is_low()? {
        return skip("needs memory beyond edu's address bits, and a contiguous area within them");
    }
    if !target.is_contiguous() {
        return skip("the heap does not promise contiguous buffers");
    }
    mapping_cache::with_counters(target, |cache| {
        device::with_edu(|edu| {
            let (buffer, pattern) = target.filled(1 << 20)?;
            let before = cache.mappings()?;
            let attachment = edu.attach(&buffer)?;
            let mapping = attachment.map(Direction::Both)?;
            let ranges = mapping.ranges()?;
            equal("the ranges", ranges.len(), 1)?;
            let last = ranges.iter().map(|range| range.address + range.len).max();
            equal(
                "within 32 bits",
                last.is_some_and(|last| last <= 1 << 32),
                true,
            )?;
            // Out of the last bytes, into the first.
            mapping.load(buffer.len() - DEVICE, 0, DEVICE)?;
            mapping.store(0, 0, DEVICE)?;
            mapping.release()?;
            let wanted = pattern_bytes(
                pattern,
                usize::try_from(buffer.len() - DEVICE)?,
                usize::try_from(DEVICE)?,
            );
            same_bytes("the CPU", 0, &cpu_reads(&buffer, 0, DEVICE)?, &wanted)?;
            attachment.map(Direction::Both)?.release()?;
            cache.expect("mappings of two maps", before, 1, 0)?;
            Ok(Pass)
        })
    })
}

fn any_offset(target: &Target) -> TestResult {
    device::with_edu(|edu| {
        let (source, pattern) = target.filled(LARGE)?;
        let sink = target.heap.alloc(source.len())?;
        let (from, to) = (edu.attach(&source)?, edu.attach(&sink)?);
        let end = source.len();
        let middle = {
            let mapping = from.map(Direction::ToDevice)?;
            let seam = seam(&mapping.ranges()?, &source);
            mapping.release()?;
            seam
        };
        // Of which bytes, to where, and how many.
        for (offset, place, len) in [
            (0, end - DEVICE, DEVICE),
            (end - 1, 0, 1),
            (middle - 100, 12_345, 3000),
            (8191, middle - 7, 77),
        ] {
            let mapping = from.map(Direction::ToDevice)?;
            mapping.load(offset, 0, len)?;
            mapping.release()?;
            let mapping = to.map(Direction::FromDevice)?;
            mapping.store(place, 0, len)?;
            mapping.release()?;
            let wanted = pattern_bytes(pattern, usize::try_from(offset)?, usize::try_from(len)?);
            same_bytes(
                "the CPU",
                usize::try_from(place)?,
                &cpu_reads(&sink, place, len)?,
                &wanted,
            )?;
        }
        expect(&source.map()?, |index| pattern.word(index))?;
        Ok(Pass)
    })
}

/// A mapping may be kept between one map and the next, but never what is in the
/// memory.
fn between_maps(target: &Target) -> TestResult {
    device::with_edu(|edu| {
        let (buffer, _) = target.filled(128 << 10)?;
        let attachment = edu.attach(&buffer)?;
        let place = buffer.len() - DEVICE;
        for _ in 0..2 {
            // The CPU fills the first half, the device copies a page of it.
            let pattern = Pattern::random()?;
            fill(&mut buffer.map()?, pattern)?;
            let mapping = attachment.map(Direction::Both)?;
            mapping.load(DEVICE, 0, DEVICE)?;
            mapping.store(place, 0, DEVICE)?;
            mapping.release()?;
            let len = usize::try_from(DEVICE)?;
            same_bytes(
                "the CPU",
                usize::try_from(place)?,
                &cpu_reads(&buffer, place, DEVICE)?,
                &pattern_bytes(pattern, len, len),
            )?;
        }
        Ok(Pass)
    })
}

fn side_by_side(target: &Target) -> TestResult {
    device::with_edu(|edu| {
        let (first, first_pattern) = target.filled(LARGE)?;
        let (second, second_pattern) = target.filled(LARGE)?;
        let (a, b) = (edu.attach(&first)?, edu.attach(&second)?);
        let (a, b) = (a.map(Direction::Both)?, b.map(Direction::Both)?);
        let half = DEVICE / 2;
        a.load(half, 0, half)?;
        b.load(3 * half, half, half)?;
        a.store(DEVICE * 8, half, half)?;
        b.store(DEVICE * 9, 0, half)?;
        a.release()?;
        b.release()?;
        let len = usize::try_from(half)?;
        same_bytes(
            "the CPU",
            0,
            &cpu_reads(&first, DEVICE * 8, half)?,
            &pattern_bytes(second_pattern, 3 * len, len),
        )?;
        same_bytes(
            "the CPU",
            0,
            &cpu_reads(&second, DEVICE * 9, half)?,
            &pattern_bytes(first_pattern, len, len),
        )?;
        Ok(Pass)
    })
}

/// The kernel's log, from now on.
pub(crate) struct Log(File);

impl Log {
    pub(crate) fn from_now() -> Result<Self, Failure> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut log = File::from(rustix::fs::open("/dev/kmsg", flags, Mode::empty())?);
        while Self::line(&mut log)?.is_some() {}
        Ok(Self(log))
    }

    fn line(log: &mut File) -> Result<Option<String>, Failure> {
        let mut bytes = [0; 8192];
        loop {
            match log.read(&mut bytes) {
                Ok(len) => {
                    let line = bytes.get(..len).unwrap_or_default();
                    return Ok(Some(String::from_utf8_lossy(line).into_owned()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // Lines were overwritten before they were read.
                Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for an IOMMU's report that it stopped a device's write to `address`.
    pub(crate) fn expect_fault(&mut self, address: u64) -> Result<(), Failure> {
        let start = Instant::now();
        let mut lines = String::new();
        while start.elapsed() < ample(PATIENCE) {
            while let Some(line) = Self::line(&mut self.0)? {
                if reports_fault(&line, address) {
                    return Ok(());
                }
                lines += line.lines().next().unwrap_or_default();
                lines += "\n";
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        fail(format!(
            "a device wrote to {address:#x}, where nothing is mapped, and no fault was reported; \
             the kernel's log says:\n{lines}"
        ))
    }
}

/// Whether a line of the kernel's log is an IOMMU's report of a fault at
/// `address`: Intel's with what was tried, Arm's SMMUv3 with that in its next
/// line.
fn reports_fault(line: &str, address: u64) -> bool {
    line.contains("DMAR: [DMA Write ") && line.contains(&format!(" fault addr {address:#x} "))
        || line.contains("arm-smmu-v3 ")
            && line.contains(": event: F_TRANSLATION ")
            && line.contains(&format!(" iova: {address:#x} "))
}

fn stopped_after_detach(target: &Target) -> TestResult {
    device::with_edu(|edu| {
        let (buffer, pattern) = target.filled(64 << 10)?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::Both)?;
        let Some(range) = mapping.ranges()?.first().copied() else {
            return fail("a mapping without a range");
        };
        // Something else than what is in the buffer's first page.
        mapping.load(DEVICE, 0, DEVICE)?;
        mapping.release()?;
        attachment.release()?;
        std::thread::sleep(FLUSH);

        let mut log = Log::from_now()?;
        match edu.store_at(range.address, 0, WORD) {
            Err(error) if error.errno() == Some(Errno::PERM) => {
                return skip("needs an IOMMU before the device");
            }
            result => result?,
        }
        log.expect_fault(range.address)?;
        expect(&buffer.map()?, |index| pattern.word(index))?;
        live_again(edu, &buffer, pattern)
    })
}

/// How often a transfer must have come within the time in which an IOMMU that
/// flushes later would not have flushed, and how often that is tried.
const HITS: usize = 4;
const TRIES: usize = 40;

/// That time.
const UNFLUSHED: Duration = Duration::from_millis(8);

/// After what time the kernel tells of faults again that it has told of too often.
const REPORTS: Duration = Duration::from_secs(6);

/// The device writes a moment after it was detached, and the IOMMU has cached
/// where to: whoever gets the memory next must not find that there.
fn stopped_at_detach(target: &Target) -> TestResult {
    device::with_edu(|edu| {
        let (buffer, pattern) = target.filled(64 << 10)?;
        let mut time = Duration::from_millis(94);
        let mut hits = 0;
        for _ in 0..TRIES {
            let attachment = edu.attach(&buffer)?;
            let mapping = attachment.map(Direction::Both)?;
            let Some(range) = mapping.ranges()?.first().copied() else {
                return fail("a mapping without a range");
            };
            // The write fills the cache. What is to come is something else.
            mapping.load(0, 0, WORD)?;
            mapping.store(0, 0, WORD)?;
            mapping.load(DEVICE, 0, WORD)?;
            mapping.release()?;
            let times = match attachment.store_and_release(range.address, 0, WORD, time) {
                Err(error) if error.errno() == Some(Errno::PERM) => {
                    return skip("needs an IOMMU before the device");
                }
                result => result?,
            };
            match times.stored {
                // It came before: no fault, and the bytes are there.
                None => time -= Duration::from_millis(1),
                Some(stored) if stored - times.detached > UNFLUSHED => {
                    time += Duration::from_millis(1);
                }
                Some(_) => hits += 1,
            }
            if times.stored.is_some() {
                let len = usize::try_from(WORD)?;
                same_bytes(
                    "a device wrote after it was detached: the CPU",
                    0,
                    &cpu_reads(&buffer, 0, WORD)?,
                    &pattern_bytes(pattern, 0, len),
                )?;
            } else {
                fill(&mut buffer.map()?, pattern)?;
            }
            if hits == HITS {
                std::thread::sleep(REPORTS);
                return Ok(Pass);
            }
        }
        fail(format!(
            "{hits} of {TRIES} transfers came in time: the machine is too busy"
        ))
    })
}

/// A device that was stopped can be attached again.
fn live_again(edu: &Importer, buffer: &Buffer, pattern: Pattern) -> TestResult {
    let attachment = edu.attach(buffer)?;
    let mapping = attachment.map(Direction::Both)?;
    mapping.load(0, 0, 64)?;
    mapping.store(1 << 10, 0, 64)?;
    mapping.release()?;
    same_bytes(
        "the CPU",
        1 << 10,
        &cpu_reads(buffer, 1 << 10, 64)?,
        &pattern_bytes(pattern, 0, 64),
    )?;
    Ok(Pass)
}

/// How many buffers are closed, and how long that may take. A pause of one tick
/// for each would be seen.
const CLOSED: usize = 200;
const CLOSING: Duration = Duration::from_millis(600);

fn closed_at_once(target: &Target) -> TestResult {
    device::with_edu(|importer| {
        let used = target.used();
        let buffers = (0..CLOSED)
            .map(|_| target.heap.alloc(16 << 10))
            .collect::<Result<Vec<_>, _>>()?;
        for buffer in &buffers {
            let attachment = importer.attach(buffer)?;
            attachment.map(Direction::Both)?.release()?;
            attachment.release()?;
        }
        let start = Instant::now();
        drop(buffers);
        target.expect_used(used)?;
        let time = start.elapsed();
        if time > ample(CLOSING) {
            return fail(format!("{CLOSED} buffers took {time:?} to close"));
        }
        Ok(Pass)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_faults() {
        let intel = "4,731,9,-;DMAR: [DMA Write NO_PASID] Request device [00:04.0] fault addr \
                     0xffff0000 [fault reason 0x05] PTE Write access is not set";
        assert!(reports_fault(intel, 0xffff_0000));
        assert!(!reports_fault(intel, 0xffff));
        let read = intel.replace("Write NO", "Read NO");
        assert!(!reports_fault(&read, 0xffff_0000));
        let arm = "3,602,9,-;arm-smmu-v3 9050000.smmuv3: event: F_TRANSLATION client: 0000:00:02.0 \
                   sid: 0x10 ssid: 0x0 iova: 0xfff0000 ipa: 0x0";
        assert!(reports_fault(arm, 0xfff_0000));
        assert!(!reports_fault(arm, 0xfff));
    }
}
