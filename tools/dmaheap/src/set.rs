// SPDX-License-Identifier: GPL-2.0

//! `dmaheap set`.

use crate::Outcome;
use crate::cli::SetOptions;
use crate::counters;
use crate::settings;
use crate::settings::Setting;
use dma_heap::Registered;

/// Sets, and saves if asked to.
pub(crate) fn run(options: &SetOptions) -> anyhow::Result<Outcome> {
    // All of them are understood before the first is written.
    let settings = options
        .settings
        .iter()
        .map(|text| Setting::parse(text))
        .collect::<anyhow::Result<Vec<Setting>>>()?;
    let ours: Vec<Registered> = dma_heap::registered()
        .into_iter()
        .filter(|heap| heap.attributes.is_some())
        .collect();
    if ours.is_empty() {
        return Ok(Outcome::NoHeap);
    }
    let heap = counters::find(&ours, &options.heap)?;
    settings::set(heap, &settings)?;
    if options.save {
        // For the heap by whatever name it has: where the kernel has one of its own, or not.
        let name = heap.name.strip_suffix("-pooled").unwrap_or(&heap.name);
        settings::save(name, &options.settings)?;
    }
    Ok(Outcome::Good)
}
