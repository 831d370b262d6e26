// SPDX-License-Identifier: GPL-2.0

//! `dmaheap holders`.

use crate::Outcome;
use crate::cli::HoldersOptions;
use crate::cli::HoldersView;
use crate::dma_bufs::DmaBuf;
use crate::dma_bufs::Holder;
use crate::dma_bufs::Process;
use crate::dma_bufs::Survey;
use crate::output;
use crate::quantity::format_count;
use crate::quantity::format_size_short;
use anyhow::Context as _;
use serde::Serialize;

/// The whole answer as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    buffers: Vec<Buffer<'a>>,
    processes: Vec<&'a Process>,
    /// Processes that the caller may not look into.
    unseen_processes: usize,
}

/// A buffer as JSON shows it.
#[derive(Debug, Serialize)]
struct Buffer<'a> {
    inode: u64,
    #[serde(flatten)]
    buffer: &'a DmaBuf,
}

/// Shows who has which buffers.
pub(crate) fn run(options: &HoldersOptions) -> anyhow::Result<Outcome> {
    let mut survey = Survey::take()?;
    // All, unless a process is asked for.
    let mut shown: Vec<i32> = survey.processes.keys().copied().collect();
    if let Some(who) = &options.who {
        let meant: Vec<i32> = survey
            .processes
            .values()
            .filter(|process| is_meant(who, process))
            .map(|process| process.pid)
            .collect();
        survey.retain(|inode, buffer| {
            who.parse() == Ok(inode)
                || buffer.exporter.as_ref() == Some(who)
                || buffer.name.as_ref() == Some(who)
                || meant.iter().any(|pid| buffer.holders.contains_key(pid))
        });
        if survey.buffers.is_empty() {
            limits_of_sight(&survey);
            output::note(&format!(
                "no buffer is called {who}, comes from such a heap, or has that inode number, and \
                 no such process has any; `dmaheap holders` shows all"
            ));
            return Ok(Outcome::Bad);
        }
        if !meant.is_empty() {
            shown = meant;
        }
    }
    if options.json {
        output::print_json(&document(&survey))?;
    } else {
        let rows = match options.by {
            HoldersView::Process => by_process(&survey, &shown),
            HoldersView::Buffer => by_buffer(&survey),
            HoldersView::Table => cross_table(&survey),
        };
        if options.csv {
            print_csv(&rows)?;
        } else {
            print(&rows, &survey)?;
        }
    }
    limits_of_sight(&survey);
    Ok(Outcome::Good)
}

/// Whether a word of the command line means this process.
fn is_meant(who: &str, process: &Process) -> bool {
    who.parse() == Ok(process.pid) || who == process.command
}

fn document(survey: &Survey) -> Document<'_> {
    Document {
        buffers: survey
            .buffers
            .iter()
            .map(|(inode, buffer)| Buffer {
                inode: *inode,
                buffer,
            })
            .collect(),
        processes: survey.processes.values().collect(),
        unseen_processes: survey.unseen,
    }
}

/// What stands in a place of a table.
#[derive(Clone, Debug)]
enum Cell {
    Text(String),
    Number(u64),
    Bytes(u64),
    Unknown,
}

impl Cell {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn optional(text: &Option<String>) -> Self {
        match text.as_deref() {
            None | Some("") => Self::Unknown,
            Some(text) => Self::text(text),
        }
    }

    fn size(bytes: Option<u64>) -> Self {
        bytes.map_or(Self::Unknown, Self::Bytes)
    }

    fn count(items: usize) -> Self {
        // Lossless: usize is at most 64 bits wide on every Linux.
        Self::Number(items as u64)
    }

    /// For people.
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Bytes(bytes) => format_size_short(*bytes),
            Self::Unknown => "-".to_owned(),
        }
    }

    /// For programs: bytes, and nothing for what is unknown.
    fn raw(&self) -> String {
        match self {
            Self::Bytes(bytes) => bytes.to_string(),
            Self::Unknown => String::new(),
            _ => self.shown(),
        }
    }
}

/// A header and what stands below it.
struct Rows {
    header: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Rows {
    fn new(header: &[&str]) -> Self {
        Self {
            header: header.iter().map(|&word| word.to_owned()).collect(),
            rows: Vec::new(),
        }
    }
}

/// A line for each buffer of each of these processes, and of those that only the kernel has.
fn by_process(survey: &Survey, shown: &[i32]) -> Rows {
    let mut table = Rows::new(&[
        "PID", "COMMAND", "INODE", "SIZE", "FDS", "MAPPED", "SHARED", "EXPORTER", "NAME",
    ]);
    let mut add = |process: [Cell; 2], inode: u64, buffer: &DmaBuf, hold: [Cell; 2]| {
        let mut row = Vec::from(process);
        row.extend([Cell::Number(inode), Cell::size(buffer.size)]);
        row.extend(hold);
        row.extend([
            Cell::count(buffer.holders.len()),
            Cell::optional(&buffer.exporter),
            Cell::optional(&buffer.name),
        ]);
        table.rows.push(row);
    };
    for pid in shown {
        for (inode, buffer) in &survey.buffers {
            let Some(holder) = buffer.holders.get(pid) else {
                continue;
            };
            let command = survey.processes.get(pid).map(|it| it.command.clone());
            add(
                [Cell::Text(pid.to_string()), Cell::optional(&command)],
                *inode,
                buffer,
                [Cell::count(holder.descriptors.len()), mapped(holder)],
            );
        }
    }
    for (inode, buffer) in survey.buffers.iter().filter(|it| it.1.holders.is_empty()) {
        add(
            [Cell::Unknown, Cell::text("(kernel)")],
            *inode,
            buffer,
            [Cell::Unknown, Cell::Unknown],
        );
    }
    table
}

/// A line for each buffer.
fn by_buffer(survey: &Survey) -> Rows {
    let mut table = Rows::new(&[
        "INODE",
        "SIZE",
        "EXPORTER",
        "NAME",
        "REFERENCES",
        "PROCESSES",
        "DEVICES",
    ]);
    for (inode, buffer) in &survey.buffers {
        let holders: Vec<String> = buffer
            .holders
            .values()
            .map(|holder| format!("{} ({})", process(survey, holder.pid), hold(holder)))
            .collect();
        table.rows.push(vec![
            Cell::Number(*inode),
            Cell::size(buffer.size),
            Cell::optional(&buffer.exporter),
            Cell::optional(&buffer.name),
            buffer.references.map_or(Cell::Unknown, Cell::Number),
            Cell::Text(list(&holders, "none, only the kernel")),
            devices(buffer),
        ]);
    }
    table
}

/// A line for each buffer, a column for each process.
fn cross_table(survey: &Survey) -> Rows {
    let mut table = Rows::new(&["INODE", "SIZE"]);
    let pids: Vec<i32> = survey.processes.keys().copied().collect();
    table
        .header
        .extend(pids.iter().map(|pid| process(survey, *pid)));
    for (inode, buffer) in &survey.buffers {
        let mut row = vec![Cell::Number(*inode), Cell::size(buffer.size)];
        row.extend(pids.iter().map(|pid| match buffer.holders.get(pid) {
            Some(holder) => Cell::Text(hold(holder)),
            None => Cell::Unknown,
        }));
        table.rows.push(row);
    }
    table
}

fn list(items: &[String], none: &str) -> String {
    match items {
        [] => none.to_owned(),
        items => items.join(", "),
    }
}

fn process(survey: &Survey, pid: i32) -> String {
    match survey.processes.get(&pid) {
        Some(process) => format!("{pid} {}", process.command),
        None => pid.to_string(),
    }
}

fn mapped(holder: &Holder) -> Cell {
    match holder.mappings {
        0 => Cell::Unknown,
        _ => Cell::Bytes(holder.mapped),
    }
}

/// What a process has of a buffer, in two words.
fn hold(holder: &Holder) -> String {
    match (holder.descriptors.len(), holder.mappings) {
        (fds, 0) => format!("{fds} fd"),
        (0, _) => "mapped".to_owned(),
        (fds, _) => format!("{fds} fd, mapped"),
    }
}

fn devices(buffer: &DmaBuf) -> Cell {
    let Some(devices) = &buffer.devices else {
        return Cell::text("unknown");
    };
    let names: Vec<String> = devices
        .iter()
        .map(|device| match device.maps {
            Some(maps) if maps > 0 => format!("{} (mapped)", device.name),
            _ => device.name.clone(),
        })
        .collect();
    Cell::Text(list(&names, "none"))
}

fn print(table: &Rows, survey: &Survey) -> anyhow::Result<()> {
    if survey.buffers.is_empty() {
        return output::print_text("no process has a dma-buf\n");
    }
    let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
    let mut lines = output::table(&header);
    for row in &table.rows {
        lines.add_row(row.iter().map(Cell::shown));
    }
    output::print_table(&lines)?;
    let bytes: u64 = survey.buffers.values().filter_map(|it| it.size).sum();
    output::print_text(&format!(
        "{}, {}, in {}\n",
        format_count(survey.buffers.len(), "buffer", "buffers"),
        format_size_short(bytes),
        format_count(survey.processes.len(), "process", "processes")
    ))
}

fn print_csv(table: &Rows) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(&table.header)
        .context("cannot write CSV")?;
    for row in &table.rows {
        writer
            .write_record(row.iter().map(Cell::raw))
            .context("cannot write CSV")?;
    }
    let bytes = writer.into_inner().context("cannot write CSV")?;
    output::print_text(&String::from_utf8_lossy(&bytes))
}

/// Says what the answer cannot have in it.
fn limits_of_sight(survey: &Survey) {
    if survey.unseen > 0 {
        output::note(&format!(
            "{} of others cannot be looked into: as root you see what they have, too",
            format_count(survey.unseen, "process", "processes")
        ));
    } else if !survey.has_bufinfo {
        output::note(
            "buffers that only the kernel has, and devices of other exporters' buffers, are not \
             shown: mount debugfs on /sys/kernel/debug, as root",
        );
    }
}
