// SPDX-License-Identifier: GPL-2.0

//! The command line and its help texts.

use crate::completions::heaps;
use crate::quantity::Size;
use crate::quantity::parse_duration;
use crate::quantity::parse_size;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap_complete::ArgValueCandidates;
use command_line::EXIT_STATUS;
use command_line::heap_name::parse_heap;
use heap_bench::case::CASES;
use heap_bench::case::Operation;
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
    /// Show which heap each compatible name leads to
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
    /// once" means to run a program that uses the device. "perhaps" means that not all
    /// demands are known yet. No device says whether it takes more than one
    /// physically contiguous range; behind an IOMMU each takes any.
    Which(WhichOptions),
    /// Write down what a bug report needs
    ///
    /// The machine's kernel and memory, the module with its parameters, heaps, names,
    /// counters, contiguous areas, the IOMMU, and the module's lines of the kernel log.
    /// Names of the machine, of users and of processes are not in it. All of it is
    /// shown; with --output it is in a file as well. Root sees most.
    Report(ReportOptions),
    /// Change a heap's settings, and perhaps make them last
    ///
    /// Sizes take units (512M), user_limit also a part of the limit (50%), times as
    /// well (5s). Until the module is loaded again, or with --save for good: what is
    /// saved stands in /etc/rust-dma-heap/settings.saved and takes precedence over
    /// /etc/rust-dma-heap/settings. Needs root.
    Set(SetOptions),
    /// Say whether this machine can have the module's heaps, and what to do
    ///
    /// Looks at the kernel and what it was built with, at what building the module
    /// takes, at DKMS, signatures and Secure Boot, at the module, its nodes and who
    /// may open them, at contiguous areas and the IOMMU, and at the names that
    /// programs look for. Each finding is "ok", a "note" or a "problem"; below a
    /// problem stands the command that mends it. Nothing is changed.
    ///
    /// Run it as the user whose programs are to use the heaps: rights are those of
    /// the caller. What only root can read is left out for others.
    Doctor(DoctorOptions),
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
    /// Measure heaps of the module, beside the kernel's own
    ///
    /// Takes less than 20 seconds for two heaps: alloc-close, alloc-write-close,
    /// touch and metadata, of up to 8 MiB. With --only it measures all sizes and
    /// ways of the operations that are named, which may take minutes.
    ///
    /// Samples are taken in pairs, one of each heap, in the order A B, B A, so that
    /// a slow phase of the machine affects both. RATIO is how many times as long
    /// the kernel's heap takes: the median over all pairs, with the quartiles. A
    /// heap to which the kernel has no counterpart is measured alone: then the
    /// quartiles are those of its times. Before each sample the module's threads
    /// are idle; what they do because of it counts as its CPU time.
    ///
    /// A case that fails does not stop the others: the status is then 1, and the
    /// results say why. With --json, each case prints a line with an object at
    /// once.
    ///
    /// Needs root, and for vmap, metadata, map and frame the module
    /// dma_buf_test_importer.
    Bench(BenchOptions),
    /// Print a completion script: heaps, options and commands
    ///
    /// The packages install it. By hand, for bash: dmaheap completions bash >
    /// ~/.local/share/bash-completion/completions/dmaheap
    Completions {
        /// The shell
        #[arg(value_parser = ["bash", "zsh", "fish"])]
        shell: String,
    },
    /// Write the manual pages into a folder
    ///
    /// One for the program and one for each command. The packages install them.
    Man {
        /// The folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
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
    /// Write all that is made of the help into a folder
    #[command(hide = true)]
    Documents {
        /// The folder
        folder: std::path::PathBuf,
    },
}

#[derive(Args, Debug)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct ListOptions {
    /// The heaps: names or paths [default: all]
    #[arg(value_name = "HEAP", value_parser = parse_heap,
        add = ArgValueCandidates::new(heaps))]
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

const DOCTOR_TEXT: &str = "\
Examples:
  dmaheap doctor
  dmaheap doctor --json | jq -r '.findings[] | select(.level == \"problem\") | .remedy'

Exit status:
  0  no problem
  1  a problem, or a failure; the message says what to do
  2  wrong usage";

#[derive(Args, Debug)]
#[command(after_help = DOCTOR_TEXT)]
pub(crate) struct DoctorOptions {
    /// Print JSON, as docs/schemas/doctor.json describes it
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
    /// Group rows by
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
    /// Refresh interval
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
    #[arg(value_name = "HEAP", value_parser = parse_heap,
        add = ArgValueCandidates::new(heaps))]
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

const REPORT_EXAMPLES: &str = "\
Examples:
  sudo dmaheap report
  sudo dmaheap report --output report.md";

#[derive(Args, Debug)]
#[command(after_help = format!("{REPORT_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct ReportOptions {
    /// Write it to this file, too
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

const SET_EXAMPLES: &str = "\
Examples:
  sudo dmaheap set system limit=512M user_limit=50%
  sudo dmaheap set default_cma_region pool_cap=0 --save";

#[derive(Args, Debug)]
#[command(after_help = format!("{SET_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct SetOptions {
    /// The heap: a name that `dmaheap list` shows, or its node's path
    #[arg(value_parser = parse_heap,
        add = ArgValueCandidates::new(heaps))]
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
    #[arg(value_parser = parse_heap,
        add = ArgValueCandidates::new(heaps))]
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
    #[arg(value_name = "HEAP", value_parser = parse_heap,
        add = ArgValueCandidates::new(heaps))]
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
#[command(after_help = format!("{CASES}\n\n{BENCH_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct BenchOptions {
    /// Heaps of the module, each beside the kernel's of that name without
    /// "-pooled" if there is one, or pairs OURS=KERNEL [default: all of the module]
    #[arg(value_name = "HEAP", add = ArgValueCandidates::new(heaps))]
    pub(crate) heaps: Vec<String>,
    /// Measure only these operations
    #[arg(
        long,
        value_name = "OPERATION",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub(crate) only: Vec<Operation>,
    /// How long to take samples of each case (500ms, 10s): the longer, the more
    /// exact
    #[arg(long, value_name = "DURATION", default_value = "700ms", value_parser = parse_duration)]
    pub(crate) time: Duration,
    /// Print JSON: first the machine, then a line for each case and heap
    #[arg(long)]
    pub(crate) json: bool,
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
