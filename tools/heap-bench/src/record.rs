// SPDX-License-Identifier: GPL-2.0

//! What a run leaves for the report.

use super::case::Case;
use super::meminfo::Meminfo;
use super::stats::Quartiles;
use anyhow::Context as _;
use anyhow::bail;
use rustix::io::Errno;
use serde::Deserialize;
use serde::Serialize;

/// What a run is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Heaps side by side, by the clock.
    Time,
    /// The kernel's heaps alone, by the clock, without the module.
    Control,
    /// Heaps side by side, in a machine whose clock counts instructions.
    Instructions,
}

/// One run in one boot.
#[derive(Debug)]
pub struct Run {
    /// What it is for, and where it ran.
    pub machine: Machine,
    /// What was measured.
    pub measurements: Vec<Measurement>,
    /// What was not measured, for want of something.
    pub skipped: Vec<String>,
    /// What could not be measured although nothing is missing, and why.
    pub failed: Vec<String>,
}

/// What a run is for, and where it runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Machine {
    /// What the run is for.
    pub kind: Kind,
    /// By Debian's name.
    pub arch: String,
    /// The machine in a line.
    pub config: String,
}

/// A line of a run: the first is its machine, and each of the others is written as soon as it
/// is known, so that what is there already stays whatever becomes of the run.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line {
    Machine(Machine),
    Measurement(Box<Measurement>),
    Skipped(String),
    Failed(String),
    /// The run has come to its end.
    End(usize),
}

impl Run {
    /// One in which nothing was measured yet.
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            measurements: Vec::new(),
            skipped: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Takes a line of it, but for the first.
    pub(crate) fn add(&mut self, line: Line) -> anyhow::Result<()> {
        match line {
            Line::Measurement(measurement) => self.measurements.push(*measurement),
            Line::Skipped(what) => self.skipped.push(what),
            Line::Failed(what) => self.failed.push(what),
            Line::Machine(_) | Line::End(_) => bail!("it has two runs in it"),
        }
        Ok(())
    }

    /// Reads the lines of a run. One that was cut short has what it has, and says so.
    ///
    /// # Errors
    ///
    /// If they are not those of one run.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines();
        let first = lines.next().context("it is empty")?;
        let Line::Machine(machine) = serde_json::from_str(first)? else {
            bail!("it does not begin with a machine");
        };
        let mut run = Self::new(machine);
        for line in lines.filter(|line| !line.is_empty()) {
            match serde_json::from_str(line) {
                Ok(Line::End(count)) if count == run.measurements.len() => return Ok(run),
                Ok(line) => run.add(line)?,
                Err(error) => run
                    .failed
                    .push(format!("a line that is cut short: {error}")),
            }
        }
        let last = run.measurements.last().map_or_else(
            || "before anything was measured".to_owned(),
            |last| format!("after {} {}", last.heap, last.case.title()),
        );
        run.failed
            .push(format!("all that comes {last}: the run was cut short"));
        Ok(run)
    }
}

/// [`Measurement::iommu`] where no IOMMU translates and nothing bounces.
pub const NO_IOMMU: &str = "none";
/// The same where everything is copied to bounce buffers and back.
pub const BOUNCING: &str = "swiotlb=force";

/// Why a case could not be measured on a heap.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What was refused: attach or map.
    pub step: String,
    /// The kernel's answer.
    pub errno: i32,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = Errno::from_raw_os_error(self.errno);
        write!(formatter, "{}: {why}", self.step)
    }
}

/// One case on one heap. Times are nanoseconds, or instructions in a run of
/// that kind.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Measurement {
    /// The heap that was measured.
    pub heap: String,
    /// The kernel's heap that it was measured against; `null` for that itself, and for a heap
    /// that was measured alone.
    pub against: Option<String>,
    #[serde(flatten)]
    /// What was measured.
    pub case: Case,
    /// The device that has the buffer, where one has.
    pub device: Option<String>,
    /// What stands between that and the memory.
    pub iommu: Option<String>,
    /// Instead of times: why there are none.
    pub failure: Option<Failure>,
    /// How many operations were timed.
    pub runs: usize,
    /// Of all times.
    pub median: Option<u64>,
    /// Of all times, the first quartile, and ...
    pub q1: Option<u64>,
    /// ... the third.
    pub q3: Option<u64>,
    /// The shortest time.
    pub least: Option<u64>,
    /// Their 99th percentile.
    pub p99: Option<u64>,
    /// Of the task and kernel threads together, for one operation.
    pub cpu_ns: Option<u64>,
    /// How many times as long the other heap takes: the median over all pairs of samples ...
    pub ratio: Option<f64>,
    /// ... and the quartiles.
    pub ratio_q1: Option<f64>,
    /// The third.
    pub ratio_q3: Option<f64>,
    /// Ranges of addresses that the buffer consists of, where it matters.
    pub segments: Option<u64>,
    /// Frames of the pipeline that began a whole period too late.
    pub late: Option<u64>,
    /// Bytes of kernel memory for a buffer with an attachment.
    pub metadata_bytes: Option<u64>,
}

impl Measurement {
    /// One that has no results yet.
    pub fn new(heap: &str, against: Option<&str>, case: Case) -> Self {
        Self {
            heap: heap.to_owned(),
            against: against.map(str::to_owned),
            case,
            device: None,
            iommu: None,
            failure: None,
            runs: 0,
            median: None,
            q1: None,
            q3: None,
            least: None,
            p99: None,
            cpu_ns: None,
            ratio: None,
            ratio_q1: None,
            ratio_q3: None,
            segments: None,
            late: None,
            metadata_bytes: None,
        }
    }

    pub(crate) fn set_ratios(&mut self, ratios: Option<Quartiles>) {
        self.ratio = ratios.map(|ratios| ratios.median);
        self.ratio_q1 = ratios.map(|ratios| ratios.first);
        self.ratio_q3 = ratios.map(|ratios| ratios.third);
    }
}

/// The architecture by Debian's name.
pub(crate) fn arch() -> String {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        other => other,
    }
    .to_owned()
}

/// The machine in a line.
pub(crate) fn config(name: Option<&str>) -> anyhow::Result<String> {
    let system = rustix::system::uname();
    let processors = std::thread::available_parallelism()?;
    let memory = Meminfo::read()?.bytes("MemTotal")? >> 20;
    let mut parts: Vec<String> = name.map(str::to_owned).into_iter().collect();
    parts.push(format!(
        "{processors} {}",
        if processors.get() == 1 { "CPU" } else { "CPUs" }
    ));
    parts.push(format!("{memory} MiB"));
    parts.push(format!("Linux {}", system.release().to_string_lossy()));
    Ok(parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Mode;
    use crate::case::Operation;

    fn lines(run: &[Line]) -> anyhow::Result<String> {
        let lines: Result<Vec<String>, _> = run.iter().map(serde_json::to_string).collect();
        Ok(lines?.join("\n") + "\n")
    }

    fn run() -> [Line; 4] {
        let case = Case::new(Operation::Vmap, Mode::First, 4096);
        [
            Line::Machine(Machine {
                kind: Kind::Time,
                arch: "amd64".into(),
                config: "a machine".into(),
            }),
            Line::Measurement(Box::new(Measurement::new("system", None, case))),
            Line::Failed("system map: no memory".into()),
            Line::End(1),
        ]
    }

    #[test]
    fn what_was_written_is_read() -> anyhow::Result<()> {
        let read = Run::read(&lines(&run())?)?;
        assert_eq!(read.machine.config, "a machine");
        assert_eq!(read.measurements.len(), 1);
        assert_eq!(read.failed, ["system map: no memory"]);
        Ok(())
    }

    #[test]
    fn of_a_run_that_was_cut_short_there_is_what_it_has() -> anyhow::Result<()> {
        let whole = lines(&run())?;
        // Within the third line, and after it.
        for end in [whole.find("no memory"), whole.find("{\"end")] {
            let read = Run::read(
                whole
                    .get(..end.context("no such text")?)
                    .context("no text")?,
            )?;
            assert_eq!(read.measurements.len(), 1);
            assert_eq!(
                read.failed.last().map(String::as_str),
                Some("all that comes after system vmap first: the run was cut short")
            );
        }
        Ok(())
    }

    #[test]
    fn what_is_no_run_is_refused() -> anyhow::Result<()> {
        for text in ["", "{}", "[]", "Killed\n"] {
            assert!(Run::read(text).is_err());
        }
        let twice = lines(&run())?.replace("{\"end\":1}\n", "") + &lines(&run())?;
        assert!(Run::read(&twice).is_err());
        Ok(())
    }
}
