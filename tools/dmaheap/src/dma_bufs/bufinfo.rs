// SPDX-License-Identifier: GPL-2.0

//! What debugfs lists of dma-bufs: also those that no process has, and attached devices.
//!
//! Made by `dma_buf_debug_show()` in drivers/dma-buf/dma-buf.c. Names may contain anything, line
//! ends too: what processes say of a buffer counts more.

use super::Device;
use super::Survey;
use super::printable;
use std::fs;

const FILE: &str = "/sys/kernel/debug/dma_buf/bufinfo";

/// Adds what the file says, if the caller may read it.
pub(super) fn add_to(survey: &mut Survey) {
    let Ok(text) = fs::read(FILE) else { return };
    survey.has_bufinfo = true;
    for entry in entries(&String::from_utf8_lossy(&text)) {
        let buffer = survey.buffer(entry.inode);
        buffer.size = buffer.size.or(Some(entry.size));
        buffer.references = buffer.references.or(Some(entry.count));
        buffer.exporter = buffer.exporter.take().or(Some(entry.exporter));
        buffer.name = buffer.name.take().or(entry.name);
        buffer.devices = Some(entry.devices);
    }
}

/// A buffer as the file has it.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    inode: u64,
    size: u64,
    count: u64,
    exporter: String,
    name: Option<String>,
    devices: Vec<Device>,
}

impl Entry {
    /// Reads the line that begins a buffer: size, flags, mode, count, exporter, inode, name.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let size = fields.next()?.parse().ok()?;
        let (_flags, _mode) = (fields.next()?, fields.next()?);
        let count = fields.next()?.parse().ok()?;
        let exporter = printable(fields.next()?);
        let inode = fields.next()?.parse().ok()?;
        let name = fields.next().unwrap_or_default();
        Some(Self {
            inode,
            size,
            count,
            exporter,
            // The kernel's word for a buffer without one.
            name: Some(printable(name)).filter(|it| !it.is_empty() && it != "<none>"),
            devices: Vec::new(),
        })
    }
}

fn entries(text: &str) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let mut lists_devices = false;
    for line in text.lines() {
        if let Some(entry) = Entry::parse(line) {
            found.push(entry);
            lists_devices = false;
        } else if line == "\tAttached Devices:" {
            lists_devices = true;
        } else if let (true, Some(name), Some(entry)) =
            (lists_devices, line.strip_prefix('\t'), found.last_mut())
        {
            entry.devices.push(Device {
                name: printable(name.trim_end()),
                maps: None,
            });
        } else {
            lists_devices = false;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\nDma-buf Objects:\n\
        size    \tflags   \tmode    \tcount   \texp_name\tino     \tname    \n\
        08388608\t00000002\t00080007\t00000002\tsystem\t00000009\tframe\n\
        \tkernel fence:drv timeline seq 1 unsignalled\n\
        \tAttached Devices:\n\
        \t0000:00:02.0\n\
        \tvivid.0\n\
        Total 2 devices attached\n\n\
        00004096\t00000002\t00080007\t00000001\tdrm\t00000012\t<none>\n\
        \tAttached Devices:\n\
        Total 0 devices attached\n\n\
        \nTotal 2 objects, 8392704 bytes\n";

    #[test]
    fn buffers_with_their_devices() {
        let device = |name: &str| Device {
            name: name.into(),
            maps: None,
        };
        let wanted = [
            Entry {
                inode: 9,
                size: 8 << 20,
                count: 2,
                exporter: "system".into(),
                name: Some("frame".into()),
                devices: vec![device("0000:00:02.0"), device("vivid.0")],
            },
            Entry {
                inode: 12,
                size: 4096,
                count: 1,
                exporter: "drm".into(),
                name: None,
                devices: vec![],
            },
        ];
        assert_eq!(entries(TEXT), wanted);
    }
}
