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
pub(super) enum Kind {
    /// Heaps side by side, by the clock.
    Time,
    /// The kernel's heaps alone, by the clock, without the module.
    Control,
    /// Heaps side by side, in a machine whose clock counts instructions.
    Instructions,
}

/// One run in one boot.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) machine: Machine,
    pub(super) measurements: Vec<Measurement>,
    /// What was not measured, for want of something.
    pub(super) skipped: Vec<String>,
    /// What could not be measured although nothing is missing, and why.
    pub(super) failed: Vec<String>,
}

/// What a run is for, and where it runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Machine {
    pub(super) kind: Kind,
    pub(super) arch: String,
    pub(super) config: String,
}

/// A line of a run: the first is its machine, and each of the others is written as soon as it
/// is known, so that what is there already stays whatever becomes of the run.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    Machine(Machine),
    Measurement(Box<Measurement>),
    Skipped(String),
    Failed(String),
    /// The run has come to its end.
    End(usize),
}

impl Run {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            machine,
            measurements: Vec::new(),
            skipped: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Takes a line of it, but for the first.
    pub(super) fn add(&mut self, line: Line) -> anyhow::Result<()> {
        match line {
            Line::Measurement(measurement) => self.measurements.push(*measurement),
            Line::Skipped(what) => self.skipped.push(what),
            Line::Failed(what) => self.failed.push(what),
            Line::Machine(_) | Line::End(_) => bail!("it has two runs in it"),
        }
        Ok(())
    }

    /// Reads the lines of a run. One that was cut short has what it has, and says so.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
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

/// Why a case could not be measured on a heap.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    /// What was refused: attach or map.
    pub(super) step: String,
    /// The kernel's answer.
    pub(super) errno: i32,
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
pub(super) struct Measurement {
    pub(super) heap: String,
    /// The kernel's heap that it was measured against; `null` for that itself.
    pub(super) against: Option<String>,
    #[serde(flatten)]
    pub(super) case: Case,
    /// The device that has the buffer, where one has.
    pub(super) device: Option<String>,
    /// What stands between that and the memory.
    pub(super) iommu: Option<String>,
    /// Instead of times: why there are none.
    pub(super) failure: Option<Failure>,
    /// How many operations were timed.
    pub(super) runs: usize,
    pub(super) median: Option<u64>,
    pub(super) least: Option<u64>,
    pub(super) p99: Option<u64>,
    /// Of the task and kernel threads together, for one operation.
    pub(super) cpu_ns: Option<u64>,
    pub(super) ratio: Option<f64>,
    pub(super) ratio_q1: Option<f64>,
    pub(super) ratio_q3: Option<f64>,
    /// Ranges of addresses that the buffer consists of, where it matters.
    pub(super) segments: Option<u64>,
    /// Frames of the pipeline that began a whole period too late.
    pub(super) late: Option<u64>,
    /// Bytes of kernel memory for a buffer with an attachment.
    pub(super) metadata_bytes: Option<u64>,
}

impl Measurement {
    pub(super) fn new(heap: &str, against: Option<&str>, case: Case) -> Self {
        Self {
            heap: heap.to_owned(),
            against: against.map(str::to_owned),
            case,
            device: None,
            iommu: None,
            failure: None,
            runs: 0,
            median: None,
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

    pub(super) fn set_ratios(&mut self, ratios: Option<Quartiles>) {
        self.ratio = ratios.map(|ratios| ratios.median);
        self.ratio_q1 = ratios.map(|ratios| ratios.first);
        self.ratio_q3 = ratios.map(|ratios| ratios.third);
    }
}

/// The architecture by Debian's name.
pub(super) fn arch() -> String {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        other => other,
    }
    .to_owned()
}

/// The machine in a line.
pub(super) fn config(name: Option<&str>) -> anyhow::Result<String> {
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
    use crate::bench::case::Mode;
    use crate::bench::case::Operation;

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
