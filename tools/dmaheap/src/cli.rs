// SPDX-License-Identifier: GPL-2.0

//! The command line and its help texts.

use crate::bench::Operation;
use crate::importer::STEPS;
use crate::importer::Step;
use crate::quantity::Size;
use crate::quantity::parse_duration;
use crate::quantity::parse_size;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use command_line::EXIT_STATUS;
use command_line::heap_name::parse_heap;
use std::path::PathBuf;
use std::time::Duration;

/// List, allocate from, verify and measure Linux dma-buf heaps
///
/// A dma-buf heap is a node /dev/dma_heap/NAME from which programs get buffers
/// that devices (cameras, codecs, displays, accelerators) can share without a
/// copy. This tool works with the heaps of the module rust_dma_heap and with
/// the kernel's own.
#[derive(Debug, Parser)]
#[command(name = "dmaheap", version, after_help = EXIT_STATUS)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show every heap with its attributes, owner and mode
    ///
    /// One line per heap, sorted by name. OTHER NAMES are nodes of the same heap,
    /// which `dmaheap names` explains. ORIGIN is "module" for heaps of the
    /// module rust_dma_heap and "kernel" for the kernel's own, which have no
    /// attributes: "-" means unknown. Sizes are rounded down to one decimal;
    /// --json prints them in bytes.
    List(ListOptions),
    /// Show where the names lead that programs look for
    ///
    /// Programs were written for heaps of other names: linux,cma, reserved,
    /// vidbuf_cached and so on. For each of these that is known on this board,
    /// the udev rules of the package make a node of the module's heap that it
    /// leads to. Lines in /etc/rust-dma-heap/names come first; the table of this
    /// program is the example of how they look.
    Names(NamesOptions),
    /// Show every dma-buf of the machine, and who has it
    ///
    /// Buffers of any exporter, not only of heaps. FDS is how many descriptors of the
    /// process lead to the buffer, MAPPED how much of it the process has mapped: a
    /// buffer whose descriptors are all closed lives on in a mapping. SHARED is in
    /// how many processes it is. A buffer that no process has is the kernel's alone,
    /// as a picture on a screen.
    ///
    /// Processes of others, and what only the kernel has, are for root to see.
    Holders(HoldersOptions),
    /// Watch heaps, contiguous areas, processes and buffers
    ///
    /// HITS is the part of new memory that came out of the heap's pool; LARGEST RUN the
    /// longest free run of an area, where the kernel has CONFIG_CMA_DEBUGFS; GROWTH what
    /// came since the last look. Memory pressure is that of the last ten seconds
    /// (/proc/pressure/memory). Keys stand in the last line.
    ///
    /// Rates, and what others have, are for root to see.
    Top(TopOptions),
    /// Show what heaps hold and have done, with rates
    ///
    /// The files of each heap in sysfs and debugfs (for root), with their units.
    /// docs/tuning.md says what a bad value means. --watch shows them again and again,
    /// with what was added in a second. --prometheus is for the textfile collector of
    /// node_exporter.
    Stats(StatsOptions),
    /// Show what devices demand, and which heap serves all of them
    ///
    /// Addresses and IOMMU are in sysfs for PCI devices. The rest is known of devices
    /// that were attached to a buffer since the module was loaded: "unknown: attach
    /// once" means to run a program that uses the device. "perhaps" means that it
    /// depends on what is unknown. No device says whether it takes more than one
    /// physically contiguous range; behind an IOMMU each takes any.
    Which(WhichOptions),
    /// Change a heap's settings, and perhaps make them last
    ///
    /// Sizes take units (512M), user_limit also a part of the limit (50%), times as
    /// well (5s). Until the module is loaded again, or with --save for good: what is
    /// saved stands in /etc/rust-dma-heap/settings.saved and counts more than lines in
    /// /etc/rust-dma-heap/settings. Needs root.
    Set(SetOptions),
    /// Allocate buffers and hold them
    ///
    /// Prints the file descriptor, inode number and size of each buffer, and
    /// holds the buffers until SIGINT, SIGTERM or SIGHUP, or for the time given
    /// with --hold. The inode number is the one in debugfs (dma_buf/bufinfo) and
    /// /proc/PID/fdinfo. All buffers are freed when the command ends.
    Alloc(AllocOptions),
    /// Check that heaps keep their promises
    ///
    /// For every heap and size: the buffer has the requested size, rounded up to
    /// whole pages. It is zeroed. Data written in one sync bracket is read back
    /// in another, through a second mapping in both directions, and through
    /// mappings that start inside the buffer. A duplicate descriptor, a forked
    /// child and another process that receives the descriptor see the same
    /// buffer. Memory that was written and freed is zeroed when it is allocated
    /// again. A heap that says it is contiguous returns physically contiguous
    /// memory.
    ///
    /// Contiguity is checked without trusting the driver: the buffer's pages
    /// are searched in /proc/kcore. This needs root; without it, the check is
    /// reported as skipped.
    Verify(VerifyOptions),
    /// Compare heaps of the module with the kernel's own
    ///
    /// Takes samples in pairs, one of each heap, in the order A B, B A, so that
    /// a slow phase of the machine affects both. RATIO is how many times as
    /// long the kernel's heap takes: the median over all pairs, with the
    /// quartiles. Before each sample the module's threads are idle; what they
    /// do because of it counts as its CPU time.
    ///
    /// The cases: "alloc-close" times the ioctl and the close. In the mode
    /// "cold" the pool was emptied before (pool_cap is set to 0 and back). In
    /// "warm" the previous owner wrote every page 16 ms ago. In "untouched" one
    /// allocation follows the other and nobody touches the memory. "alloc-write-close" maps
    /// and writes every byte as well, one after the other. "touch" maps a new
    /// buffer, touches each page and unmaps it. "vmap" is a vmap and its
    /// vunmap. "pipeline" times the allocation in a stream of frames: 60 a
    /// second of 12 MiB, each written in full and held for 4 frames; its ratio
    /// is that of the 99th percentiles. "metadata" counts kernel memory beside
    /// the buffer's own.
    ///
    /// Two more run only with --only=map,frame. "map" maps for a device and
    /// unmaps: on new attachments ("first") or on ones that were mapped before
    /// ("repeated"), on one, two or four in turn; the time is that of one. The
    /// device is QEMU's edu, behind the machine's IOMMU if it has one, or else
    /// a device in software. "frame" maps, has edu write 4 KiB, unmaps, and reads
    /// them with the CPU in a bracket; the DMA is not timed. Where a heap's buffer
    /// cannot be mapped, the results say what was refused.
    ///
    /// A case that fails does not stop the others: the status is then 1, and the
    /// results say why. With --json, each case prints a line with an object at once,
    /// so bench-report can read a run that was cut short.
    ///
    /// Needs root, and for vmap, metadata, map and frame the module
    /// dma_buf_test_importer.
    Bench(BenchOptions),
    /// Combine runs of `bench --json` into tables, goals and a plot
    ///
    /// Takes the runs of several boots: heaps side by side, the kernel's alone
    /// (--control), and runs that counted instructions (--icount).
    BenchReport(ReportOptions),
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
    /// What the udev rules run when a heap comes, changes or goes
    #[command(hide = true)]
    Udev {
        /// Remove the nodes of compatible names, whatever heaps there are
        #[arg(long)]
        clear: bool,
    },
    /// The other process of `verify`: takes a buffer from standard input
    #[command(name = crate::verify::RECEIVE, hide = true)]
    Receive,
    /// Write manual pages and shell completions into a folder
    #[cfg(feature = "documents")]
    #[command(hide = true)]
    Documents {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Args, Debug)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct ListOptions {
    /// The heaps: names or paths [default: all]
    #[arg(value_name = "HEAP", value_parser = parse_heap)]
    pub(crate) heaps: Vec<String>,
    /// Print JSON: sizes in bytes, times in milliseconds, null for unknown
    #[arg(long)]
    pub(crate) json: bool,
}

const NAMES_EXAMPLES: &str = "\
Examples:
  dmaheap names
  dmaheap names --board brcm,bcm2712";

#[derive(Args, Debug)]
#[command(after_help = format!("{NAMES_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct NamesOptions {
    /// Show it for a board whose device tree says this in "compatible", the most
    /// exact name first [default: this machine]
    #[arg(long, value_name = "COMPATIBLE")]
    pub(crate) board: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const HOLDERS_EXAMPLES: &str = "\
Examples:
  sudo dmaheap holders
  sudo dmaheap holders camera --by buffer
  sudo dmaheap holders default_cma_region --json";

#[derive(Args, Debug)]
#[command(after_help = format!("{HOLDERS_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct HoldersOptions {
    /// Only what has to do with this process (its number or name), buffer (its inode
    /// number or name) or exporter (of a heap: its name)
    #[arg(value_name = "PID|INODE|NAME")]
    pub(crate) who: Option<String>,
    /// What has a line of its own
    #[arg(long, value_enum, default_value_t = HoldersView::Process)]
    pub(crate) by: HoldersView,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["csv", "by"])]
    pub(crate) json: bool,
    /// Print CSV
    #[arg(long)]
    pub(crate) csv: bool,
}

/// What a line of `holders` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum HoldersView {
    /// A buffer of a process
    Process,
    /// A buffer, with all its processes and devices
    Buffer,
    /// A buffer, with a column for each process
    Table,
}

const TOP_EXAMPLES: &str = "\
Examples:
  sudo dmaheap top
  sudo dmaheap top --once --buffers";

#[derive(Args, Debug)]
#[command(after_help = format!("{TOP_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct TopOptions {
    /// Look again when so much has passed
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(crate) delay: Duration,
    /// List buffers, not processes
    #[arg(long)]
    pub(crate) buffers: bool,
    /// Print one frame and end
    #[arg(long)]
    pub(crate) once: bool,
}

const STATS_EXAMPLES: &str = "\
Examples:
  sudo dmaheap stats
  sudo dmaheap stats system --watch
  sudo dmaheap stats --watch 10s --json
  sudo dmaheap stats --prometheus > /var/lib/prometheus/node-exporter/dma_heap.prom";

#[derive(Args, Debug)]
#[command(after_help = format!("{STATS_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct StatsOptions {
    /// The heaps of the module: names that `dmaheap list` shows [default: all]
    #[arg(value_name = "HEAP", value_parser = parse_heap)]
    pub(crate) heaps: Vec<String>,
    /// Show them again each time so much has passed, until a signal [default: 1s]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "1s",
        value_parser = parse_duration)]
    pub(crate) watch: Option<Duration>,
    /// Print JSON, with --watch an object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the text format of Prometheus
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    pub(crate) prometheus: bool,
}

const WHICH_EXAMPLES: &str = "\
Examples:
  dmaheap which /dev/video0 /dev/dri/card0
  dmaheap which 0000:00:02.0 --json";

#[derive(Args, Debug)]
#[command(after_help = format!("{WHICH_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct WhichOptions {
    /// The devices: nodes, or names in /sys/bus/*/devices
    #[arg(value_name = "DEVICE", required = true)]
    pub(crate) devices: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SET_EXAMPLES: &str = "\
Examples:
  sudo dmaheap set system limit=512M user_limit=50%
  sudo dmaheap set default_cma_region pool_cap=0 --save";

#[derive(Args, Debug)]
#[command(after_help = format!("{SET_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct SetOptions {
    /// The heap: a name that `dmaheap list` shows, or its node's path
    #[arg(value_parser = parse_heap)]
    pub(crate) heap: String,
    /// limit, user_limit, pool_cap, pool_trim_ms, keep_mappings or map_at_mmap, with its
    /// value
    #[arg(value_name = "NAME=VALUE", required = true)]
    pub(crate) settings: Vec<String>,
    /// Have them set whenever the heap comes up, too
    #[arg(long)]
    pub(crate) save: bool,
}

const ALLOC_EXAMPLES: &str = "\
Examples:
  dmaheap alloc system 8M
  dmaheap alloc default_cma_region 1920x1080x4 --name frame --hold 30s
  dmaheap alloc system 64K --count 100 --json";

#[derive(Args, Debug)]
#[command(after_help = format!("{ALLOC_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct AllocOptions {
    /// The heap: a name that `dmaheap list` shows, or its node's path
    #[arg(value_parser = parse_heap)]
    pub(crate) heap: String,
    /// Bytes per buffer: 4096, 4K, 4KiB, 1.5M, 2G, 1920x1080x4; K is 1024
    #[arg(value_parser = parse_size)]
    pub(crate) size: Size,
    /// How many buffers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// Name the buffers (DMA_BUF_SET_NAME, at most 31 bytes)
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Hold them for this time (500ms, 10s, 2m, 1h) instead of until a signal
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) hold: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  dmaheap verify
  dmaheap verify system default_cma_region --sizes 4K,1M,16M
  dmaheap verify --importer system
  dmaheap verify --json | jq .failed";

#[derive(Args, Debug)]
#[command(after_help = format!("{VERIFY_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct VerifyOptions {
    /// The heaps: names that `dmaheap list` shows, or paths [default: all]
    #[arg(value_name = "HEAP", value_parser = parse_heap)]
    pub(crate) heaps: Vec<String>,
    /// Sizes to check, separated by commas [default: one page, 12345, 64K, 1M,
    /// 1M and a page, 8M]
    #[arg(long, value_delimiter = ',', value_parser = parse_size)]
    pub(crate) sizes: Vec<Size>,
    /// Also check with a device: it reads by DMA what the CPU wrote and the
    /// other way round, and through a kernel mapping; needs root and the module
    /// dma_buf_test_importer
    #[arg(long)]
    pub(crate) importer: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  dmaheap bench
  dmaheap bench system-pooled --only alloc-close --time 1s
  dmaheap bench default_cma_region=reserved --json > run.json";

#[derive(Args, Debug)]
#[command(after_help = format!("{BENCH_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct BenchOptions {
    /// Heaps of the module, or pairs OURS=KERNEL [default: each heap of the
    /// module that has one of the kernel beside it, without "-pooled"]
    #[arg(value_name = "HEAP")]
    pub(crate) heaps: Vec<String>,
    /// Measure only these operations
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
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
    /// Output of `dmaheap bench --json`
    #[arg(value_name = "FILE", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Write the results to this file, as a JSON array
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a plot of the ratios to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

const IMPORTER_EXAMPLES: &str = "\
Examples:
  dmaheap importer cpu-write=0:4:0xa5 attach map=to-device read=0:4
  dmaheap importer --size 8M --max-segment 64K attach map ranges
  dmaheap importer --size 8M time-maps=100 time-maps=100:4:from-device
  dmaheap importer --edu attach map load=0:4K store=4K:4K unmap cpu-read=4K:16
  dmaheap importer --fd 1234:5 attach map wait=1m
  dmaheap importer --json <steps";

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

    #[test]
    fn help_is_as_people_read_it() {
        let mut program = Cli::command();
        program.build();
        for command in program.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(!help.contains('\\'), "{}: {help}", command.get_name());
        }
    }
}
