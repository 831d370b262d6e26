// SPDX-License-Identifier: GPL-2.0

//! What becomes of a mapping that is moved, cut, changed and inherited.

use crate::Test;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::refused;
use crate::target::Target;
use crate::target::page;
use dma_heap::AllocOptions;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::pattern::Pattern;
use dma_heap::sys::fork;
use dma_heap::sys::pages::Pages;
use rustix::mm::Advice;
use std::os::fd::AsFd as _;

pub(crate) const TESTS: &[Test] = &[
    ("a forked child inherits a mapping", inherited),
    ("a mapping keeps the buffer for a forked child", outlived),
    ("a mapping can be moved", moved),
    ("a mapping can be made smaller", shrunk),
    ("a mapping cannot grow: EFAULT", grown),
    (
        "a read-only mapping can be made writable and back",
        protected,
    ),
    (
        "a mapping of an O_RDONLY buffer stays so: EACCES",
        protected_read_only,
    ),
    ("a mapping with a hole in it works beside it", hole),
    ("the last piece of a mapping frees the buffer", last_piece),
    ("pages of another buffer take the place of some", replaced),
    ("advice that would lose the memory is EINVAL", advised),
    ("advice that is allowed changes nothing", advised_harmless),
];

/// Pages of the buffers used here.
const PAGES: usize = 6;

/// A buffer and a mapping of all of it whose pages hold their numbers.
fn numbered(target: &Target) -> Result<(Buffer, Pages, Pattern), Failure> {
    let buffer = target.heap.alloc(PAGES as u64 * page())?;
    let mut pages = Pages::map(buffer.as_fd(), 0, PAGES, true)?;
    let pattern = Pattern::random()?;
    for index in 0..PAGES {
        store(&mut pages, index, pattern)?;
    }
    Ok((buffer, pages, pattern))
}

/// The last word of a page.
fn last_word() -> usize {
    dma_heap::page_size() / size_of::<u64>() - 1
}

/// Writes the first and the last word of a page.
fn store(pages: &mut Pages, index: usize, pattern: Pattern) -> Result<(), Failure> {
    let stored = pages.store(index, 0, pattern.word(index)).and(pages.store(
        index,
        last_word(),
        !pattern.word(index),
    ));
    match stored {
        Some(()) => Ok(()),
        None => fail(format!("page {index} cannot be written")),
    }
}

/// Expects page `index` of the mapping to be page `number` of the buffer.
fn expect(pages: &Pages, index: usize, number: usize, pattern: Pattern) -> Result<(), Failure> {
    let seen = (pages.load(index, 0), pages.load(index, last_word()));
    let wanted = (Some(pattern.word(number)), Some(!pattern.word(number)));
    equal(&format!("page {index}"), seen, wanted)
}

fn expect_all(pages: &Pages, pattern: Pattern) -> Result<(), Failure> {
    (0..PAGES).try_for_each(|index| expect(pages, index, index, pattern))
}

/// Runs a test in a forked child.
fn in_child(test: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    fork::in_child(|| test().map_err(|Failure(what)| what))?.or_else(fail)
}

fn inherited(target: &Target) -> TestResult {
    let (_buffer, mut pages, before) = numbered(target)?;
    let after = Pattern::random()?;
    in_child(|| {
        expect_all(&pages, before)?;
        (0..PAGES).try_for_each(|index| store(&mut pages, index, after))
    })?;
    expect_all(&pages, after)?;
    Ok(Pass)
}

/// The child unmaps its copy, and the parent still has its own; and the other
/// way round, that a child's end frees what only it had.
fn outlived(target: &Target) -> TestResult {
    let used = target.used();
    let (buffer, mut pages, pattern) = numbered(target)?;
    drop(buffer);
    let held = target.used();
    in_child(|| Ok(pages.unmap(0..PAGES)?))?;
    equal("`used` after the child", target.used(), held)?;
    expect_all(&pages, pattern)?;
    in_child(|| {
        let buffer = target.heap.alloc(page())?;
        let pages = Pages::map(buffer.as_fd(), 0, 1, true)?;
        drop(buffer);
        // The child ends with the mapping: nothing is dropped.
        std::mem::forget(pages);
        Ok(())
    })?;
    target.expect_used(held)?;
    drop(pages);
    target.expect_used(used)?;
    Ok(Pass)
}

fn moved(target: &Target) -> TestResult {
    let used = target.used();
    let (buffer, mut pages, pattern) = numbered(target)?;
    let before = pages.address();
    pages.relocate()?;
    if pages.address() == before {
        return fail("the mapping was not moved");
    }
    expect_all(&pages, pattern)?;
    // It must still show the buffer itself, not a copy.
    let after = Pattern::random()?;
    (0..PAGES).try_for_each(|index| store(&mut pages, index, after))?;
    expect_all(&Pages::map(buffer.as_fd(), 0, PAGES, false)?, after)?;
    drop(buffer);
    expect_all(&pages, after)?;
    drop(pages);
    target.expect_used(used)?;
    Ok(Pass)
}

fn shrunk(target: &Target) -> TestResult {
    let (_buffer, mut pages, pattern) = numbered(target)?;
    pages.resize(2)?;
    expect(&pages, 0, 0, pattern)?;
    expect(&pages, 1, 1, pattern)?;
    Ok(Pass)
}

fn grown(target: &Target) -> TestResult {
    let (buffer, mut pages, pattern) = numbered(target)?;
    refused(
        "growing behind the end",
        pages.resize(PAGES + 1),
        Errno::FAULT,
    )?;
    expect_all(&pages, pattern)?;
    // Nor when the buffer has more.
    let mut part = Pages::map(buffer.as_fd(), 0, 2, true)?;
    refused("growing inside the buffer", part.resize(3), Errno::FAULT)?;
    expect(&part, 1, 1, pattern)?;
    Ok(Pass)
}

fn protected(target: &Target) -> TestResult {
    let (buffer, pages, pattern) = numbered(target)?;
    let mut other = Pages::map(buffer.as_fd(), 0, PAGES, false)?;
    expect_all(&other, pattern)?;
    other.protect(0..PAGES, true)?;
    let after = Pattern::random()?;
    (0..PAGES).try_for_each(|index| store(&mut other, index, after))?;
    expect_all(&pages, after)?;
    // One page read-only, between others.
    other.protect(2..3, false)?;
    expect_all(&other, after)?;
    other.protect(2..3, true)?;
    store(&mut other, 2, pattern)?;
    expect(&pages, 2, 2, pattern)?;
    Ok(Pass)
}

fn protected_read_only(target: &Target) -> TestResult {
    let options = AllocOptions {
        write: false,
        ..AllocOptions::default()
    };
    let buffer = target.heap.alloc_with(page(), options)?;
    let mut pages = Pages::map(buffer.as_fd(), 0, 1, false)?;
    refused("mprotect", pages.protect(0..1, true), Errno::ACCESS)?;
    equal("the first word", pages.load(0, 0), Some(0))?;
    Ok(Pass)
}

fn hole(target: &Target) -> TestResult {
    let used = target.used();
    let (buffer, mut pages, pattern) = numbered(target)?;
    let held = target.used();
    drop(buffer);
    pages.unmap(2..4)?;
    let after = Pattern::random()?;
    for index in [0, 1, 4, 5] {
        expect(&pages, index, index, pattern)?;
        store(&mut pages, index, after)?;
        expect(&pages, index, index, after)?;
    }
    equal("`used` with a hole", target.used(), held)?;
    drop(pages);
    target.expect_used(used)?;
    Ok(Pass)
}

fn last_piece(target: &Target) -> TestResult {
    let used = target.used();
    let (buffer, mut pages, pattern) = numbered(target)?;
    let held = target.used();
    drop(buffer);
    // From both ends and from the middle, one page at last.
    for range in [0..1, 5..6, 2..3, 1..2, 4..5] {
        pages.unmap(range)?;
        expect(&pages, 3, 3, pattern)?;
        // A buffer is freed whole, and late rather than early.
        equal("`used` before the last page", target.used(), held)?;
    }
    pages.unmap(3..4)?;
    target.expect_used(used)?;
    Ok(Pass)
}

fn replaced(target: &Target) -> TestResult {
    let used = target.used();
    let (first, mut pages, one) = numbered(target)?;
    let (second, others, two) = numbered(target)?;
    pages.replace(2..4, second.as_fd(), 1)?;
    drop((first, second));
    for index in [0, 1, 4, 5] {
        expect(&pages, index, index, one)?;
    }
    expect(&pages, 2, 1, two)?;
    expect(&pages, 3, 2, two)?;
    store(&mut pages, 2, one)?;
    equal("the other mapping", others.load(1, 0), Some(one.word(2)))?;
    drop(others);
    expect(&pages, 3, 2, two)?;
    drop(pages);
    target.expect_used(used)?;
    Ok(Pass)
}

fn advised(target: &Target) -> TestResult {
    let (_buffer, pages, pattern) = numbered(target)?;
    for (name, advice) in [
        ("MADV_DONTNEED", Advice::LinuxDontNeed),
        ("MADV_DONTNEED_LOCKED", Advice::LinuxDontneedLocked),
        ("MADV_FREE", Advice::LinuxFree),
        ("MADV_DOFORK", Advice::LinuxDoFork),
        ("MADV_DODUMP", Advice::LinuxDoDump),
        ("MADV_WIPEONFORK", Advice::LinuxWipeOnFork),
        ("MADV_COLD", Advice::LinuxCold),
        ("MADV_PAGEOUT", Advice::LinuxPageOut),
        // These look for a page, of which a dma-buf shows none.
        ("MADV_POPULATE_READ", Advice::LinuxPopulateRead),
        ("MADV_POPULATE_WRITE", Advice::LinuxPopulateWrite),
    ] {
        refused(name, pages.advise(0..PAGES, advice), Errno::INVAL)?;
        expect_all(&pages, pattern)?;
    }
    if pages.advise(0..PAGES, Advice::LinuxRemove).is_ok() {
        return fail("MADV_REMOVE succeeded");
    }
    expect_all(&pages, pattern)?;
    Ok(Pass)
}

fn advised_harmless(target: &Target) -> TestResult {
    let (buffer, mut pages, pattern) = numbered(target)?;
    for advice in [
        Advice::Normal,
        Advice::Random,
        Advice::Sequential,
        Advice::WillNeed,
        Advice::LinuxDontDump,
        Advice::LinuxKeepOnFork,
    ] {
        pages.advise(1..PAGES - 1, advice)?;
        expect_all(&pages, pattern)?;
    }
    // A kernel without huge pages, or without KSM, does not know these.
    for (name, advice) in [
        ("MADV_HUGEPAGE", Advice::LinuxHugepage),
        ("MADV_NOHUGEPAGE", Advice::LinuxNoHugepage),
        ("MADV_MERGEABLE", Advice::LinuxMergeable),
        ("MADV_UNMERGEABLE", Advice::LinuxUnmergeable),
    ] {
        match pages.advise(1..PAGES - 1, advice) {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return fail(format!("{name} gave {errno}")),
        }
        expect_all(&pages, pattern)?;
    }
    // Whatever was said, it is the same buffer.
    let pattern = Pattern::random()?;
    (0..PAGES).try_for_each(|index| store(&mut pages, index, pattern))?;
    expect_all(&Pages::map(buffer.as_fd(), 0, PAGES, false)?, pattern)?;
    Ok(Pass)
}
