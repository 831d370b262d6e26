// SPDX-License-Identifier: GPL-2.0

//! `dmaheap-fault-sweep`: for every entry of the module, the n-th allocation
//! fails for n = 1, 2, ... until none fails any more.
//!
//! Each time the call must end with a documented error or do without, nothing
//! may be left, and the next call must work. Needs a kernel with fault
//! injection, and root.
//!
//! Prints TAP version 13: a test for each entry, which says how many distinct
//! allocation sites (by call stack) were failed. Status 0: all passed.

#![forbid(unsafe_code)]

mod entries;
mod failure;
mod injection;
mod state;
mod sweep;
mod tracer;

use dmaheap_tap::Tap;
use failure::Failure;
use failure::fail;
use std::process::ExitCode;
use sweep::Sweep;
use tracer::Tracer;

const HELP: &str = "\
Usage: dmaheap-fault-sweep [--verbose] calls
       dmaheap-fault-sweep [--verbose] devices
       dmaheap-fault-sweep [--verbose] charged
       dmaheap-fault-sweep [--verbose] load MODULE.ko

Makes every allocation below an entry of the module rust_dma_heap fail, one at a
time. `calls` sweeps the calls of programs on each heap, with the module loaded.
`devices` sweeps the calls of importers, with dma_buf_test_importer loaded too.
`charged` sweeps allocations of heaps that charge memory cgroups
(mem_accounting=1). `load` loads and unloads the module, which must not be loaded
before. Needs root, fault injection in the kernel, debugfs and tracefs. --verbose
prints each site.
";

/// What to sweep.
#[derive(Debug, PartialEq, Eq)]
enum What<'a> {
    Calls,
    Devices,
    Charged,
    Load(&'a str),
}

fn parse(arguments: &[String]) -> Option<(What<'_>, bool)> {
    let (verbose, rest) = match arguments {
        [first, rest @ ..] if first == "--verbose" => (true, rest),
        rest => (false, rest),
    };
    let what = match rest {
        [what] if what == "calls" => What::Calls,
        [what] if what == "devices" => What::Devices,
        [what] if what == "charged" => What::Charged,
        [what, path] if what == "load" => What::Load(path),
        _ => return None,
    };
    Some((what, verbose))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--help"] {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some((what, verbose)) = parse(&arguments) else {
        eprint!("{HELP}");
        return ExitCode::FAILURE;
    };
    match run(&what, verbose) {
        Ok(status) => status,
        Err(Failure(what)) => {
            println!("Bail out! {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: &What<'_>, verbose: bool) -> Result<ExitCode, Failure> {
    injection::set_up()?;
    let mut sweep = Sweep::new(Tap::start(), Tracer::start()?, verbose);
    match what {
        What::Load(path) => entries::module::sweep(&mut sweep, path),
        What::Calls => heaps(&mut sweep, |sweep, heap| {
            without_pool(sweep, heap, |sweep| {
                entries::alloc::sweep(sweep, heap);
                entries::cpu::sweep(sweep, heap);
            })?;
            entries::alloc::allocate(sweep, heap, entries::MIXED);
            entries::knobs::sweep(sweep, heap);
            entries::knobs::sweep_filled(sweep, heap);
            entries::threads::sweep(sweep, heap);
            Ok(())
        })?,
        What::Charged => heaps(&mut sweep, |sweep, heap| {
            let info = dma_heap::HeapInfo::of(heap.name())?;
            if info.attribute("mem_accounting") == Some(1) {
                entries::alloc::sweep(sweep, heap);
            }
            Ok(())
        })?,
        What::Devices => heaps(&mut sweep, |sweep, heap| {
            without_pool(sweep, heap, |sweep| entries::device::sweep(sweep, heap))
        })?,
    }
    Ok(sweep.finish())
}

/// Calls `each` with every heap of the module.
fn heaps(
    sweep: &mut Sweep,
    each: impl Fn(&mut Sweep, &dma_heap::Heap) -> Result<(), Failure>,
) -> Result<(), Failure> {
    sweep.heaps = dma_heap::heaps()?
        .into_iter()
        .filter(dma_heap::HeapInfo::is_ours)
        .collect();
    if sweep.heaps.is_empty() {
        return fail("the module rust_dma_heap is not loaded");
    }
    for info in sweep.heaps.clone() {
        each(sweep, &dma_heap::Heap::open(&info.name)?)?;
    }
    Ok(())
}

/// A pool that keeps nothing, so that all memory is got and given back.
fn without_pool(
    sweep: &mut Sweep,
    heap: &dma_heap::Heap,
    test: impl FnOnce(&mut Sweep),
) -> Result<(), Failure> {
    let info = dma_heap::HeapInfo::of(heap.name())?;
    let (Some(sysfs), Some(cap)) = (&info.sysfs, info.attribute("pool_cap")) else {
        return fail(format!("{} has no pool_cap", heap.name()));
    };
    let knob = sysfs.join("pool_cap");
    std::fs::write(&knob, "0")?;
    test(sweep);
    std::fs::write(&knob, cap.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_say_what_to_sweep() {
        let parsed = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            parse(&words).map(|(what, verbose)| (format!("{what:?}"), verbose))
        };
        assert_eq!(parsed(&["calls"]), Some(("Calls".into(), false)));
        assert_eq!(
            parsed(&["--verbose", "load", "m.ko"]),
            Some(("Load(\"m.ko\")".into(), true))
        );
        assert_eq!(parsed(&[]), None);
        assert_eq!(parsed(&["load"]), None);
        assert_eq!(parsed(&["calls", "more"]), None);
    }
}
