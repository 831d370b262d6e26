// SPDX-License-Identifier: GPL-2.0

//! What the module is meant to reach, and whether it did.

use command_line::quantity::format_size;
use heap_bench::case::Access;
use heap_bench::case::Case;
use heap_bench::case::Layout;
use heap_bench::case::Mapping;
use heap_bench::case::Mode;
use heap_bench::case::Operation;
use heap_bench::pair;
use heap_bench::plan;
use heap_bench::report::Row;
use heap_bench::report::baseline;
use heap_bench::stats::ratio;

/// The most that the kernel's heap may differ from a boot without the module.
const CONTROL: f64 = 0.10;
/// The most that two counts of instructions may differ.
const COUNTS: f64 = 0.01;

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub(super) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
        }
    }
}

/// One goal.
#[derive(Debug, PartialEq)]
pub(super) struct Goal {
    pub(super) text: String,
    pub(super) bound: Bound,
    /// `None` if it was not measured.
    pub(super) value: Option<f64>,
    /// The same ratio in instructions instead of time, for the reader: an
    /// emulator takes longer for the first of them than for the others.
    pub(super) in_instructions: Option<f64>,
}

impl Goal {
    pub(super) fn verdict(&self) -> &'static str {
        match self.value {
            Some(value) if self.bound.holds(value) => "reached",
            Some(_) => "NOT REACHED",
            None => "not measured",
        }
    }
}

/// The ratio that a case is meant to reach, for a heap with contiguous buffers
/// or for one without.
pub(super) fn wanted_ratio(contiguous: bool, case: &Case) -> Option<f64> {
    let by_size = |of: [f64; 4]| match case.size {
        0x1000 => of.first().copied(),
        0x10_0000 => of.get(1).copied(),
        0x80_0000 => of.get(2).copied(),
        0x200_0000 => of.get(3).copied(),
        _ => None,
    };
    if contiguous {
        return match case.operation {
            Operation::Vmap if case.layout == Some(Layout::Contiguous) => Some(50.0),
            _ => None,
        };
    }
    if case.threads != 1 {
        return None;
    }
    match (case.operation, case.mode) {
        (Operation::AllocClose, Some(Mode::Warm)) => by_size([1.0, 8.0, 30.0, 80.0]),
        (Operation::AllocClose, Some(Mode::Untouched)) => by_size([1.0, 8.0, 40.0, 100.0]),
        (Operation::AllocClose, Some(Mode::Cold)) => Some(0.97),
        (Operation::AllocWriteClose, _) => Some(1.3),
        (Operation::Pipeline, _) => Some(10.0),
        (Operation::Touch, _) => match (case.mapping, case.access) {
            (Some(Mapping::Library), Some(Access::Write)) => Some(3.0),
            _ => Some(1.0),
        },
        (Operation::Vmap, Some(Mode::Repeated)) => Some(20.0),
        (Operation::Vmap, Some(Mode::First)) => Some(1.0),
        _ => None,
    }
}

/// Every goal, those of cases that were not measured, too.
/// None if only cases with a device were measured, which have goals of their
/// own.
pub(super) fn goals(rows: &[Row]) -> Vec<Goal> {
    let mut goals = Vec::new();
    if rows.iter().all(|row| row.case.operation.is_by_device()) {
        return goals;
    }
    for contiguous in [false, true] {
        for case in plan::cases(contiguous, false) {
            let row = rows.iter().find(|row| {
                let against = row.against.as_deref();
                row.case == case
                    && against.is_some_and(|name| pair::is_contiguous(name) == contiguous)
            });
            goals.extend(of_case(rows, contiguous, &case, row));
        }
    }
    goals.push(Goal {
        text: "the kernel's heaps as without the module: greatest difference".into(),
        bound: Bound::AtMost(CONTROL),
        value: greatest(rows.iter().map(|row| row.control_deviation)),
        in_instructions: None,
    });
    goals.push(Goal {
        text: "two counts of instructions: greatest difference".into(),
        bound: Bound::AtMost(COUNTS),
        value: greatest(rows.iter().map(|row| row.instructions_deviation)),
        in_instructions: None,
    });
    goals
}

/// The goals of a case; `row` is that of our heap.
fn of_case(rows: &[Row], contiguous: bool, case: &Case, row: Option<&Row>) -> Vec<Goal> {
    let kernel = row.and_then(|row| baseline(rows, row));
    let text = |what: &str| {
        let heap = if contiguous { "CMA, " } else { "" };
        format!("{heap}{}, {}: {what}", case.title(), format_size(case.size))
    };
    // Ours by the kernel's.
    let share = |get: fn(&Row) -> Option<u64>| Some(ratio(get(row?)?, get(kernel?)?));
    let mut goals = Vec::new();
    if let Some(wanted) = wanted_ratio(contiguous, case) {
        goals.push(Goal {
            text: text(match case.operation {
                Operation::Pipeline => "ratio of the p99",
                _ => "ratio",
            }),
            bound: Bound::AtLeast(wanted),
            value: row.and_then(|row| row.ratio),
            in_instructions: share(|row| row.instructions).map(f64::recip),
        });
    }
    let share_goal = |what, most, value| Goal {
        text: text(what),
        bound: Bound::AtMost(most),
        value,
        in_instructions: None,
    };
    if case.operation == Operation::Metadata {
        let bytes = share(|row| row.metadata_bytes);
        goals.push(share_goal("bytes, ours by the kernel's", 1.0, bytes));
    } else if !contiguous && case.is(Operation::AllocClose, Mode::Cold) {
        let instructions = share(|row| row.instructions);
        goals.push(share_goal(
            "instructions, ours by the kernel's",
            1.02,
            instructions,
        ));
    } else if !contiguous && case.operation == Operation::AllocWriteClose && case.threads == 1 {
        let time = share(|row| row.cpu_ns);
        goals.push(share_goal("CPU time, ours by the kernel's", 1.1, time));
    }
    goals
}

/// The one that is farthest from zero, without its sign.
pub(super) fn greatest(deviations: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    deviations.flatten().map(f64::abs).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::super::tests::run;
    use super::*;
    use heap_bench::record::Kind;
    use heap_bench::report::merge;

    #[test]
    fn goals_are_judged() {
        let rows = merge(&[
            run(Kind::Time, &[("system-pooled", 100), ("system", 220)]),
            run(Kind::Control, &[("system", 190)]),
            run(
                Kind::Instructions,
                &[("system-pooled", 104), ("system", 100)],
            ),
        ]);
        let goals = goals(&rows);
        let verdict = |text: &str| {
            let goal = goals.iter().find(|goal| goal.text == text);
            goal.map(Goal::verdict)
        };
        assert_eq!(verdict("alloc-close cold, 1 MiB: ratio"), Some("reached"));
        assert_eq!(
            verdict("alloc-close cold, 1 MiB: instructions, ours by the kernel's"),
            Some("NOT REACHED")
        );
        assert_eq!(
            verdict("alloc-close warm, 32 MiB: ratio"),
            Some("not measured")
        );
        assert_eq!(
            verdict("the kernel's heaps as without the module: greatest difference"),
            Some("NOT REACHED")
        );
    }

    #[test]
    fn the_sign_of_a_deviation_does_not_matter() {
        assert_eq!(
            greatest([Some(0.05), None, Some(-0.2)].into_iter()),
            Some(0.2)
        );
        assert_eq!(greatest([None].into_iter()), None);
    }
}
