// SPDX-License-Identifier: GPL-2.0

//! Checks with a device: the test importer.

use super::content::expect_bytes;
use super::content::expect_words;
use super::content::fill;
use super::content::words;
use anyhow::Context as _;
use dma_heap::Buffer;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use dma_heap::pattern::Pattern;

/// Bytes of one transfer: whole words, less than any buffer of some size, and
/// no divisor of one.
const STEP: usize = 40_008;

/// A device that reaches everything.
pub(super) fn open() -> Result<Importer, dma_heap::Error> {
    Importer::with_device(DeviceSettings::default())
}

/// Calls `f` with the offset and the bytes of each transfer, for all of a
/// buffer.
fn transfers(
    buffer: &Buffer,
    mut f: impl FnMut(usize, usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let len = usize::try_from(buffer.len())?;
    (0..len)
        .step_by(STEP)
        .try_for_each(|offset| f(offset, STEP.min(len - offset)))
}

/// The device reads what the CPU has written, before the mapping and in it.
pub(super) fn check_read(importer: &Importer, buffer: &Buffer) -> anyhow::Result<()> {
    let attachment = importer.attach(buffer)?;
    let mut mapping = buffer.map()?;
    let mut pattern = Pattern::random()?;
    fill(&mut mapping, pattern)?;
    let dma = attachment.map(Direction::ToDevice)?;
    for while_mapped in [false, true] {
        if while_mapped {
            pattern = Pattern::random()?;
            fill(&mut mapping, pattern)?;
        }
        transfers(buffer, |offset, len| {
            let mut seen = vec![0; len];
            dma.read(offset as u64, &mut seen)?;
            expect_bytes(&seen, mapping.len(), offset, pattern).context("read by the device")
        })?;
    }
    dma.release()?;
    Ok(attachment.release()?)
}

/// The CPU reads what the device has written, in the mapping and after it.
pub(super) fn check_write(importer: &Importer, buffer: &Buffer) -> anyhow::Result<()> {
    let attachment = importer.attach(buffer)?;
    let dma = attachment.map(Direction::FromDevice)?;
    let pattern = Pattern::random()?;
    transfers(buffer, |offset, len| {
        Ok(dma.write(
            offset as u64,
            &words(pattern, offset, len / size_of::<u64>()),
        )?)
    })?;
    let mapping = buffer.map()?;
    let expect = |when| {
        expect_words(&mapping, |index| pattern.word(index))
            .with_context(|| format!("written by the device, {when}"))
    };
    expect("mapped")?;
    dma.release()?;
    expect("unmapped")?;
    Ok(attachment.release()?)
}

/// The kernel's own mapping shows the same memory.
pub(super) fn check_vmap(importer: &Importer, buffer: &Buffer) -> anyhow::Result<()> {
    let (before, after) = (Pattern::random()?, Pattern::random()?);
    let mut mapping = buffer.map()?;
    fill(&mut mapping, before)?;
    let vmap = importer.vmap(buffer)?;
    importer.begin_cpu_access(buffer, Direction::Both)?;
    transfers(buffer, |offset, len| {
        let mut seen = vec![0; len];
        vmap.read(offset as u64, &mut seen)?;
        expect_bytes(&seen, mapping.len(), offset, before).context("read by the kernel")?;
        Ok(vmap.write(offset as u64, &words(after, offset, len / size_of::<u64>()))?)
    })?;
    importer.end_cpu_access(buffer, Direction::Both)?;
    expect_words(&mapping, |index| after.word(index)).context("written by the kernel")?;
    Ok(vmap.release()?)
}
