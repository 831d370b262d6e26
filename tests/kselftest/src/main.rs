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
mod child;
mod coherence;
mod device;
mod exhaustion;
mod importer;
mod limits;
mod memory;
mod mmap;
mod outcome;
mod permission;
mod remapping;
mod rng;
mod sharing;
mod system;
mod tap;
mod target;
mod unloading;
mod zeroing;

use dma_heap::pattern;
use outcome::TestResult;
use std::process::ExitCode;
use tap::Tap;
use target::Target;

/// A test: what it asserts, and how.
type Test = (&'static str, fn(&Target) -> TestResult);

/// All tests in the order of their running: the harmless ones first, those
/// that use up memory last.
const TESTS: [&[Test]; 13] = [
    abi::TESTS,
    bad_input::TESTS,
    permission::TESTS,
    mmap::TESTS,
    remapping::TESTS,
    sharing::TESTS,
    memory::TESTS,
    zeroing::TESTS,
    importer::TESTS,
    coherence::TESTS,
    unloading::TESTS,
    limits::TESTS,
    exhaustion::TESTS,
];

const HELP: &str = "\
Usage: dmaheap-kselftest [--seed=NUMBER] [HEAP]...

Tests dma-buf heaps and prints TAP version 13. HEAP is a name in /dev/dma_heap;
without one, every heap of the module rust_dma_heap is tested. Tests that need
a device are skipped unless the module dma_buf_test_importer is loaded. NUMBER
is what an earlier run printed, to have its random numbers again.

Exit status: 0 passed, 1 failed, 4 skipped (nothing could be tested)";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(role) = child::role(&arguments) {
        return role;
    }
    let seed = take_seed(&mut arguments).or_else(|| pattern::random_word().ok());
    if arguments.iter().any(|argument| argument.starts_with('-')) {
        println!("{HELP}");
        let asked = arguments.iter().all(|a| a == "--help" || a == "-h");
        return ExitCode::from(if asked { 0 } else { 1 });
    }
    let mut tap = Tap::start();
    let Some(seed) = seed else {
        return tap.bail_out("the kernel has no random number: name one with --seed=NUMBER");
    };
    let names = if arguments.is_empty() {
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
        arguments
    };
    let mut targets = Vec::new();
    for name in names {
        match Target::open(&name, seed) {
            Ok(target) => targets.push(target),
            Err(error) if system::is_denied(error.errno()) => {
                return tap.skip_all(&error.to_string());
            }
            Err(error) => return tap.bail_out(&error.to_string()),
        }
    }
    tap.plan(targets.len() * TESTS.iter().map(|topic| topic.len()).sum::<usize>());
    tap.diagnostic(&format!("random numbers: --seed={seed:#x}"));
    for target in &targets {
        for (name, test) in TESTS.iter().copied().flatten() {
            tap.result(target.name(), name, &test(target));
        }
    }
    tap.finish()
}

/// Takes the option `--seed=NUMBER`, hexadecimal after `0x`, out of the
/// arguments. What is no such option stays there.
fn take_seed(arguments: &mut Vec<String>) -> Option<u64> {
    let seed = |argument: &String| {
        let number = argument.strip_prefix("--seed=")?;
        match number.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => number.parse().ok(),
        }
    };
    let found = arguments.iter().find_map(seed);
    arguments.retain(|argument| seed(argument).is_none());
    found
}

fn own_heaps() -> Result<Vec<String>, dma_heap::Error> {
    Ok(dma_heap::heaps()?
        .into_iter()
        .filter(dma_heap::HeapInfo::is_ours)
        .map(|heap| heap.name)
        .collect())
}
