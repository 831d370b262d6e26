// SPDX-License-Identifier: GPL-2.0

//! What can be mapped, and what a mapping shows.

use crate::Test;
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
use dma_heap::AllocOptions;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Mapping;
use dma_heap::pattern::Pattern;
use dma_heap::sys::raw;
use rustix::mm::MapFlags;
use rustix::mm::ProtFlags;
use std::os::fd::AsFd as _;

pub(crate) const TESTS: &[Test] = &[
    ("what is written is read back", write_and_read),
    ("two mappings show the same memory", two_mappings),
    ("an offset is honoured", offsets),
    ("a mapping longer than the buffer is EINVAL", too_long),
    ("a mapping behind the end is EINVAL", behind_the_end),
    ("a mapping across the end is EINVAL", across_the_end),
    ("a private mapping is EINVAL", private),
    (
        "a writable mapping of an O_RDONLY buffer is EACCES",
        write_read_only,
    ),
    (
        "an O_RDONLY buffer can be mapped for reading",
        read_read_only,
    ),
    ("a mapping of an O_WRONLY buffer is EACCES", map_write_only),
    ("pages of a large buffer are distinct", large),
];

/// Pages of the buffers used here: several, and no power of two.
const PAGES: u64 = 7;

pub(crate) fn fill(mapping: &mut Mapping<'_>, pattern: Pattern) -> Result<(), Failure> {
    let access = mapping.write()?;
    access.fill_with(|index| pattern.word(index));
    access.finish()?;
    Ok(())
}

/// Fails at the first word of a mapping that is not as wanted.
pub(crate) fn expect(mapping: &Mapping<'_>, wanted: impl Fn(usize) -> u64) -> Result<(), Failure> {
    let access = mapping.read()?;
    let mismatch = access.find_mismatch(&wanted);
    access.finish()?;
    match mismatch {
        None => Ok(()),
        Some((index, word)) => fail(format!(
            "byte {} of {} reads {word:#x} instead of {:#x}",
            index * size_of::<u64>(),
            mapping.len(),
            wanted(index)
        )),
    }
}

fn write_and_read(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(PAGES * page())?;
    let pattern = Pattern::random()?;
    fill(&mut buffer.map()?, pattern)?;
    expect(&buffer.map()?, |index| pattern.word(index))?;
    Ok(Pass)
}

fn two_mappings(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(PAGES * page())?;
    let mut first = buffer.map()?;
    let mut second = buffer.map()?;
    let pattern = Pattern::random()?;
    fill(&mut first, pattern)?;
    expect(&second, |index| pattern.word(index))?;
    let pattern = Pattern::random()?;
    fill(&mut second, pattern)?;
    expect(&first, |index| pattern.word(index))?;
    Ok(Pass)
}

fn offsets(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(PAGES * page())?;
    let pattern = Pattern::random()?;
    fill(&mut buffer.map()?, pattern)?;
    let words = dma_heap::page_size() / size_of::<u64>();
    // Every piece of whole pages that there is.
    for first in 0..PAGES {
        for count in 1..=PAGES - first {
            let part = buffer.map_range(first * page(), count * page())?;
            let skipped = usize::try_from(first)? * words;
            expect(&part, |index| pattern.word(skipped + index))?;
        }
    }
    Ok(Pass)
}

/// Tries to map pages of a buffer, for reading, shared.
fn map_pages(buffer: &Buffer, first: u64, count: u64) -> Result<(), Errno> {
    errno(buffer.map_range(first * page(), count * page())).map(drop)
}

fn too_long(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(PAGES * page())?;
    refused(
        "one page more",
        map_pages(&buffer, 0, PAGES + 1),
        Errno::INVAL,
    )?;
    map_pages(&buffer, 0, PAGES)?;
    Ok(Pass)
}

fn behind_the_end(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(PAGES * page())?;
    refused(
        "the page behind the end",
        map_pages(&buffer, PAGES, 1),
        Errno::INVAL,
    )?;
    refused(
        "a page far behind",
        map_pages(&buffer, 1 << 19, 1),
        Errno::INVAL,
    )?;
    Ok(Pass)
}

fn across_the_end(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(PAGES * page())?;
    refused(
        "two pages at the last",
        map_pages(&buffer, PAGES - 1, 2),
        Errno::INVAL,
    )?;
    refused(
        "all pages from the second",
        map_pages(&buffer, 1, PAGES),
        Errno::INVAL,
    )?;
    Ok(Pass)
}

fn try_map(buffer: &Buffer, prot: ProtFlags, flags: MapFlags) -> Result<(), Errno> {
    raw::try_map(buffer.as_fd(), 0, dma_heap::page_size(), prot, flags)
}

fn private(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(page())?;
    for prot in [ProtFlags::READ, ProtFlags::READ | ProtFlags::WRITE] {
        let result = try_map(&buffer, prot, MapFlags::PRIVATE);
        if result.is_ok() && !target.is_ours() {
            return skip("the kernel's own system heap allows a private mapping");
        }
        refused("MAP_PRIVATE", result, Errno::INVAL)?;
    }
    Ok(Pass)
}

/// A buffer of one page with less than full access.
fn restricted(target: &Target, read: bool, write: bool) -> Result<Buffer, Failure> {
    let options = AllocOptions {
        read,
        write,
        ..AllocOptions::default()
    };
    Ok(target.heap.alloc_with(page(), options)?)
}

fn write_read_only(target: &Target) -> TestResult {
    let buffer = restricted(target, true, false)?;
    for prot in [ProtFlags::WRITE, ProtFlags::READ | ProtFlags::WRITE] {
        let result = try_map(&buffer, prot, MapFlags::SHARED);
        refused("a writable mapping", result, Errno::ACCESS)?;
    }
    Ok(Pass)
}

fn read_read_only(target: &Target) -> TestResult {
    let buffer = restricted(target, true, false)?;
    let mapping = buffer.map()?;
    equal("bytes mapped", mapping.len() as u64, page())?;
    expect(&mapping, |_| 0)?;
    Ok(Pass)
}

/// A shared mapping needs a descriptor that can be read, whatever is to be
/// done with it.
fn map_write_only(target: &Target) -> TestResult {
    let buffer = restricted(target, false, true)?;
    for prot in [ProtFlags::READ, ProtFlags::WRITE] {
        let result = try_map(&buffer, prot, MapFlags::SHARED);
        refused("a mapping", result, Errno::ACCESS)?;
    }
    Ok(Pass)
}

/// Large enough for blocks of every size that a heap has.
fn large(target: &Target) -> TestResult {
    let size = target.largest(4 << 20)?;
    let buffer = target
        .heap
        .alloc(size + page())
        .or_else(|_| target.heap.alloc(size))?;
    let pattern = Pattern::random()?;
    let mut mapping = buffer.map()?;
    fill(&mut mapping, pattern)?;
    expect(&mapping, |index| pattern.word(index))?;
    Ok(Pass)
}
