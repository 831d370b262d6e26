// SPDX-License-Identifier: GPL-2.0

//! What a run leaves for the report.

use super::case::Case;
use super::meminfo::Meminfo;
use super::stats::Quartiles;
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
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Run {
    pub(super) kind: Kind,
    pub(super) arch: String,
    pub(super) config: String,
    pub(super) measurements: Vec<Measurement>,
    /// What was not measured, and why.
    pub(super) skipped: Vec<String>,
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
