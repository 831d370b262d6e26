// SPDX-License-Identifier: GPL-2.0

//! `dmaheap-lab bench-report`: several runs together, as tables, goals, a plot and
//! `bench.json`.

mod device_goals;
mod goals;
mod plot;
mod table;

use crate::cli::ReportOptions;
use anyhow::Context as _;
use anyhow::bail;
use command_line::Outcome;
use command_line::output;
use command_line::quantity::format_size;
use goals::Bound;
use heap_bench::record::Run;
use heap_bench::report::Row;
use heap_bench::report::merge;
use heap_bench::report::print_missing;
use heap_bench::report::print_tables;
use std::path::Path;

/// The most that a kernel's heap may differ from its control without a word.
const NOTEWORTHY: f64 = 0.10;

/// Puts the results of several runs together.
pub(crate) fn run(options: &ReportOptions) -> anyhow::Result<Outcome> {
    let runs = options
        .runs
        .iter()
        .map(|path| read(path))
        .collect::<anyhow::Result<Vec<Run>>>()?;
    let failed = runs.iter().any(|run| !run.failed.is_empty());
    let rows = merge(&runs);
    if rows.is_empty() {
        print_missing(&runs)?;
        bail!("the runs have no measurements");
    }
    let mut goals = goals::goals(&rows);
    goals.extend(device_goals::goals(&rows));
    print_tables(&runs)?;
    print_control(&rows)?;
    print_counts(&rows)?;
    print_missing(&runs)?;
    output::print_text("\nThe goals:\n\n")?;
    output::print_table(&table::goals(&goals))?;
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&rows).context("cannot write JSON")?;
        write(path, &(text + "\n"))?;
    }
    if let Some(path) = &options.svg {
        write(path, &plot::draw(&rows))?;
    }
    let count = |verdict| {
        goals
            .iter()
            .filter(|goal| goal.verdict() == verdict)
            .count()
    };
    output::print_text(&format!(
        "\n{} goals reached, {} not reached, {} not measured\n",
        count("reached"),
        count("NOT REACHED"),
        count("not measured")
    ))?;
    Ok(if failed { Outcome::Bad } else { Outcome::Good })
}

fn read(path: &Path) -> anyhow::Result<Run> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    Run::read(&text)
        .with_context(|| format!("{name} is not what `dmaheap-lab bench --json` prints"))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn print_control(rows: &[Row]) -> anyhow::Result<()> {
    let deviations = || rows.iter().filter_map(|row| row.control_deviation);
    if deviations().next().is_none() {
        return Ok(());
    }
    output::print_text("\nThe kernel's heaps, beside the module and in a boot without it:\n\n")?;
    output::print_table(&table::control(rows, NOTEWORTHY))?;
    let near = deviations().filter(|it| it.abs() <= NOTEWORTHY).count();
    output::print_text(&format!(
        "{near} of {} medians differ by 10 % at most\n",
        deviations().count()
    ))
}

fn print_counts(rows: &[Row]) -> anyhow::Result<()> {
    let deviations = || rows.iter().map(|row| row.instructions_deviation);
    let Some(greatest) = goals::greatest(deviations()) else {
        return Ok(());
    };
    let near = Bound::AtMost(0.01);
    let mut text = format!(
        "\nInstructions: two counts differ by {:.2} % at most\n",
        greatest * 100.0
    );
    for row in rows {
        if let Some(deviation) = row.instructions_deviation.filter(|it| !near.holds(*it)) {
            text += &format!(
                "  MORE THAN 1 %: {} {}, {}: {:.2} %\n",
                row.heap,
                row.case.title(),
                format_size(row.case.size),
                deviation * 100.0
            );
        }
    }
    output::print_text(&text)
}

#[cfg(test)]
mod tests {
    use heap_bench::case::Case;
    use heap_bench::case::Mode;
    use heap_bench::case::Operation;
    use heap_bench::record::Kind;
    use heap_bench::record::Machine;
    use heap_bench::record::Measurement;
    use heap_bench::record::Run;

    /// A run in which each of these heaps took so long for one case.
    pub(super) fn run(kind: Kind, medians: &[(&str, u64)]) -> Run {
        let mut run = Run::new(Machine {
            kind,
            arch: "amd64".into(),
            config: "a machine".into(),
        });
        let case = Case::new(Operation::AllocClose, Mode::Cold, 1 << 20);
        for (heap, median) in medians {
            let against = (*heap != "system").then_some("system");
            run.measurements.push(Measurement {
                median: Some(*median),
                least: Some(*median),
                ratio: against.map(|_| 2.0),
                ..Measurement::new(heap, against, case)
            });
        }
        run
    }
}
