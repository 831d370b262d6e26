// SPDX-License-Identifier: GPL-2.0

//! Devices, the kernel and the CPU see each other's writes.
//!
//! Everything here is done in brackets: without, a machine that bounces shows
//! nobody what another wrote. Random sequences of all this: [`sequences`].

use crate::Test;
use crate::device;
use crate::device::device_reads;
use crate::device::same_bytes;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::errno;
use crate::outcome::fail;
use crate::outcome::refused;
use crate::sequences;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::importer::Attachment;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::DmaMapping;
use dma_heap::importer::Importer;
use dma_heap::importer::Vmap;
use dma_heap::pattern::Pattern;
use dma_heap::rng::Rng;
use std::ops::Range;

pub(crate) const TESTS: &[Test] = &[
    (
        "device, kernel and CPU see each other's writes",
        sequences::random_writes,
    ),
    (
        "more than the bounce buffers take, one after the other",
        one_after_the_other,
    ),
    ("attach, map and vmap in any order and number", any_order),
    ("vmaps of a buffer are counted", counted_vmaps),
    ("CPU access works without an attachment", without_attachment),
    ("threads share a buffer and a device", threads),
];

/// A size of some blocks that is no power of two.
const SIZE: u64 = 300 << 10;

/// Steps of a random test.
const STEPS: usize = 200;

/// Names the seed and the step in a failure of a random test.
fn at(target: &Target, step: usize, result: Result<(), Failure>) -> Result<(), Failure> {
    result.map_err(|Failure(what)| {
        Failure(format!(
            "step {step} with --seed={:#x}: {what}",
            target.seed()
        ))
    })
}

/// Bytes of the bounce buffers, where the kernel tells, else what it has by
/// default.
fn bounce_pool() -> u64 {
    const SLOT: u64 = 2 << 10;
    std::fs::read_to_string("/sys/kernel/debug/swiotlb/io_tlb_nslabs")
        .ok()
        .and_then(|slots| slots.trim().parse().ok())
        .map_or(64 << 20, |slots: u64| slots * SLOT)
}

/// Devices are attached whose mappings would not fit the bounce buffers
/// together. Each finds what those before it have left.
fn one_after_the_other(target: &Target) -> TestResult {
    device::with_any(|first| {
        let used = target.used();
        let second = Importer::with_device(DeviceSettings {
            max_segment_size: 64 << 10,
            ..DeviceSettings::default()
        })?;
        let buffer = target.heap.alloc(target.mappable(8 << 20)?)?;
        let devices = usize::try_from(bounce_pool() / buffer.len())? + 2;
        let attachments = [first, &second]
            .into_iter()
            .cycle()
            .take(devices)
            .map(|importer| importer.attach(&buffer))
            .collect::<Result<Vec<_>, _>>()?;
        let mut rng = Rng::new(target.seed());
        let step = usize::try_from(buffer.len())? / devices;
        let mut wanted = vec![0; usize::try_from(buffer.len())?];
        for (number, attachment) in attachments.iter().enumerate() {
            let mapping = attachment.map(Direction::Both)?;
            let bytes = rng.bytes(step);
            mapping.write((number * step) as u64, &bytes)?;
            if let Some(wanted) = wanted.get_mut(number * step..(number + 1) * step) {
                wanted.copy_from_slice(&bytes);
            }
            let mut seen = vec![0; wanted.len()];
            mapping.read(0, &mut seen)?;
            same_bytes(&format!("device {number}"), 0, &seen, &wanted)?;
            mapping.release()?;
        }
        let mapping = buffer.map()?;
        let mut seen = vec![0; wanted.len()];
        let access = mapping.read()?;
        access.copy_to_slice(0, &mut seen)?;
        access.finish()?;
        same_bytes("the CPU", 0, &seen, &wanted)?;
        drop((attachments, mapping));
        drop(buffer);
        target.expect_used(used)?;
        Ok(Pass)
    })
}

/// A device that is attached, and how it has the buffer mapped.
struct Attached<'i> {
    attachment: Attachment<'i>,
    mappings: Vec<(Direction, DmaMapping<'i>)>,
}

/// What the test holds at a time.
#[derive(Default)]
struct Held<'i> {
    attached: Vec<Attached<'i>>,
    /// Of devices that were told to detach before.
    orphans: Vec<DmaMapping<'i>>,
    vmaps: Vec<Vmap<'i>>,
}

/// The most of each kind.
const MOST: usize = 5;

impl<'i> Held<'i> {
    fn step(
        &mut self,
        target: &Target,
        importers: &[&'i Importer],
        buffer: &Buffer,
        pattern: Pattern,
        rng: &mut Rng,
    ) -> Result<(), Failure> {
        let Some(importer) = rng.pick(importers) else {
            return fail("no importer");
        };
        let which = rng.below(0..self.attached.len().max(1));
        match rng.below(0..8) {
            0 if self.attached.len() < MOST => self.attached.push(Attached {
                attachment: importer.attach(buffer)?,
                mappings: Vec::new(),
            }),
            1 if !self.attached.is_empty() => {
                let Attached {
                    attachment,
                    mappings,
                } = self.attached.swap_remove(which);
                attachment.release()?;
                self.orphans
                    .extend(mappings.into_iter().map(|(_, mapping)| mapping));
            }
            2..=4 => {
                if let Some(attached) = self.attached.get_mut(which) {
                    attached.map(target, rng)?;
                }
            }
            5 => {
                if let Some(attached) = self.attached.get_mut(which) {
                    if !attached.mappings.is_empty() {
                        let which = rng.below(0..attached.mappings.len());
                        attached.mappings.swap_remove(which).1.release()?;
                    }
                }
                if self.orphans.len() > MOST {
                    self.orphans.swap_remove(0).release()?;
                }
            }
            6 if self.vmaps.len() < MOST => self.vmaps.push(importer.vmap(buffer)?),
            7 if !self.vmaps.is_empty() => {
                let which = rng.below(0..self.vmaps.len());
                self.vmaps.swap_remove(which).release()?;
            }
            _ => {}
        }
        self.check(buffer, pattern, rng)
    }

    /// Reads a piece through everything that can be read.
    fn check(&self, buffer: &Buffer, pattern: Pattern, rng: &mut Rng) -> Result<(), Failure> {
        let piece = rng.piece(usize::try_from(buffer.len())?, 512);
        let wanted = device::pattern_bytes(pattern, piece.start, piece.len());
        let mut seen = vec![0; piece.len()];
        let readable = self
            .attached
            .iter()
            .flat_map(|attached| &attached.mappings)
            .filter(|(direction, _)| *direction != Direction::FromDevice);
        for (_, mapping) in readable {
            mapping.read(piece.start as u64, &mut seen)?;
            same_bytes("a device", piece.start, &seen, &wanted)?;
        }
        for vmap in &self.vmaps {
            vmap.read(piece.start as u64, &mut seen)?;
            same_bytes("a vmap", piece.start, &seen, &wanted)?;
        }
        Ok(())
    }
}

impl Attached<'_> {
    fn map(&mut self, target: &Target, rng: &mut Rng) -> Result<(), Failure> {
        let Some(direction) = rng.pick(&Direction::ALL) else {
            return fail("no direction");
        };
        let outstanding = self.mappings.first().map(|(direction, _)| *direction);
        if self.mappings.len() == MOST || (outstanding.is_some() && !target.is_ours()) {
            // The kernel's own heaps do not keep outstanding maps apart.
            return Ok(());
        }
        let result = errno(self.attachment.map(direction));
        match outstanding {
            Some(other) if other != direction => refused(
                &format!("{direction:?} beside {other:?}"),
                result,
                Errno::BUSY,
            ),
            _ => {
                self.mappings.push((direction, result?));
                Ok(())
            }
        }
    }
}

fn any_order(target: &Target) -> TestResult {
    device::with_any(|first| {
        let used = target.used();
        let second = Importer::with_device(DeviceSettings {
            max_segment_size: u32::try_from(2 * page())?,
            ..DeviceSettings::default()
        })?;
        let (buffer, pattern) = target.filled(64 << 10)?;
        let mut held = Held::default();
        let mut rng = Rng::new(target.seed());
        for step in 0..2 * STEPS {
            let result = held.step(target, &[first, &second], &buffer, pattern, &mut rng);
            at(target, step, result)?;
        }
        crate::mmap::expect(&buffer.map()?, |index| pattern.word(index))?;
        // The buffer's descriptor before what is left on it.
        drop(buffer);
        drop(held);
        target.expect_used(used)?;
        Ok(Pass)
    })
}

fn counted_vmaps(target: &Target) -> TestResult {
    device::with_any(|importer| {
        let used = target.used();
        for size in [page(), SIZE, 2 << 20] {
            let buffer = target.heap.alloc(size)?;
            let first = importer.vmap(&buffer)?;
            let second = importer.vmap(&buffer)?;
            first.write(0, b"first")?;
            first.release()?;
            let mut seen = [0; 5];
            second.read(0, &mut seen)?;
            equal("through the second vmap", &seen, b"first")?;
            second.write(size - 6, b"second")?;
            let third = importer.vmap(&buffer)?;
            second.release()?;
            let mut seen = [0; 6];
            third.read(size - 6, &mut seen)?;
            equal("through the third vmap", &seen, b"second")?;
            let mapping = buffer.map()?;
            let access = mapping.read()?;
            access.copy_to_slice(usize::try_from(size - 6)?, &mut seen)?;
            access.finish()?;
            equal("in user space", &seen, b"second")?;
            drop(mapping);
            drop(buffer);
            third.read(size - 6, &mut seen)?;
            equal("after the last close", &seen, b"second")?;
            third.release()?;
            target.expect_used(used)?;
        }
        Ok(Pass)
    })
}

fn without_attachment(target: &Target) -> TestResult {
    device::with_any(|importer| {
        let (buffer, pattern) = target.filled(SIZE)?;
        for direction in Direction::ALL {
            importer.begin_cpu_access(&buffer, direction)?;
            importer.end_cpu_access(&buffer, direction)?;
        }
        // An attachment that has nothing mapped must not be synced either.
        let attachment = importer.attach(&buffer)?;
        for direction in Direction::ALL {
            importer.begin_cpu_access(&buffer, direction)?;
            importer.end_cpu_access(&buffer, direction)?;
            // And one that had it mapped.
            attachment.map(direction)?.release()?;
        }
        crate::mmap::expect(&buffer.map()?, |index| pattern.word(index))?;
        Ok(Pass)
    })
}

const THREADS: usize = 4;
const ROUNDS: usize = 25;

/// Each thread lets the shared device write and read its part of the buffer,
/// while all attach, map and vmap the whole.
fn threads(target: &Target) -> TestResult {
    device::with_any(|importer| {
        let used = target.used();
        let buffer = target.heap.alloc(target.mappable(SIZE)?)?;
        let mapping = importer.attach(&buffer)?.map(Direction::Both)?;
        let part = usize::try_from(buffer.len())? / THREADS;
        let pattern = Pattern::new(target.seed());
        std::thread::scope(|scope| {
            let (buffer, mapping) = (&buffer, &mapping);
            let workers: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let part = thread * part..(thread + 1) * part;
                    scope.spawn(move || thread_rounds(importer, buffer, mapping, part, pattern))
                })
                .collect();
            for worker in workers {
                match worker.join() {
                    Ok(result) => result?,
                    Err(_) => return fail("a thread panicked"),
                }
            }
            Ok(())
        })?;
        // Whatever the threads did meanwhile, this is what the device wrote.
        device_reads(&mapping, &buffer, pattern)?;
        crate::mmap::expect(&buffer.map()?, |index| pattern.word(index))?;
        drop((mapping, buffer));
        target.expect_used(used)?;
        Ok(Pass)
    })
}

fn thread_rounds(
    importer: &Importer,
    buffer: &Buffer,
    shared: &DmaMapping<'_>,
    part: Range<usize>,
    pattern: Pattern,
) -> Result<(), Failure> {
    let step = part.len() / ROUNDS + 1;
    let mut rng = Rng::new(part.start as u64);
    for start in part.clone().step_by(step) {
        let piece = start..(start + step).min(part.end);
        let bytes = device::pattern_bytes(pattern, piece.start, piece.len());
        shared.write(piece.start as u64, &bytes)?;
        // Read only by the device: to map in another direction could copy a
        // bounce buffer back over what the shared device wrote.
        let attachment = importer.attach(buffer)?;
        let mapping = attachment.map(Direction::ToDevice)?;
        let mut byte = [0];
        mapping.read(rng.below(0..part.end) as u64, &mut byte)?;
        let vmap = importer.vmap(buffer)?;
        vmap.read(rng.below(0..part.end) as u64, &mut byte)?;
        if rng.below(0..2) == 0 {
            attachment.release()?;
            mapping.release()?;
        }
        let mut seen = vec![0; piece.len()];
        shared.read(piece.start as u64, &mut seen)?;
        same_bytes("the device", piece.start, &seen, &bytes)?;
    }
    Ok(())
}
