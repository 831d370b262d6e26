// SPDX-License-Identifier: GPL-2.0

//! Goals of the cases in which a device has the buffer: what is wanted depends
//! on what stands before the device.

use super::goals::Bound;
use super::goals::Goal;
use command_line::quantity::format_size;
use heap_bench::case::Case;
use heap_bench::case::Layout;
use heap_bench::case::Mode;
use heap_bench::case::Operation;
use heap_bench::pair;
use heap_bench::plan;
use heap_bench::record::NO_IOMMU;
use heap_bench::report::Row;

const INTEL: &str = "intel-iommu";
const STRICT: [&str; 2] = ["intel-iommu strict", "arm-smmu-v3 strict"];

/// The ratio that a case of its own is meant to reach.
fn wanted_alone(iommu: &str, case: &Case) -> Option<f64> {
    let one = case.attachments == Some(1);
    match (case.operation, case.mode, case.size) {
        (Operation::Map, Some(Mode::Repeated), 0x80_0000) if one && STRICT.contains(&iommu) => {
            Some(20.0)
        }
        (Operation::Map, Some(Mode::First), 0x200_0000)
            if one && case.layout == Some(Layout::Fragmented) && iommu.starts_with(INTEL) =>
        {
            Some(1.0)
        }
        (Operation::Frame, _, _) if iommu.starts_with(INTEL) && STRICT.contains(&iommu) => {
            Some(10.0)
        }
        _ => None,
    }
}

/// The ratio that a row is meant to reach.
pub(super) fn wanted_ratio(row: &Row) -> Option<f64> {
    match (row.iommu.as_deref()?, row.case.operation) {
        (NO_IOMMU, Operation::Map) => Some(1.0),
        (iommu, _) => wanted_alone(iommu, &row.case),
    }
}

/// The goals for the machines that were measured.
pub(super) fn goals(rows: &[Row]) -> Vec<Goal> {
    let mut settings: Vec<(&str, String)> = Vec::new();
    for row in rows {
        if let Some(setting) = row.iommu.as_deref().zip(row.setting()) {
            if !settings.contains(&setting) {
                settings.push(setting);
            }
        }
    }
    let mut goals = Vec::new();
    for (iommu, setting) in &settings {
        for contiguous in [false, true] {
            let rows: Vec<&Row> = rows
                .iter()
                .filter(|row| {
                    let against = row.against.as_deref();
                    row.setting().as_ref() == Some(setting)
                        && against.is_some_and(|name| pair::is_contiguous(name) == contiguous)
                })
                .collect();
            let heap = if contiguous { "CMA, " } else { "" };
            let goal = |what: String, wanted, value| Goal {
                text: format!("{setting}: {heap}{what}"),
                bound: Bound::AtLeast(wanted),
                value,
                in_instructions: None,
            };
            for case in plan::device_cases(contiguous) {
                if let Some(wanted) = wanted_alone(iommu, &case) {
                    let row = rows.iter().find(|row| row.case == case);
                    goals.push(goal(
                        format!("{}, {}: ratio", case.title(), format_size(case.size)),
                        wanted,
                        row.and_then(|row| row.ratio),
                    ));
                }
            }
            if *iommu == NO_IOMMU {
                let least = rows
                    .iter()
                    .filter(|row| row.case.operation == Operation::Map)
                    .filter_map(|row| row.ratio)
                    .min_by(f64::total_cmp);
                goals.push(goal("map, all cases: least ratio".into(), 1.0, least));
            }
        }
    }
    goals
}

#[cfg(test)]
mod tests {
    use super::*;
    use heap_bench::record::Failure;
    use heap_bench::record::Kind;
    use heap_bench::record::Machine;
    use heap_bench::record::Measurement;
    use heap_bench::record::Run;
    use heap_bench::report::merge;

    fn run(iommu: &str, ratio: Option<f64>) -> Run {
        let case = Case {
            layout: Some(Layout::LargeBlocks),
            attachments: Some(1),
            ..Case::new(Operation::Map, Mode::Repeated, 8 << 20)
        };
        let measurement = |heap, against| {
            let mut measurement = Measurement::new(heap, against, case);
            measurement.device = Some("edu".into());
            measurement.iommu = Some(iommu.into());
            measurement.median = Some(100);
            measurement
        };
        let mut ours = measurement("system-pooled", Some("system"));
        let mut kernel = measurement("system", None);
        ours.ratio = ratio;
        if ratio.is_none() {
            kernel.median = None;
            kernel.failure = Some(Failure {
                step: "map".into(),
                errno: 5,
            });
        }
        Run {
            measurements: vec![ours, kernel],
            ..Run::new(Machine {
                kind: Kind::Time,
                arch: "amd64".into(),
                config: "a machine".into(),
            })
        }
    }

    fn verdict(goals: &[Goal], text: &str) -> Option<&'static str> {
        let goal = goals.iter().find(|goal| goal.text == text);
        goal.map(Goal::verdict)
    }

    #[test]
    fn each_machine_is_judged_for_itself() {
        let goals = goals(&merge(&[
            run("intel-iommu strict", Some(25.0)),
            run("intel-iommu lazy", Some(3.0)),
            run("none", Some(0.9)),
        ]));
        let map = "map repeated large blocks, 8 MiB: ratio";
        assert_eq!(
            verdict(&goals, &format!("edu behind intel-iommu strict: {map}")),
            Some("reached")
        );
        assert_eq!(
            verdict(&goals, &format!("edu behind intel-iommu lazy: {map}")),
            None
        );
        assert_eq!(
            verdict(&goals, "edu without IOMMU: map, all cases: least ratio"),
            Some("NOT REACHED")
        );
        assert_eq!(
            verdict(
                &goals,
                "edu without IOMMU: CMA, map, all cases: least ratio"
            ),
            Some("not measured")
        );
    }

    #[test]
    fn what_cannot_be_mapped_is_said() {
        let rows = merge(&[run("swiotlb=force", None)]);
        assert!(goals(&rows).is_empty());
        let table = heap_bench::report::table::pairs(&rows, Some("edu, swiotlb=force"));
        assert!(table.to_string().contains("map: Input/output error"));
    }
}
