// SPDX-License-Identifier: GPL-2.0

//! Cases in which a device has the buffer.

use super::Bench;
use crate::case::Case;
use crate::case::Layout;
use crate::case::Mode;
use crate::case::Operation;
use crate::device::Device;
use crate::device::FrameBuffer;
use crate::plan;
use crate::record::Failure;
use crate::record::Measurement;
use crate::sampler::By;
use crate::sampler::Paired;
use crate::sampler::Side;
use crate::vmap;
use anyhow::Context as _;
use dma_heap::Buffer;
use dma_heap::Heap;
use dma_heap::importer::Importer;
use std::rc::Rc;

/// Bytes of the free blocks that a buffer in large blocks finds: the largest of
/// which the kernel's heap makes its own.
const HOLE: u64 = 1 << 20;

/// Times of one sample of maps, but of one that takes long alone.
const BATCH: usize = 4;

/// A buffer that is mapped for the device, in all cases of its size and layout.
#[derive(Debug)]
pub(super) struct Subject {
    side: Side,
    layout: Option<Layout>,
    buffer: Buffer,
    /// Ranges of addresses that it consists of, if the device can have it.
    segments: Option<u64>,
    /// Why the device cannot have it. Found out once: the kernel may log it.
    failure: Option<Failure>,
}

impl Bench<'_> {
    /// Measures a case with the device. Where it cannot have the buffer of one
    /// heap, the other is measured alone.
    pub(super) fn by_device(
        &self,
        case: &Case,
        device: &Device,
        software: &Importer,
    ) -> anyhow::Result<Vec<Measurement>> {
        let subjects = self
            .sides()
            .into_iter()
            .map(|side| self.subject(side, case, device, software))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let able: Vec<&Subject> = subjects
            .iter()
            .map(|subject| &**subject)
            .filter(|subject| subject.failure.is_none())
            .collect();
        let paired = match case.operation {
            Operation::Frame => self.frames(case, device, &able)?,
            _ => self.maps(case, device, &able)?,
        };
        let mut measurements = self.record(case, &paired);
        for (measurement, subject) in measurements.iter_mut().zip(&subjects) {
            measurement.device = Some(device.name.to_owned());
            measurement.iommu = Some(device.iommu.clone());
            measurement.segments = subject.segments;
            measurement.failure.clone_from(&subject.failure);
            if case.operation == Operation::Frame {
                // Most of it would be that of waiting for the DMA.
                measurement.cpu_ns = None;
            }
        }
        Ok(measurements)
    }

    fn maps(&self, case: &Case, device: &Device, able: &[&Subject]) -> anyhow::Result<Paired> {
        let attachments = u64::from(case.attachments.unwrap_or(1));
        let mut cycles = Vec::new();
        for subject in able {
            cycles.push(device.cycles(&subject.buffer)?);
        }
        let batch = if cycles.contains(&1) { 1 } else { BATCH };
        if case.mode == Some(Mode::First) {
            cycles.fill(0);
        }
        let sides: Vec<Side> = able.iter().map(|subject| subject.side).collect();
        self.interleave(case, &sides, By::Sum, |side| {
            let mut with_cycles = able.iter().zip(&cycles);
            let (subject, cycles) = with_cycles
                .find(|(subject, _)| subject.side == side)
                .context("a heap without buffers")?;
            let buffer = &subject.buffer;
            // The first of each attachment comes before those that follow it.
            let operations = batch * usize::try_from(attachments * (1 + cycles))?;
            self.meter
                .sample(operations, false, || match cycles {
                    0 => device.first_maps(buffer, attachments, batch),
                    _ => device.repeated_maps(buffer, attachments, *cycles, batch),
                })
                .map(Some)
        })
    }

    fn frames(&self, case: &Case, device: &Device, able: &[&Subject]) -> anyhow::Result<Paired> {
        let sum = device.fill_engine(self.heap(Side::Measured))?;
        let others = able
            .iter()
            .map(|subject| Ok(self.heap(subject.side).alloc(case.size)?))
            .collect::<anyhow::Result<Vec<Buffer>>>()?;
        let mut ready = Vec::new();
        for (subject, other) in able.iter().zip(&others) {
            let buffer = FrameBuffer::new(device, &subject.buffer)?;
            // Where devices bounce, one in pieces can be mapped, and this one not.
            let other = match device.try_map(other)? {
                None => Some(FrameBuffer::new(device, other)?),
                Some(_) => None,
            };
            ready.push((subject.side, buffer, other));
        }
        let sides: Vec<Side> = able.iter().map(|subject| subject.side).collect();
        self.interleave(case, &sides, By::Sum, |side| {
            let (_, buffer, other) = ready
                .iter()
                .find(|(of, ..)| *of == side)
                .context("a heap without buffers")?;
            self.meter
                .sample(1, false, || Ok(vec![buffer.frame(other.as_ref(), sum)?]))
                .map(Some)
        })
    }

    /// The buffer of a heap for a case.
    fn subject(
        &self,
        side: Side,
        case: &Case,
        device: &Device,
        software: &Importer,
    ) -> anyhow::Result<Rc<Subject>> {
        let find = || {
            let subjects = self.subjects.borrow();
            let mut subjects = subjects.iter();
            subjects
                .find(|subject| {
                    subject.side == side
                        && subject.layout == case.layout
                        && subject.buffer.len() == case.size
                })
                .cloned()
        };
        if let Some(subject) = find() {
            return Ok(subject);
        }
        let buffers = if case.layout == Some(Layout::Fragmented) {
            self.all_fragmented(software)?
        } else {
            let _holes = self.holes(case)?;
            vec![(side, self.heap(side).alloc(case.size)?)]
        };
        for (side, buffer) in buffers {
            let failure = device.try_map(&buffer)?;
            let segments = match failure {
                Some(_) => None,
                None => Some(vmap::segments(software, &buffer)?),
            };
            let subject = Subject {
                side,
                layout: case.layout,
                buffer,
                segments,
                failure,
            };
            self.subjects.borrow_mut().push(Rc::new(subject));
        }
        find().context("a heap without buffers")
    }

    /// Leaves free memory in large blocks that are not adjacent, as they are in a
    /// machine that has been in use, until what this returns is dropped. Else it
    /// were chance whether a buffer lies in one piece.
    fn holes(&self, case: &Case) -> anyhow::Result<Vec<Buffer>> {
        let mut blocks = Vec::new();
        if case.layout == Some(Layout::LargeBlocks) {
            let heap = self.heap(Side::Baseline);
            for _ in 0..2 * case.size.div_ceil(HOLE) {
                blocks.push(heap.alloc(HOLE)?);
            }
        }
        let mut number = 0;
        blocks.retain(|_| {
            number += 1;
            number % 2 == 0
        });
        Ok(blocks)
    }

    /// Fragmented buffers of all sizes and heaps: the machine's memory is taken
    /// to pieces only once.
    fn all_fragmented(&self, software: &Importer) -> anyhow::Result<Vec<(Side, Buffer)>> {
        // Ours fits every device, so that its pieces can be counted where what
        // the kernel's makes cannot be mapped.
        let filler: &Heap = self.heap(Side::Measured);
        let stocks = self.fragmented(&plan::MAPPED, software, filler)?;
        // The filler's memory is not to stay in the pool.
        self.meter.pools.settle()?;
        self.meter.pools.drain()?;
        let of_sides = self.sides().into_iter().zip(stocks);
        Ok(of_sides
            .flat_map(|(side, buffers)| buffers.into_iter().map(move |buffer| (side, buffer)))
            .collect())
    }
}
