// SPDX-License-Identifier: GPL-2.0

//! The tables that need several runs, and that of the goals.

use super::goals::Goal;
use comfy_table::CellAlignment;
use comfy_table::Table;
use command_line::output;
use command_line::quantity::format_size;
use heap_bench::report::Row;
use heap_bench::report::table::format_ns;
use heap_bench::report::table::or_dash;
use heap_bench::report::table::right_aligned;
use heap_bench::report::table::three_digits;

/// The kernel's heaps with and without the module beside them.
pub(super) fn control(rows: &[Row], most: f64) -> Table {
    let mut table = output::table(&[
        "HEAP",
        "OPERATION",
        "SIZE",
        "BESIDE",
        "WITHOUT",
        "DIFFERENCE",
        "",
    ]);
    for row in rows {
        let Some(deviation) = row.control_deviation else {
            continue;
        };
        table.add_row(vec![
            row.heap.clone(),
            row.case.title(),
            format_size(row.case.size),
            or_dash(row.median_ns.map(format_ns)),
            or_dash(row.control_median_ns.map(format_ns)),
            format!("{:+.1} %", deviation * 100.0),
            if deviation.abs() > most {
                "MORE THAN 10 %"
            } else {
                ""
            }
            .to_owned(),
        ]);
    }
    right_aligned(&mut table, 2);
    table
}

/// Goals and verdicts.
pub(super) fn goals(goals: &[Goal]) -> Table {
    let mut table = output::table(&["GOAL", "WANTED", "MEASURED", "INSTRUCTIONS", ""]);
    for goal in goals {
        let number = |value: f64| match value {
            ..0.2 => format!("{value:.4}"),
            ..2.0 => format!("{value:.3}"),
            _ => three_digits(value),
        };
        table.add_row(vec![
            goal.text.clone(),
            goal.bound.text(),
            or_dash(goal.value.map(number)),
            goal.in_instructions.map(number).unwrap_or_default(),
            goal.verdict().to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
