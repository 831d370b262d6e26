// SPDX-License-Identifier: GPL-2.0

//! Devices that attach a buffer and map it.

use crate::Test;
use crate::device;
use crate::device::device_reads;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::errno;
use crate::outcome::fail;
use crate::outcome::refused;
use crate::outcome::skip;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::importer::Attachment;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::DmaMapping;
use dma_heap::importer::DmaRange;
use dma_heap::importer::Importer;
use dma_heap::pattern::Pattern;

pub(crate) const TESTS: &[Test] = &[
    ("devices map a buffer in every direction", every_direction),
    ("one buffer takes several attachments", several),
    ("sixteen devices have a buffer mapped at once", sixteen),
    ("no range is longer than the device takes", segment_size),
    (
        "ranges are long where the driver says nothing of them",
        unset_segment_size,
    ),
    ("no range crosses the device's boundary", boundary),
    ("a contiguous buffer is one range", one_range),
    (
        "a second outstanding map has the same addresses",
        second_map,
    ),
    ("another direction while mapped is EBUSY", other_direction),
    ("a device without DMA attaches, and map is EINVAL", no_mask),
    (
        "a device that reaches nothing attaches, and map is EBUSY",
        small_mask,
    ),
    (
        "a device whose mask changes gets what it reaches by then",
        other_mask,
    ),
    ("importers that hold the buffer's lock map and vmap", locked),
    ("detaching waits for the last unmap", detach_first),
    ("closing the importer releases everything", close_all),
];

/// A size with blocks of several kinds.
const LARGE: u64 = (1 << 20) + (192 << 10);

/// The ranges of a mapping, which must cover the buffer.
fn ranges(mapping: &DmaMapping<'_>, buffer: &Buffer) -> Result<Vec<DmaRange>, Failure> {
    let ranges = mapping.ranges()?;
    let sum: u64 = ranges.iter().map(|range| range.len).sum();
    equal("the length of all ranges", sum, buffer.len())?;
    if ranges.iter().any(|range| range.len == 0) {
        return fail("a range has no bytes");
    }
    Ok(ranges)
}

fn every_direction(target: &Target) -> TestResult {
    device::with_any(|importer| {
        let used = target.used();
        let (buffer, pattern) = target.filled(LARGE)?;
        let attachment = importer.attach(&buffer)?;
        // Each after each other, the same twice included.
        for first in Direction::ALL {
            for second in Direction::ALL {
                for direction in [first, second] {
                    let mapping = attachment.map(direction)?;
                    ranges(&mapping, &buffer)?;
                    if direction != Direction::FromDevice {
                        device_reads(&mapping, &buffer, pattern)?;
                    }
                    mapping.release()?;
                }
            }
        }
        if device::all_bounce()? {
            written_in_part(&attachment, &buffer)?;
            crate::mmap::fill(&mut buffer.map()?, pattern)?;
        }
        attachment.release()?;
        crate::mmap::expect(&buffer.map()?, |index| pattern.word(index))?;
        drop(buffer);
        target.expect_used(used)?;
        Ok(Pass)
    })
}

/// What the CPU wrote since the last map stays where the device writes nothing:
/// a bounce buffer is filled from the memory at each map.
fn written_in_part(attachment: &Attachment<'_>, buffer: &Buffer) -> Result<(), Failure> {
    let len = usize::try_from(buffer.len())?;
    for _ in 0..2 {
        let (cpu, device) = (Pattern::random()?, Pattern::random()?);
        crate::mmap::fill(&mut buffer.map()?, cpu)?;
        let mapping = attachment.map(Direction::FromDevice)?;
        mapping.write(0, &device::pattern_bytes(device, 0, len / 2))?;
        mapping.release()?;
        crate::mmap::expect(&buffer.map()?, |index| {
            if index < len / 2 / size_of::<u64>() {
                device.word(index)
            } else {
                cpu.word(index)
            }
        })?;
    }
    Ok(())
}

fn several(target: &Target) -> TestResult {
    device::with_any(|first| {
        let used = target.used();
        let second = Importer::with_device(DeviceSettings {
            max_segment_size: 64 << 10,
            ..DeviceSettings::default()
        })?;
        let (buffer, pattern) = target.filled(256 << 10)?;
        let attachments = [first, &second, first, &second, first]
            .into_iter()
            .map(|importer| importer.attach(&buffer))
            .collect::<Result<Vec<_>, _>>()?;
        let mut mappings = attachments
            .iter()
            .map(|attachment| attachment.map(Direction::ToDevice))
            .collect::<Result<Vec<_>, _>>()?;
        for mapping in &mappings {
            device_reads(mapping, &buffer, pattern)?;
        }
        // What is left works when others have gone, in no particular order.
        for gone in [3, 0, 2, 0] {
            drop(mappings.swap_remove(gone));
            for mapping in &mappings {
                device_reads(mapping, &buffer, pattern)?;
            }
        }
        drop(attachments);
        drop(buffer);
        for mapping in mappings {
            mapping.release()?;
        }
        target.expect_used(used)?;
        Ok(Pass)
    })
}

/// Twice what a kernel that checks the DMA API counts before it warns.
fn sixteen(target: &Target) -> TestResult {
    device::with_any(|first| {
        let used = target.used();
        let others = (1..16)
            .map(|_| Importer::with_device(DeviceSettings::default()))
            .collect::<Result<Vec<_>, _>>()?;
        let (buffer, pattern) = target.filled(64 << 10)?;
        let attachments = std::iter::once(first)
            .chain(&others)
            .map(|device| device.attach(&buffer))
            .collect::<Result<Vec<_>, _>>()?;
        let mappings = attachments
            .iter()
            .map(|attachment| attachment.map(Direction::Both))
            .collect::<Result<Vec<_>, _>>()?;
        for mapping in &mappings {
            device_reads(mapping, &buffer, pattern)?;
        }
        for mapping in mappings {
            mapping.release()?;
        }
        drop(attachments);
        crate::mmap::expect(&buffer.map()?, |index| pattern.word(index))?;
        drop(buffer);
        target.expect_used(used)?;
        Ok(Pass)
    })
}

fn segment_size(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip("the kernel's own heaps do not look at the longest segment");
    }
    for pages in [1, 3, 16] {
        let most = u32::try_from(pages * page())?;
        let settings = DeviceSettings {
            max_segment_size: most,
            ..DeviceSettings::default()
        };
        let outcome = device::with(settings, |importer| {
            let (buffer, pattern) = target.filled(LARGE)?;
            let mapping = importer.attach(&buffer)?.map(Direction::Both)?;
            for range in ranges(&mapping, &buffer)? {
                if range.len > most.into() {
                    return fail(format!("{range:x?} is longer than {most:#x} bytes"));
                }
            }
            device_reads(&mapping, &buffer, pattern)?;
            Ok(Pass)
        })?;
        if outcome != Pass {
            return Ok(outcome);
        }
    }
    Ok(Pass)
}

/// The kernel's own word for it is 64 KiB then, but importers that need one range
/// and whose drivers never set a limit work with the kernel's heaps.
fn unset_segment_size(target: &Target) -> TestResult {
    if std::fs::exists("/sys/kernel/debug/dma-api")? {
        return skip("the kernel checks the DMA API, and warns of a driver that says nothing");
    }
    let settings = DeviceSettings {
        max_segment_size: 0,
        ..DeviceSettings::default()
    };
    device::with(settings, |importer| {
        let (buffer, pattern) = target.filled(LARGE)?;
        let mapping = importer.attach(&buffer)?.map(Direction::Both)?;
        let ranges = ranges(&mapping, &buffer)?;
        if ranges.iter().all(|range| range.len <= 64 << 10) {
            return fail(format!("no range is longer than 64 KiB: {ranges:x?}"));
        }
        device_reads(&mapping, &buffer, pattern)?;
        Ok(Pass)
    })
}

fn boundary(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip("the kernel's own heaps do not look at the segment boundary");
    }
    for pages in [1, 4, 32] {
        let mask = pages * page() - 1;
        let settings = DeviceSettings {
            segment_boundary_mask: mask,
            ..DeviceSettings::default()
        };
        let outcome = device::with(settings, |importer| {
            let (buffer, pattern) = target.filled(LARGE)?;
            let mapping = importer.attach(&buffer)?.map(Direction::Both)?;
            for range in ranges(&mapping, &buffer)? {
                let last = range.address + (range.len - 1);
                if range.address & !mask != last & !mask {
                    return fail(format!("{range:x?} crosses a multiple of {:#x}", mask + 1));
                }
            }
            device_reads(&mapping, &buffer, pattern)?;
            Ok(Pass)
        })?;
        if outcome != Pass {
            return Ok(outcome);
        }
    }
    Ok(Pass)
}

fn one_range(target: &Target) -> TestResult {
    if !target.is_contiguous() {
        return skip("the heap does not promise contiguous buffers");
    }
    device::with_any(|importer| {
        let mut sizes = vec![page(), 64 << 10];
        // A bounce buffer gives no more than a few pages in a row.
        if !device::all_bounce()? {
            sizes.extend([LARGE, 4 << 20]);
        }
        for size in sizes {
            let (buffer, _) = target.filled(size)?;
            let mapping = importer.attach(&buffer)?.map(Direction::Both)?;
            equal(
                &format!("the number of ranges of {size} bytes"),
                ranges(&mapping, &buffer)?.len(),
                1,
            )?;
        }
        Ok(Pass)
    })
}

fn second_map(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip(
            "the kernel's own heaps map one scatterlist twice and lose the first addresses",
        );
    }
    device::with_any(|importer| {
        let (buffer, pattern) = target.filled(LARGE)?;
        let attachment = importer.attach(&buffer)?;
        for direction in Direction::ALL {
            let first = attachment.map(direction)?;
            let wanted = ranges(&first, &buffer)?;
            let second = attachment.map(direction)?;
            let third = attachment.map(direction)?;
            equal("the second map", ranges(&second, &buffer)?, wanted.clone())?;
            equal("the third map", ranges(&third, &buffer)?, wanted.clone())?;
            // The first goes first; the others stay as they are.
            first.release()?;
            let fourth = attachment.map(direction)?;
            equal("the fourth map", ranges(&fourth, &buffer)?, wanted.clone())?;
            second.release()?;
            fourth.release()?;
            equal("the last map", ranges(&third, &buffer)?, wanted)?;
            if direction != Direction::FromDevice {
                device_reads(&third, &buffer, pattern)?;
            }
        }
        Ok(Pass)
    })
}

fn other_direction(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip("the kernel's own heaps map again in another direction");
    }
    device::with_any(|importer| {
        let (buffer, pattern) = target.filled(LARGE)?;
        let attachment = importer.attach(&buffer)?;
        for first in Direction::ALL {
            let mapping = attachment.map(first)?;
            for other in Direction::ALL {
                let result = errno(attachment.map(other));
                if other == first {
                    result?.release()?;
                } else {
                    refused(&format!("{other:?} beside {first:?}"), result, Errno::BUSY)?;
                }
            }
            // The refusals have done it no harm.
            if first != Direction::FromDevice {
                device_reads(&mapping, &buffer, pattern)?;
            }
        }
        Ok(Pass)
    })
}

fn no_mask(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip("on the kernel's own heaps, to map without a DMA mask is a kernel warning");
    }
    let settings = DeviceSettings {
        mask: 0,
        ..DeviceSettings::default()
    };
    device::with(settings, |importer| {
        let buffer = target.heap.alloc(4 * page())?;
        let attachment = importer.attach(&buffer)?;
        for direction in Direction::ALL {
            let result = errno(attachment.map(direction));
            refused("mapping without a DMA mask", result, Errno::INVAL)?;
        }
        // Such devices are there for this.
        let vmap = importer.vmap(&buffer)?;
        vmap.write(0, b"vmapped")?;
        let mut seen = [0; 7];
        vmap.read(0, &mut seen)?;
        equal("what was written", &seen, b"vmapped")?;
        Ok(Pass)
    })
}

fn small_mask(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip("on the kernel's own heaps, to map beyond the DMA mask is a kernel warning");
    }
    // No machine has free memory in its first 64 KiB, nor a bounce buffer.
    let settings = DeviceSettings {
        mask: 0xffff,
        ..DeviceSettings::default()
    };
    device::with(settings, |importer| {
        let used = target.used();
        let (buffer, pattern) = target.filled(LARGE)?;
        let attachment = importer.attach(&buffer)?;
        match errno(attachment.map(Direction::ToDevice)) {
            Err(Errno::BUSY) => {}
            Err(errno) => return fail(format!("mapping gave {errno}")),
            // Behind an IOMMU. Then it must work.
            Ok(mapping) => device_reads(&mapping, &buffer, pattern)?,
        }
        // One that only uses the CPU is not concerned.
        importer.vmap(&buffer)?.release()?;
        attachment.release()?;
        drop(buffer);
        target.expect_used(used)?;
        Ok(Pass)
    })
}

fn other_mask(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip("on the kernel's own heaps, to map beyond the DMA mask is a kernel warning");
    }
    device::with_any(|importer| {
        let (buffer, pattern) = target.filled(LARGE)?;
        let attachment = importer.attach(&buffer)?;
        let map = || errno(attachment.map(Direction::ToDevice));
        // Once before anything was mapped, and once when a mapping may be kept.
        for _ in 0..2 {
            importer.set_mask(0xffff)?;
            equal("beyond the mask", map().map(drop), Err(Errno::BUSY))?;
            importer.set_mask(u64::MAX)?;
            match map() {
                Ok(mapping) => {
                    device_reads(&mapping, &buffer, pattern)?;
                    mapping.release()?;
                }
                Err(errno) => return fail(format!("within the mask, mapping gave {errno}")),
            }
        }
        Ok(Pass)
    })
}

fn locked(target: &Target) -> TestResult {
    device::with_any(|importer| {
        let (buffer, pattern) = target.filled(LARGE)?;
        let attachment = importer.attach(&buffer)?;
        let unlocked = attachment.map(Direction::Both)?;
        for direction in [Direction::Both; 2] {
            let (ranges, word) = attachment.map_locked(direction)?;
            equal("ranges", ranges, unlocked.range_count())?;
            equal("the first word", word, pattern.word(0))?;
        }
        // The lock is free again.
        unlocked.release()?;
        attachment.map(Direction::ToDevice)?.release()?;
        Ok(Pass)
    })
}

fn detach_first(target: &Target) -> TestResult {
    device::with_any(|importer| {
        let used = target.used();
        let (buffer, pattern) = target.filled(256 << 10)?;
        let attachment = importer.attach(&buffer)?;
        let mapping = attachment.map(Direction::ToDevice)?;
        attachment.release()?;
        device_reads(&mapping, &buffer, pattern)?;
        let len = buffer.len();
        drop(buffer);
        let mut last = [0; 8];
        mapping.read(len - 8, &mut last)?;
        let words = usize::try_from(len / 8)?;
        equal(
            "the last word",
            u64::from_ne_bytes(last),
            pattern.word(words - 1),
        )?;
        mapping.release()?;
        target.expect_used(used)?;
        Ok(Pass)
    })
}

fn close_all(target: &Target) -> TestResult {
    device::with_any(|_| {
        let used = target.used();
        let importer = Importer::with_device(DeviceSettings::default())?;
        let (buffer, _) = target.filled(256 << 10)?;
        let attachment = importer.attach(&buffer)?;
        importer.attach(&buffer)?.leave();
        attachment.map(Direction::Both)?.leave();
        attachment.leave();
        importer.vmap(&buffer)?.leave();
        importer.vmap(&buffer)?.leave();
        let held = target.used();
        drop(buffer);
        target.expect_used(held)?;
        drop(importer);
        target.expect_used(used)?;
        Ok(Pass)
    })
}
