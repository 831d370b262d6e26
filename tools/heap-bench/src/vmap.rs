// SPDX-License-Identifier: GPL-2.0

//! vmap and vunmap, timed by the test importer within the kernel.

use super::operation::nanos;
use anyhow::Context as _;
use dma_heap::Buffer;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;

/// Cycles that are timed together, so that the clock does not count.
const CYCLES: u64 = 16;

/// Times of one cycle, `count` of them, of a buffer that had a vmap before.
pub(crate) fn repeated(
    importer: &Importer,
    buffer: &Buffer,
    count: usize,
) -> anyhow::Result<Vec<u64>> {
    importer.time_vmaps(buffer, 1)?;
    (0..count)
        .map(|_| Ok(nanos(importer.time_vmaps(buffer, CYCLES)?) / CYCLES))
        .collect()
}

/// How many cycles `repeated` does.
pub(crate) fn cycles(count: usize) -> usize {
    1 + count * CYCLES as usize
}

/// The time of the first cycle of a buffer.
pub(crate) fn first(importer: &Importer, buffer: &Buffer) -> anyhow::Result<Vec<u64>> {
    Ok(vec![nanos(importer.time_vmaps(buffer, 1)?)])
}

/// Ranges of addresses that a buffer consists of, as a device in software sees
/// them. Those that follow each other are one: not every heap merges them.
pub(crate) fn segments(importer: &Importer, buffer: &Buffer) -> anyhow::Result<u64> {
    let attachment = importer.attach(buffer)?;
    let mapping = attachment
        .map(Direction::ToDevice)
        .context("the importer's device cannot map the buffer")?;
    let mut segments = 0;
    let mut end = None;
    for range in mapping.ranges()? {
        segments += u64::from(end != Some(range.address));
        end = Some(range.address + range.len);
    }
    mapping.release()?;
    attachment.release()?;
    Ok(segments)
}
