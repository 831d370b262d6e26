// SPDX-License-Identifier: GPL-2.0

//! What a heap of the module counts, in sysfs and debugfs.
//!
//! docs/tuning.md says what each means.

use crate::settings::number_in;
use dma_heap::Registered;
use std::path::Path;
use std::path::PathBuf;

/// Where the module's counters are, below the heap's name.
const DEBUGFS: &str = "/sys/kernel/debug/rust_dma_heap";

/// What a number is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    /// How many there are, or how often something happened.
    Number,
    Milliseconds,
    /// 0 or 1.
    Flag,
}

/// How a number changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Up and down.
    Gauge,
    /// Up only, from the module's load on.
    Counter,
}

/// A number that a heap tells.
#[derive(Debug)]
pub(crate) struct Counter {
    /// The file.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    /// What it counts, for people.
    pub(crate) about: &'static str,
}

const fn gauge(name: &'static str, unit: Unit, about: &'static str) -> Counter {
    Counter {
        name,
        kind: Kind::Gauge,
        unit,
        about,
    }
}

const fn counter(name: &'static str, unit: Unit, about: &'static str) -> Counter {
    Counter {
        name,
        kind: Kind::Counter,
        unit,
        about,
    }
}

/// Those in sysfs, for everyone to read.
pub(crate) const ATTRIBUTES: [Counter; 8] = [
    gauge("used", Unit::Bytes, "that living buffers take"),
    gauge("limit", Unit::Bytes, "that all buffers together may take"),
    gauge(
        "user_limit",
        Unit::Bytes,
        "that the buffers of one user may take",
    ),
    gauge("pool_held", Unit::Bytes, "that are kept warm"),
    gauge("pool_cap", Unit::Bytes, "that may be kept warm"),
    gauge(
        "pool_trim_ms",
        Unit::Milliseconds,
        "for which idle memory is kept",
    ),
    gauge(
        "keep_mappings",
        Unit::Flag,
        "whether DMA mappings are kept between two maps",
    ),
    gauge(
        "map_at_mmap",
        Unit::Flag,
        "whether mappings have all their pages from the start",
    ),
];

/// Those in debugfs, for root.
pub(crate) const EVENTS: [Counter; 19] = [
    counter("allocations", Unit::Number, "buffers allocated"),
    counter("failures", Unit::Number, "valid requests refused"),
    counter("attaches", Unit::Number, "devices attached"),
    counter("maps", Unit::Number, "maps for a device"),
    counter("mappings", Unit::Number, "DMA mappings made"),
    counter(
        "mappings_dropped",
        Unit::Number,
        "kept mappings ended early",
    ),
    counter("vmaps", Unit::Number, "mappings into the kernel"),
    counter("mmaps", Unit::Number, "mappings into processes"),
    counter("cpu_accesses", Unit::Number, "sync brackets of the CPU"),
    counter("hits", Unit::Bytes, "of new buffers, from kept memory"),
    counter("misses", Unit::Bytes, "of new buffers, newly allocated"),
    counter(
        "zeroed_inline",
        Unit::Bytes,
        "zeroed by the program that allocates",
    ),
    counter(
        "zeroed_background",
        Unit::Bytes,
        "zeroed by the kernel thread",
    ),
    counter(
        "returned_zeroed",
        Unit::Bytes,
        "of ended buffers that nobody could write",
    ),
    counter(
        "returned_dirty",
        Unit::Bytes,
        "of ended buffers that somebody could write",
    ),
    counter("refilled", Unit::Bytes, "allocated in the background"),
    counter("trimmed", Unit::Bytes, "given back because they were idle"),
    counter(
        "reclaimed",
        Unit::Bytes,
        "given back because the machine needed memory",
    ),
    gauge("pool_dirty", Unit::Bytes, "kept and not zeroed yet"),
];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Counter> {
    ATTRIBUTES.iter().chain(&EVENTS)
}

/// A heap's numbers at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) heap: String,
    sysfs: PathBuf,
    values: Vec<(&'static str, u64)>,
}

impl Reading {
    /// Reads what the caller may read.
    pub(crate) fn of(heap: &Registered) -> Self {
        Self::at(heap.name.clone(), heap.sysfs.clone())
    }

    /// One for tests.
    #[cfg(test)]
    pub(crate) fn made_up(heap: &str, values: &[(&'static str, u64)]) -> Self {
        Self {
            heap: heap.to_owned(),
            sysfs: PathBuf::new(),
            values: values.to_vec(),
        }
    }

    /// Reads it anew.
    pub(crate) fn again(&self) -> Self {
        Self::at(self.heap.clone(), self.sysfs.clone())
    }

    fn at(heap: String, sysfs: PathBuf) -> Self {
        let debugfs = Path::new(DEBUGFS).join(&heap);
        let read = |dir: &Path, it: &Counter| Some((it.name, number_in(&dir.join(it.name))?));
        let values = ATTRIBUTES
            .iter()
            .filter_map(|it| read(&sysfs, it))
            .chain(EVENTS.iter().filter_map(|it| read(&debugfs, it)))
            .collect();
        Self {
            heap,
            sysfs,
            values,
        }
    }

    /// One of the numbers, by its file's name.
    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        let found = self.values.iter().find(|(it, _)| *it == name)?;
        Some(found.1)
    }

    /// Whether what only root sees is among them.
    pub(crate) fn has_events(&self) -> bool {
        self.get("allocations").is_some()
    }
}

/// The heaps of the module, or those of them that are named, each by the name that the kernel
/// gives it.
pub(crate) fn readings(names: &[String]) -> anyhow::Result<Vec<Reading>> {
    let ours: Vec<Registered> = dma_heap::registered()
        .into_iter()
        .filter(|heap| heap.attributes.is_some())
        .collect();
    if names.is_empty() {
        return Ok(ours.iter().map(Reading::of).collect());
    }
    names
        .iter()
        .map(|name| Ok(Reading::of(find(&ours, name)?)))
        .collect()
}

/// One of our heaps, by its own name or another.
pub(crate) fn find<'a>(ours: &'a [Registered], name: &str) -> anyhow::Result<&'a Registered> {
    let own = dma_heap::HeapInfo::of(name).ok().and_then(|it| {
        let sysfs = std::fs::canonicalize(it.sysfs?).ok()?;
        Some(sysfs.file_name()?.to_str()?.to_owned())
    });
    let own = own.as_deref().unwrap_or(name);
    ours.iter().find(|heap| heap.name == own).ok_or_else(|| {
        let names: Vec<&str> = ours.iter().map(|heap| heap.name.as_str()).collect();
        anyhow::anyhow!(
            "{name} is no heap of the module rust_dma_heap; its heaps are: {}",
            match &*names {
                [] => "none, load it with `modprobe rust_dma_heap`".to_owned(),
                names => names.join(", "),
            }
        )
    })
}
