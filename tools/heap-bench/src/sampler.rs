// SPDX-License-Identifier: GPL-2.0

//! Samples in pairs, one of each heap, in the order A B, B A, ...
//!
//! A machine drifts: other guests come and go, memory fragments. Two samples
//! side by side see the same of that, so their ratio is free of it, and the
//! median of many such ratios also of what hits one sample alone.

use super::cpu;
use super::cpu::KernelThreads;
use super::cpu::Snapshot;
use super::plan::Effort;
use super::stats::Quartiles;
use super::stats::percentile;
use super::stats::ratio;
use super::workers::Pools;
use std::cell::RefCell;
use std::time::Duration;
use std::time::Instant;

/// Whose heap a sample is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that the results are about.
    Measured,
    /// The one that it is compared with.
    Baseline,
}

/// What one sample has seen.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Nanoseconds of each timed operation.
    times: Vec<u64>,
    /// CPU time of everything that was done for it ...
    cpu_ns: u64,
    /// ... divided by this is that of one operation. 0 if it is not known.
    operations: u64,
}

/// All samples of a heap.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) times: Vec<u64>,
    cpu_ns: u64,
    operations: u64,
}

impl Samples {
    fn add(&mut self, sample: Sample) {
        self.times.extend(sample.times);
        self.cpu_ns += sample.cpu_ns;
        self.operations += sample.operations;
    }

    /// CPU time of an operation, on average.
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        self.cpu_ns.checked_div(self.operations)
    }
}

/// What came of a case.
#[derive(Debug, Default)]
pub(crate) struct Paired {
    pub(crate) measured: Samples,
    /// Empty when there is nothing to compare with.
    pub(crate) baseline: Samples,
    /// How many times as long the baseline takes, pair by pair.
    pub(crate) ratios: Option<Quartiles>,
}

/// By what the samples of a pair are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    /// The time of all operations.
    Sum,
    /// The 99th percentile.
    P99,
}

impl By {
    fn value(self, sample: &Sample) -> u64 {
        match self {
            Self::Sum => sample.times.iter().sum(),
            Self::P99 => percentile(&sample.times, 0.99).unwrap_or(0),
        }
    }

    /// How many times as long the baseline's sample took. They may differ in
    /// length.
    fn ratio(self, measured: &Sample, baseline: &Sample) -> f64 {
        let per = |sample: &Sample| match self {
            Self::Sum => sample.times.len() as u64,
            Self::P99 => 1,
        };
        ratio(
            self.value(baseline) * per(measured),
            self.value(measured) * per(baseline),
        )
    }
}

/// Takes samples until the effort is made or `sample` has none to give.
/// `sides` are the heaps to measure. The first round only warms up. After each,
/// `tell` hears how long it has been going on.
pub(crate) fn interleave(
    sides: &[Side],
    effort: Effort,
    by: By,
    tell: impl Fn(Duration),
    mut sample: impl FnMut(Side) -> anyhow::Result<Option<Sample>>,
) -> anyhow::Result<Paired> {
    let mut paired = Paired::default();
    let mut ratios = Vec::new();
    let start = Instant::now();
    for round in 0..=effort.most {
        if round > effort.least {
            let elapsed = start.elapsed();
            let next = match (effort.punctual, u32::try_from(round)) {
                (true, Ok(rounds)) => elapsed / rounds,
                _ => Duration::ZERO,
            };
            if elapsed + next >= effort.time {
                break;
            }
        }
        let mut order = sides.to_vec();
        if round % 2 == 1 {
            order.reverse();
        }
        let (mut measured, mut baseline) = (None, None);
        for side in order {
            let Some(taken) = sample(side)? else {
                return Ok(finished(paired, &ratios));
            };
            match side {
                Side::Measured => measured = Some(taken),
                Side::Baseline => baseline = Some(taken),
            }
        }
        tell(start.elapsed());
        if round == 0 {
            continue;
        }
        if let (Some(measured), Some(baseline)) = (&measured, &baseline) {
            ratios.push(by.ratio(measured, baseline));
        }
        for (samples, taken) in [
            (&mut paired.measured, measured),
            (&mut paired.baseline, baseline),
        ] {
            taken.into_iter().for_each(|taken| samples.add(taken));
        }
    }
    Ok(finished(paired, &ratios))
}

fn finished(mut paired: Paired, ratios: &[f64]) -> Paired {
    paired.ratios = Quartiles::of(ratios);
    paired
}

/// Takes a sample when the machine is at rest, and notes what CPU time it cost.
#[derive(Debug)]
pub(crate) struct Meter<'p> {
    pub(crate) pools: &'p Pools,
    /// `None` where their time is not known.
    threads: Option<RefCell<KernelThreads>>,
}

impl<'p> Meter<'p> {
    pub(crate) fn new(pools: &'p Pools, knows_cpu_time: bool) -> Self {
        Self {
            pools,
            threads: knows_cpu_time.then(RefCell::default),
        }
    }

    /// Runs `work`, which returns the times of what it timed and does
    /// `operations` operations in all. Before it no worker is busy, whosever
    /// heap comes next, and what workers do until they rest again counts as
    /// CPU time of the sample.
    pub(crate) fn sample(
        &self,
        operations: usize,
        empty_pools: bool,
        work: impl FnOnce() -> anyhow::Result<Vec<u64>>,
    ) -> anyhow::Result<Sample> {
        self.pools.settle()?;
        let mut threads = self.threads.as_ref().map(RefCell::borrow_mut);
        let mut snapshot = || -> anyhow::Result<Option<Snapshot>> {
            threads
                .as_mut()
                .map(|threads| threads.snapshot())
                .transpose()
        };
        let threads_before = snapshot()?;
        if empty_pools {
            self.pools.drain()?;
            self.pools.settle()?;
        }
        let before = cpu::of_process();
        let times = work()?;
        let after = cpu::of_process();
        self.pools.settle()?;
        let kernel = snapshot()?
            .zip(threads_before)
            .map(|(now, before)| now.since(&before));
        Ok(Sample {
            times,
            cpu_ns: after.saturating_sub(before) + kernel.unwrap_or(0),
            // Half of the time would say nothing.
            operations: kernel.map_or(0, |_| operations as u64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Side; 2] = [Side::Measured, Side::Baseline];

    fn effort(pairs: usize) -> Effort {
        Effort {
            time: Duration::ZERO,
            least: pairs,
            most: 100,
            punctual: false,
        }
    }

    fn sample(times: &[u64]) -> Sample {
        Sample {
            times: times.to_vec(),
            cpu_ns: 10,
            operations: 2,
        }
    }

    #[test]
    fn the_order_turns_round() -> anyhow::Result<()> {
        let mut order = Vec::new();
        interleave(
            &BOTH,
            effort(3),
            By::Sum,
            |_| (),
            |side| {
                order.push(side);
                Ok(Some(sample(&[1])))
            },
        )?;
        let pair = |first, second| vec![first, second];
        let mut wanted = pair(Side::Measured, Side::Baseline);
        wanted.extend(pair(Side::Baseline, Side::Measured));
        wanted.extend(pair(Side::Measured, Side::Baseline));
        wanted.extend(pair(Side::Baseline, Side::Measured));
        assert_eq!(order, wanted);
        Ok(())
    }

    #[test]
    fn who_is_punctual_begins_nothing_too_late() -> anyhow::Result<()> {
        let pairs = |punctual| {
            let effort = Effort {
                time: Duration::from_millis(500),
                punctual,
                ..effort(1)
            };
            let mut count = 0;
            interleave(
                &[Side::Measured],
                effort,
                By::Sum,
                |_| (),
                |_| {
                    std::thread::sleep(Duration::from_millis(200));
                    count += 1;
                    Ok(Some(sample(&[1])))
                },
            )?;
            anyhow::Ok(count)
        };
        assert_eq!(pairs(true)?, 2);
        // However slow the machine is.
        assert!(pairs(false)? >= 2);
        Ok(())
    }

    #[test]
    fn drift_cancels() -> anyhow::Result<()> {
        let mut now = 0;
        let paired = interleave(
            &BOTH,
            effort(20),
            By::Sum,
            |_| (),
            |side| {
                now += 100;
                let times = match side {
                    Side::Measured => [1000 + now],
                    Side::Baseline => [2 * (1000 + now)],
                };
                Ok(Some(sample(&times)))
            },
        )?;
        let median = paired.ratios.map_or(0.0, |ratios| ratios.median);
        assert!((1.95..2.05).contains(&median), "{median}");
        assert_eq!(paired.measured.times.len(), 20);
        assert_eq!(paired.baseline.cpu_ns(), Some(5));
        Ok(())
    }

    #[test]
    fn what_kernel_threads_do_may_not_be_known() -> anyhow::Result<()> {
        let pools = Pools::of(&[]);
        let mut samples = Samples::default();
        samples.add(Meter::new(&pools, false).sample(4, false, || Ok(vec![1, 2]))?);
        assert_eq!((samples.times.len(), samples.cpu_ns()), (2, None));
        Ok(())
    }

    #[test]
    fn samples_may_run_out() -> anyhow::Result<()> {
        let mut left = 7;
        let paired = interleave(
            &BOTH,
            effort(20),
            By::Sum,
            |_| (),
            |_| {
                left -= 1;
                Ok((left >= 0).then(|| sample(&[1])))
            },
        )?;
        // Seven samples are three pairs, of which the first does not count.
        assert_eq!(paired.measured.times.len(), 2);
        assert_eq!(paired.baseline.times.len(), 2);
        Ok(())
    }

    #[test]
    fn ratios_go_by_what_they_are_told() {
        let fast: Vec<u64> = (1..=100).collect();
        let mut slow = vec![1; 98];
        slow.extend([990, 990]);
        let (fast, slow) = (sample(&fast), sample(&slow));
        assert!((By::P99.ratio(&fast, &slow) - 10.0).abs() < 1e-9);
        let (two, four) = (sample(&[10, 10]), sample(&[10, 10, 10, 10]));
        assert!((By::Sum.ratio(&two, &four) - 1.0).abs() < 1e-9);
    }
}
