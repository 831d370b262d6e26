// SPDX-License-Identifier: GPL-2.0

//! `dmaheap bench`: measures heaps of the module against the kernel's own.

use crate::Outcome;
use crate::cli::BenchOptions;
use heap_bench::Settings;
use heap_bench::pair;
use heap_bench::record::Kind;

/// Measures the heaps asked for, or all.
pub(crate) fn run(options: &BenchOptions) -> anyhow::Result<Outcome> {
    let heaps = dma_heap::heaps()?;
    if heaps.is_empty() {
        return Ok(Outcome::NoHeap);
    }
    let pairs = pair::pairs(&heaps, &options.heaps)?;
    let settings = Settings {
        kind: Kind::Time,
        only: options.only.clone(),
        time: options.time,
        config: None,
        json: options.json,
    };
    heap_bench::run(&settings, &heaps, &pairs)
}
