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
use anyhow::Context as _;
pub(crate) use case::Operation;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use measure::Bench;
use record::Kind;
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
    let mut run = Run {
        kind,
        arch: record::arch(),
        config: record::config(options.config.as_deref())?,
        measurements: Vec::new(),
        skipped: Vec::new(),
    };
    if !cpu::wait_for_rest()? {
        run.skipped
            .push("a machine at rest: kernel threads were busy for a minute".into());
    }
    for pair in &pairs {
        let bench = Bench::new(pair, &pools, options)?;
        let progress = progress(bench.cases().len());
        for case in bench.cases() {
            let title = format!("{} {}", pair.kernel, case.title());
            progress.set_message(title.clone());
            let measured = bench
                .run(case)
                .with_context(|| format!("{title}, {} bytes", case.size))?;
            match measured {
                Ok(measurements) => run.measurements.extend(measurements),
                Err(missing) => run.skipped.push(format!("{title}: {missing}")),
            }
            progress.inc(1);
        }
        progress.finish_and_clear();
    }
    if options.json {
        output::print_json(&run)?;
    } else {
        report::print(&[run])?;
    }
    Ok(Outcome::Good)
}

/// A progress bar, shown on a terminal only.
fn progress(cases: usize) -> ProgressBar {
    let bar = ProgressBar::new(cases as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}
