// SPDX-License-Identifier: GPL-2.0

//! What a heap keeps warm makes room for what is asked for.

use crate::Test;
use crate::mmap::fill;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::skip;
use crate::target::Target;
use crate::target::page;
use crate::warm;
use dma_heap::pattern::Pattern;

pub(crate) const TESTS: &[Test] = &[
    (
        "a pool full of single pages makes room for large blocks",
        full_of_pages,
    ),
    (
        "what is kept goes with the last buffer, if contiguous",
        last_buffer,
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
    warm::with(target, |warm| {
        let cap = 2 * SIZE;
        warm.set_cap(cap)?;
        let buffers = (0..=cap / small)
            .map(|_| target.heap.alloc(small))
            .collect::<Result<Vec<_>, _>>()?;
        drop(buffers);
        warm.wait("the pool is full", || Ok(warm.held()? > cap - small))?;
        drop(target.heap.alloc(SIZE)?);
        warm.wait("the large buffer is back", || Ok(warm.held()? > cap - SIZE))?;
        let before = warm.counters()?;
        let again = target.heap.alloc(SIZE)?;
        let now = warm.since(&before)?;
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
        let outcome = warm::with(target, |warm| {
            let used = target.used();
            let buffer = target.heap.alloc(SIZE)?;
            if written {
                fill(&mut buffer.map()?, Pattern::random()?)?;
            }
            drop(buffer);
            target.expect_used(used)?;
            warm.wait("it is kept beside a living buffer", || {
                Ok(warm.held()? >= SIZE)
            })?;
            warm.close_living();
            target.expect_used(Some(0))?;
            equal("what is kept without buffers", warm.held()?, 0)?;
            Ok(Pass)
        })?;
        if !matches!(outcome, Pass) {
            return Ok(outcome);
        }
    }
    Ok(Pass)
}
