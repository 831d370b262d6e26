// SPDX-License-Identifier: GPL-2.0

//! What a heap knows of the memory that comes back to it.
//!
//! Whatever gave somebody a way to write brings the memory back as dirty, and it
//! is zero when it is handed out again; memory that nobody could write is not
//! zeroed at all. Here it is certain that the same memory comes again: the heap
//! keeps nothing else, and counts it as a hit.

use crate::Test;
use crate::child;
use crate::device;
use crate::device::pattern_bytes;
use crate::foreign_access;
use crate::map_at_mmap::MapAtMmap;
use crate::mmap::expect;
use crate::mmap::fill;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::pool_fixture;
use crate::pool_fixture::Counters;
use crate::pool_fixture::PoolFixture;
use crate::target::Target;
use crate::target::page;
use dma_heap::AllocOptions;
use dma_heap::Buffer;
use dma_heap::importer::Direction;
use dma_heap::pattern::Pattern;
use dma_heap::sys::fork;
use dma_heap::sys::pages::Pages;
use rustix::mm::MapFlags;
use rustix::mm::MlockAllFlags;
use rustix::mm::ProtFlags;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;

pub(crate) const TESTS: &[Test] = &[
    ("written: every page, where a PMD entry fits", by_pmd),
    ("written: every page, by single entries", by_ptes),
    ("written: every page after it was read", after_reading),
    ("written: pages of a mapping made writable", made_writable),
    ("written: pages beside a piece cut out", beside_a_hole),
    ("written: by a forked child", by_child),
    ("written: by another process", by_other_process),
    (
        "written: by the kernel, from a device file",
        from_device_file,
    ),
    ("written: by the kernel, from a pipe", from_pipe),
    ("written: by a debugger", by_debugger),
    ("writable: locked memory (mlockall)", locked),
    ("writable: mapped at once (map_at_mmap)", mapped_at_once),
    ("written: by an importer's vmap", by_vmap),
    ("writable: a vmap that writes nothing", untouched_vmap),
    ("written: by a device, both ways", by_device_both),
    ("written: by a device, from the device", by_device_from),
    ("writable: a device that only reads", by_device_to),
    ("written in one place: the rest is still zero", in_one_place),
    ("written and asked for again at once", at_once),
    ("unwritable: never mapped", never_mapped),
    ("unwritable: mapped, and not touched", not_touched),
    ("unwritable: mapped for writing, and read", only_read),
    ("unwritable: a read-only mapping", read_only_mapping),
    ("unwritable: an O_RDONLY buffer", read_only_buffer),
    ("unwritable: locked memory, read-only", locked_read_only),
    ("unwritable: populated (MAP_POPULATE)", populated),
    ("unwritable: brackets without an access", brackets),
    ("unwritable: a device that never maps", attached_only),
];

/// With blocks of every size.
const SIZE: u64 = (4 << 20) + (1 << 20) + (64 << 10);

/// What one PMD entry maps, where that is less than a buffer here.
const PMD: usize = 2 << 20;

/// Allocates a buffer with one page more than `SIZE`, has `way` use it up, and
/// allocates as much again: all of it must be what came back, and zero.
fn comes_again(
    target: &Target,
    way: impl FnOnce(Buffer) -> Result<(), Failure>,
    check: impl FnOnce(&Counters, u64) -> Result<(), Failure>,
) -> TestResult {
    let size = target.mappable(SIZE + page())?;
    let buffer = target.heap.alloc(size)?;
    come_again(target, buffer, way, check)
}

fn come_again(
    target: &Target,
    buffer: Buffer,
    way: impl FnOnce(Buffer) -> Result<(), Failure>,
    check: impl FnOnce(&Counters, u64) -> Result<(), Failure>,
) -> TestResult {
    pool_fixture::with(target, |pool| {
        // What a mapping has from the start, nobody sees touched.
        let _knob = MapAtMmap::set(target, "0")?;
        let before = pool.counters()?;
        let size = buffer.len();
        let used = target.used().map(|used| used.saturating_sub(size));
        way(buffer)?;
        target.expect_used(used)?;
        let back = pool.wait_zeroed(&before, size)?;
        equal("what came back", back.returned(), size)?;
        check(&back, size)?;
        equal("what anybody zeroed", back.zeroed(), back.returned_dirty)?;
        expect_hit(target, pool, &before, size)
    })
}

/// Allocates `size` bytes, which must be what the heap has kept, and zero.
fn expect_hit(target: &Target, pool: &PoolFixture<'_>, before: &Counters, size: u64) -> TestResult {
    let again = target.heap.alloc(size)?;
    let now = pool.since(before)?;
    equal("what was kept of the next buffer", now.hits, size)?;
    equal("what was not", now.misses, 0)?;
    equal("what the next buffer had to zero", now.zeroed_inline, 0)?;
    expect(&again.map()?, |_| 0)?;
    Ok(Pass)
}

/// Memory that all came back as dirty.
fn dirty(target: &Target, way: impl FnOnce(Buffer) -> Result<(), Failure>) -> TestResult {
    comes_again(target, way, |back, size| {
        equal("what came back dirty", back.returned_dirty, size)
    })
}

/// Memory that all came back as still zero.
fn unwritten(target: &Target, way: impl FnOnce(Buffer) -> Result<(), Failure>) -> TestResult {
    comes_again(target, way, still_zero)
}

fn still_zero(back: &Counters, size: u64) -> Result<(), Failure> {
    equal("what came back still zero", back.returned_zeroed, size)?;
    equal("what anybody zeroed", back.zeroed(), 0)
}

fn count(buffer: &Buffer) -> Result<usize, Failure> {
    Ok(usize::try_from(buffer.len() / page())?)
}

/// Writes the last word of each page.
fn write(pages: &mut Pages, count: usize) -> Result<(), Failure> {
    let word = dma_heap::page_size() / size_of::<u64>() - 1;
    for index in 0..count {
        if pages.store(index, word, u64::MAX).is_none() {
            return fail(format!("page {index} cannot be written"));
        }
    }
    Ok(())
}

/// Reads a word of each page, which must be zero.
fn read(pages: &Pages, count: usize) -> Result<(), Failure> {
    for index in 0..count {
        equal("a word not written yet", pages.load(index, 0), Some(0))?;
    }
    Ok(())
}

/// Writes every page, in a mapping that lies so to a PMD entry.
fn write_at(buffer: &Buffer, offset: usize) -> Result<(), Failure> {
    let count = count(buffer)?;
    let mut pages = Pages::map_aligned(buffer.as_fd(), count, true, PMD, offset)?;
    write(&mut pages, count)
}

fn by_pmd(target: &Target) -> TestResult {
    dirty(target, |buffer| write_at(&buffer, 0))
}

fn by_ptes(target: &Target) -> TestResult {
    dirty(target, |buffer| write_at(&buffer, 1))
}

fn after_reading(target: &Target) -> TestResult {
    for offset in [0, 1] {
        dirty(target, |buffer| {
            let count = count(&buffer)?;
            let mut pages = Pages::map_aligned(buffer.as_fd(), count, true, PMD, offset)?;
            read(&pages, count)?;
            write(&mut pages, count)
        })?;
    }
    Ok(Pass)
}

fn made_writable(target: &Target) -> TestResult {
    dirty(target, |buffer| {
        let count = count(&buffer)?;
        let mut pages = Pages::map_aligned(buffer.as_fd(), count, false, PMD, 0)?;
        read(&pages, count)?;
        pages.protect(0..count, true)?;
        read(&pages, count)?;
        pages.protect(0..count, false)?;
        pages.protect(0..count, true)?;
        write(&mut pages, count)
    })
}

fn beside_a_hole(target: &Target) -> TestResult {
    dirty(target, |buffer| {
        let count = count(&buffer)?;
        let mut pages = Pages::map_aligned(buffer.as_fd(), count, true, PMD, 0)?;
        let mut others = Pages::map_aligned(buffer.as_fd(), count, true, PMD, 1)?;
        read(&pages, count)?;
        pages.unmap(1..count / 2)?;
        for index in (0..count).filter(|index| !(1..count / 2).contains(index)) {
            if pages.store(index, 0, u64::MAX).is_none() {
                return fail(format!("page {index} cannot be written"));
            }
        }
        write(&mut others, count / 2)
    })
}

fn by_child(target: &Target) -> TestResult {
    dirty(target, |buffer| {
        let count = count(&buffer)?;
        let mut pages = Pages::map_aligned(buffer.as_fd(), count, true, PMD, 0)?;
        read(&pages, count)?;
        fork::in_child(|| write(&mut pages, count).map_err(|Failure(what)| what))?.or_else(fail)
    })
}

fn by_other_process(target: &Target) -> TestResult {
    dirty(target, |buffer| {
        child::overwrite(&buffer, Pattern::random()?)
    })
}

fn from_device_file(target: &Target) -> TestResult {
    dirty(target, |buffer| {
        let count = count(&buffer)?;
        let mut pages = Pages::map(buffer.as_fd(), 0, count, true)?;
        let file = File::open("/dev/urandom")?;
        Ok(pages.read_file(0..count, file.as_fd())?)
    })
}

fn from_pipe(target: &Target) -> TestResult {
    dirty(target, |buffer| {
        let count = count(&buffer)?;
        let mut pages = Pages::map(buffer.as_fd(), 0, count, true)?;
        let (reader, writer) = rustix::pipe::pipe()?;
        let mut writer = File::from(writer);
        let bytes = vec![0xa5; usize::try_from(buffer.len())?];
        std::thread::scope(|scope| {
            let wrote = scope.spawn(move || writer.write_all(&bytes));
            let read = pages.read_file(0..count, reader.as_fd());
            drop(reader);
            match wrote.join() {
                Ok(Ok(())) => Ok(read?),
                _ => fail("the pipe could not be written"),
            }
        })
    })
}

/// Runs something with all future mappings locked.
fn while_locking(test: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    rustix::mm::mlockall(MlockAllFlags::FUTURE)?;
    let result = test();
    rustix::mm::munlockall()?;
    result
}

fn locked(target: &Target) -> TestResult {
    dirty(target, |buffer| {
        let count = count(&buffer)?;
        // Nothing is touched: nobody would see it.
        while_locking(|| Ok(Pages::map(buffer.as_fd(), 0, count, true).map(drop)?))
    })
}

fn mapped_at_once(target: &Target) -> TestResult {
    dirty(target, |buffer| {
        let _knob = MapAtMmap::set(target, "1")?;
        Ok(Pages::map(buffer.as_fd(), 0, count(&buffer)?, true).map(drop)?)
    })
}

fn locked_read_only(target: &Target) -> TestResult {
    unwritten(target, |buffer| {
        let count = count(&buffer)?;
        while_locking(|| {
            let pages = Pages::map(buffer.as_fd(), 0, count, false)?;
            read(&pages, count)
        })
    })
}

fn by_debugger(target: &Target) -> TestResult {
    if let Some(why) = foreign_access::missing(target) {
        return skip(why);
    }
    dirty(target, |buffer| {
        let pages = Pages::map(buffer.as_fd(), 0, count(&buffer)?, true)?;
        let bytes = pattern_bytes(Pattern::random()?, 0, usize::try_from(buffer.len())?);
        Ok(foreign_access::memory()?.write_all_at(&bytes, pages.address() as u64)?)
    })
}

fn by_vmap(target: &Target) -> TestResult {
    device::with_any(|importer| {
        dirty(target, |buffer| {
            let bytes = pattern_bytes(Pattern::random()?, 0, usize::try_from(buffer.len())?);
            Ok(importer.vmap(&buffer)?.write(0, &bytes)?)
        })
    })
}

fn untouched_vmap(target: &Target) -> TestResult {
    device::with_any(|importer| dirty(target, |buffer| Ok(importer.vmap(&buffer).map(drop)?)))
}

/// Maps the buffer for a device, which writes it if it can.
fn by_device(target: &Target, direction: Direction) -> TestResult {
    device::with_any(|importer| {
        dirty(target, |buffer| {
            let mapping = importer.attach(&buffer)?.map(direction)?;
            if direction != Direction::ToDevice {
                let bytes = pattern_bytes(Pattern::random()?, 0, usize::try_from(buffer.len())?);
                mapping.write(0, &bytes)?;
            }
            Ok(mapping.release()?)
        })
    })
}

fn by_device_both(target: &Target) -> TestResult {
    by_device(target, Direction::Both)
}

fn by_device_from(target: &Target) -> TestResult {
    by_device(target, Direction::FromDevice)
}

/// Without an IOMMU a direction prevents nothing.
fn by_device_to(target: &Target) -> TestResult {
    by_device(target, Direction::ToDevice)
}

/// At most what one fault maps.
const WINDOW: u64 = 2 << 20;

fn in_one_place(target: &Target) -> TestResult {
    let contiguous = target.is_contiguous();
    comes_again(
        target,
        |buffer| {
            let mut pages = Pages::map_aligned(buffer.as_fd(), count(&buffer)?, true, PMD, 0)?;
            read(&pages, count(&buffer)?)?;
            match pages.store(0, 0, u64::MAX) {
                Some(()) => Ok(()),
                None => fail("the first page cannot be written"),
            }
        },
        |back, size| {
            // A contiguous buffer is one block.
            if contiguous {
                return equal("what came back dirty", back.returned_dirty, size);
            }
            if (page()..=WINDOW).contains(&back.returned_dirty) {
                return Ok(());
            }
            fail(format!(
                "of {size} bytes {} came back dirty, though one fault wrote",
                back.returned_dirty
            ))
        },
    )
}

/// Without time for the background: then it is the next buffer that zeroes.
fn at_once(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        for _ in 0..4 {
            let before = pool.counters()?;
            let buffer = target.heap.alloc(SIZE)?;
            fill(&mut buffer.map()?, Pattern::random()?)?;
            drop(buffer);
            let again = target.heap.alloc(SIZE)?;
            expect(&again.map()?, |_| 0)?;
            let now = pool.since(&before)?;
            equal("hits and misses", now.hits + now.misses, 2 * SIZE)?;
        }
        Ok(Pass)
    })
}

fn never_mapped(target: &Target) -> TestResult {
    unwritten(target, |_| Ok(()))
}

fn not_touched(target: &Target) -> TestResult {
    unwritten(target, |buffer| Ok(buffer.map().map(drop)?))
}

fn only_read(target: &Target) -> TestResult {
    for offset in [0, 1] {
        unwritten(target, |buffer| {
            let count = count(&buffer)?;
            let pages = Pages::map_aligned(buffer.as_fd(), count, true, PMD, offset)?;
            read(&pages, count)
        })?;
    }
    Ok(Pass)
}

fn read_only_mapping(target: &Target) -> TestResult {
    unwritten(target, |buffer| {
        let count = count(&buffer)?;
        let mut pages = Pages::map_aligned(buffer.as_fd(), count, false, PMD, 0)?;
        read(&pages, count)?;
        // That it could be made writable changes nothing.
        pages.protect(0..count, true)?;
        read(&pages, count)
    })
}

fn read_only_buffer(target: &Target) -> TestResult {
    let options = AllocOptions {
        write: false,
        ..AllocOptions::default()
    };
    let buffer = target.heap.alloc_with(SIZE, options)?;
    come_again(
        target,
        buffer,
        |buffer| {
            read(
                &Pages::map(buffer.as_fd(), 0, count(&buffer)?, false)?,
                count(&buffer)?,
            )
        },
        still_zero,
    )
}

fn populated(target: &Target) -> TestResult {
    unwritten(target, |buffer| {
        Ok(dma_heap::sys::raw::try_map(
            buffer.as_fd(),
            0,
            usize::try_from(buffer.len())?,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED | MapFlags::POPULATE,
        )?)
    })
}

fn brackets(target: &Target) -> TestResult {
    unwritten(target, |buffer| {
        let mut mapping = buffer.map()?;
        mapping.read_write()?.finish()?;
        Ok(mapping.write()?.finish()?)
    })
}

fn attached_only(target: &Target) -> TestResult {
    device::with_any(|importer| {
        unwritten(target, |buffer| Ok(importer.attach(&buffer)?.release()?))
    })
}
