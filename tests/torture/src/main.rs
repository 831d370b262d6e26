// SPDX-License-Identifier: GPL-2.0

//! `dmaheap-torture`: what a heap must survive.
//!
//! Prints TAP version 13 and exits as a kselftest does: 0 passed, 1 failed, 4 skipped.

mod adversary;
mod channel;
mod fuzz;
mod heaps;
mod soak;
#[expect(
    unsafe_code,
    reason = "system calls that no safe interface lets through"
)]
mod sys;

use clap::Parser;
use clap::Subcommand;
use std::process::ExitCode;

/// Stress the heaps of the module rust_dma_heap: fuzzer, adversary, soak.
///
/// Needs root, and a machine that may break.
#[derive(Debug, Parser)]
#[command(name = "dmaheap-torture", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do everything that a process can do, in any order, in several processes
    Fuzz(fuzz::Arguments),
    /// Try to read a byte that was written before
    Adversary(adversary::Arguments),
    /// Use heaps while processes, memory, processors and the module come and go
    Soak(soak::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Fuzz(arguments) => fuzz::run(arguments),
        Command::Adversary(arguments) => adversary::run(arguments),
        Command::Soak(arguments) => soak::run(arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// A number, decimal or with 0x before it.
fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}
