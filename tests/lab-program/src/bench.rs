// SPDX-License-Identifier: GPL-2.0

//! `dmaheap-lab bench`: measures heaps of the module against the kernel's own, or those alone.

use crate::cli::BenchOptions;
use command_line::Outcome;
use heap_bench::Settings;
use heap_bench::pair;
use heap_bench::record::Kind;

/// Measures the heaps asked for, or all.
pub(crate) fn run(options: &BenchOptions) -> anyhow::Result<Outcome> {
    let heaps = dma_heap::heaps()?;
    if heaps.is_empty() {
        return Ok(Outcome::NoHeap);
    }
    let (kind, pairs) = match (options.control, options.icount) {
        (true, _) => (Kind::Control, pair::controls(&heaps, &options.heaps)?),
        (_, true) => (Kind::Instructions, pair::pairs(&heaps, &options.heaps)?),
        _ => (Kind::Time, pair::pairs(&heaps, &options.heaps)?),
    };
    let settings = Settings {
        kind,
        brief: false,
        only: options.only.clone(),
        time: options.time,
        config: options.config.clone(),
        json: options.json,
    };
    heap_bench::run(&settings, &heaps, &pairs)
}
