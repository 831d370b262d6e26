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
mod exhaustion;
mod memory;
mod mmap;
mod outcome;
mod permission;
mod system;
mod tap;
mod target;

use outcome::TestResult;
use std::process::ExitCode;
use tap::Tap;
use target::Target;

/// A test: what it asserts, and how.
type Test = (&'static str, fn(&Target) -> TestResult);

/// All tests in the order of their running: the harmless ones first, those
/// that use up memory last.
const TESTS: [&[Test]; 6] = [
    abi::TESTS,
    bad_input::TESTS,
    permission::TESTS,
    mmap::TESTS,
    memory::TESTS,
    exhaustion::TESTS,
];

const HELP: &str = "\
Usage: dmaheap-kselftest [HEAP]...

Tests dma-buf heaps and prints TAP version 13. HEAP is a name in /dev/dma_heap;
without one, every heap of the module rust_dma_heap is tested.

Exit status: 0 passed, 1 failed, 4 skipped (nothing could be tested)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(role) = child::role(&arguments) {
        return role;
    }
    if arguments.iter().any(|argument| argument.starts_with('-')) {
        println!("{HELP}");
        let asked = arguments.iter().all(|a| a == "--help" || a == "-h");
        return ExitCode::from(if asked { 0 } else { 1 });
    }
    let mut tap = Tap::start();
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
        match Target::open(&name) {
            Ok(target) => targets.push(target),
            Err(error) if system::is_denied(error.errno()) => {
                return tap.skip_all(&error.to_string());
            }
            Err(error) => return tap.bail_out(&error.to_string()),
        }
    }
    tap.plan(targets.len() * TESTS.iter().map(|topic| topic.len()).sum::<usize>());
    for target in &targets {
        for (name, test) in TESTS.iter().copied().flatten() {
            tap.result(target.name(), name, &test(target));
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
