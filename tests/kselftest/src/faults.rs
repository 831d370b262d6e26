// SPDX-License-Identifier: GPL-2.0

//! Pages that are mapped when they are touched: few faults, and the right page
//! wherever a mapping lies and whatever becomes of it.

use crate::Test;
use crate::map_at_mmap::MapAtMmap;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::system;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::pattern::Pattern;
use dma_heap::sys::fork;
use dma_heap::sys::pages::Pages;
use rustix::mm::MlockAllFlags;
use std::os::fd::AsFd as _;
use std::sync::Barrier;

pub(crate) const TESTS: &[Test] = &[
    ("touching maps much at once, wherever it lies", few_faults),
    ("reading, then writing maps much at once", few_faults_twice),
    ("locked memory (mlockall) needs no fault", no_fault),
    ("with map_at_mmap=1 no mapping needs one", mapped_at_once),
    ("threads may touch the same pages at once", threads),
    (
        "threads may read and write the same pages",
        readers_and_writers,
    ),
    ("a large mapping with holes works beside them", holes),
    ("a large mapping can be made read-only in part", protected),
    ("a large mapping can be moved", moved),
    ("a large mapping is inherited", inherited),
    ("pages of another large buffer take some's place", replaced),
    ("a mapping of the middle shows the middle", middle),
];

/// What one fault maps at most: one PMD entry, where it is that large.
const WINDOW: usize = 2 << 20;

/// Several windows, and some more.
const SIZE: u64 = 8 << 20;

/// Faults that a program has of itself meanwhile.
const OTHERS: u64 = 12;

/// The kernel's system heap maps everything at mmap, its CMA heap page by page.
const THEIRS: &str = "the kernel's own heaps map pages in their own way";

/// How mappings lie, in pages above a multiple of a window.
const OFFSETS: [usize; 3] = [0, 1, 255];

fn count(buffer: &Buffer) -> Result<usize, Failure> {
    Ok(usize::try_from(buffer.len() / page())?)
}

/// A buffer, and a mapping of it that lies so.
fn mapped(target: &Target, offset: usize) -> Result<(Buffer, Pages, usize), Failure> {
    let buffer = target.heap.alloc(SIZE)?;
    let count = count(&buffer)?;
    let pages = Pages::map_aligned(buffer.as_fd(), count, true, WINDOW, offset)?;
    Ok((buffer, pages, count))
}

fn store(pages: &mut Pages, index: usize, number: usize, pattern: Pattern) -> Result<(), Failure> {
    match pages.store(index, 1, pattern.word(number)) {
        Some(()) => Ok(()),
        None => fail(format!("page {index} cannot be written")),
    }
}

/// Expects page `index` of the mapping to be page `number` of the buffer.
fn expect(pages: &Pages, index: usize, number: usize, pattern: Pattern) -> Result<(), Failure> {
    let wanted = Some(pattern.word(number));
    match pages.load(index, 1) {
        seen if seen == wanted => Ok(()),
        seen => fail(format!(
            "page {index} holds {seen:x?} instead of {wanted:x?}"
        )),
    }
}

/// A mapping as of `mapped`, whose pages hold their numbers.
fn numbered(target: &Target, offset: usize) -> Result<(Buffer, Pages, usize, Pattern), Failure> {
    let (buffer, mut pages, count) = mapped(target, offset)?;
    let pattern = Pattern::random()?;
    (0..count).try_for_each(|index| store(&mut pages, index, index, pattern))?;
    Ok((buffer, pages, count, pattern))
}

/// The faults of `touch`, which must be `each` at most for each window.
fn count_faults(
    what: &str,
    windows: u64,
    each: u64,
    touch: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let before = system::minor_faults()?;
    touch()?;
    let faults = system::minor_faults()? - before;
    if faults > windows * each + OTHERS {
        return fail(format!("{what} took {faults} faults for {windows} windows"));
    }
    Ok(())
}

/// Windows that a mapping of `SIZE` touches.
fn windows(offset: usize) -> u64 {
    SIZE / WINDOW as u64 + u64::from(offset > 0)
}

fn few_faults(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip(THEIRS);
    }
    for offset in OFFSETS {
        let (_buffer, mut pages, count) = mapped(target, offset)?;
        let pattern = Pattern::random()?;
        // Two, where a page table has to come first.
        count_faults("writing", windows(offset), 2, || {
            (0..count).try_for_each(|index| store(&mut pages, index, index, pattern))
        })?;
        (0..count).try_for_each(|index| expect(&pages, index, index, pattern))?;
    }
    Ok(Pass)
}

fn few_faults_twice(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip(THEIRS);
    }
    for offset in OFFSETS {
        let (_buffer, mut pages, count) = mapped(target, offset)?;
        let pattern = Pattern::random()?;
        count_faults("reading", windows(offset), 2, || {
            (0..count).try_for_each(|index| equal("a word", pages.load(index, 0), Some(0)))
        })?;
        count_faults("writing what was read", windows(offset), 2, || {
            (0..count).try_for_each(|index| store(&mut pages, index, index, pattern))
        })?;
        (0..count).try_for_each(|index| expect(&pages, index, index, pattern))?;
    }
    Ok(Pass)
}

/// Mappings of one buffer, of more windows together than a program has faults of
/// itself.
const MAPPINGS: usize = 16;

/// Faults of a program that touches each page of `MAPPINGS` mappings of a buffer
/// once, after `map` made them.
fn faults_of_many(
    target: &Target,
    map: impl FnOnce(&dyn Fn() -> Result<Vec<Pages>, Failure>) -> Result<Vec<Pages>, Failure>,
) -> Result<u64, Failure> {
    let buffer = target.heap.alloc(SIZE)?;
    let count = count(&buffer)?;
    let all = || {
        let one = || Ok(Pages::map(buffer.as_fd(), 0, count, true)?);
        std::iter::repeat_with(one).take(MAPPINGS).collect()
    };
    let mut mappings = map(&all)?;
    let pattern = Pattern::random()?;
    let before = system::minor_faults()?;
    for pages in &mut mappings {
        (0..count).try_for_each(|index| store(pages, index, index, pattern))?;
    }
    let faults = system::minor_faults()? - before;
    for pages in &mappings {
        (0..count).try_for_each(|index| expect(pages, index, index, pattern))?;
    }
    Ok(faults)
}

fn no_more_than_others(faults: u64) -> TestResult {
    if faults > OTHERS {
        return fail(format!("{faults} faults"));
    }
    Ok(Pass)
}

fn no_fault(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip(THEIRS);
    }
    let _knob = MapAtMmap::set(target, "0")?;
    no_more_than_others(faults_of_many(target, |map| {
        rustix::mm::mlockall(MlockAllFlags::FUTURE)?;
        let mapped = map();
        rustix::mm::munlockall()?;
        mapped
    })?)
}

fn mapped_at_once(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip(THEIRS);
    }
    let with = |value: &str| {
        faults_of_many(target, |map| {
            let _knob = MapAtMmap::set(target, value)?;
            map()
        })
    };
    let touched = with("0")?;
    let least = SIZE / WINDOW as u64 * MAPPINGS as u64;
    if touched < least {
        return fail(format!(
            "{touched} faults with map_at_mmap=0, for {least} windows"
        ));
    }
    no_more_than_others(with("1")?)
}

const THREADS: usize = 8;

/// Has threads touch the same pages, each a word of its own.
fn together(
    target: &Target,
    offset: usize,
    touch: impl Fn(
        usize,
        usize,
        &dyn Fn(usize) -> Option<u64>,
        &dyn Fn(usize, u64) -> Option<()>,
    ) -> bool
    + Sync,
) -> Result<(Buffer, Pages, usize), Failure> {
    let (buffer, mut pages, count) = mapped(target, offset)?;
    let shared = pages.share();
    let start = Barrier::new(THREADS);
    let sound = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (shared, start, touch) = (&shared, &start, &touch);
                scope.spawn(move || {
                    start.wait();
                    (0..count).all(|index| {
                        touch(
                            thread,
                            index,
                            &|word| shared.load(index, word),
                            &|word, value| shared.store(index, word, value),
                        )
                    })
                })
            })
            .collect();
        threads
            .into_iter()
            .all(|thread| thread.join().is_ok_and(|sound| sound))
    });
    if sound {
        Ok((buffer, pages, count))
    } else {
        fail("a thread did not find what it wrote")
    }
}

fn threads(target: &Target) -> TestResult {
    for offset in OFFSETS {
        let pattern = Pattern::random()?;
        let number = |thread: usize, index: usize| pattern.word(thread * 1_000_003 + index);
        let (buffer, pages, count) = together(target, offset, |thread, index, load, store| {
            store(thread, number(thread, index)).is_some()
                && load(thread) == Some(number(thread, index))
        })?;
        // Through another mapping: so it is the buffer's own memory.
        let others = Pages::map(buffer.as_fd(), 0, count, false)?;
        for pages in [&pages, &others] {
            for index in 0..count {
                for thread in 0..THREADS {
                    let wanted = Some(number(thread, index));
                    equal("a thread's word", pages.load(index, thread), wanted)?;
                }
            }
        }
    }
    Ok(Pass)
}

fn readers_and_writers(target: &Target) -> TestResult {
    for offset in OFFSETS {
        let (buffer, _pages, count) = together(target, offset, |thread, _, load, store| {
            let writes = thread % 2 == 0;
            if writes {
                return store(thread, !0).is_some() && load(thread) == Some(!0);
            }
            // Before or after its neighbour has written, nothing else.
            matches!(load(thread - 1), Some(0 | u64::MAX)) && load(thread) == Some(0)
        })?;
        let others = Pages::map(buffer.as_fd(), 0, count, false)?;
        for index in 0..count {
            for thread in 0..THREADS {
                let wanted = if thread % 2 == 0 { !0 } else { 0 };
                equal("a thread's word", others.load(index, thread), Some(wanted))?;
            }
        }
    }
    Ok(Pass)
}

/// Pages of a window.
fn window() -> usize {
    WINDOW / dma_heap::page_size()
}

fn holes(target: &Target) -> TestResult {
    for offset in OFFSETS {
        let used = target.used();
        let (buffer, mut pages, count, pattern) = numbered(target, offset)?;
        let window = window();
        drop(buffer);
        // Inside a window, a whole one, and across an edge.
        let cut = [1..2, window..2 * window, 3 * window - 1..3 * window + 1];
        for range in cut.clone() {
            pages.unmap(range)?;
        }
        let after = Pattern::random()?;
        for index in (0..count).filter(|index| !cut.iter().any(|range| range.contains(index))) {
            expect(&pages, index, index, pattern)?;
            store(&mut pages, index, index, after)?;
            expect(&pages, index, index, after)?;
        }
        drop(pages);
        target.expect_used(used)?;
    }
    Ok(Pass)
}

fn protected(target: &Target) -> TestResult {
    for offset in OFFSETS {
        let (_buffer, mut pages, count, pattern) = numbered(target, offset)?;
        let part = window() - 1..window() + 2;
        pages.protect(part.clone(), false)?;
        (0..count).try_for_each(|index| expect(&pages, index, index, pattern))?;
        let after = Pattern::random()?;
        for index in (0..count).filter(|index| !part.contains(index)) {
            store(&mut pages, index, index, after)?;
        }
        pages.protect(part.clone(), true)?;
        for index in part {
            expect(&pages, index, index, pattern)?;
            store(&mut pages, index, index, after)?;
        }
        (0..count).try_for_each(|index| expect(&pages, index, index, after))?;
    }
    Ok(Pass)
}

fn moved(target: &Target) -> TestResult {
    for offset in OFFSETS {
        let (buffer, mut pages, count, pattern) = numbered(target, offset)?;
        pages.relocate()?;
        (0..count).try_for_each(|index| expect(&pages, index, index, pattern))?;
        let after = Pattern::random()?;
        (0..count).try_for_each(|index| store(&mut pages, index, index, after))?;
        let others = Pages::map(buffer.as_fd(), 0, count, false)?;
        (0..count).try_for_each(|index| expect(&others, index, index, after))?;
        // Nor do pages that nobody has touched yet lose their place.
        let (_buffer, mut untouched, count) = mapped(target, offset)?;
        untouched.relocate()?;
        (0..count).try_for_each(|index| store(&mut untouched, index, index, after))?;
        (0..count).try_for_each(|index| expect(&untouched, index, index, after))?;
    }
    Ok(Pass)
}

fn inherited(target: &Target) -> TestResult {
    for offset in OFFSETS {
        let (_buffer, mut pages, count, before) = numbered(target, offset)?;
        let after = Pattern::random()?;
        fork::in_child(|| {
            (0..count)
                .try_for_each(|index| {
                    expect(&pages, index, index, before)?;
                    store(&mut pages, index, index, after)
                })
                .map_err(|Failure(what)| what)
        })?
        .or_else(fail)?;
        (0..count).try_for_each(|index| expect(&pages, index, index, after))?;
    }
    Ok(Pass)
}

fn replaced(target: &Target) -> TestResult {
    for offset in OFFSETS {
        let (first, mut pages, count, one) = numbered(target, offset)?;
        let (second, others, _, two) = numbered(target, 0)?;
        // Of another place in the other buffer, across an edge.
        let part = window() - 3..2 * window() + 3;
        pages.replace(part.clone(), second.as_fd(), 5)?;
        drop((first, second));
        for index in 0..count {
            if part.contains(&index) {
                expect(&pages, index, index - part.start + 5, two)?;
                store(&mut pages, index, index, one)?;
                expect(&others, index - part.start + 5, index, one)?;
            } else {
                expect(&pages, index, index, one)?;
            }
        }
    }
    Ok(Pass)
}

fn middle(target: &Target) -> TestResult {
    let (buffer, _pages, count, pattern) = numbered(target, 0)?;
    for first in [1, window() - 1, window(), 2 * window() + 7] {
        let mut part = Pages::map(buffer.as_fd(), first, count - first - 1, true)?;
        for index in 0..count - first - 1 {
            expect(&part, index, first + index, pattern)?;
            store(&mut part, index, first + index, pattern)?;
            expect(&part, index, first + index, pattern)?;
        }
    }
    Ok(Pass)
}
