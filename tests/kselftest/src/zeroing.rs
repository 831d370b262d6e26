// SPDX-License-Identifier: GPL-2.0

//! Memory comes back zeroed, whoever wrote it last and in whatever way.
//!
//! On a kernel that zeroes all memory itself (`init_on_alloc=1`, the default
//! of many) these tests can hardly fail: run them with `init_on_alloc=0` too.

use crate::Test;
use crate::device;
use crate::mmap::expect;
use crate::mmap::fill;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::fail;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use dma_heap::pattern::Pattern;
use dma_heap::sys::pages::Pages;
use std::os::fd::AsFd as _;

pub(crate) const TESTS: &[Test] = &[
    ("what the CPU wrote is gone", cpu),
    ("what the CPU wrote in part is gone", cpu_in_part),
    ("what was written after the last close is gone", late_cpu),
    ("what the kernel wrote is gone", vmap),
    ("what a device wrote is gone", dma),
    ("what a device wrote after the last close is gone", late_dma),
];

/// How often each way is tried: memory must come back in one of the rounds.
const ROUNDS: usize = 2;

/// Sizes for blocks of each kind and for several, all alive at a time.
fn sizes() -> [u64; 7] {
    [
        page(),
        page(),
        3 * page(),
        64 << 10,
        192 << 10,
        1 << 20,
        (2 << 20) + page(),
    ]
}

/// Lets `dirty` write buffers of all sizes and free them, and reads every byte
/// of buffers that may have got their memory.
fn comes_back_clean(
    target: &Target,
    dirty: impl Fn(Buffer, Pattern) -> Result<(), Failure>,
) -> TestResult {
    let used = target.used();
    for round in 0..ROUNDS {
        let mut buffers = Vec::new();
        for size in sizes() {
            buffers.push(target.heap.alloc(target.mappable(size)?)?);
        }
        for buffer in buffers {
            dirty(buffer, Pattern::random()?)?;
        }
        target.expect_used(used)?;
        let mut sizes = sizes();
        // Large memory comes back as small the second time.
        if round % 2 == 1 {
            sizes.reverse();
        }
        let buffers = sizes
            .into_iter()
            .map(|size| target.heap.alloc(size))
            .collect::<Result<Vec<_>, _>>()?;
        for buffer in &buffers {
            expect(&buffer.map()?, |_| 0)?;
        }
    }
    Ok(Pass)
}

fn cpu(target: &Target) -> TestResult {
    comes_back_clean(target, |buffer, pattern| fill(&mut buffer.map()?, pattern))
}

/// Some words of some pages, so that most of the memory is still zero.
fn cpu_in_part(target: &Target) -> TestResult {
    comes_back_clean(target, |buffer, pattern| {
        let mut mapping = buffer.map()?;
        let words = mapping.len() / size_of::<u64>();
        let access = mapping.read_write()?;
        for index in (0..words).step_by(1021).chain([words - 1]) {
            access.set_word(index, pattern.word(index) | 1)?;
        }
        access.finish()?;
        Ok(())
    })
}

fn late_cpu(target: &Target) -> TestResult {
    comes_back_clean(target, |buffer, pattern| {
        let count = usize::try_from(buffer.len() / page())?;
        let mut pages = Pages::map(buffer.as_fd(), 0, count, true)?;
        drop(buffer);
        for index in 0..count {
            let word = index % (dma_heap::page_size() / size_of::<u64>());
            if pages.store(index, word, pattern.word(index) | 1).is_none() {
                return fail(format!("page {index} cannot be written"));
            }
        }
        Ok(())
    })
}

fn vmap(target: &Target) -> TestResult {
    device::with_any(|importer| {
        comes_back_clean(target, |buffer, pattern| {
            let bytes = device::pattern_bytes(pattern, 0, usize::try_from(buffer.len())?);
            importer.vmap(&buffer)?.write(0, &bytes)?;
            Ok(())
        })
    })
}

fn dma(target: &Target) -> TestResult {
    device::with_any(|importer| {
        comes_back_clean(target, |buffer, pattern| {
            dma_write(importer, buffer, pattern, false)
        })
    })
}

fn late_dma(target: &Target) -> TestResult {
    device::with_any(|importer| {
        comes_back_clean(target, |buffer, pattern| {
            dma_write(importer, buffer, pattern, true)
        })
    })
}

fn dma_write(
    importer: &Importer,
    buffer: Buffer,
    pattern: Pattern,
    late: bool,
) -> Result<(), Failure> {
    let bytes = device::pattern_bytes(pattern, 0, usize::try_from(buffer.len())?);
    let mapping = importer.attach(&buffer)?.map(Direction::FromDevice)?;
    if late {
        drop(buffer);
        mapping.write(0, &bytes)?;
        mapping.release()?;
    } else {
        mapping.write(0, &bytes)?;
        mapping.release()?;
        drop(buffer);
    }
    Ok(())
}
