// SPDX-License-Identifier: GPL-2.0

//! `dmaheap-kselftest`: tests of dma-buf heaps from userspace.
//!
//! Prints TAP version 13 and exits as a kselftest does: 0 passed, 1 failed,
//! 4 skipped. Arguments are heap names; without any, every heap of the module
//! rust_dma_heap is tested. On one of the kernel's own heaps the same tests
//! run, and those that it is known to answer differently are skipped by name.

#![forbid(unsafe_code)]

mod abi;
mod bad_input;
mod camera;
mod child;
mod coherence;
mod contended_area;
mod describe;
mod device;
mod dirty_tracking;
mod edu;
mod exhaustion;
mod faults;
mod fences;
mod foreign_access;
mod graphics;
mod held_pages;
mod holders;
mod importer;
mod limit_contention;
mod limits;
mod map_at_mmap;
mod map_failure;
mod mapping_cache;
mod memory;
mod mmap;
mod numa;
mod op_counters;
mod options;
mod outcome;
mod patience;
mod permission;
mod pinning;
mod pool;
mod pool_eviction;
mod pool_fixture;
mod pressure;
mod remapping;
mod sequences;
mod sharing;
mod system;
mod target;
mod unbinding;
mod unloading;
mod users;
mod zeroing;

use dma_heap::pattern;
use dmaheap_tap::Tap;
use options::NoOptions;
use options::Options;
use outcome::Failure;
use outcome::Outcome;
use outcome::TestResult;
use std::process::ExitCode;
use target::Target;

/// A test: what it asserts, and how.
type Test = (&'static str, fn(&Target) -> TestResult);

/// A subject, by the name that selects it, and its tests.
type Topic = (&'static str, &'static [Test]);

/// All tests in the order of their running: the harmless ones first, those
/// that use up memory last.
const TOPICS: &[Topic] = &[
    ("abi", abi::TESTS),
    ("bad-input", bad_input::TESTS),
    ("permission", permission::TESTS),
    ("mmap", mmap::TESTS),
    ("remapping", remapping::TESTS),
    ("faults", faults::TESTS),
    ("foreign-access", foreign_access::TESTS),
    ("pinning", pinning::TESTS),
    ("sharing", sharing::TESTS),
    ("memory", memory::TESTS),
    ("zeroing", zeroing::TESTS),
    ("dirty-tracking", dirty_tracking::TESTS),
    ("pool", pool::TESTS),
    ("pool-eviction", pool_eviction::TESTS),
    ("held-pages", held_pages::TESTS),
    ("numa", numa::TESTS),
    ("importer", importer::TESTS),
    ("describe", describe::TESTS),
    ("holders", holders::TESTS),
    ("mapping-cache", mapping_cache::TESTS),
    ("coherence", coherence::TESTS),
    ("edu", edu::TESTS),
    ("unbinding", unbinding::TESTS),
    ("map-failure", map_failure::TESTS),
    ("graphics", graphics::TESTS),
    ("camera", camera::TESTS),
    ("fences", fences::TESTS),
    ("unloading", unloading::TESTS),
    ("limits", limits::TESTS),
    ("users", users::TESTS),
    ("limit-contention", limit_contention::TESTS),
    ("exhaustion", exhaustion::TESTS),
    ("pressure", pressure::TESTS),
    ("contended-area", contended_area::TESTS),
];

/// Random sequences of an ordinary run.
const SEQUENCES: u64 = 100;

const HELP: &str = "\
Usage: dmaheap-kselftest [--only=TOPIC,...] [--seed=NUMBER] [--sequences=COUNT]
                         [HEAP]...

Tests dma-buf heaps and prints TAP version 13. HEAP is a name in /dev/dma_heap;
the default is every heap of the module rust_dma_heap. Tests that need a device
are skipped unless the module dma_buf_test_importer is loaded. Tests with the
kernel's own importers are skipped unless vgem, bochs (with its screen) and
vivid (n_devs=2 allocators=0,1) are loaded. NUMBER is the seed that an earlier
run printed: it repeats that run's random numbers. COUNT is how many random
sequences the topic coherence tests on each heap (default 100).

On a slow machine, set DMAHEAP_PATIENCE=NUMBER in the environment: the tests
then wait NUMBER times as long.

Exit status: 0 passed, 1 failed, 4 skipped (nothing could be tested)

Topics: ";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Children wait as long.
    let patience = patience::read();
    if let Some(role) = child::role(&arguments) {
        return role;
    }
    let topics: Vec<&str> = TOPICS.iter().map(|(name, _)| *name).collect();
    let options = match Options::parse(arguments.iter().map(String::as_str), &topics) {
        Ok(options) => options,
        Err(NoOptions::Help) => {
            println!("{HELP}{}", topics.join(", "));
            return ExitCode::SUCCESS;
        }
        Err(NoOptions::Wrong(what)) => {
            eprintln!("error: {what}\n\n{HELP}{}", topics.join(", "));
            return ExitCode::FAILURE;
        }
    };
    let mut tap = Tap::start();
    if let Err(what) = patience {
        return tap.bail_out(&what);
    }
    let Some(seed) = options.seed.or_else(|| pattern::random_word().ok()) else {
        return tap.bail_out("the kernel has no random number: name one with --seed=NUMBER");
    };
    let names = if options.heaps.is_empty() {
        match own_heaps() {
            Ok(names) if names.is_empty() => {
                return tap.skip_all(
                    "no heap of the module rust_dma_heap: load it with `modprobe rust_dma_heap`, \
                     or name a heap",
                );
            }
            Ok(names) => names,
            Err(error) => return tap.bail_out(&error.to_string()),
        }
    } else {
        options.heaps.clone()
    };
    let mut targets = Vec::new();
    for name in names {
        match Target::open(&name, seed, options.sequences.unwrap_or(SEQUENCES)) {
            Ok(target) => targets.push(target),
            Err(error) if system::is_denied(error.errno()) => {
                return tap.skip_all(&error.to_string());
            }
            Err(error) => return tap.bail_out(&error.to_string()),
        }
    }
    let tests: Vec<&Test> = TOPICS
        .iter()
        .filter(|(topic, _)| options.wants(topic))
        .flat_map(|(_, tests)| *tests)
        .collect();
    tap.plan(targets.len() * tests.len());
    tap.note(&format!("random numbers: --seed={seed:#x}"));
    for target in &targets {
        for (name, test) in &tests {
            let text = format!("{}: {name}", target.name());
            match test(target) {
                Ok(Outcome::Pass) => tap.pass(&text),
                Ok(Outcome::Skip(reason)) => tap.skip(&text, &reason),
                Err(Failure(why)) => tap.fail(&text, &why),
            }
        }
    }
    tap.finish()
}

fn own_heaps() -> Result<Vec<String>, dma_heap::Error> {
    Ok(dma_heap::heaps()?
        .into_iter()
        .filter(dma_heap::HeapInfo::is_ours)
        .map(|heap| heap.name)
        .collect())
}
