// SPDX-License-Identifier: GPL-2.0

//! Measures heaps of the module, against the kernel's own or alone.
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
mod progress;
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
use measure::Bench;
use pair::Pair;
use progress::Progress;
use record::Kind;
use record::Line;
use record::Machine;
use record::Run;
use sampler::Meter;
use std::time::Duration;
use workers::Pools;

/// How long to wait until the machine is at rest ...
const PATIENCE: Duration = Duration::from_secs(60);
/// ... and if somebody waits for the results.
const BRIEF_PATIENCE: Duration = Duration::from_secs(2);

/// What is wanted of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is for.
    pub kind: Kind,
    /// For people who wait for it: fewer samples, and a choice of cases unless they say which.
    pub brief: bool,
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
    let patience = if settings.brief {
        BRIEF_PATIENCE
    } else {
        PATIENCE
    };
    let knows_cpu_time = match cpu::wait_for_rest(patience) {
        Ok(rests) => {
            if !rests {
                add(Line::Skipped(format!(
                    "a machine at rest: kernel threads were busy for {} s",
                    patience.as_secs()
                )))?;
            }
            true
        }
        // All else can be had on a board whose kernel does not count it.
        Err(error) if settings.brief => {
            add(Line::Skipped(format!("{error:#}")))?;
            false
        }
        Err(error) => return Err(error),
    };
    let meter = Meter::new(&pools, knows_cpu_time);
    let progress = Progress::new(plan::expected(settings, pairs));
    for pair in pairs {
        let bench = Bench::new(pair, &meter, settings, &progress)?;
        for case in bench.cases() {
            let title = format!("{} {}", pair.heap, case.title());
            progress.begin(&title, plan::expected_of(case, settings, pair.heaps()));
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
            progress.end();
        }
    }
    progress.finish();
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
