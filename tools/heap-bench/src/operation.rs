// SPDX-License-Identifier: GPL-2.0

//! Operations on buffers as programs do them, and their times.

use super::case::Access;
use super::case::Case;
use super::case::Mapping;
use super::case::Mode;
use super::case::Operation;
use anyhow::Context as _;
use anyhow::anyhow;
use dma_heap::Buffer;
use dma_heap::Heap;
use dma_heap::sys::ioctl;
use dma_heap::sys::pages::Pages;
use rustix::fs::OFlags;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::sync::Barrier;
use std::time::Duration;
use std::time::Instant;

/// Runs `count` operations in each of the case's threads and returns the time
/// of each. Where they follow each other, one that is not timed goes before
/// them: it is the previous owner of the first.
pub(crate) fn series(heap: &Heap, case: &Case, count: usize) -> anyhow::Result<Vec<u64>> {
    let threads = case.threads.max(1) as usize;
    if threads == 1 {
        return one_series(heap, case, count);
    }
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    one_series(heap, case, count)
                })
            })
            .collect();
        let mut times = Vec::new();
        for worker in workers {
            let result = worker.join().map_err(|_| anyhow!("a thread panicked"))?;
            times.extend(result?);
        }
        Ok(times)
    })
}

/// How many operations `series` does, with those that are not timed.
pub(crate) fn operations(case: &Case, count: usize) -> usize {
    (count + usize::from(has_lead(case))) * case.threads.max(1) as usize
}

fn has_lead(case: &Case) -> bool {
    case.mode != Some(Mode::Cold)
}

fn one_series(heap: &Heap, case: &Case, count: usize) -> anyhow::Result<Vec<u64>> {
    if has_lead(case) {
        once(heap, case)?;
    }
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        if case.gap_ms > 0 {
            std::thread::sleep(case.gap());
        }
        times.push(nanos(once(heap, case)?));
    }
    Ok(times)
}

/// Lossless for the next five centuries.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn once(heap: &Heap, case: &Case) -> anyhow::Result<Duration> {
    match case.operation {
        Operation::AllocClose => alloc_close(heap, case.size, case.mode == Some(Mode::Warm)),
        Operation::AllocWriteClose => alloc_write_close(heap, case.size),
        Operation::Touch => {
            let buffer = heap.alloc(case.size)?;
            let read_first = case.access == Some(Access::ReadWrite);
            match case.mapping {
                Some(Mapping::Plain) => touch_plain(&buffer, read_first),
                _ => touch_library(&buffer, read_first),
            }
        }
        Operation::Vmap
        | Operation::Pipeline
        | Operation::Metadata
        | Operation::Map
        | Operation::Frame => Err(anyhow!("{} has no series of operations", case.title())),
    }
}

/// The ioctl, without what the library does beside it.
pub(crate) fn allocate(heap: &Heap, size: u64) -> anyhow::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    ioctl::alloc(heap.as_fd(), size, flags.bits(), 0)
        .with_context(|| format!("{}: cannot allocate {size} bytes", heap.name()))
}

/// Times the ioctl and the close. Between them the owner may write every page,
/// and then the close is that of a written buffer.
fn alloc_close(heap: &Heap, size: u64, write: bool) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let fd = allocate(heap, size)?;
    let mut time = start.elapsed();
    let buffer = if write {
        let buffer = Buffer::from_fd(fd)?;
        touch_library(&buffer, false)?;
        Held::Buffer(buffer)
    } else {
        Held::Fd(fd)
    };
    let start = Instant::now();
    drop(buffer);
    time += start.elapsed();
    Ok(time)
}

/// What is closed on drop, without an examination that was not needed.
enum Held {
    Buffer(#[expect(dead_code, reason = "closed on drop")] Buffer),
    Fd(#[expect(dead_code, reason = "closed on drop")] OwnedFd),
}

/// Times a whole life: allocation, mapping, a write to every byte in a
/// bracket, unmapping and close.
fn alloc_write_close(heap: &Heap, size: u64) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let buffer = heap.alloc(size)?;
    fill(&buffer)?;
    drop(buffer);
    Ok(start.elapsed())
}

/// Maps a buffer, writes every byte and unmaps it.
pub(crate) fn fill(buffer: &Buffer) -> anyhow::Result<()> {
    let mut mapping = buffer.map()?;
    let access = mapping.write()?;
    access.fill_with(|index| index as u64);
    access.finish()?;
    Ok(())
}

/// Times mapping, touching every page and unmapping.
fn touch_library(buffer: &Buffer, read_first: bool) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut mapping = buffer.map()?;
    let words = 0..mapping.len() / size_of::<u64>();
    let words = words.step_by(dma_heap::page_size() / size_of::<u64>());
    let access = mapping.read_write()?;
    if read_first {
        for index in words.clone() {
            std::hint::black_box(access.word(index)?);
        }
    }
    for index in words {
        access.set_word(index, !0)?;
    }
    access.finish()?;
    drop(mapping);
    Ok(start.elapsed())
}

/// The same through mmap alone.
fn touch_plain(buffer: &Buffer, read_first: bool) -> anyhow::Result<Duration> {
    let count = usize::try_from(buffer.len())? / dma_heap::page_size();
    let start = Instant::now();
    let mut pages = Pages::map(buffer.as_fd(), 0, count, true).context("cannot map a buffer")?;
    if read_first {
        for page in 0..count {
            std::hint::black_box(pages.load(page, 0));
        }
    }
    for page in 0..count {
        pages.store(page, 0, !0).context("cannot write a page")?;
    }
    pages.unmap(0..count).context("cannot unmap a buffer")?;
    Ok(start.elapsed())
}
