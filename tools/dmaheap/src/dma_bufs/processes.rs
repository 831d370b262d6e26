// SPDX-License-Identifier: GPL-2.0

//! Which dma-bufs processes have open, and which they have mapped.
//!
//! A mapping keeps a buffer whose descriptors are all closed, so both are looked at.

use super::Process;
use super::Survey;
use super::printable;
use anyhow::Context as _;
use procfs::FromRead as _;
use procfs::process::FDTarget;
use procfs::process::MemoryMaps;
use std::io::Read as _;
use std::path::Path;

/// How the kernel names the file of a dma-buf, before what it was called.
const PREFIX: &str = "/dmabuf:";

/// Looks into each process.
pub(super) fn add_to(survey: &mut Survey) -> anyhow::Result<()> {
    for process in procfs::process::all_processes().context("cannot read /proc")? {
        // One that ends meanwhile has nothing any more.
        let Ok(process) = process else { continue };
        let descriptors = add_descriptors(survey, &process);
        let mappings = add_mappings(survey, &process);
        match (descriptors, mappings) {
            (Ok(0), Ok(0)) => {}
            (Ok(_), Ok(_)) => note(survey, &process),
            (descriptors, mappings) => {
                if descriptors.is_ok_and(|it| it > 0) || mappings.is_ok_and(|it| it > 0) {
                    note(survey, &process);
                }
                if process.is_alive() {
                    survey.unseen += 1;
                }
            }
        }
    }
    Ok(())
}

/// Notes who a process is that has a buffer.
fn note(survey: &mut Survey, process: &procfs::process::Process) {
    let pid = process.pid();
    let command = process.stat().map_or_else(|_| "?".into(), |it| it.comm);
    survey.processes.insert(
        pid,
        Process {
            pid,
            uid: process.uid().unwrap_or(u32::MAX),
            command: printable(&command),
        },
    );
}

/// What a process has open. Returns how many descriptors lead to buffers.
fn add_descriptors(
    survey: &mut Survey,
    process: &procfs::process::Process,
) -> procfs::ProcResult<usize> {
    let mut found = 0;
    for info in process.fd()? {
        let Ok(info) = info else { continue };
        let FDTarget::Path(path) = info.target else {
            continue;
        };
        if !is_dma_buf(&path) {
            continue;
        }
        // Closed meanwhile, or of a kernel that does not tell the inode.
        let Some(file) = FdInfo::read(process, info.fd) else {
            continue;
        };
        let buffer = survey.buffer(file.inode);
        buffer.size = file.size.or(buffer.size);
        buffer.references = file.count.or(buffer.references);
        buffer.exporter = file.exporter.or(buffer.exporter.take());
        buffer.name = file.name.or(buffer.name.take());
        buffer.holder(process.pid()).descriptors.push(info.fd);
        found += 1;
    }
    Ok(found)
}

fn is_dma_buf(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.starts_with(PREFIX))
}

/// What the kernel says of a descriptor of a dma-buf.
#[derive(Debug, Default, PartialEq, Eq)]
struct FdInfo {
    inode: u64,
    size: Option<u64>,
    count: Option<u64>,
    exporter: Option<String>,
    name: Option<String>,
}

impl FdInfo {
    fn read(process: &procfs::process::Process, fd: i32) -> Option<Self> {
        let mut text = Vec::new();
        process
            .open_relative(format!("fdinfo/{fd}"))
            .ok()?
            .read_to_end(&mut text)
            .ok()?;
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// Each key counts where it is first: a name comes last, and may contain anything.
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"))
        };
        let number = |key| value(key)?.trim().parse().ok();
        Some(Self {
            inode: number("ino")?,
            size: number("size"),
            count: number("count"),
            exporter: value("exp_name").map(printable),
            name: value("name").map(printable),
        })
    }
}

/// What a process has mapped. Returns how many mappings show buffers.
fn add_mappings(
    survey: &mut Survey,
    process: &procfs::process::Process,
) -> procfs::ProcResult<usize> {
    let mut text = Vec::new();
    process.open_relative("maps")?.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    // Most lines are of no interest, and may have been made to be hard to read.
    let ours: Vec<&str> = text.lines().filter(|line| shows_dma_buf(line)).collect();
    let mut found = 0;
    for map in MemoryMaps::from_read(ours.join("\n").as_bytes())? {
        let procfs::process::MMapPath::Path(path) = &map.pathname else {
            continue;
        };
        if !is_dma_buf(path) {
            continue;
        }
        let (start, end) = map.address;
        let buffer = survey.buffer(map.inode);
        let called = path.to_str().and_then(|it| it.strip_prefix(PREFIX));
        if buffer.name.is_none() {
            buffer.name = called.filter(|it| !it.is_empty()).map(printable);
        }
        let holder = buffer.holder(process.pid());
        holder.mappings += 1;
        holder.mapped += end.saturating_sub(start);
        found += 1;
    }
    Ok(found)
}

/// Whether a line of maps is about a dma-buf: its sixth word is the path.
fn shows_dma_buf(line: &str) -> bool {
    let path = line.split_ascii_whitespace().nth(5);
    path.is_some_and(|it| it.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_elsewhere_is_no_dma_buf() {
        let line = |path: &str| format!("00400000-00401000 rw-s 00000000 00:0a 12    {path}");
        assert!(shows_dma_buf(&line("/dmabuf:a name")));
        for path in ["/SYSV/dmabuf:x", "/tmp/dmabuf:x", "x /dmabuf:", ""] {
            assert!(!shows_dma_buf(&line(path)), "{path}");
        }
    }

    #[test]
    fn a_descriptor_says_what_it_is() {
        let text = "pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t77\nsize:\t8192\ncount:\t3\n\
                    exp_name:\tsystem\nname:\tframe\nino:\t1\n";
        let wanted = FdInfo {
            inode: 77,
            size: Some(8192),
            count: Some(3),
            exporter: Some("system".into()),
            name: Some("frame".into()),
        };
        assert_eq!(FdInfo::parse(text), Some(wanted));
        assert_eq!(FdInfo::parse("pos:\t0\n"), None);
    }

    #[test]
    fn a_name_is_no_command_for_a_terminal() {
        let text = "ino:\t1\nname:\ta\u{1b}[2Jb\n";
        let name = FdInfo::parse(text).and_then(|it| it.name);
        assert_eq!(name.as_deref(), Some("a\u{fffd}[2Jb"));
    }
}
