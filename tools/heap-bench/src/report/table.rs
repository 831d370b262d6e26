// SPDX-License-Identifier: GPL-2.0

//! The tables.

use super::merge::Row;
use super::merge::baseline;
use super::merge::is_alone;
use comfy_table::CellAlignment;
use comfy_table::Table;
use command_line::output;
use command_line::quantity::format_size;

/// A time for the eye.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn format_ns(ns: u64) -> String {
    let ns = ns as f64;
    let (value, unit) = match ns {
        ..1e3 => return format!("{ns} ns"),
        ..1e6 => (ns / 1e3, "us"),
        ..1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// At least three digits, and no more decimals than they need.
pub fn three_digits(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A text, or what stands for none.
pub fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// Aligns the columns from this one on to the right.
pub fn right_aligned(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// Heaps of the module beside the kernel's, with this device or without one: a
/// line a case.
pub fn pairs(rows: &[Row], setting: Option<&str>) -> Table {
    let counted = rows.iter().any(|row| row.instructions.is_some());
    let mut header = vec![
        "HEAP",
        "OPERATION",
        "SIZE",
        "MEDIAN",
        "KERNEL'S",
        "P99",
        "KERNEL'S",
        "RATIO",
        "QUARTILES",
        "CPU",
        "KERNEL'S",
    ];
    if counted {
        header.extend(["INSTRUCTIONS", "KERNEL'S"]);
    }
    let mut table = output::table(&header);
    let shown = |row: &&Row| row.against.is_some() && row.setting().as_deref() == setting;
    for row in rows.iter().filter(shown) {
        let kernel = baseline(rows, row);
        let time = |get: fn(&Row) -> Option<u64>| {
            [
                or_dash(get(row).map(format_ns)),
                or_dash(kernel.and_then(get).map(format_ns)),
            ]
        };
        let [median, kernel_median] = time(|row| row.median_ns);
        let [p99, kernel_p99] = time(|row| row.p99_ns);
        let [cpu, kernel_cpu] = time(|row| row.cpu_ns);
        let count = |row: &Row| row.instructions.map(|count| count.to_string());
        let quartiles = row.ratio_q1.zip(row.ratio_q3);
        let mut cells =
            vec![
                row.heap.clone(),
                row.case.title(),
                format_size(row.case.size),
                instead(row).unwrap_or(median),
                kernel.and_then(instead).unwrap_or(kernel_median),
                p99,
                kernel_p99,
                or_dash(row.ratio.map(three_digits)),
                or_dash(quartiles.map(|(first, third)| {
                    format!("{}-{}", three_digits(first), three_digits(third))
                })),
                cpu,
                kernel_cpu,
            ];
        if counted {
            cells.extend([or_dash(count(row)), or_dash(kernel.and_then(count))]);
        }
        table.add_row(cells);
    }
    right_aligned(&mut table, 2);
    table
}

/// What stands in the place of a median.
fn instead(row: &Row) -> Option<String> {
    let bytes = row.metadata_bytes.map(|bytes| format!("{bytes} B"));
    bytes.or_else(|| row.failure.as_ref().map(ToString::to_string))
}

/// Heaps that were measured alone, with this device or without one.
pub(crate) fn alone(rows: &[Row], setting: Option<&str>) -> Table {
    let mut table = output::table(&[
        "HEAP",
        "OPERATION",
        "SIZE",
        "RUNS",
        "MEDIAN",
        "QUARTILES",
        "P99",
        "CPU",
    ]);
    let shown = |row: &&Row| is_alone(rows, row) && row.setting().as_deref() == setting;
    for row in rows.iter().filter(shown) {
        let quartiles = row.q1_ns.zip(row.q3_ns);
        let quartiles =
            quartiles.map(|(first, third)| format!("{}-{}", format_ns(first), format_ns(third)));
        table.add_row(vec![
            row.heap.clone(),
            row.case.title(),
            format_size(row.case.size),
            row.runs.to_string(),
            instead(row).unwrap_or_else(|| or_dash(row.median_ns.map(format_ns))),
            or_dash(quartiles),
            or_dash(row.p99_ns.map(format_ns)),
            or_dash(row.cpu_ns.map(format_ns)),
        ]);
    }
    right_aligned(&mut table, 2);
    table
}

#[cfg(test)]
mod tests {
    use super::super::merge::merge;
    use super::*;
    use crate::case::Case;
    use crate::case::Mode;
    use crate::case::Operation;
    use crate::record::Kind;
    use crate::record::Machine;
    use crate::record::Measurement;
    use crate::record::Run;

    #[test]
    fn a_heap_is_in_one_table() {
        let case = Case::new(Operation::AllocClose, Mode::Cold, 4096);
        let time = |heap, against, median| Measurement {
            median: Some(median),
            q1: Some(median - 100),
            q3: Some(median + 1000),
            ..Measurement::new(heap, against, case)
        };
        let rows = merge(&[Run {
            measurements: vec![
                time("system-pooled", Some("system"), 2000),
                time("system", None, 8000),
                time("carveout", None, 500),
            ],
            ..Run::new(Machine {
                kind: Kind::Time,
                arch: "arm64".into(),
                config: "a board".into(),
            })
        }]);
        let (pairs, alone) = (pairs(&rows, None), alone(&rows, None));
        assert_eq!((pairs.row_count(), alone.row_count()), (1, 1));
        let pairs = pairs.to_string();
        assert!(
            pairs.contains(" RATIO")
                && pairs.contains("8.00 us")
                && !pairs.contains("INSTRUCTIONS")
        );
        let alone = alone.to_string();
        assert!(alone.contains("carveout") && alone.contains("400 ns-1.50 us"));
        assert!(!alone.contains(" RATIO"));
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!(format_ns(7), "7 ns");
        assert_eq!(format_ns(1_234), "1.23 us");
        assert_eq!(format_ns(45_600_000), "45.6 ms");
        assert_eq!(format_ns(7_890_000_000), "7.89 s");
        assert_eq!(format_ns(456_000), "456 us");
    }
}
