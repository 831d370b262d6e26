// SPDX-License-Identifier: GPL-2.0

//! Several runs as one list of rows, which is also what `bench.json` holds.

use crate::case::Case;
use crate::record::BOUNCING;
use crate::record::Failure;
use crate::record::Kind;
use crate::record::Measurement;
use crate::record::NO_IOMMU;
use crate::record::Run;
use crate::stats::median;
use crate::stats::ratio;
use serde::Serialize;

/// A case on a heap, with what all runs say of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The machine's architecture.
    pub arch: String,
    /// The machine in a line.
    pub config: String,
    /// The heap that was measured.
    pub heap: String,
    /// The kernel's heap that it was measured against; `null` for that itself, and for a heap
    /// that was measured alone.
    pub against: Option<String>,
    #[serde(flatten)]
    /// What was measured.
    pub case: Case,
    /// The device that has the buffer, where one has: `edu` or `software`.
    pub device: Option<String>,
    /// What stands between that and the memory: `none`, `swiotlb=force`, or an
    /// IOMMU and how it is driven.
    pub iommu: Option<String>,
    /// Instead of times and a ratio: why there are none.
    pub failure: Option<Failure>,
    /// How many operations were timed.
    pub runs: usize,
    /// Of all times.
    pub median_ns: Option<u64>,
    /// Of all times, the first quartile, and ...
    pub q1_ns: Option<u64>,
    /// ... the third.
    pub q3_ns: Option<u64>,
    /// Their 99th percentile.
    pub p99_ns: Option<u64>,
    /// Of the task and kernel threads together, for one operation.
    pub cpu_ns: Option<u64>,
    /// Of one operation, the least that was counted: interrupts and housekeeping
    /// that fall into one only add to it. `null` where they were not counted.
    pub instructions: Option<u64>,
    /// By which share the runs that counted differ.
    pub instructions_deviation: Option<f64>,
    /// The median of the paired ratios to the kernel's heap; more than 1 is
    /// faster than that.
    pub ratio: Option<f64>,
    /// The first quartile of those ratios, and ...
    pub ratio_q1: Option<f64>,
    /// ... the third.
    pub ratio_q3: Option<f64>,
    /// The kernel's heap in a boot without the module ...
    pub control_median_ns: Option<u64>,
    /// ... and by which share `median_ns` is above that.
    pub control_deviation: Option<f64>,
    /// Ranges of addresses that the buffer consists of, where it matters.
    pub segments: Option<u64>,
    /// Frames of the pipeline that began a whole period too late.
    pub late: Option<u64>,
    /// Bytes of kernel memory for a buffer with an attachment.
    pub metadata_bytes: Option<u64>,
}

impl Row {
    fn new(run: &Run, measurement: &Measurement) -> Self {
        let by_clock =
            |value: Option<u64>| value.filter(|_| run.machine.kind != Kind::Instructions);
        Self {
            arch: run.machine.arch.clone(),
            config: run.machine.config.clone(),
            heap: measurement.heap.clone(),
            against: measurement.against.clone(),
            case: measurement.case,
            device: measurement.device.clone(),
            iommu: measurement.iommu.clone(),
            failure: measurement.failure.clone(),
            runs: measurement.runs,
            median_ns: by_clock(measurement.median),
            q1_ns: by_clock(measurement.q1),
            q3_ns: by_clock(measurement.q3),
            p99_ns: by_clock(measurement.p99),
            cpu_ns: measurement.cpu_ns,
            instructions: None,
            instructions_deviation: None,
            ratio: measurement.ratio,
            ratio_q1: measurement.ratio_q1,
            ratio_q3: measurement.ratio_q3,
            control_median_ns: None,
            control_deviation: None,
            segments: measurement.segments,
            late: measurement.late,
            metadata_bytes: measurement.metadata_bytes,
        }
    }

    fn is_of(&self, measurement: &Measurement) -> bool {
        self.heap == measurement.heap
            && self.case == measurement.case
            && self.device == measurement.device
            && self.iommu == measurement.iommu
    }

    /// The device and what stands before it, for people.
    pub fn setting(&self) -> Option<String> {
        let device = self.device.as_ref()?;
        Some(match self.iommu.as_deref()? {
            NO_IOMMU => format!("{device} without IOMMU"),
            BOUNCING => format!("{device}, {BOUNCING}"),
            iommu => format!("{device} behind {iommu}"),
        })
    }
}

/// By which share `value` is above `of`.
fn deviation(value: u64, of: u64) -> f64 {
    ratio(value, of) - 1.0
}

/// The rows of all runs. Each heap's case is one row: its times come from a run
/// by the clock, and the rest is added to that.
pub fn merge(runs: &[Run]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    // A control is one beside something; alone it is like any other run.
    for kind in [Kind::Time, Kind::Instructions, Kind::Control] {
        if kind == Kind::Control && !rows.is_empty() {
            break;
        }
        for (run, measurement) in of_kind(runs, kind) {
            if !rows.iter().any(|row| row.is_of(measurement)) {
                rows.push(Row::new(run, measurement));
            }
        }
    }
    for row in &mut rows {
        let of_row = |kind, value: fn(&Measurement) -> Option<u64>| -> Vec<u64> {
            of_kind(runs, kind)
                .filter(|(_, measurement)| row.is_of(measurement))
                .filter_map(|(_, measurement)| value(measurement))
                .collect()
        };
        let counted = of_row(Kind::Instructions, |measurement| measurement.least);
        let control = of_row(Kind::Control, |measurement| measurement.median);
        row.instructions = median(&counted);
        if let (Some(least), Some(most), true) = (
            counted.iter().min(),
            counted.iter().max(),
            counted.len() > 1,
        ) {
            row.instructions_deviation = Some(deviation(*most, *least));
        }
        if row.against.is_none() {
            row.control_median_ns = median(&control);
            let both = row.median_ns.zip(row.control_median_ns);
            row.control_deviation = both.map(|(beside, alone)| deviation(beside, alone));
        }
    }
    rows
}

fn of_kind(runs: &[Run], kind: Kind) -> impl Iterator<Item = (&Run, &Measurement)> {
    runs.iter()
        .filter(move |run| run.machine.kind == kind)
        .flat_map(|run| run.measurements.iter().map(move |it| (run, it)))
}

/// The row of the kernel's heap that `row` was measured against.
pub fn baseline<'r>(rows: &'r [Row], row: &Row) -> Option<&'r Row> {
    let against = row.against.as_ref()?;
    rows.iter().find(|other| {
        other.heap == *against
            && other.case == row.case
            && other.device == row.device
            && other.iommu == row.iommu
    })
}

/// Whether the heap was measured without another beside it.
pub(crate) fn is_alone(rows: &[Row], row: &Row) -> bool {
    let is_baseline = |other| baseline(rows, other).is_some_and(|found| std::ptr::eq(found, row));
    row.against.is_none() && !rows.iter().any(is_baseline)
}

/// The settings of all rows, each once; `None` for rows without a device.
pub fn settings(rows: &[Row]) -> Vec<Option<String>> {
    let mut settings = Vec::new();
    for row in rows {
        let setting = row.setting();
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Mode;
    use crate::case::Operation;
    use crate::record::Machine;

    fn run(kind: Kind, medians: &[(&str, u64)]) -> Run {
        let measurements = medians
            .iter()
            .map(|(heap, median)| {
                let against = (*heap != "system").then_some("system");
                let case = Case::new(Operation::AllocClose, Mode::Cold, 1 << 20);
                let mut measurement = Measurement::new(heap, against, case);
                measurement.median = Some(*median);
                measurement.least = Some(*median);
                measurement.ratio = against.map(|_| 2.0);
                measurement
            })
            .collect();
        Run {
            measurements,
            ..Run::new(Machine {
                kind,
                arch: "amd64".into(),
                config: "a machine".into(),
            })
        }
    }

    #[test]
    fn runs_become_one_list() {
        let rows = merge(&[
            run(Kind::Time, &[("system-pooled", 100), ("system", 220)]),
            run(Kind::Control, &[("system", 200)]),
            run(
                Kind::Instructions,
                &[("system-pooled", 1000), ("system", 3000)],
            ),
            run(
                Kind::Instructions,
                &[("system-pooled", 1020), ("system", 3000)],
            ),
        ]);
        assert_eq!(rows.len(), 2);
        let (Some(ours), Some(kernel)) = (rows.first(), rows.last()) else {
            return;
        };
        assert_eq!(ours.median_ns, Some(100));
        assert_eq!(ours.instructions, Some(1010));
        assert!(
            ours.instructions_deviation
                .is_some_and(|it| (0.019..0.021).contains(&it))
        );
        assert_eq!(ours.control_median_ns, None);
        assert_eq!(kernel.control_median_ns, Some(200));
        assert!(
            kernel
                .control_deviation
                .is_some_and(|it| (0.099..0.101).contains(&it))
        );
        assert_eq!(kernel.ratio, None);
        assert_eq!(
            baseline(&rows, ours).map(|row| row.heap.as_str()),
            Some("system")
        );
    }

    #[test]
    fn a_control_alone_is_a_run() {
        let rows = merge(&[run(Kind::Control, &[("system", 200)])]);
        assert_eq!(rows.first().and_then(|row| row.median_ns), Some(200));
    }

    #[test]
    fn instructions_are_no_nanoseconds() {
        let rows = merge(&[run(Kind::Instructions, &[("system", 200)])]);
        assert_eq!(rows.first().and_then(|row| row.median_ns), None);
        assert_eq!(rows.first().and_then(|row| row.instructions), Some(200));
    }

    #[test]
    fn json_has_what_was_promised() -> serde_json::Result<()> {
        let rows = merge(&[run(Kind::Time, &[("system-pooled", 100), ("system", 220)])]);
        let json = serde_json::to_value(&rows)?;
        for name in [
            "arch",
            "config",
            "heap",
            "operation",
            "mode",
            "size",
            "threads",
            "runs",
            "median_ns",
            "p99_ns",
            "cpu_ns",
            "instructions",
            "ratio",
        ] {
            assert!(json.pointer(&format!("/0/{name}")).is_some(), "{name}");
        }
        assert_eq!(
            json.pointer("/0/operation").and_then(|it| it.as_str()),
            Some("alloc-close")
        );
        assert_eq!(json.pointer("/1/ratio"), Some(&serde_json::Value::Null));
        Ok(())
    }
}
