// SPDX-License-Identifier: GPL-2.0

//! What `top` shows, read at one moment.

use crate::counters;
use crate::counters::Reading;
use crate::dma_bufs::Survey;
use crate::settings::number_in;
use procfs::Current as _;
use procfs::Meminfo;
use procfs::MemoryPressure;
use std::path::Path;
use std::time::Instant;

const AREAS: &str = "/sys/kernel/mm/cma";
const AREAS_DEBUG: &str = "/sys/kernel/debug/cma";

/// The machine at one moment.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) time: Instant,
    /// Our heaps.
    pub(super) heaps: Vec<Reading>,
    /// All buffers, of any exporter.
    pub(super) survey: Survey,
    pub(super) areas: Vec<Area>,
    /// How much of the last ten seconds some tasks, and all, waited for memory, in percent.
    pub(super) pressure: Option<(f32, f32)>,
}

/// A contiguous memory area, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) name: String,
    pub(super) total: u64,
    pub(super) free: Option<u64>,
    /// The longest free run, where the kernel has CONFIG_CMA_DEBUGFS.
    pub(super) largest: Option<u64>,
}

impl Sample {
    /// Reads it.
    pub(super) fn take() -> anyhow::Result<Self> {
        let pressure = MemoryPressure::current().ok();
        Ok(Self {
            time: Instant::now(),
            heaps: counters::readings(&[])?,
            survey: Survey::take()?,
            areas: areas(),
            pressure: pressure.map(|it| (it.some.avg10, it.full.avg10)),
        })
    }

    /// The heap of that name.
    pub(super) fn heap(&self, name: &str) -> Option<&Reading> {
        self.heaps.iter().find(|it| it.heap == name)
    }
}

/// Each area, or all of them in one where the kernel does not tell them apart.
fn areas() -> Vec<Area> {
    let page = dma_heap::page_size() as u64;
    let mut found: Vec<Area> = std::fs::read_dir(AREAS)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let name = folder.file_name()?.to_str()?.to_owned();
            let pages = |file: &str| number_in(&folder.join(file))?.checked_mul(page);
            Some(Area {
                total: pages("total_pages")?,
                free: pages("available_pages"),
                largest: largest(&name),
                name,
            })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if found.is_empty() {
        let memory = Meminfo::current().ok();
        found.extend(memory.and_then(|it| {
            Some(Area {
                name: "all areas".to_owned(),
                total: it.cma_total?,
                free: it.cma_free,
                largest: None,
            })
        }));
    }
    found
}

/// The longest free run of an area, in bytes. Debugfs has it in pages.
fn largest(area: &str) -> Option<u64> {
    let file = Path::new(AREAS_DEBUG).join(area).join("maxchunk");
    number_in(&file)?.checked_mul(dma_heap::page_size() as u64)
}
