// SPDX-License-Identifier: GPL-2.0

//! Carries out the plan for a pair of heaps.

mod device;

use super::case::Case;
use super::case::Layout;
use super::case::Mode;
use super::case::Operation;
use super::device::Device;
use super::fragmentation;
use super::metadata::Counter;
use super::operation;
use super::pair::Pair;
use super::pipeline;
use super::plan;
use super::plan::Effort;
use super::progress::Progress;
use super::record::Measurement;
use super::sampler::By;
use super::sampler::Meter;
use super::sampler::Paired;
use super::sampler::Sample;
use super::sampler::Samples;
use super::sampler::Side;
use super::sampler::interleave;
use super::stats::median;
use super::stats::percentile;
use super::vmap;
use crate::Settings;
use anyhow::Context as _;
use device::Subject;
use dma_heap::Buffer;
use dma_heap::Heap;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Importer;
use std::cell::RefCell;
use std::rc::Rc;

/// Buffers of each heap of which the first vmap is timed, and one of which
/// the repeated ones are.
const STOCK: usize = 24;
/// The same when instructions are counted.
const STOCK_COUNTED: usize = 8;

/// Buffers of which the metadata is counted: as many as make a slab's
/// granularity small.
const COUNTED: usize = 16;
/// As many as fit in a small contiguous area, or in a small machine.
const COUNTED_FEW: usize = 4;

/// The buffers of a heap for vmap.
#[derive(Debug)]
struct Stock {
    /// None of them had a vmap yet.
    buffers: Vec<Buffer>,
    /// Ranges of addresses of another one like them, if that was looked at.
    segments: Option<u64>,
}

/// An open pair.
pub(crate) struct Bench<'p> {
    measured: Heap,
    /// What it is compared with, if there is something.
    baseline: Option<Heap>,
    contiguous: bool,
    /// A device in software. `None` if the test importer is not loaded.
    importer: Option<Importer>,
    /// The one that buffers are mapped for, if a case needs it.
    device: Option<Device>,
    meter: &'p Meter<'p>,
    /// Fragmented buffers of each side, once they were needed.
    stocks: RefCell<Vec<Stock>>,
    /// Buffers for the device.
    subjects: RefCell<Vec<Rc<Subject>>>,
    cases: Vec<Case>,
    settings: &'p Settings,
    progress: &'p Progress,
}

impl<'p> Bench<'p> {
    /// Opens the heaps, and what else the cases need.
    pub(crate) fn new(
        pair: &Pair,
        meter: &'p Meter<'p>,
        settings: &'p Settings,
        progress: &'p Progress,
    ) -> anyhow::Result<Self> {
        let cases = plan::chosen(pair.contiguous, settings);
        let device = if cases.iter().any(|case| case.operation.is_by_device()) {
            Device::open()?
        } else {
            None
        };
        Ok(Self {
            measured: Heap::open(&pair.heap)?,
            baseline: pair.against.as_deref().map(Heap::open).transpose()?,
            contiguous: pair.contiguous,
            importer: Importer::with_device(DeviceSettings::default()).ok(),
            device,
            meter,
            stocks: RefCell::default(),
            subjects: RefCell::default(),
            cases,
            settings,
            progress,
        })
    }

    /// The cases of this pair.
    pub(crate) fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Measures one case, or says what it needs that is missing.
    pub(crate) fn run(
        &self,
        case: &Case,
    ) -> anyhow::Result<Result<Vec<Measurement>, &'static str>> {
        match (case.operation, &self.importer, &self.device) {
            (Operation::Vmap | Operation::Metadata, None, _)
            | (Operation::Map | Operation::Frame, None, _)
            | (Operation::Map | Operation::Frame, _, None) => {
                Ok(Err("needs the module dma_buf_test_importer, and root"))
            }
            (Operation::Vmap, Some(importer), _) => self.vmap(case, importer).map(Ok),
            (Operation::Metadata, Some(importer), _) => self.metadata(case, importer).map(Ok),
            (Operation::Frame, _, Some(device)) if !device.has_engine() => {
                Ok(Err("needs QEMU's edu device (-device edu)"))
            }
            (Operation::Map | Operation::Frame, Some(importer), Some(device)) => {
                self.by_device(case, device, importer).map(Ok)
            }
            (Operation::Pipeline, ..) => self.pipeline(case).map(Ok),
            _ => self.series(case).map(Ok),
        }
    }

    fn sides(&self) -> Vec<Side> {
        match self.baseline {
            Some(_) => vec![Side::Measured, Side::Baseline],
            None => vec![Side::Measured],
        }
    }

    /// The heap of a side. Where there is nothing to compare with, that is always the same.
    fn heap(&self, side: Side) -> &Heap {
        match (side, &self.baseline) {
            (Side::Baseline, Some(heap)) => heap,
            _ => &self.measured,
        }
    }

    /// Takes the samples of a case.
    fn interleave(
        &self,
        case: &Case,
        sides: &[Side],
        by: By,
        sample: impl FnMut(Side) -> anyhow::Result<Option<Sample>>,
    ) -> anyhow::Result<Paired> {
        let effort = Effort::new(case, self.settings, self.sides().len());
        interleave(
            sides,
            effort,
            by,
            |elapsed| self.progress.at(elapsed),
            sample,
        )
    }

    fn series(&self, case: &Case) -> anyhow::Result<Vec<Measurement>> {
        let count = plan::batch(case, self.settings.counting());
        let operations = operation::operations(case, count);
        let cold = case.mode == Some(Mode::Cold);
        let paired = self.interleave(case, &self.sides(), By::Sum, |side| {
            let heap = self.heap(side);
            let sample = self
                .meter
                .sample(operations, cold, || operation::series(heap, case, count))?;
            Ok(Some(sample))
        })?;
        Ok(self.record(case, &paired))
    }

    fn pipeline(&self, case: &Case) -> anyhow::Result<Vec<Measurement>> {
        let (mut late_measured, mut late_baseline) = (0, 0);
        let operations = pipeline::operations(plan::SEGMENT);
        let paired = self.interleave(case, &self.sides(), By::P99, |side| {
            let heap = self.heap(side);
            let mut late = 0;
            let sample = self.meter.sample(operations, false, || {
                let segment = pipeline::run(heap, case.size, plan::SEGMENT)?;
                late = segment.late;
                Ok(segment.times)
            })?;
            match side {
                Side::Measured => late_measured += late,
                Side::Baseline => late_baseline += late,
            }
            Ok(Some(sample))
        })?;
        let mut measurements = self.record(case, &paired);
        for (measurement, late) in measurements.iter_mut().zip([late_measured, late_baseline]) {
            measurement.late = Some(late);
        }
        Ok(measurements)
    }

    fn vmap(&self, case: &Case, importer: &Importer) -> anyhow::Result<Vec<Measurement>> {
        let sides = self.sides();
        let mut stocks = self.stocks.borrow_mut();
        if case.layout == Some(Layout::Fragmented) {
            if stocks.is_empty() {
                *stocks = self.fragmented_stocks(case.size, importer)?;
            }
        } else {
            *stocks = sides
                .iter()
                .map(|side| self.fresh(*side, case.size))
                .collect::<anyhow::Result<_>>()?;
        }
        let segments: Vec<Option<u64>> = stocks.iter().map(|stock| stock.segments).collect();
        let batch = 4;
        let paired = self.interleave(case, &sides, By::Sum, |side| {
            let index = sides.iter().position(|it| *it == side);
            let stock = index.and_then(|index| stocks.get_mut(index));
            let stock = stock.context("a heap without buffers")?;
            if case.mode == Some(Mode::Repeated) {
                let buffer = stock.buffers.first().context("a heap without buffers")?;
                let sample = self.meter.sample(vmap::cycles(batch), false, || {
                    vmap::repeated(importer, buffer, batch)
                })?;
                return Ok(Some(sample));
            }
            let buffer = match case.layout {
                // The last one is for the repeated ones.
                Some(Layout::Fragmented) if stock.buffers.len() == 1 => None,
                Some(Layout::Fragmented) => stock.buffers.pop(),
                _ => Some(self.heap(side).alloc(case.size)?),
            };
            // When they are used up, that is all.
            let Some(buffer) = buffer else {
                return Ok(None);
            };
            self.meter
                .sample(1, false, || vmap::first(importer, &buffer))
                .map(Some)
        })?;
        let mut measurements = self.record(case, &paired);
        for (measurement, segments) in measurements.iter_mut().zip(segments) {
            measurement.segments = segments;
        }
        Ok(measurements)
    }

    /// Buffers in small pieces for vmap, of each side.
    fn fragmented_stocks(&self, size: u64, importer: &Importer) -> anyhow::Result<Vec<Stock>> {
        let count = if self.settings.counting() {
            STOCK_COUNTED
        } else {
            STOCK
        };
        // One more, to be looked at.
        let sizes = vec![size; count + 1];
        let stocks = self.fragmented(&sizes, importer, self.heap(Side::Baseline))?;
        let stock = |mut buffers: Vec<Buffer>| -> anyhow::Result<Stock> {
            let like = buffers.pop().context("a heap without buffers")?;
            let segments = Some(vmap::segments(importer, &like)?);
            Ok(Stock { buffers, segments })
        };
        stocks.into_iter().map(stock).collect()
    }

    /// Buffers of these sizes in small pieces, of each side. `filler` takes the
    /// memory that cannot be taken to pieces.
    fn fragmented(
        &self,
        sizes: &[u64],
        importer: &Importer,
        filler: &Heap,
    ) -> anyhow::Result<Vec<Vec<Buffer>>> {
        // Ours is not to have large blocks in hand when there are no more.
        self.meter.pools.settle()?;
        self.meter.pools.drain()?;
        let sides = self.sides();
        let heaps: Vec<&Heap> = sides.iter().map(|side| self.heap(*side)).collect();
        fragmentation::stock(importer, &heaps, filler, sizes)
    }

    /// One buffer from memory as it is.
    fn fresh(&self, side: Side, size: u64) -> anyhow::Result<Stock> {
        Ok(Stock {
            buffers: vec![self.heap(side).alloc(size)?],
            segments: None,
        })
    }

    fn metadata(&self, case: &Case, importer: &Importer) -> anyhow::Result<Vec<Measurement>> {
        let sides = self.sides();
        let buffers = if self.contiguous || self.settings.brief {
            COUNTED_FEW
        } else {
            COUNTED
        };
        let rounds = plan::rounds(self.settings);
        let mut measurements = Vec::new();
        for side in sides {
            let counter = Counter {
                importer,
                pools: self.meter.pools,
                heap: self.heap(side),
                size: case.size,
                buffers,
            };
            let mut measurement = self.blank(side, case);
            measurement.runs = rounds.counts;
            measurement.metadata_bytes = counter.count(rounds)?;
            measurements.push(measurement);
        }
        Ok(measurements)
    }

    fn blank(&self, side: Side, case: &Case) -> Measurement {
        let against = match side {
            Side::Measured => self.baseline.as_ref().map(Heap::name),
            Side::Baseline => None,
        };
        Measurement::new(self.heap(side).name(), against, *case)
    }

    /// A line for each heap, in the order of `sides`.
    fn record(&self, case: &Case, paired: &Paired) -> Vec<Measurement> {
        let line = |side: Side| {
            let samples: &Samples = match side {
                Side::Measured => &paired.measured,
                Side::Baseline => &paired.baseline,
            };
            let mut measurement = self.blank(side, case);
            measurement.runs = samples.times.len();
            measurement.median = median(&samples.times);
            measurement.q1 = percentile(&samples.times, 0.25);
            measurement.q3 = percentile(&samples.times, 0.75);
            measurement.least = samples.times.iter().min().copied();
            measurement.p99 = percentile(&samples.times, 0.99);
            measurement.cpu_ns = samples.cpu_ns().filter(|_| !self.settings.counting());
            if side == Side::Measured {
                measurement.set_ratios(paired.ratios);
            }
            measurement
        };
        self.sides().into_iter().map(line).collect()
    }
}
