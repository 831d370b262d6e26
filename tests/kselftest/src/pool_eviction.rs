// SPDX-License-Identifier: GPL-2.0

//! What a heap keeps warm makes room for what is asked for.

use crate::Test;
use crate::device;
use crate::mmap::fill;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::patience::ample;
use crate::pool_fixture;
use crate::target::Target;
use crate::target::page;
use dma_heap::importer::Direction;
use dma_heap::pattern::Pattern;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    (
        "a pool full of single pages makes room for large blocks",
        full_of_pages,
    ),
    (
        "what is kept goes with the last buffer, if contiguous",
        last_buffer,
    ),
    (
        "nothing is kept of what a buffer had for long, if contiguous",
        long_life,
    ),
    (
        "pages that a driver still has go back to the area after it",
        held_pages,
    ),
];

/// A size made of large blocks.
const SIZE: u64 = 4 << 20;

fn full_of_pages(target: &Target) -> TestResult {
    if target.is_contiguous() {
        return skip("all buffers of the heap are contiguous");
    }
    // Of less than the smallest large block, so all of it is single pages.
    let small = (64 << 10) - page();
    if small == 0 {
        return skip("a page of this kernel is a large block");
    }
    pool_fixture::with(target, |pool| {
        let cap = 2 * SIZE;
        pool.set_cap(cap)?;
        let buffers = (0..=cap / small)
            .map(|_| target.heap.alloc(small))
            .collect::<Result<Vec<_>, _>>()?;
        drop(buffers);
        pool.wait("the pool is full", || Ok(pool.held()? > cap - small))?;
        drop(target.heap.alloc(SIZE)?);
        pool.wait("the large buffer is back", || Ok(pool.held()? > cap - SIZE))?;
        let before = pool.counters()?;
        let again = target.heap.alloc(SIZE)?;
        let now = pool.since(&before)?;
        equal("what was kept of the next buffer", now.hits, again.len())?;
        Ok(Pass)
    })
}

/// Whoever closes everything leaves the area to others, at once.
fn last_buffer(target: &Target) -> TestResult {
    if !target.is_contiguous() {
        return skip("the heap does not promise contiguous buffers");
    }
    for written in [false, true] {
        let outcome = pool_fixture::with(target, |pool| {
            let used = target.used();
            let buffer = target.heap.alloc(SIZE)?;
            if written {
                fill(&mut buffer.map()?, Pattern::random()?)?;
            }
            drop(buffer);
            target.expect_used(used)?;
            pool.wait("it is kept beside a living buffer", || {
                Ok(pool.held()? >= SIZE)
            })?;
            pool.close_living();
            target.expect_used(Some(0))?;
            equal("what is kept without buffers", pool.held()?, 0)?;
            Ok(Pass)
        })?;
        if !matches!(outcome, Pass) {
            return Ok(outcome);
        }
    }
    Ok(Pass)
}

/// How many pages of the heap's area are free, exactly.
fn available(target: &Target) -> Result<Option<u64>, Failure> {
    let Some(sysfs) = &target.info().sysfs else {
        return Ok(None);
    };
    let Ok(area) = std::fs::read_to_string(sysfs.join("area")) else {
        return Ok(None);
    };
    let file = format!("/sys/kernel/mm/cma/{}/available_pages", area.trim());
    let Ok(text) = std::fs::read_to_string(file) else {
        return Ok(None);
    };
    Ok(Some(text.trim().parse()?))
}

/// The kernel would free them under the driver's hands, with a warning, and once
/// more when it gives them back.
fn held_pages(target: &Target) -> TestResult {
    if !target.is_contiguous() {
        return skip("the heap does not promise contiguous buffers");
    }
    if !target.is_ours() {
        return skip("the kernel's own heaps keep nothing warm");
    }
    if target.name() == "carveout" {
        return skip("what is set aside for the heap does not go back to the area");
    }
    if device::all_bounce()? {
        return skip("a device that bounces does not have the buffer's pages");
    }
    device::with_any(|importer| {
        let used = target.used();
        let Some(free) = available(target)? else {
            return skip("the kernel does not tell what is free in the heap's area");
        };
        let buffer = target.heap.alloc(SIZE)?;
        let attachment = importer.attach(&buffer)?;
        let mapping = attachment.map(Direction::Both)?;
        let pages = [0, SIZE / 2, SIZE / 2 + page(), SIZE - page()]
            .map(|offset| mapping.hold_page(offset))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        mapping.release()?;
        attachment.release()?;
        drop(buffer);
        target.expect_used(used)?;
        let held = u64::try_from(pages.len())?;
        wait_for_available(target, free - held)?;
        drop(pages);
        wait_for_available(target, free)?;
        Ok(Pass)
    })
}

fn wait_for_available(target: &Target, pages: u64) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let seen = available(target)?;
        if seen == Some(pages) {
            return Ok(());
        }
        if start.elapsed() > ample(Duration::from_secs(5)) {
            return equal("pages that are free in the area", seen, Some(pages));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A run is kept for loops. A buffer that has lived for longer than it could be kept is of none.
fn long_life(target: &Target) -> TestResult {
    if !target.is_contiguous() {
        return skip("the heap does not promise contiguous buffers");
    }
    let trim = ample(Duration::from_secs(1));
    pool_fixture::with(target, |pool| {
        pool.set_trim_ms(u64::try_from(trim.as_millis())?)?;
        let used = target.used();
        let begin = Instant::now();
        drop(target.heap.alloc(SIZE)?);
        target.expect_used(used)?;
        let held = pool.held()?;
        // A slow machine may need as long for that.
        if held < SIZE && begin.elapsed() < trim {
            return fail(format!(
                "of a buffer that was closed at once, {held} bytes are kept"
            ));
        }
        pool.wait("it is gone", || Ok(pool.held()? == 0))?;
        let buffer = target.heap.alloc(SIZE)?;
        sleep(trim + trim / 4);
        drop(buffer);
        target.expect_used(used)?;
        equal("what is kept of one that lived for long", pool.held()?, 0)?;
        Ok(Pass)
    })
}
