// SPDX-License-Identifier: GPL-2.0

//! The command line and its help texts.

use crate::importer::STEPS;
use crate::importer::Step;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use command_line::EXIT_STATUS;
use command_line::heap_name::parse_heap;
use command_line::quantity::Size;
use command_line::quantity::parse_duration;
use command_line::quantity::parse_size;
use heap_bench::case::CASES;
use heap_bench::case::Operation;
use std::path::PathBuf;
use std::time::Duration;

/// Drive the test importer, and measure heaps in the lab's machines
///
/// Beside `dmaheap`, which is for everybody.
#[derive(Debug, Parser)]
#[command(name = "dmaheap-lab", version, after_help = EXIT_STATUS)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Drive the test importer: attach, map, read, write, vmap, measure
    ///
    /// The module dma_buf_test_importer is a device for tests. This command
    /// opens it, takes a buffer and carries out the steps in order. After each
    /// step it prints what the step did and how long its calls took. Without
    /// steps it reads them from standard input, one per line; lines that begin
    /// with # are comments.
    ///
    /// The device is in software unless --edu is given. The first step that
    /// fails ends the command with status 1, unless --keep-going is given or
    /// standard input is a terminal.
    ///
    /// With --json, each step prints one line with an object: the step, its
    /// nanoseconds, and its result or an error.
    ///
    /// Needs root.
    Importer(ImporterOptions),
    /// Measure all cases of heaps, for bench-report
    ///
    /// As `dmaheap bench`, which says what is measured and how, but for a machine that has
    /// nothing else to do, whose memory may be taken to pieces, and which may have an edu
    /// device. The heaps are those of the module beside the kernel's, or the kernel's alone.
    ///
    /// With --json, each case prints a line with an object at once, so bench-report can read
    /// a run that was cut short. A case that fails does not stop the others: the status is
    /// then 1, and the results say why.
    ///
    /// map and frame are measured with --only.
    ///
    /// Needs root, and for vmap, metadata, map and frame the module dma_buf_test_importer.
    Bench(BenchOptions),
    /// Combine runs of `bench --json` into tables, goals and a plot
    ///
    /// Takes the runs of several boots: heaps side by side, the kernel's alone
    /// (--control), and runs that counted instructions (--icount).
    BenchReport(ReportOptions),
    /// Make pictures of the screens that tests/vm/tests/screens.sh has printed
    Screens(ScreensOptions),
    /// Compare JSON on standard input with a schema of docs/schemas
    ///
    /// What does not fit is said, with status 1; else how many values there are.
    Schema(SchemaOptions),
}

const IMPORTER_EXAMPLES: &str = "\
Examples:
  dmaheap-lab importer cpu-write=0:4:0xa5 attach map=to-device read=0:4
  dmaheap-lab importer --size 8M --max-segment 64K attach map ranges
  dmaheap-lab importer --size 8M time-maps=100 time-maps=100:4:from-device
  dmaheap-lab importer --edu attach map load=0:4K store=4K:4K unmap cpu-read=4K:16
  dmaheap-lab importer --fd 1234:5 attach map wait=1m
  dmaheap-lab importer --json <steps";

#[derive(Args, Debug)]
#[command(after_help = format!("{STEPS}\n\n{IMPORTER_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct ImporterOptions {
    /// The steps, in this order [default: from standard input]
    #[arg(value_name = "STEP")]
    pub(crate) steps: Vec<Step>,
    /// Allocate the buffer from this heap [default: one of the module's, not a
    /// contiguous one if there is another]
    #[arg(long, value_name = "NAME", value_parser = parse_heap)]
    pub(crate) heap: Option<String>,
    /// Use the buffer that this command inherited as descriptor FD, or that
    /// process PID has open as FD (`dmaheap alloc --json` prints both)
    #[arg(long, value_name = "[PID:]FD", value_parser = parse_fd, conflicts_with_all = ["heap", "size"])]
    pub(crate) fd: Option<(Option<u32>, u32)>,
    /// Bytes of the buffer: 4096, 64K, 8M, 1920x1080x4
    #[arg(long, default_value = "1M", value_parser = parse_size)]
    pub(crate) size: Size,
    /// Address bits of the device; 0 for one without a DMA mask
    #[arg(long, value_name = "BITS", default_value_t = 64, value_parser = clap::value_parser!(u8).range(..=64))]
    pub(crate) mask: u8,
    /// The longest range that the device accepts
    #[arg(long, value_name = "SIZE", value_parser = parse_segment)]
    pub(crate) max_segment: Option<u32>,
    /// No range may cross a multiple of this, a power of two
    #[arg(long, value_name = "SIZE", value_parser = parse_boundary)]
    pub(crate) boundary: Option<u64>,
    /// Use QEMU's edu device, which really does DMA; INDEX tells several apart,
    /// as in --edu=1
    #[arg(long, value_name = "INDEX", num_args = 0..=1, require_equals = true, default_missing_value = "0",
        conflicts_with_all = ["mask", "max_segment", "boundary"])]
    pub(crate) edu: Option<u64>,
    /// Continue after a step that failed; the status is still 1
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Print a line of JSON for each step
    #[arg(long)]
    pub(crate) json: bool,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  dmaheap-lab bench system-pooled --only alloc-close --time 1s
  dmaheap-lab bench --only map,frame
  dmaheap-lab bench default_cma_region=reserved --json > run.json";

#[derive(Args, Debug)]
#[command(after_help = format!("{CASES}\n\n{BENCH_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct BenchOptions {
    /// Heaps of the module, or pairs OURS=KERNEL [default: each heap of the
    /// module that has one of the kernel beside it, without "-pooled"]
    #[arg(value_name = "HEAP")]
    pub(crate) heaps: Vec<String>,
    /// Measure only these operations
    #[arg(
        long,
        value_name = "OPERATION",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub(crate) only: Vec<Operation>,
    /// How long to take samples of each case (500ms, 10s)
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    pub(crate) time: Duration,
    /// Measure the kernel's heaps alone, in a boot without the module
    #[arg(long, conflicts_with = "icount")]
    pub(crate) control: bool,
    /// The machine's clock counts instructions (QEMU with -icount
    /// shift=0,sleep=off and one processor)
    #[arg(long)]
    pub(crate) icount: bool,
    /// A name for the machine in the results
    #[arg(long, value_name = "TEXT")]
    pub(crate) config: Option<String>,
    /// Print JSON, for `bench-report`
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct ReportOptions {
    /// Output of `dmaheap-lab bench --json`
    #[arg(value_name = "FILE", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Write the results to this file, as a JSON array
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a plot of the ratios to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct ScreensOptions {
    /// The results of the test
    #[arg(value_name = "FILE")]
    pub(crate) results: PathBuf,
    /// Where NAME.svg is to be
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

#[derive(Args, Debug)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct SchemaOptions {
    /// The command of `dmaheap` that printed it
    #[arg(value_name = "COMMAND")]
    pub(crate) command: String,
}

/// Takes FD or PID:FD.
fn parse_fd(text: &str) -> Result<(Option<u32>, u32), String> {
    let number = |text: &str| {
        text.parse()
            .map_err(|_| "a descriptor is FD or PID:FD, both numbers".to_owned())
    };
    Ok(match text.split_once(':') {
        Some((pid, fd)) => (Some(number(pid)?), number(fd)?),
        None => (None, number(text)?),
    })
}

fn parse_segment(text: &str) -> Result<u32, String> {
    parse_size(text)?
        .try_into()
        .map_err(|_| "a segment is shorter than 4G".to_owned())
}

fn parse_boundary(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        size if size.is_power_of_two() => Ok(size),
        _ => Err("a boundary is a power of two".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }
}
