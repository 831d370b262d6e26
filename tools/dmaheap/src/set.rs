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
        settings::save(&heap.name, &options.settings)?;
    }
    Ok(Outcome::Good)
}
