// SPDX-License-Identifier: GPL-2.0

//! What the command lines of programs for heaps have in common: how people write heaps, sizes
//! and times, how results are shown, and how a program ends.

#![forbid(unsafe_code)]

pub mod heap_name;
pub mod missing;
pub mod output;
pub mod quantity;

use std::process::ExitCode;

/// Exit status: something failed.
const EXIT_FAILURE: u8 = 1;
/// Exit status: there is no heap. (2 is clap's, for wrong usage.)
const EXIT_NO_HEAP: u8 = 3;

/// The exit status, for help texts.
pub const EXIT_STATUS: &str = "\
Exit status:
  0  success (the output names checks that were skipped, and why)
  1  failure; the message says what to do
  2  wrong usage
  3  no heap found";

/// How a run ended, short of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything asked for was done and is as it should be.
    Good,
    /// A check failed.
    Bad,
    /// There is no heap.
    NoHeap,
}

/// Says what went wrong, and what the program is to end with.
pub fn exit_code(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(EXIT_FAILURE),
        Ok(Outcome::NoHeap) => {
            output::note(&missing::advice());
            ExitCode::from(EXIT_NO_HEAP)
        }
        // Whoever reads our output has seen enough, as `head` does.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("{error:#}"));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}
