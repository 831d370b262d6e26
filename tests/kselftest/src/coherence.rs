// SPDX-License-Identifier: GPL-2.0

//! Devices, the kernel and the CPU see each other's writes.
//!
//! Everything here is done in brackets: without, a machine that bounces shows
//! nobody what another wrote. Brackets that write a part of a buffer also read,
//! since what was not written counts as well.

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
use crate::rng::Rng;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Mapping;
use dma_heap::importer::Attachment;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::DmaMapping;
use dma_heap::importer::Importer;
use dma_heap::importer::Vmap;
use dma_heap::pattern::Pattern;
use std::ops::Range;

pub(crate) const TESTS: &[Test] = &[
    (
        "device, kernel and CPU see each other's writes",
        random_writes,
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

/// A buffer, everyone who may write it, and what must be in it.
struct Shared<'t> {
    mapping: Mapping<'t>,
    importer: &'t Importer,
    buffer: &'t Buffer,
    attachment: Attachment<'t>,
    dma: Option<DmaMapping<'t>>,
    vmap: Vmap<'t>,
    wanted: Vec<u8>,
}

impl Shared<'_> {
    fn wanted(&self, piece: &Range<usize>) -> Result<&[u8], Failure> {
        match self.wanted.get(piece.clone()) {
            Some(bytes) => Ok(bytes),
            None => fail("a piece outside of the buffer"),
        }
    }

    fn cpu_reads(&self, piece: &Range<usize>) -> Result<(), Failure> {
        let mut seen = vec![0; piece.len()];
        let access = self.mapping.read()?;
        access.copy_to_slice(piece.start, &mut seen)?;
        access.finish()?;
        same_bytes("the CPU", piece.start, &seen, self.wanted(piece)?)
    }

    fn cpu_writes(&mut self, piece: &Range<usize>, bytes: &[u8]) -> Result<(), Failure> {
        let access = self.mapping.read_write()?;
        access.copy_from_slice(piece.start, bytes)?;
        access.finish()?;
        Ok(())
    }

    /// The device, mapped for it if it is not.
    fn device(&mut self) -> Result<&DmaMapping<'_>, Failure> {
        if self.dma.is_none() {
            self.dma = Some(self.attachment.map(Direction::Both)?);
        }
        match &self.dma {
            Some(dma) => Ok(dma),
            None => fail("not mapped"),
        }
    }

    fn device_reads(&mut self, piece: &Range<usize>) -> Result<(), Failure> {
        let mut seen = vec![0; piece.len()];
        self.device()?.read(piece.start as u64, &mut seen)?;
        same_bytes("the device", piece.start, &seen, self.wanted(piece)?)
    }

    /// What the kernel does through its vmap, in a bracket as drivers use it.
    fn kernel<T>(
        &self,
        access: impl FnOnce(&Vmap<'_>) -> Result<T, dma_heap::Error>,
    ) -> Result<T, Failure> {
        self.importer
            .begin_cpu_access(self.buffer, Direction::Both)?;
        let result = access(&self.vmap);
        self.importer.end_cpu_access(self.buffer, Direction::Both)?;
        Ok(result?)
    }

    fn kernel_reads(&self, piece: &Range<usize>) -> Result<(), Failure> {
        let mut seen = vec![0; piece.len()];
        self.kernel(|vmap| vmap.read(piece.start as u64, &mut seen))?;
        same_bytes("the kernel", piece.start, &seen, self.wanted(piece)?)
    }

    fn step(&mut self, rng: &mut Rng) -> Result<(), Failure> {
        let piece = rng.piece(self.wanted.len(), 3 * dma_heap::page_size());
        match rng.below(0..7) {
            0 => return self.cpu_reads(&piece),
            1 => return self.device_reads(&piece),
            2 => return self.kernel_reads(&piece),
            3 => {
                if let Some(dma) = self.dma.take() {
                    dma.release()?;
                }
                return Ok(());
            }
            _ => {}
        }
        let bytes = rng.bytes(piece.len());
        match rng.below(0..3) {
            0 => self.cpu_writes(&piece, &bytes)?,
            1 => self.device()?.write(piece.start as u64, &bytes)?,
            _ => self.kernel(|vmap| vmap.write(piece.start as u64, &bytes))?,
        }
        if let Some(wanted) = self.wanted.get_mut(piece) {
            wanted.copy_from_slice(&bytes);
        }
        Ok(())
    }
}

/// Names the seed and the step in a failure of a random test.
fn at(target: &Target, step: usize, result: Result<(), Failure>) -> Result<(), Failure> {
    result.map_err(|Failure(what)| {
        Failure(format!(
            "step {step} with --seed={:#x}: {what}",
            target.seed()
        ))
    })
}

fn random_writes(target: &Target) -> TestResult {
    device::with_any(|importer| {
        let used = target.used();
        let buffer = target.heap.alloc(target.mappable(SIZE)?)?;
        let mut shared = Shared {
            mapping: buffer.map()?,
            importer,
            buffer: &buffer,
            attachment: importer.attach(&buffer)?,
            dma: None,
            vmap: importer.vmap(&buffer)?,
            wanted: vec![0; usize::try_from(buffer.len())?],
        };
        let mut rng = Rng::new(target.seed());
        for step in 0..STEPS {
            let result = shared.step(&mut rng);
            at(target, step, result)?;
        }
        let all = 0..shared.wanted.len();
        let result = shared
            .cpu_reads(&all)
            .and_then(|()| shared.device_reads(&all))
            .and_then(|()| shared.kernel_reads(&all));
        at(target, STEPS, result)?;
        // And after the last unmap, which may copy once more.
        shared.dma = None;
        at(target, STEPS, shared.cpu_reads(&all))?;
        drop(shared);
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
