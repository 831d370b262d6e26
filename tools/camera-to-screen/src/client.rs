// SPDX-License-Identifier: GPL-2.0

//! Another client of the heap, as every other program with a stream is one.

use crate::times;
use crate::times::Samples;
use anyhow::Context as _;
use dma_heap::Heap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Allocates `count` buffers of a size, one at each `interval`, frees them, and goes
/// on with the next size, until told to stop. Returns how long allocations took.
pub(crate) fn run(
    heap: &str,
    sizes: &[u64],
    count: u32,
    interval: Duration,
    stop: &AtomicBool,
) -> anyhow::Result<Samples> {
    let heap = Heap::open(heap)?;
    let mut samples = Samples::default();
    for size in sizes.iter().cycle() {
        let mut buffers = Vec::new();
        for _ in 0..count {
            if stop.load(Ordering::Relaxed) {
                return Ok(samples);
            }
            let start = times::now();
            let buffer = heap.alloc(*size).context("another client gets no buffer")?;
            samples.add(times::now().saturating_sub(start));
            buffers.push(buffer);
            std::thread::sleep(interval);
        }
    }
    Ok(samples)
}
