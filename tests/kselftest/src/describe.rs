// SPDX-License-Identifier: GPL-2.0

//! The ioctl that tells what a buffer is.

use crate::Test;
use crate::device;
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
use dma_heap::AttachedDevice;
use dma_heap::Buffer;
use dma_heap::Description;
use dma_heap::Errno;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use dma_heap::sys::raw::Argument;
use rustix::ioctl::Direction as IoctlDirection;
use rustix::ioctl::Opcode;
use rustix::ioctl::opcode::from_components;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;

pub(crate) const TESTS: &[Test] = &[
    ("only heaps of the module describe", who_describes),
    ("a buffer is told with heap, size and segments", memory),
    ("whoever has a read-only descriptor may ask", read_only),
    (
        "any node of the module describes any of its buffers",
        other_node,
    ),
    ("attached devices are told, with what they demand", attached),
    ("maps are counted, and a kept mapping is told", maps),
    ("sixty attachments are told", sixty),
    ("without room, only the number of devices is told", no_room),
    ("longer structures are taken if the surplus is zero", longer),
    (
        "entries of a later version are filled up with zeroes",
        longer_entries,
    ),
    ("a shorter structure is EINVAL", shorter),
    ("what is reserved must be zero", reserved),
    ("other directions are EINVAL", directions),
    ("what is no buffer of the module is refused", no_buffer),
    ("memory without access is EFAULT", bad_memory),
    ("devices are remembered with what they demanded", devices),
    ("the list of devices has the same rules", devices_structure),
];

/// Bytes of the structure and of an entry, as they were first.
const SIZE: usize = 112;
const ENTRY_SIZE: usize = 96;

/// Where members of the structure are.
const FLAGS: usize = 4;
const ENTRY_SIZE_AT: usize = 16;
const NR_ENTRIES_AT: usize = 20;
const SIZE_AT: usize = 24;

fn command(direction: IoctlDirection, size: usize) -> Opcode {
    from_components(direction, b'H', 0x91, size)
}

/// The ioctl's structure as it lies in memory, of `len` bytes.
fn structure(buffer: &Buffer, room: u32, len: usize) -> Vec<u8> {
    let entry_size = if room == 0 { 0 } else { ENTRY_SIZE as u32 };
    let mut bytes = [
        &buffer.as_fd().as_raw_fd().to_ne_bytes()[..],
        &[0; ENTRY_SIZE_AT - FLAGS],
        &entry_size.to_ne_bytes(),
        &room.to_ne_bytes(),
    ]
    .concat();
    bytes.resize(len, 0);
    bytes
}

fn set(bytes: &mut [u8], at: usize, value: &[u8]) -> Result<(), Failure> {
    match bytes.get_mut(at..at + value.len()) {
        Some(place) => place.copy_from_slice(value),
        None => return fail("the structure is shorter than that"),
    }
    Ok(())
}

fn number_at(bytes: &[u8], at: usize) -> Result<u32, Failure> {
    let bytes = bytes.get(at..at + 4).unwrap_or_default();
    Ok(u32::from_ne_bytes(bytes.try_into()?))
}

fn size_at(bytes: &[u8]) -> Result<u64, Failure> {
    let bytes = bytes.get(SIZE_AT..SIZE_AT + 8).unwrap_or_default();
    Ok(u64::from_ne_bytes(bytes.try_into()?))
}

impl Target {
    /// Sends a structure of its length, with `entries` for attached devices.
    fn send_description(&self, bytes: &mut [u8], entries: &mut [u8]) -> Result<(), Errno> {
        let command = command(IoctlDirection::ReadWrite, bytes.len());
        self.raw
            .own_ioctl(command, bytes, Argument::Ordinary, entries)
    }
}

/// Runs a test on a heap of the module only.
fn ours(target: &Target, test: impl FnOnce() -> TestResult) -> TestResult {
    if target.is_ours() {
        test()
    } else {
        skip("the kernel's own heaps do not describe buffers")
    }
}

fn who_describes(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(page())?;
    let told = errno(target.heap.describe(&buffer));
    if target.is_ours() {
        equal("bytes", told.map(|it| it.size), Ok(page()))?;
    } else {
        refused("the ioctl", told, Errno::INVAL)?;
    }
    Ok(Pass)
}

fn memory(target: &Target) -> TestResult {
    ours(target, || {
        for pages in [1, 2, 7, 16, 300] {
            let buffer = target.heap.alloc(pages * page())?;
            let told = target.heap.describe(&buffer)?;
            let wanted = Description {
                heap: target.name().to_owned(),
                size: pages * page(),
                blocks: told.blocks,
                segments: told.segments,
                attachments: vec![],
            };
            let segments = 1..=if target.is_contiguous() {
                1
            } else {
                told.blocks
            };
            if !(1..=pages).contains(&told.blocks) || !segments.contains(&told.segments) {
                return fail(format!("{pages} pages are told as {told:?}"));
            }
            equal("the description", told, wanted)?;
        }
        Ok(Pass)
    })
}

fn read_only(target: &Target) -> TestResult {
    ours(target, || {
        let options = dma_heap::AllocOptions {
            write: false,
            ..dma_heap::AllocOptions::default()
        };
        let buffer = target.heap.alloc_with(page(), options)?;
        equal("bytes", target.heap.describe(&buffer)?.size, page())?;
        Ok(Pass)
    })
}

fn other_node(target: &Target) -> TestResult {
    ours(target, || {
        let buffer = target.heap.alloc(page())?;
        let others = dma_heap::heaps()?.into_iter().filter(|it| it.is_ours());
        for other in others {
            let told = dma_heap::Heap::open(&other.name)?.describe(&buffer)?;
            equal("the heap", told.heap, target.name().to_owned())?;
        }
        Ok(Pass)
    })
}

/// What is told of a device with these settings and nothing mapped.
fn device_of(name: &str, settings: DeviceSettings) -> AttachedDevice {
    AttachedDevice {
        name: name.to_owned(),
        dma_mask: Some(settings.mask),
        max_segment: Some(settings.max_segment_size.into()),
        boundary_mask: Some(settings.segment_boundary_mask).filter(|mask| *mask != 0),
        maps: 0,
        is_kept: false,
    }
}

fn attached(target: &Target) -> TestResult {
    let settings = DeviceSettings {
        mask: (1 << 40) - 1,
        max_segment_size: 128 << 10,
        segment_boundary_mask: (1 << 20) - 1,
    };
    ours(target, || {
        device::with(settings, |importer| {
            let unlimited = Importer::with_device(DeviceSettings::default())?;
            let buffer = target.heap.alloc(1 << 20)?;
            let first = importer.attach(&buffer)?;
            let _second = unlimited.attach(&buffer)?;
            let told = target.heap.describe(&buffer)?.attachments;
            equal("the number of devices", told.len(), 2)?;
            for (device, settings) in [(0, settings), (1, DeviceSettings::default())] {
                let mask = settings.mask;
                let seen = told.iter().find(|it| it.dma_mask == Some(mask)).cloned();
                let name = seen.as_ref().map_or("", |it| &it.name).to_owned();
                if name.is_empty() {
                    return fail(format!("device {device} has no name in {told:?}"));
                }
                equal("a device", seen, Some(device_of(&name, settings)))?;
            }
            first.release()?;
            let left = target.heap.describe(&buffer)?.attachments;
            equal("devices after one detached", left.len(), 1)?;
            Ok(Pass)
        })
    })
}

fn maps(target: &Target) -> TestResult {
    ours(target, || {
        device::with_any(|importer| {
            let buffer = target.heap.alloc(1 << 20)?;
            let attachment = importer.attach(&buffer)?;
            let seen = |what: &str, maps: u32, kept: bool| -> Result<(), Failure> {
                let told = target.heap.describe(&buffer)?.attachments;
                let told: Vec<_> = told.iter().map(|it| (it.maps, it.is_kept)).collect();
                equal(what, told, vec![(maps, kept)])
            };
            seen("before the first map", 0, false)?;
            let first = attachment.map(Direction::Both)?;
            seen("mapped once", 1, false)?;
            let second = attachment.map(Direction::Both)?;
            seen("mapped twice", 2, false)?;
            first.release()?;
            seen("after one unmap", 1, false)?;
            second.release()?;
            seen("after both", 0, !device::all_bounce()?)?;
            Ok(Pass)
        })
    })
}

fn sixty(target: &Target) -> TestResult {
    ours(target, || {
        device::with_any(|importer| {
            let buffer = target.heap.alloc(page())?;
            let attachments = (0..60)
                .map(|_| importer.attach(&buffer))
                .collect::<Result<Vec<_>, _>>()?;
            let told = target.heap.describe(&buffer)?.attachments;
            equal("devices", told.len(), attachments.len())?;
            Ok(Pass)
        })
    })
}

fn no_room(target: &Target) -> TestResult {
    ours(target, || {
        device::with_any(|importer| {
            let buffer = target.heap.alloc(page())?;
            let _attachments = [importer.attach(&buffer)?, importer.attach(&buffer)?];
            for room in 0..3 {
                let mut bytes = structure(&buffer, room, SIZE);
                // What is not to be written shows it.
                let mut entries = vec![0xaa; 2 * ENTRY_SIZE];
                target.send_description(&mut bytes, &mut entries)?;
                equal("devices", number_at(&bytes, NR_ENTRIES_AT)?, 2)?;
                let filled = ENTRY_SIZE * usize::try_from(room)?;
                let rest = entries.get(filled..).unwrap_or_default();
                if rest.iter().any(|byte| *byte != 0xaa) {
                    return fail(format!("with room for {room}, more was written"));
                }
                if entries.iter().take(filled).all(|byte| *byte == 0xaa) && room > 0 {
                    return fail(format!("with room for {room}, nothing was written"));
                }
            }
            Ok(Pass)
        })
    })
}

fn longer(target: &Target) -> TestResult {
    ours(target, || {
        let buffer = target.heap.alloc(page())?;
        for surplus in [1, 8, 64, 65, 4096] {
            let mut bytes = structure(&buffer, 0, SIZE + surplus);
            target.send_description(&mut bytes, &mut [])?;
            equal("bytes", size_at(&bytes)?, page())?;
            if bytes.iter().skip(SIZE).any(|byte| *byte != 0) {
                return fail("the surplus has changed");
            }
            // Its last byte is looked at, too.
            for at in [SIZE, SIZE + surplus - 1] {
                let mut bytes = structure(&buffer, 0, SIZE + surplus);
                set(&mut bytes, at, &[1])?;
                let result = target.send_description(&mut bytes, &mut []);
                refused(
                    &format!("byte {at} of {}", bytes.len()),
                    result,
                    Errno::TOOBIG,
                )?;
            }
        }
        Ok(Pass)
    })
}

fn longer_entries(target: &Target) -> TestResult {
    ours(target, || {
        device::with_any(|importer| {
            let buffer = target.heap.alloc(page())?;
            let _attachments = [importer.attach(&buffer)?, importer.attach(&buffer)?];
            let size: usize = ENTRY_SIZE + 200;
            let mut bytes = structure(&buffer, 2, SIZE);
            set(
                &mut bytes,
                ENTRY_SIZE_AT,
                &u32::try_from(size)?.to_ne_bytes(),
            )?;
            let mut entries = vec![0xaa; 2 * size];
            target.send_description(&mut bytes, &mut entries)?;
            for entry in entries.chunks(size) {
                if entry.first().is_none_or(|byte| [0, 0xaa].contains(byte)) {
                    return fail("an entry has no name");
                }
                if entry.iter().skip(ENTRY_SIZE).any(|byte| *byte != 0) {
                    return fail("what is unknown is not zero");
                }
            }
            for wrong in [0, 1, ENTRY_SIZE - 1, 4096, 1 << 31] {
                let mut bytes = structure(&buffer, 1, SIZE);
                set(
                    &mut bytes,
                    ENTRY_SIZE_AT,
                    &u32::try_from(wrong)?.to_ne_bytes(),
                )?;
                // Nothing is written, so none is needed.
                let result = target.send_description(&mut bytes, &mut []);
                refused(&format!("entries of {wrong} bytes"), result, Errno::INVAL)?;
            }
            Ok(Pass)
        })
    })
}

fn shorter(target: &Target) -> TestResult {
    ours(target, || {
        let buffer = target.heap.alloc(page())?;
        for len in [0, 8, 24, SIZE - 1] {
            let mut bytes = structure(&buffer, 0, len);
            let result = target.send_description(&mut bytes, &mut []);
            refused(&format!("{len} bytes"), result, Errno::INVAL)?;
        }
        Ok(Pass)
    })
}

fn reserved(target: &Target) -> TestResult {
    ours(target, || {
        let buffer = target.heap.alloc(page())?;
        for bit in 0..32 {
            let mut bytes = structure(&buffer, 0, SIZE);
            set(&mut bytes, FLAGS, &(1u32 << bit).to_ne_bytes())?;
            let result = target.send_description(&mut bytes, &mut []);
            refused(&format!("flag {bit}"), result, Errno::INVAL)?;
        }
        Ok(Pass)
    })
}

fn directions(target: &Target) -> TestResult {
    ours(target, || {
        let buffer = target.heap.alloc(page())?;
        for direction in [
            IoctlDirection::None,
            IoctlDirection::Read,
            IoctlDirection::Write,
        ] {
            let mut bytes = structure(&buffer, 0, SIZE);
            let result = target.raw.own_ioctl(
                command(direction, SIZE),
                &mut bytes,
                Argument::Ordinary,
                &mut [],
            );
            refused(&format!("{direction:?}"), result, Errno::INVAL)?;
        }
        Ok(Pass)
    })
}

fn no_buffer(target: &Target) -> TestResult {
    ours(target, || {
        let file = std::fs::File::open("/dev/null")?;
        let buffer = target.heap.alloc(page())?;
        let mut bytes = structure(&buffer, 0, SIZE);
        set(&mut bytes, 0, &file.as_raw_fd().to_ne_bytes())?;
        let result = target.send_description(&mut bytes, &mut []);
        refused("a file", result, Errno::INVAL)?;
        for number in [-1, 1 << 20] {
            let mut bytes = structure(&buffer, 0, SIZE);
            set(&mut bytes, 0, &i32::to_ne_bytes(number))?;
            let result = target.send_description(&mut bytes, &mut []);
            refused(&format!("descriptor {number}"), result, Errno::BADF)?;
        }
        // One of the kernel's own heaps, where there is one.
        let kernels = dma_heap::heaps()?.into_iter().find(|it| !it.is_ours());
        if let Some(other) = kernels {
            let theirs = dma_heap::Heap::open(&other.name)?.alloc(page())?;
            let result = target.heap.describe(&theirs);
            refused("another exporter's buffer", errno(result), Errno::XDEV)?;
        }
        Ok(Pass)
    })
}

fn bad_memory(target: &Target) -> TestResult {
    ours(target, || {
        device::with_any(|importer| {
            let buffer = target.heap.alloc(page())?;
            for kind in [Argument::ReadOnly, Argument::NoAccess, Argument::CutShort] {
                let mut bytes = structure(&buffer, 0, SIZE);
                let command = command(IoctlDirection::ReadWrite, SIZE);
                let result = target.raw.own_ioctl(command, &mut bytes, kind, &mut []);
                refused(&format!("{kind:?}"), result, Errno::FAULT)?;
            }
            let _attachment = importer.attach(&buffer)?;
            let mut bytes = structure(&buffer, 1, SIZE);
            let result = target.send_description(&mut bytes, &mut []);
            refused("room without access", result, Errno::FAULT)?;
            Ok(Pass)
        })
    })
}

fn devices(target: &Target) -> TestResult {
    let settings = DeviceSettings {
        mask: (1 << 39) - 1,
        max_segment_size: 96 << 10,
        segment_boundary_mask: (1 << 21) - 1,
    };
    ours(target, || {
        device::with(settings, |importer| {
            let buffer = target.heap.alloc(page())?;
            let attachment = importer.attach(&buffer)?;
            let told = target.heap.describe(&buffer)?.attachments;
            let name = told.first().map_or("", |it| &it.name).to_owned();
            let expect = |when: &str| -> Result<(), Failure> {
                let mut all = target.heap.devices()?;
                // Once, however often it was attached.
                all.retain(|it| it.name == name);
                equal(when, all, vec![device_of(&name, settings)])
            };
            expect("attached")?;
            let mapping = attachment.map(Direction::Both)?;
            expect("mapped")?;
            mapping.release()?;
            attachment.release()?;
            expect("detached")?;
            let _attachments = [importer.attach(&buffer)?, importer.attach(&buffer)?];
            expect("attached again, twice")?;
            Ok(Pass)
        })
    })
}

/// The structure of the other ioctl: an address, the bytes of an entry, their number.
fn devices_structure(target: &Target) -> TestResult {
    const SIZE: usize = 16;
    let structure = |entry_size: u32, room: u32, len: usize| {
        let mut bytes = [&[0; 8][..], &entry_size.to_ne_bytes(), &room.to_ne_bytes()].concat();
        bytes.resize(len, 0);
        bytes
    };
    let send = |bytes: &mut [u8], entries: &mut [u8]| {
        let command = from_components(IoctlDirection::ReadWrite, b'H', 0x92, bytes.len());
        target
            .raw
            .own_ioctl(command, bytes, Argument::Ordinary, entries)
    };
    ours(target, || {
        device::with_any(|importer| {
            let buffer = target.heap.alloc(page())?;
            let _attachment = importer.attach(&buffer)?;
            let mut bytes = structure(0, 0, SIZE);
            send(&mut bytes, &mut [])?;
            let there = number_at(&bytes, 12)?;
            if there == 0 {
                return fail("without room, no device is counted");
            }
            // Longer, of which the surplus is zero; entries of a later version.
            let mut entries = vec![0xaa; ENTRY_SIZE + 8];
            let mut bytes = structure(u32::try_from(entries.len())?, 1, SIZE + 40);
            send(&mut bytes, &mut entries)?;
            equal("their number", number_at(&bytes, 12)?, there)?;
            if entries.iter().skip(ENTRY_SIZE).any(|byte| *byte != 0) {
                return fail("what is unknown of an entry is not zero");
            }
            let refuse = |what: &str, mut bytes: Vec<u8>, errno| {
                refused(what, send(&mut bytes, &mut []), errno)
            };
            refuse(
                "a shorter structure",
                structure(0, 0, SIZE - 1),
                Errno::INVAL,
            )?;
            refuse(
                "shorter entries",
                structure(ENTRY_SIZE as u32 - 1, 1, SIZE),
                Errno::INVAL,
            )?;
            refuse(
                "entries of 4096 bytes",
                structure(4096, 1, SIZE),
                Errno::INVAL,
            )?;
            refuse(
                "room without access",
                structure(ENTRY_SIZE as u32, 1, SIZE),
                Errno::FAULT,
            )?;
            let mut surplus = structure(0, 0, SIZE + 1);
            set(&mut surplus, SIZE, &[1])?;
            refuse("a surplus", surplus, Errno::TOOBIG)?;
            Ok(Pass)
        })
    })
}
