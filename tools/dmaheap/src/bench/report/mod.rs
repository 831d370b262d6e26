// SPDX-License-Identifier: GPL-2.0

//! Tables, the plot and `bench.json`.

mod device_goals;
mod goals;
mod merge;
mod plot;
mod table;

use super::record::Kind;
use super::record::Run;
use crate::Outcome;
use crate::cli::ReportOptions;
use crate::output;
use anyhow::Context as _;
use anyhow::bail;
use goals::Bound;
use merge::Row;
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
    let rows = merge::merge(&runs);
    if rows.is_empty() {
        print_missing(&runs)?;
        bail!("the runs have no measurements");
    }
    let mut goals = goals::goals(&rows);
    goals.extend(device_goals::goals(&rows));
    print(&runs)?;
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
    Run::read(&text).with_context(|| format!("{name} is not what `dmaheap bench --json` prints"))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Prints everything but the goals.
pub(super) fn print(runs: &[Run]) -> anyhow::Result<()> {
    let rows = merge::merge(runs);
    for run in runs {
        let what = match run.machine.kind {
            Kind::Time => "heaps side by side",
            Kind::Control => "the kernel's heaps without the module",
            Kind::Instructions => "heaps side by side, instructions counted",
        };
        output::print_text(&format!(
            "{}, {}: {what}\n",
            run.machine.arch, run.machine.config
        ))?;
    }
    output::print_text("\n")?;
    if rows.iter().any(|row| row.against.is_some()) {
        for setting in merge::settings(&rows) {
            if let Some(setting) = &setting {
                output::print_text(&format!("\n{setting}:\n\n"))?;
            }
            output::print_table(&table::pairs(&rows, setting.as_deref()))?;
        }
    } else {
        output::print_table(&table::kernel(&rows))?;
    }
    print_control(&rows)?;
    print_counts(&rows)?;
    print_missing(runs)
}

/// Prints what was not measured, and what could not be.
fn print_missing(runs: &[Run]) -> anyhow::Result<()> {
    for run in runs {
        for skipped in &run.skipped {
            output::print_text(&format!("not measured: {skipped}\n"))?;
        }
        for failed in &run.failed {
            output::print_text(&format!("FAILED: {failed}\n"))?;
        }
    }
    Ok(())
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
                crate::quantity::format_size(row.case.size),
                deviation * 100.0
            );
        }
    }
    output::print_text(&text)
}
