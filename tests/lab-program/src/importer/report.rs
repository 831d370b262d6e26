// SPDX-License-Identifier: GPL-2.0

//! What each step did and how long it took, as soon as it is done: a line of a
//! table, or of JSON.

use command_line::output;
use command_line::quantity::format_duration;
use command_line::quantity::format_size;
use dma_heap::importer::DmaRange;
use dma_heap::importer::MapTimes;
use serde::Serialize;
use serde::Serializer;
use std::fmt::Write as _;
use std::time::Duration;

/// Bytes that a line of the table shows.
const SHOWN: usize = 16;

/// What a step gave.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Done {
    Device {
        device: String,
    },
    Buffer {
        heap: Option<String>,
        size: u64,
        inode: u64,
    },
    Attached {
        attachment: usize,
    },
    Mapped {
        mapping: usize,
        attachment: usize,
        direction: &'static str,
        range_count: u64,
    },
    Ranges {
        mapping: usize,
        ranges: Vec<Range>,
    },
    Read {
        #[serde(serialize_with = "as_hex")]
        bytes: Vec<u8>,
    },
    Written {
        written: u64,
    },
    Loaded {
        loaded: u64,
    },
    Stored {
        stored: u64,
    },
    Vmapped {
        vmap: usize,
    },
    Ended {
        ended: usize,
        still_mapped: Vec<usize>,
    },
    TimedMaps {
        cycles: u64,
        attachments: u64,
        /// Of the first map and unmap on each attachment, on average.
        first_nanoseconds: u64,
        /// Of each later one.
        repeated_nanoseconds: u64,
    },
    TimedVmaps {
        cycles: u64,
        cycle_nanoseconds: u64,
    },
    Nothing,
}

/// DMA addresses.
#[derive(Debug, Serialize)]
pub(super) struct Range {
    address: u64,
    len: u64,
}

impl From<DmaRange> for Range {
    fn from(DmaRange { address, len }: DmaRange) -> Self {
        Self { address, len }
    }
}

fn as_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(bytes, ""))
}

fn hex(bytes: &[u8], between: &str) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(between)
}

/// Of `times` that took `whole` together, what one took.
fn each(whole: Duration, times: u64) -> u64 {
    let nanos = whole.as_nanos() / u128::from(times.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

impl Done {
    pub(super) fn timed_maps(cycles: u64, attachments: u64, times: MapTimes) -> Self {
        Self::TimedMaps {
            cycles,
            attachments,
            first_nanoseconds: each(times.first, attachments),
            repeated_nanoseconds: each(times.repeated, cycles.saturating_mul(attachments)),
        }
    }

    pub(super) fn timed_vmaps(cycles: u64, taken: Duration) -> Self {
        Self::TimedVmaps {
            cycles,
            cycle_nanoseconds: each(taken, cycles),
        }
    }

    /// For people, in one line or several.
    fn text(&self) -> String {
        let time = |nanos: &u64| format_duration(Duration::from_nanos(*nanos));
        match self {
            Self::Device { device } => device.clone(),
            Self::Buffer { heap, size, inode } => {
                let from = heap.as_ref().map(|heap| format!(" of {heap}"));
                let from = from.unwrap_or_default();
                format!("buffer of {}{from}, inode {inode}", format_size(*size))
            }
            Self::Attached { attachment } => format!("attachment {attachment}"),
            Self::Mapped {
                mapping,
                attachment,
                direction,
                range_count,
            } => {
                let s = if *range_count == 1 { "" } else { "s" };
                format!(
                    "mapping {mapping} of attachment {attachment}, {direction}: \
                     {range_count} range{s}"
                )
            }
            Self::Ranges { ranges, .. } => ranges
                .iter()
                .map(|range| format!("{:#x} {}", range.address, format_size(range.len)))
                .collect::<Vec<_>>()
                .join("\n"),
            Self::Read { bytes } => {
                let mut text = hex(bytes.get(..SHOWN).unwrap_or(bytes), " ");
                if let Some(hidden) = bytes.len().checked_sub(SHOWN + 1) {
                    // Writing to a string does not fail.
                    let _ = write!(text, " and {} more (--json has all)", hidden + 1);
                }
                text
            }
            Self::Written { written } => format_size(*written),
            Self::Loaded { loaded } => format!("{} into the device", format_size(*loaded)),
            Self::Stored { stored } => format!("{} out of the device", format_size(*stored)),
            Self::Vmapped { vmap } => format!("vmap {vmap}"),
            Self::Ended {
                ended,
                still_mapped,
            } => match still_mapped.as_slice() {
                [] => format!("{ended} has ended"),
                mappings => {
                    let numbers: Vec<String> = mappings.iter().map(usize::to_string).collect();
                    format!("{ended} will end with mapping {}", numbers.join(", "))
                }
            },
            Self::TimedMaps {
                first_nanoseconds,
                repeated_nanoseconds,
                ..
            } => format!(
                "map and unmap: {} the first time, then {} each",
                time(first_nanoseconds),
                time(repeated_nanoseconds)
            ),
            Self::TimedVmaps {
                cycle_nanoseconds, ..
            } => {
                format!("vmap and vunmap: {} each", time(cycle_nanoseconds))
            }
            Self::Nothing => String::new(),
        }
    }
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    step: &'a str,
    nanoseconds: u64,
    #[serde(flatten)]
    done: &'a Done,
}

/// The same for a step that failed.
#[derive(Serialize)]
struct FailedLine<'a> {
    step: &'a str,
    error: &'a str,
}

/// Where lines go.
pub(super) struct Report {
    json: bool,
    /// Characters of the first column.
    width: usize,
}

impl Report {
    /// Starts a report of steps, the longest of which has `width` characters.
    pub(super) fn start(json: bool, width: usize) -> anyhow::Result<Self> {
        let report = Self { json, width };
        if !json {
            output::print_text(&report.row("STEP", "TIME", "RESULT"))?;
        }
        Ok(report)
    }

    /// Shows a step that was done.
    pub(super) fn done(&self, step: &str, time: Duration, done: &Done) -> anyhow::Result<()> {
        if self.json {
            let nanoseconds = each(time, 1);
            return output::print_json_line(&Line {
                step,
                nanoseconds,
                done,
            });
        }
        let result = done.text();
        let mut lines = result.lines();
        let first = lines.next().unwrap_or_default();
        let mut text = self.row(step, &format_duration(time), first);
        for line in lines {
            text += &self.row("", "", line);
        }
        output::print_text(&text)
    }

    /// Shows a step that failed, where what is said beside the output is not
    /// seen.
    pub(super) fn failed(&self, step: &str, error: &str) -> anyhow::Result<()> {
        if self.json {
            output::print_json_line(&FailedLine { step, error })?;
        }
        Ok(())
    }

    fn row(&self, step: &str, time: &str, result: &str) -> String {
        let width = self.width;
        let row = format!("{step:<width$}  {time:>7}  {result}");
        format!("{}\n", row.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_a_step() -> serde_json::Result<()> {
        let line = Line {
            step: "read=0:2",
            nanoseconds: 5,
            done: &Done::Read {
                bytes: vec![0xa5, 1],
            },
        };
        assert_eq!(
            serde_json::to_string(&line)?,
            r#"{"step":"read=0:2","nanoseconds":5,"bytes":"a501"}"#
        );
        let line = Line {
            step: "end",
            nanoseconds: 5,
            done: &Done::Nothing,
        };
        assert_eq!(
            serde_json::to_string(&line)?,
            r#"{"step":"end","nanoseconds":5}"#
        );
        Ok(())
    }

    #[test]
    fn many_bytes_are_cut_and_said_so() {
        let text = |count| {
            Done::Read {
                bytes: vec![7; count],
            }
            .text()
        };
        assert_eq!(text(2), "07 07");
        assert!(!text(16).contains("more"));
        assert!(text(17).ends_with("07 and 1 more (--json has all)"));
    }

    #[test]
    fn times_are_of_one_cycle() {
        let times = MapTimes {
            first: Duration::from_nanos(100),
            repeated: Duration::from_nanos(1000),
        };
        assert_eq!(
            Done::timed_maps(50, 2, times).text(),
            "map and unmap: 50 ns the first time, then 10 ns each"
        );
    }

    #[test]
    fn rows_are_columns() {
        let report = Report {
            json: false,
            width: 8,
        };
        assert_eq!(
            report.row("attach", "1.5 us", "attachment 1"),
            "attach     1.5 us  attachment 1\n"
        );
        assert_eq!(report.row("end", "1.5 us", ""), "end        1.5 us\n");
    }
}
