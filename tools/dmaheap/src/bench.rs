// SPDX-License-Identifier: GPL-2.0

//! `dmaheap bench`: measures heaps of the module, beside the kernel's own where it has them.

use crate::Outcome;
use crate::cli::BenchOptions;
use crate::output;
use dma_heap::HeapInfo;
use heap_bench::Settings;
use heap_bench::pair;
use heap_bench::pair::Pair;
use heap_bench::record::Kind;

/// Measures the heaps asked for, or all.
pub(crate) fn run(options: &BenchOptions) -> anyhow::Result<Outcome> {
    let heaps = dma_heap::heaps()?;
    if heaps.is_empty() {
        return Ok(Outcome::NoHeap);
    }
    let pairs = pair::pairs_or_alone(&heaps, &options.heaps)?;
    if let Some(text) = alone(&heaps, &pairs) {
        output::note(&text);
    }
    heap_bench::run(&settings(options), &heaps, &pairs)
}

fn settings(options: &BenchOptions) -> Settings {
    Settings {
        kind: Kind::Time,
        brief: true,
        only: options.only.clone(),
        time: options.time,
        config: None,
        json: options.json,
    }
}

/// Says which heaps have nothing to be compared with.
fn alone(heaps: &[HeapInfo], pairs: &[Pair]) -> Option<String> {
    let alone: Vec<&str> = pairs
        .iter()
        .filter(|pair| pair.against.is_none())
        .map(|pair| pair.heap.as_str())
        .collect();
    let first = alone.first()?;
    let mut text = format!(
        "the kernel has no heap of its own to compare with {}",
        alone.join(", ")
    );
    // It may be there under another name.
    if heaps.iter().any(|heap| {
        let is_used = |pair: &Pair| pair.against.as_deref() == Some(&heap.name);
        !heap.is_ours() && !pairs.iter().any(is_used)
    }) {
        text += &format!(" by that name; say which, as in {first}=NAME");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::cli::Command;
    use clap::Parser as _;
    use dma_heap::Attributes;
    use std::time::Duration;

    fn pair(heap: &str, against: Option<&str>) -> Pair {
        Pair {
            heap: heap.into(),
            against: against.map(str::to_owned),
            contiguous: !heap.starts_with("system"),
        }
    }

    fn heap(name: &str, ours: bool) -> HeapInfo {
        HeapInfo {
            name: name.into(),
            other_names: Vec::new(),
            node: name.into(),
            sysfs: None,
            attributes: ours.then(Attributes::default),
            uid: 0,
            gid: 0,
            mode: 0,
        }
    }

    #[test]
    fn nobody_waits_longer_than_20_seconds() {
        let pairs = [
            pair("system-pooled", Some("system")),
            pair("default_cma_region-pooled", Some("default_cma_region")),
        ];
        let time = match Cli::try_parse_from(["dmaheap", "bench"]).map(|cli| cli.command) {
            Ok(Command::Bench(options)) => heap_bench::plan::expected(&settings(&options), &pairs),
            _ => Duration::MAX,
        };
        // Beside this, it waits up to 2 s for a machine at rest, and each case takes a little
        // longer than it was to.
        assert!(time < Duration::from_secs(15), "{time:?}");
    }

    #[test]
    fn what_has_nothing_beside_it_is_named() {
        let area = pair("default_cma_region", None);
        let board = [heap("default_cma_region", true), heap("system", true)];
        assert_eq!(
            alone(&board, &[area.clone(), pair("system", None)]).as_deref(),
            Some("the kernel has no heap of its own to compare with default_cma_region, system")
        );
        let mixed = [heap("default_cma_region", true), heap("reserved", false)];
        assert!(alone(&mixed, &[area]).is_some_and(|it| it.ends_with("default_cma_region=NAME")));
        let both = [heap("system-pooled", true), heap("system", false)];
        assert_eq!(alone(&both, &[pair("system-pooled", Some("system"))]), None);
    }
}
