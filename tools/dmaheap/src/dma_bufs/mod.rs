// SPDX-License-Identifier: GPL-2.0

//! All dma-bufs of the machine, of any exporter, and who has them.
//!
//! Put together from what processes have open and mapped ([`processes`]), what debugfs lists
//! ([`bufinfo`]) and what our heaps say of their own ([`describe`]). Only root sees all of it.

mod bufinfo;
mod describe;
mod processes;

use serde::Serialize;
use std::collections::BTreeMap;

/// A dma-buf.
#[derive(Debug, Default, Serialize)]
pub(crate) struct DmaBuf {
    /// Bytes. Unknown if it is only mapped, and debugfs cannot be read.
    pub(crate) size: Option<u64>,
    /// Who made it: for heaps, the heap's name.
    pub(crate) exporter: Option<String>,
    /// What somebody has called it.
    pub(crate) name: Option<String>,
    /// References to its file: descriptors, mappings, and users in the kernel.
    pub(crate) references: Option<u64>,
    /// The devices that are attached, if it is known.
    pub(crate) devices: Option<Vec<Device>>,
    /// The processes that have it, by number.
    #[serde(serialize_with = "values")]
    pub(crate) holders: BTreeMap<i32, Holder>,
}

/// A process's hold on a buffer.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Holder {
    pub(crate) pid: i32,
    /// The descriptors that lead to it.
    pub(crate) descriptors: Vec<i32>,
    /// How many mappings show it.
    pub(crate) mappings: u64,
    /// How many bytes they have together.
    pub(crate) mapped: u64,
}

/// An attached device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Device {
    pub(crate) name: String,
    /// How often the buffer is mapped for it, if the heap says so.
    pub(crate) maps: Option<u32>,
}

/// A process that has a buffer.
#[derive(Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    /// What it calls itself.
    pub(crate) command: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// By inode number.
    pub(crate) buffers: BTreeMap<u64, DmaBuf>,
    /// Those that have any of them, by number.
    pub(crate) processes: BTreeMap<i32, Process>,
    /// How many processes the caller may not look into.
    pub(crate) unseen: usize,
    /// Whether debugfs told of buffers that no process has, and of devices.
    pub(crate) has_bufinfo: bool,
}

impl Survey {
    /// Looks at the whole machine, as far as the caller may.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let mut survey = Self::default();
        processes::add_to(&mut survey)?;
        // A folder has them in any order.
        for holder in survey
            .buffers
            .values_mut()
            .flat_map(|it| it.holders.values_mut())
        {
            holder.descriptors.sort_unstable();
        }
        bufinfo::add_to(&mut survey);
        describe::add_to(&mut survey);
        Ok(survey)
    }

    fn buffer(&mut self, inode: u64) -> &mut DmaBuf {
        self.buffers.entry(inode).or_default()
    }

    /// Leaves out buffers for which `keep` says no, and processes that then have none.
    pub(crate) fn retain(&mut self, keep: impl Fn(u64, &DmaBuf) -> bool) {
        self.buffers.retain(|inode, buffer| keep(*inode, buffer));
        let buffers = &self.buffers;
        self.processes
            .retain(|pid, _| buffers.values().any(|it| it.holders.contains_key(pid)));
    }
}

impl DmaBuf {
    fn holder(&mut self, pid: i32) -> &mut Holder {
        let holder = self.holders.entry(pid).or_default();
        holder.pid = pid;
        holder
    }
}

/// Text that somebody else has chosen, without what a terminal takes for a command.
fn printable(text: &str) -> String {
    text.chars()
        .map(|it| if it.is_control() { '\u{fffd}' } else { it })
        .collect()
}

/// The values of a map, as a list.
fn values<S: serde::Serializer, K, V: Serialize>(
    map: &BTreeMap<K, V>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(map.values())
}
