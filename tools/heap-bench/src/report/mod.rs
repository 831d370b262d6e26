// SPDX-License-Identifier: GPL-2.0

//! Runs as tables.

mod merge;
pub mod table;

use crate::record::Kind;
use crate::record::Run;
use command_line::output;
pub use merge::Row;
pub use merge::baseline;
pub use merge::merge;
pub use merge::settings;

/// Prints all there is to say of these runs.
pub(crate) fn print(runs: &[Run]) -> anyhow::Result<()> {
    print_tables(runs)?;
    print_missing(runs)
}

/// Prints what was measured, where, and for what.
///
/// # Errors
///
/// If standard output takes nothing.
pub fn print_tables(runs: &[Run]) -> anyhow::Result<()> {
    let rows = merge(runs);
    for run in runs {
        let what = match run.machine.kind {
            Kind::Time if run.measurements.iter().all(|it| it.against.is_none()) => {
                "each heap alone"
            }
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
    for setting in settings(&rows) {
        if let Some(setting) = &setting {
            output::print_text(&format!("\n{setting}:\n\n"))?;
        }
        let tables = [
            table::pairs(&rows, setting.as_deref()),
            table::alone(&rows, setting.as_deref()),
        ];
        let tables = tables.iter().filter(|table| !table.is_empty());
        for (number, table) in tables.enumerate() {
            if number > 0 {
                output::print_text("\n")?;
            }
            output::print_table(table)?;
        }
    }
    Ok(())
}

/// Prints what was not measured, and what could not be.
///
/// # Errors
///
/// If standard output takes nothing.
pub fn print_missing(runs: &[Run]) -> anyhow::Result<()> {
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
