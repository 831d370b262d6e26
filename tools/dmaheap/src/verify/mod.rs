// SPDX-License-Identifier: GPL-2.0

//! `dmaheap verify`.

mod checks;
mod content;
mod device;
mod progress;
mod report;
mod sharing;

use crate::Outcome;
use crate::cli::VerifyOptions;
use checks::Verifier;
use progress::Progress;
use report::Report;
pub(crate) use sharing::RECEIVE;
pub(crate) use sharing::receive;

/// Checks the heaps asked for, or all.
pub(crate) fn run(options: &VerifyOptions) -> anyhow::Result<Outcome> {
    let all = dma_heap::heaps()?;
    if all.is_empty() {
        if options.json {
            report::print_no_heap()?;
        }
        return Ok(Outcome::NoHeap);
    }
    let heaps = if options.heaps.is_empty() {
        all
    } else {
        crate::list::asked_for(&options.heaps)?
    };
    let sizes = if options.sizes.is_empty() {
        default_sizes(dma_heap::page_size() as u64)
    } else {
        options.sizes.clone()
    };
    let mut report = Report::default();
    let mut verifier = Verifier::new(options.importer)?;
    let progress = Progress::new(heaps.len() * sizes.len());
    for heap in &heaps {
        for size in &sizes {
            let row = progress.step(&heap.name, *size, || verifier.verify(heap, *size));
            report.add(row);
        }
    }
    progress.finish();
    report.print(options.json)?;
    Ok(if report.failed() {
        Outcome::Bad
    } else {
        Outcome::Good
    })
}

/// A page, a length that is no whole page, a block of each kind, a block and a
/// page, and several blocks.
fn default_sizes(page: u64) -> Vec<u64> {
    let mut sizes = vec![page, 12345, 64 << 10, 1 << 20, (1 << 20) + page, 8 << 20];
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_sizes_follow_the_page() {
        assert_eq!(
            default_sizes(4096),
            [4096, 12345, 65536, 1 << 20, (1 << 20) + 4096, 8 << 20]
        );
        assert_eq!(default_sizes(65536).len(), 5);
    }
}
