// SPDX-License-Identifier: GPL-2.0

//! What the memory of a buffer holds and where it is.

use crate::Test;
use crate::mmap::expect;
use crate::mmap::fill;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::pool_fixture;
use crate::target::Target;
use crate::target::page;
use dma_heap::kcore::CheckError;
use dma_heap::kcore::Contiguity;
use dma_heap::kcore::Kcore;
use dma_heap::pattern::Pattern;

pub(crate) const TESTS: &[Test] = &[
    ("a buffer is zero on arrival", zero_on_arrival),
    ("a buffer is zero after reuse", zero_after_reuse),
    (
        "pages of a large buffer are zero as small ones",
        zero_after_splitting,
    ),
    ("buffers of a contiguous heap are contiguous", contiguous),
    ("two living buffers share no page", no_sharing),
    ("threads allocate at the same time", threads),
    ("freed memory comes back", comes_back),
    (
        "freed memory that is not kept comes back",
        comes_back_unkept,
    ),
];

/// Sizes for blocks of each kind, and one between.
fn sizes() -> [u64; 4] {
    [page(), 64 << 10, (1 << 20) + page(), 4 << 20]
}

fn zero_on_arrival(target: &Target) -> TestResult {
    for size in sizes() {
        let buffer = target.heap.alloc(size)?;
        expect(&buffer.map()?, |_| 0)?;
    }
    Ok(Pass)
}

fn zero_after_reuse(target: &Target) -> TestResult {
    for size in sizes() {
        for _ in 0..8 {
            let buffer = target.heap.alloc(size)?;
            let mut mapping = buffer.map()?;
            expect(&mapping, |_| 0)?;
            fill(&mut mapping, Pattern::random()?)?;
        }
    }
    Ok(Pass)
}

fn zero_after_splitting(target: &Target) -> TestResult {
    let large = target.heap.alloc(2 << 20)?;
    fill(&mut large.map()?, Pattern::random()?)?;
    drop(large);
    let small: Vec<_> = (0..64)
        .map(|_| target.heap.alloc(2 * page()))
        .collect::<Result<_, _>>()?;
    for buffer in &small {
        expect(&buffer.map()?, |_| 0)?;
    }
    Ok(Pass)
}

fn contiguous(target: &Target) -> TestResult {
    if !target.is_contiguous() {
        return skip("the heap does not promise contiguous buffers");
    }
    let mut kcore = match Kcore::open() {
        Ok(kcore) => kcore,
        Err(reason) => return skip(reason.to_string()),
    };
    // From large to small: a large buffer is found quickly, and small ones are
    // then near.
    for size in sizes().into_iter().rev() {
        let buffer = target.heap.alloc(size)?;
        match kcore.check(&mut buffer.map()?) {
            Ok(Contiguity::Contiguous { .. }) => {}
            Ok(Contiguity::Scattered {
                found,
                at,
                elsewhere,
            }) => {
                return fail(format!(
                    "page {found} of {size} bytes is at {at:#x}, page {elsewhere} not in a row \
                     with it"
                ));
            }
            Ok(Contiguity::NotFound) => {
                return skip("the buffer is not in the RAM that /proc/kcore shows");
            }
            Err(CheckError::Unavailable(reason)) => return skip(reason.to_string()),
            Err(error) => return fail(error.to_string()),
        }
    }
    Ok(Pass)
}

fn no_sharing(target: &Target) -> TestResult {
    let buffers: Vec<_> = (0..8)
        .map(|_| target.heap.alloc(5 * page()))
        .collect::<Result<_, _>>()?;
    let patterns = buffers
        .iter()
        .map(|buffer| {
            let pattern = Pattern::random()?;
            fill(&mut buffer.map()?, pattern)?;
            Ok(pattern)
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    for (buffer, pattern) in buffers.iter().zip(patterns) {
        expect(&buffer.map()?, |index| pattern.word(index))?;
    }
    Ok(Pass)
}

const THREADS: usize = 8;
const ROUNDS: usize = 40;

fn threads(target: &Target) -> TestResult {
    let used = target.used();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || thread_rounds(target, thread)))
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(result) => result?,
                Err(_) => return fail("a thread panicked"),
            }
        }
        Ok(())
    })?;
    target.expect_used(used)?;
    Ok(Pass)
}

/// Allocates, checks, fills, checks and frees; each thread in other sizes.
fn thread_rounds(target: &Target, thread: usize) -> Result<(), Failure> {
    for round in 0..ROUNDS {
        let pages = 1 << ((thread + round) % 6);
        let buffer = target.heap.alloc(pages * page())?;
        let mut mapping = buffer.map()?;
        expect(&mapping, |_| 0)?;
        let pattern = Pattern::random()?;
        fill(&mut mapping, pattern)?;
        expect(&mapping, |index| pattern.word(index))?;
    }
    Ok(())
}

/// Bytes that are allocated and freed in small pieces: enough to be seen beside
/// what else a machine does.
const CHURN: u64 = 24 << 20;

/// With nothing kept warm, each piece goes to where it came from.
fn comes_back_unkept(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        pool.set_cap(0)?;
        comes_back(target)
    })
}

fn comes_back(target: &Target) -> TestResult {
    // Of each kind of block.
    for size in [page(), 64 << 10, 1 << 20] {
        // Each piece of a contiguous area has the kernel clear the lists of every
        // processor, which takes long. But the area has memory of its own: nobody
        // else's hides what is lost.
        let churn = match target.is_contiguous() {
            true => CHURN.min(128 * size),
            false => CHURN,
        };
        let mut lost = u64::MAX;
        // What else runs takes memory, too, but not as much every time.
        for _ in 0..3 {
            let before = target.free_memory()?;
            for _ in 0..churn / size {
                target.heap.alloc(size)?;
            }
            lost = lost.min(before.saturating_sub(target.free_memory()?));
            if lost <= churn / 2 {
                break;
            }
        }
        if lost > churn / 2 {
            return fail(format!(
                "after {churn} bytes in buffers of {size}, {lost} bytes of memory are missing"
            ));
        }
    }
    Ok(Pass)
}
