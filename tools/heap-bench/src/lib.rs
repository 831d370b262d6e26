// SPDX-License-Identifier: GPL-2.0

//! Measures heaps of the module against the kernel's own.
//!
//! [`pair`] says which heaps, [`plan`] which cases; `measure` carries them out
//! with samples in pairs (`sampler`). [`report`] makes tables of one run or of several.

#![forbid(unsafe_code)]

pub mod case;
mod cpu;
mod device;
mod fragmentation;
mod measure;
mod meminfo;
mod metadata;
mod operation;
pub mod pair;
mod pipeline;
pub mod plan;
pub mod record;
pub mod report;
mod sampler;
pub mod stats;
mod vmap;
mod workers;

use case::Operation;
use command_line::Outcome;
use command_line::output;
use command_line::quantity::format_size;
use dma_heap::HeapInfo;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use measure::Bench;
use pair::Pair;
use record::Kind;
use record::Line;
use record::Machine;
use record::Run;
use std::time::Duration;
use workers::Pools;

/// What is wanted of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is for.
    pub kind: Kind,
    /// Only these operations, or all that nobody needs to ask for.
    pub only: Vec<Operation>,
    /// How long to take samples of each case.
    pub time: Duration,
    /// A name for the machine in the results.
    pub config: Option<String>,
    /// Print lines of JSON, not tables.
    pub json: bool,
}

impl Settings {
    /// Whether the machine's clock counts instructions.
    fn counting(&self) -> bool {
        self.kind == Kind::Instructions
    }
}

/// Measures these pairs of `heaps`, which are all that the machine has.
///
/// # Errors
///
/// If nothing can be measured. Of a case that fails the results tell.
pub fn run(settings: &Settings, heaps: &[HeapInfo], pairs: &[Pair]) -> anyhow::Result<Outcome> {
    let pools = Pools::of(heaps);
    let mut run = Run::new(Machine {
        kind: settings.kind,
        arch: record::arch(),
        config: record::config(settings.config.as_deref())?,
    });
    if settings.json {
        output::print_json_line(&Line::Machine(run.machine.clone()))?;
    }
    let mut add = |line: Line| {
        if settings.json {
            output::print_json_line(&line)?;
        }
        run.add(line)
    };
    if !cpu::wait_for_rest()? {
        add(Line::Skipped(
            "a machine at rest: kernel threads were busy for a minute".into(),
        ))?;
    }
    for pair in pairs {
        let bench = Bench::new(pair, &pools, settings)?;
        let progress = progress(bench.cases().len());
        for case in bench.cases() {
            let title = format!("{} {}", pair.kernel, case.title());
            progress.set_message(title.clone());
            // One that fails takes none of the others with it.
            match bench.run(case) {
                Ok(Ok(measurements)) => {
                    for measurement in measurements {
                        add(Line::Measurement(Box::new(measurement)))?;
                    }
                }
                Ok(Err(missing)) => add(Line::Skipped(format!("{title}: {missing}")))?,
                Err(error) => add(Line::Failed(format!(
                    "{title}, {}: {error:#}",
                    format_size(case.size)
                )))?,
            }
            progress.inc(1);
        }
        progress.finish_and_clear();
    }
    let outcome = if run.failed.is_empty() {
        Outcome::Good
    } else {
        Outcome::Bad
    };
    if settings.json {
        output::print_json_line(&Line::End(run.measurements.len()))?;
    } else {
        report::print(&[run])?;
    }
    Ok(outcome)
}

/// A progress bar, shown on a terminal only.
fn progress(cases: usize) -> ProgressBar {
    let bar = ProgressBar::new(cases as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}
