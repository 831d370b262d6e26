// SPDX-License-Identifier: GPL-2.0

//! `dmaheap bench`: measures heaps of the module against the kernel's own.
//!
//! [`pair`] says which heaps, [`plan`] which cases; [`measure`] carries them out
//! with samples in pairs ([`sampler`]). [`report`] makes tables, a plot and
//! JSON of one run or of several.

mod case;
mod cpu;
mod device;
mod fragmentation;
mod measure;
mod meminfo;
mod metadata;
mod operation;
mod pair;
mod pipeline;
mod plan;
mod record;
mod report;
mod sampler;
mod stats;
mod vmap;
mod workers;

use crate::Outcome;
use crate::cli::BenchOptions;
use crate::output;
pub(crate) use case::Operation;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use measure::Bench;
use record::Kind;
use record::Line;
use record::Machine;
use record::Run;
pub(crate) use report::run as report;
use workers::Pools;

/// Measures the heaps asked for, or all.
pub(crate) fn run(options: &BenchOptions) -> anyhow::Result<Outcome> {
    let heaps = dma_heap::heaps()?;
    if heaps.is_empty() {
        return Ok(Outcome::NoHeap);
    }
    let (kind, pairs) = match (options.control, options.icount) {
        (true, _) => (Kind::Control, pair::controls(&heaps, &options.heaps)?),
        (_, true) => (Kind::Instructions, pair::pairs(&heaps, &options.heaps)?),
        _ => (Kind::Time, pair::pairs(&heaps, &options.heaps)?),
    };
    let pools = Pools::of(&heaps);
    let mut run = Run::new(Machine {
        kind,
        arch: record::arch(),
        config: record::config(options.config.as_deref())?,
    });
    if options.json {
        output::print_json_line(&Line::Machine(run.machine.clone()))?;
    }
    let mut add = |line: Line| {
        if options.json {
            output::print_json_line(&line)?;
        }
        run.add(line)
    };
    if !cpu::wait_for_rest()? {
        add(Line::Skipped(
            "a machine at rest: kernel threads were busy for a minute".into(),
        ))?;
    }
    for pair in &pairs {
        let bench = Bench::new(pair, &pools, options)?;
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
                    crate::quantity::format_size(case.size)
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
    if options.json {
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
