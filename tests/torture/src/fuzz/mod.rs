// SPDX-License-Identifier: GPL-2.0

//! `fuzz`: everything that a process may do to a heap and its buffers, in any
//! order, by several processes at once.

mod buffer;
mod importer;
mod kinds;
mod knobs;
mod memory;
mod node;
mod stream;
mod worker;

use crate::heaps;
use crate::heaps::Knobs;
use anyhow::Context as _;
use dmaheap_tap::Tap;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;
use worker::Counts;
use worker::Task;

/// Options of `fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Operations of all workers together, that must be done
    #[arg(long, default_value_t = 1_000_000)]
    operations: u64,
    /// Seconds after which the workers stop
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// The number that an earlier run has printed, to do the same again
    #[arg(long, value_parser = crate::number)]
    seed: Option<u64>,
    /// Processes, of two threads each
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Let this worker run alone, and name each operation on standard error
    #[arg(long)]
    worker: Option<usize>,
    /// How many times as long as usual the machine may take for anything
    #[arg(long, default_value_t = 1)]
    patience: u64,
    /// The heaps [default: all of the module rust_dma_heap]
    heaps: Vec<String>,
    /// What a worker is told: the name of the run
    #[arg(long, hide = true)]
    run: Option<u32>,
}

/// How long a worker may take after its time: for the operation that it is at.
const GRACE: Duration = Duration::from_secs(60);

struct Worker {
    index: usize,
    child: Child,
    reader: std::thread::JoinHandle<(Counts, Vec<String>)>,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => dma_heap::pattern::random_word()?,
    };
    let heaps = heaps::chosen(&arguments.heaps)?;
    let workers = arguments.workers.clamp(1, 64);
    let each = arguments.operations.div_ceil(workers as u64);
    if let Some(worker) = arguments.worker {
        // One of a run is told the run's name.
        let alone = arguments.run.is_none();
        if alone {
            println!("worker {worker} of --seed={seed:#x} alone");
        }
        worker::run(Task {
            seed,
            worker,
            workers,
            operations: each,
            time: Duration::from_secs(arguments.seconds),
            run: arguments.run.unwrap_or_else(std::process::id),
            heaps,
            verbose: alone,
        })?;
        return Ok(ExitCode::SUCCESS);
    }

    let knobs = Knobs::of(&heaps)?;
    let start = Instant::now();
    let mut report = Tap::start();
    report.note(&format!("fuzz --seed={seed:#x} --workers={workers}"));
    let started = (0..workers)
        .map(|index| spawn(&arguments, seed, index, workers))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let end = start + Duration::from_secs(arguments.seconds) + GRACE * patience(&arguments);
    let (counts, findings) = collect(started, end);
    let took = start.elapsed();
    knobs.restore()?;

    let importer = std::path::Path::new(dma_heap::importer::NODE).exists();
    table(&mut report, &counts, importer);
    let done = counts.operations();
    report.note(&format!(
        "{done} operations in {:.0} s, {:.0} a second",
        took.as_secs_f64(),
        done as f64 / took.as_secs_f64()
    ));
    report.expect(
        done >= arguments.operations,
        &format!("{} operations are done", arguments.operations),
        "the time was over before: give it more --seconds",
    );
    report.expect(
        findings.is_empty(),
        "nothing that should not be",
        &format!(
            "{} findings; `fuzz --seed={seed:#x} --workers={workers} --worker=N` plays worker N again\n{}",
            findings.len(),
            findings.join("\n")
        ),
    );
    heaps::expect_idle(&mut report, &heaps);
    Ok(report.finish())
}

fn patience(arguments: &Arguments) -> u32 {
    u32::try_from(arguments.patience).unwrap_or(u32::MAX).max(1)
}

fn spawn(arguments: &Arguments, seed: u64, index: usize, workers: usize) -> anyhow::Result<Worker> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("fuzz")
        .arg(format!("--seed={seed}"))
        .arg(format!("--worker={index}"))
        .arg(format!("--workers={workers}"))
        .arg(format!("--operations={}", arguments.operations))
        .arg(format!("--seconds={}", arguments.seconds))
        .arg(format!("--run={}", std::process::id()))
        .args(&arguments.heaps)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().context("no pipe to a worker")?;
    let reader = std::thread::spawn(move || {
        let mut counts = Counts::default();
        let mut findings = Vec::new();
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if worker::add_line(&mut counts, &line).is_none() {
                findings.push(line.strip_prefix("finding ").unwrap_or(&line).to_owned());
            }
        }
        (counts, findings)
    });
    Ok(Worker {
        index,
        child,
        reader,
    })
}

/// Waits for all; kills those that are not done by `end`.
fn collect(workers: Vec<Worker>, end: Instant) -> (Counts, Vec<String>) {
    let mut counts = Counts::default();
    let mut findings = Vec::new();
    for mut worker in workers {
        let index = worker.index;
        let status = loop {
            match worker.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Ok(None) => {
                    findings.push(format!(
                        "worker {index} hangs:\n{}",
                        heaps::where_it_hangs(worker.child.id())
                    ));
                    let _ = worker.child.kill();
                    break None;
                }
                Err(error) => {
                    findings.push(format!("worker {index}: {error}"));
                    break None;
                }
            }
        };
        match status {
            Some(status) if status.success() => {}
            Some(status) => findings.push(format!("worker {index} ended with {status}")),
            // What it has printed can be read when it is dead, if ever.
            None => continue,
        }
        match worker.reader.join() {
            Ok((more, wrong)) => {
                counts.add(&more);
                findings.extend(wrong);
            }
            Err(_) => findings.push(format!("what worker {index} printed cannot be read")),
        }
    }
    (counts, findings)
}

/// A line for each kind: how often it was tried, and did what it should.
fn table(report: &mut Tap, counts: &Counts, importer: bool) {
    let columns = counts.tries.iter().zip(counts.done).zip(counts.nanos);
    for (index, ((&tries, done), nanos)) in columns.enumerate() {
        let Some(kind) = stream::kind(index) else {
            continue;
        };
        if kind.needs_importer && !importer {
            report.skip(kind.name, "needs the module dma_buf_test_importer");
        } else if tries == 0 && kind.weight == 0 {
            report.skip(kind.name, "the run is too short for it");
        } else {
            let micros = nanos as f64 / 1000.0 / tries.max(1) as f64;
            report.expect(
                done > 0,
                &format!("{}: {done} of {tries}, {micros:.0} us each", kind.name),
                "none did what it should",
            );
        }
    }
}
