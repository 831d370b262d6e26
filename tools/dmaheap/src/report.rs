// SPDX-License-Identifier: GPL-2.0

//! `dmaheap report`: one file to attach to a bug.
//!
//! What is in it is about the machine and its heaps. Names of the machine, of users and of
//! processes are not.

use crate::Outcome;
use crate::cli::ReportOptions;
use crate::counters;
use crate::counters::Reading;
use crate::list;
use crate::names;
use crate::output;
use anyhow::Context as _;
use dma_heap::MODULE_NAME;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Lines of the kernel log that are shown at most, the latest.
const MOST_LINES: usize = 200;

/// A message of the kernel log has no more bytes.
const MOST_BYTES: usize = 8192;

/// Shows the report, and writes it if asked to.
pub(crate) fn run(options: &ReportOptions) -> anyhow::Result<Outcome> {
    let text = report();
    output::print_text(&text)?;
    if let Some(file) = &options.output {
        fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        output::note(&format!(
            "what stands above is in {}: read it before you send it",
            file.display()
        ));
    }
    Ok(Outcome::Good)
}

/// The report in Markdown. What cannot be read is said, and leaves the rest out of nothing.
fn report() -> String {
    let mut text = String::from("# dmaheap report\n");
    section(&mut text, "Machine", &machine());
    section(&mut text, "Module", &module());
    section(&mut text, "Heaps", &heaps());
    section(&mut text, "Names", &leads());
    section(&mut text, "Counters", &stats());
    section(&mut text, "Contiguous areas", &areas());
    section(&mut text, "IOMMU", &iommu());
    section(&mut text, "Kernel log", &log());
    text
}

fn section(text: &mut String, title: &str, body: &str) {
    let body = match body.trim_end() {
        "" => "nothing",
        body => body,
    };
    // A fence that the body cannot end.
    *text += &format!(
        "\n## {title}\n\n~~~~text\n{}\n~~~~\n",
        body.replace("~~~~", "~~~")
    );
}

/// The heaps, with what `dmaheap list --json` has but the names of users and groups, which may be
/// people's.
fn heaps() -> String {
    let text = list::rows(&[]).and_then(|rows| {
        let mut rows = serde_json::to_value(&rows)?;
        for row in rows.as_array_mut().into_iter().flatten() {
            if let Some(row) = row.as_object_mut() {
                row.remove("owner");
                row.remove("group");
            }
        }
        Ok(serde_json::to_string_pretty(&rows)?)
    });
    text.unwrap_or_else(|error| format!("{error:#}"))
}

/// Compatible names that lead to a heap, and what is wrong in the administrator's lines.
fn leads() -> String {
    let (leads, wrong) = names::leads(Path::new("/"), &dma_heap::registered());
    let lines = leads
        .into_iter()
        .map(|(name, heap)| format!("{name}: {heap}"));
    lines.chain(wrong).collect::<Vec<String>>().join("\n")
}

fn machine() -> String {
    let system = rustix::system::uname();
    let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let os = os
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("unknown")
        .trim_matches('"');
    let board = fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
    let mut lines = vec![
        format!("dmaheap {}", env!("CARGO_PKG_VERSION")),
        format!("system: {os}"),
        format!(
            "kernel: {} {}",
            part(system.release()),
            part(system.machine())
        ),
    ];
    if !board.is_empty() {
        lines.push(format!("board: {}", board.trim_end_matches('\0')));
    }
    for name in ["MemTotal", "MemAvailable", "CmaTotal", "CmaFree"] {
        lines.extend(
            fs::read_to_string("/proc/meminfo")
                .unwrap_or_default()
                .lines()
                .filter(|line| line.starts_with(&format!("{name}:")))
                .map(str::to_owned),
        );
    }
    lines.push(format!("page size: {}", dma_heap::page_size()));
    lines.join("\n")
}

fn module() -> String {
    let folder = Path::new("/sys/module").join(MODULE_NAME);
    if !folder.is_dir() {
        return "not loaded".to_owned();
    }
    let mut lines = vec!["loaded".to_owned()];
    for file in ["version", "srcversion", "taint", "refcnt"] {
        lines.extend(line_of(&folder, file));
    }
    lines.extend(
        entries(&folder.join("parameters"))
            .iter()
            .filter_map(|name| line_of(&folder.join("parameters"), name)),
    );
    lines.join("\n")
}

/// `name: value` of a file that has one line.
fn line_of(folder: &Path, name: &str) -> Option<String> {
    let value = fs::read_to_string(folder.join(name)).ok()?;
    Some(format!("{name}: {}", value.trim()))
}

/// The names in a folder, in order.
fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn stats() -> String {
    let readings = match counters::readings(&[]) {
        Ok(readings) => readings,
        Err(error) => return format!("{error:#}"),
    };
    let mut lines: Vec<String> = readings.iter().flat_map(numbers).collect();
    if !readings.is_empty() && !readings.iter().any(Reading::has_events) {
        lines.push("run as root for the counters of events".to_owned());
    }
    lines.join("\n")
}

fn numbers(reading: &Reading) -> Vec<String> {
    counters::all()
        .filter_map(|it| {
            Some(format!(
                "{} {}: {}",
                reading.heap,
                it.name,
                reading.get(it.name)?
            ))
        })
        .collect()
}

fn areas() -> String {
    let folder = Path::new("/sys/kernel/mm/cma");
    let lines: Vec<String> = entries(folder)
        .iter()
        .flat_map(|area| {
            let files = [
                "total_pages",
                "available_pages",
                "alloc_pages_success",
                "alloc_pages_fail",
            ];
            files.into_iter().filter_map(move |file| {
                Some(format!("{area} {}", line_of(&folder.join(area), file)?))
            })
        })
        .collect();
    lines.join("\n")
}

/// How many groups there are of each type.
fn iommu() -> String {
    let folder = Path::new("/sys/kernel/iommu_groups");
    let mut types: Vec<String> = entries(folder)
        .iter()
        .filter_map(|group| line_of(&folder.join(group), "type"))
        .collect();
    types.sort();
    let mut lines: Vec<String> = Vec::new();
    for group in types.chunk_by(|a, b| a == b) {
        let name = group
            .first()
            .map_or("", |it| it.trim_start_matches("type: "));
        lines.push(format!("{name}: {} groups", group.len()));
    }
    lines.join("\n")
}

/// The module's lines of the kernel log.
fn log() -> String {
    let lines = match kernel_log() {
        Ok(lines) => lines,
        Err(error) => return format!("cannot read /dev/kmsg: {error}; run as root"),
    };
    let ours: Vec<&String> = lines
        .iter()
        .filter(|line| {
            line.contains(MODULE_NAME) || line.contains("dma-heap") || line.contains("dma_heap")
        })
        .collect();
    let skipped = ours.len().saturating_sub(MOST_LINES);
    let shown: Vec<&str> = ours.iter().skip(skipped).map(|it| it.as_str()).collect();
    shown.join("\n")
}

/// The log's messages; each read gives one.
fn kernel_log() -> std::io::Result<Vec<String>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(nonblocking).unwrap_or(0))
        .open("/dev/kmsg")?;
    let mut lines = Vec::new();
    let mut bytes = [0; MOST_BYTES];
    loop {
        match file.read(&mut bytes) {
            Ok(0) => return Ok(lines),
            Ok(len) => {
                let text =
                    String::from_utf8_lossy(bytes.get(..len).unwrap_or_default()).into_owned();
                // Numbers and a semicolon, the message, and lines that begin with a space.
                let message = text.split_once(';').map_or("", |(_, message)| message);
                lines.extend(message.lines().next().map(str::to_owned));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(lines),
            // What was overwritten meanwhile is left out.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_does_not_end_the_quote() {
        let mut text = String::new();
        section(&mut text, "Title", "a\n~~~~\nb\n");
        assert_eq!(text, "\n## Title\n\n~~~~text\na\n~~~\nb\n~~~~\n");
        section(&mut text, "Empty", "");
        assert!(text.contains("\nnothing\n"));
    }
}
