// SPDX-License-Identifier: GPL-2.0

//! Results of `dmaheap verify`, as a table and as JSON.

use crate::output;
use crate::quantity::format_size;
use command_line::missing;
use serde::Serialize;
use std::fmt::Write as _;

/// How a check came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", content = "detail", rename_all = "snake_case")]
pub(super) enum Status {
    /// As promised.
    Passed,
    /// Not as promised, or it could not be finished.
    Failed(String),
    /// It could not be made here, for want of what the text says.
    Skipped(String),
    /// There is nothing to check.
    NotApplicable(&'static str),
}

/// The checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    /// The buffer could be allocated.
    Alloc,
    /// It has the length asked for in whole pages.
    Size,
    /// It was zero on arrival.
    Zeroed,
    /// What was written is read back.
    Pattern,
    /// Two mappings show the same memory.
    SecondMapping,
    /// A mapping from inside the buffer shows what is there.
    Offset,
    /// A duplicate descriptor is the same buffer.
    Dup,
    /// A forked child has the same buffer.
    Fork,
    /// A process that was sent the descriptor has the same buffer.
    Socket,
    /// A device reads what the CPU wrote.
    DmaRead,
    /// The CPU reads what a device wrote.
    DmaWrite,
    /// The kernel's own mapping shows the same memory.
    Vmap,
    /// Memory is zero when allocated again.
    Reuse,
    /// Its pages are in a row in physical memory.
    Contiguous,
}

/// A column's title and checks.
type Column = (&'static str, &'static [Check]);

/// The columns of the table and their checks: related ones share one, so that
/// it stays narrow enough to be read. A column of checks that nobody asked for
/// is left out.
const COLUMNS: [Column; 11] = [
    ("ALLOC", &[Check::Alloc]),
    ("SIZE", &[Check::Size]),
    ("ZEROED", &[Check::Zeroed]),
    ("PATTERN", &[Check::Pattern]),
    ("2ND MAP", &[Check::SecondMapping]),
    ("OFFSET", &[Check::Offset]),
    ("SHARED", &[Check::Dup, Check::Fork, Check::Socket]),
    ("DMA", &[Check::DmaRead, Check::DmaWrite]),
    ("VMAP", &[Check::Vmap]),
    ("REUSE", &[Check::Reuse]),
    ("CONTIGUOUS", &[Check::Contiguous]),
];

/// Columns that are shown only if one of their checks was made.
const OPTIONAL: [&str; 2] = ["DMA", "VMAP"];

impl Check {
    /// What it is called in a line of text.
    fn title(self) -> &'static str {
        match self {
            Self::Dup => "DUP",
            Self::Fork => "FORK",
            Self::Socket => "SOCKET",
            Self::DmaRead => "DMA READ",
            Self::DmaWrite => "DMA WRITE",
            _ => COLUMNS
                .iter()
                .find(|(_, checks)| checks.contains(&self))
                .map_or("", |(title, _)| title),
        }
    }
}

/// One check of one buffer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Checked {
    pub(super) check: Check,
    #[serde(flatten)]
    pub(super) status: Status,
}

/// Everything about one heap and size.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) heap: String,
    /// Bytes asked for.
    pub(super) size: u64,
    pub(super) checks: Vec<Checked>,
    /// Milliseconds that all of it took.
    pub(super) ms: u64,
}

impl Row {
    fn has(&self, checks: &[Check]) -> bool {
        self.checks
            .iter()
            .any(|checked| checks.contains(&checked.check))
    }

    /// What a column says: the worst of its checks.
    fn cell(&self, checks: &[Check]) -> &'static str {
        let worst = self
            .checks
            .iter()
            .filter(|checked| checks.contains(&checked.check))
            .map(|checked| match checked.status {
                Status::NotApplicable(_) => 0,
                Status::Passed => 1,
                Status::Skipped(_) => 2,
                Status::Failed(_) => 3,
            })
            .max();
        match worst {
            Some(3) => "FAILED",
            Some(2) => "skipped",
            Some(1) => "ok",
            _ => "-",
        }
    }

    fn cells(&self, columns: &[Column]) -> Vec<String> {
        let mut cells = vec![self.heap.clone(), format_size(self.size)];
        cells.extend(
            columns
                .iter()
                .map(|(_, checks)| self.cell(checks).to_owned()),
        );
        cells.push(self.ms.to_string());
        cells
    }
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
}

/// The report as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    passed: usize,
    failed: usize,
    skipped: usize,
    results: &'a [Row],
    /// Why nothing could be checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Says in JSON that there is no heap.
pub(super) fn print_no_heap() -> anyhow::Result<()> {
    output::print_json(&Document {
        error: Some(missing::advice()),
        ..Report::default().document()
    })
}

impl Report {
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    fn count(&self, wanted: impl Fn(&Status) -> bool) -> usize {
        self.rows
            .iter()
            .flat_map(|row| &row.checks)
            .filter(|checked| wanted(&checked.status))
            .count()
    }

    fn document(&self) -> Document<'_> {
        Document {
            passed: self.count(|status| *status == Status::Passed),
            failed: self.count(|status| matches!(status, Status::Failed(_))),
            skipped: self.count(|status| matches!(status, Status::Skipped(_))),
            results: &self.rows,
            error: None,
        }
    }

    /// Whether a check failed.
    pub(super) fn failed(&self) -> bool {
        self.document().failed > 0
    }

    fn columns(&self) -> Vec<Column> {
        COLUMNS
            .into_iter()
            .filter(|(title, checks)| {
                !OPTIONAL.contains(title) || self.rows.iter().any(|row| row.has(checks))
            })
            .collect()
    }

    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return output::print_json(&self.document());
        }
        let columns = self.columns();
        let mut header = vec!["HEAP", "LENGTH"];
        header.extend(columns.iter().map(|(title, _)| *title));
        header.push("MS");
        let mut table = output::table(&header);
        for row in &self.rows {
            table.add_row(row.cells(&columns));
        }
        output::print_table(&table)?;
        output::print_text(&self.details()?)
    }

    /// What the table has no room for: each failure and each skip once for a heap and reason, and
    /// the sums.
    fn details(&self) -> Result<String, std::fmt::Error> {
        let mut failures: Vec<Failure<'_>> = Vec::new();
        let mut skips: Vec<String> = Vec::new();
        for row in &self.rows {
            for Checked { check, status } in &row.checks {
                match status {
                    Status::Failed(detail) => Failure::add(&mut failures, row, *check, detail),
                    Status::Skipped(detail) => {
                        let line = format!("skipped {} {}: {detail}", row.heap, check.title());
                        if !skips.contains(&line) {
                            skips.push(line);
                        }
                    }
                    Status::Passed | Status::NotApplicable(_) => {}
                }
            }
        }
        let mut text = String::new();
        for failure in failures {
            let sizes: Vec<String> = failure.sizes.iter().copied().map(format_size).collect();
            let (heap, check) = (failure.heap, failure.check.title());
            writeln!(
                text,
                "FAILED {heap} {check} ({}): {}",
                sizes.join(", "),
                failure.detail
            )?;
        }
        for skip in skips {
            writeln!(text, "{skip}")?;
        }
        let sums = self.document();
        writeln!(
            text,
            "{} passed, {} failed, {} skipped",
            sums.passed, sums.failed, sums.skipped
        )?;
        Ok(text)
    }
}

/// A check that failed in the same way for each of these lengths.
struct Failure<'a> {
    heap: &'a str,
    check: Check,
    detail: &'a str,
    sizes: Vec<u64>,
}

impl<'a> Failure<'a> {
    fn add(failures: &mut Vec<Self>, row: &'a Row, check: Check, detail: &'a str) {
        let same = failures
            .iter_mut()
            .find(|it| it.heap == row.heap && it.check == check && it.detail == detail);
        match same {
            Some(failure) => failure.sizes.push(row.size),
            None => failures.push(Self {
                heap: &row.heap,
                check,
                detail,
                sizes: vec![row.size],
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        for size in [4096, 8192] {
            let checked = |check, status| Checked { check, status };
            report.add(Row {
                heap: "system".into(),
                size,
                checks: vec![
                    checked(Check::Alloc, Status::Passed),
                    checked(Check::Zeroed, Status::Failed("word 3".into())),
                    checked(Check::Offset, Status::NotApplicable("one page")),
                    checked(Check::Contiguous, Status::Skipped("run as root".into())),
                ],
                ms: 1,
            });
        }
        report
    }

    #[test]
    fn json_shape() -> serde_json::Result<()> {
        let value = serde_json::to_value(report().document())?;
        let at = |path: &str| value.pointer(path).cloned();
        assert_eq!(at("/passed"), Some(2.into()));
        assert_eq!(at("/failed"), Some(2.into()));
        assert_eq!(at("/skipped"), Some(2.into()));
        assert_eq!(at("/results/0/checks/0/check"), Some("alloc".into()));
        assert_eq!(at("/results/0/checks/0/status"), Some("passed".into()));
        assert_eq!(at("/results/0/checks/0/detail"), None);
        assert_eq!(at("/results/0/checks/1/detail"), Some("word 3".into()));
        assert_eq!(
            at("/results/0/checks/2/status"),
            Some("not_applicable".into())
        );
        Ok(())
    }

    #[test]
    fn failures_and_skips_are_told_once() -> Result<(), std::fmt::Error> {
        let text = report().details()?;
        assert!(text.starts_with("FAILED system ZEROED (4 KiB, 8 KiB): word 3\n"));
        assert_eq!(text.matches("FAILED").count(), 1);
        assert_eq!(text.matches("run as root").count(), 1);
        assert!(text.ends_with("2 passed, 2 failed, 2 skipped\n"));
        assert!(report().failed());
        Ok(())
    }

    #[test]
    fn cells_follow_the_columns() {
        let mut report = report();
        let cells = |report: &Report| {
            let columns = report.columns();
            report.rows.first().map(|row| row.cells(&columns))
        };
        let wanted = [
            "system", "4 KiB", "ok", "-", "FAILED", "-", "-", "-", "-", "-", "skipped", "1",
        ];
        assert_eq!(cells(&report), Some(wanted.map(str::to_owned).to_vec()));
        let add = |report: &mut Report, check, status: Status| {
            for row in &mut report.rows {
                let status = status.clone();
                row.checks.push(Checked { check, status });
            }
        };
        add(&mut report, Check::Dup, Status::Passed);
        add(&mut report, Check::Vmap, Status::Passed);
        let wanted = [
            "system", "4 KiB", "ok", "-", "FAILED", "-", "-", "-", "ok", "ok", "-", "skipped", "1",
        ];
        assert_eq!(cells(&report), Some(wanted.map(str::to_owned).to_vec()));
        add(&mut report, Check::Fork, Status::Failed("no".into()));
        assert_eq!(
            cells(&report).and_then(|cells| cells.get(8).cloned()),
            Some("FAILED".into())
        );
    }
}
