// SPDX-License-Identifier: GPL-2.0

//! `dmaheap`: lists, allocates from, verifies and measures Linux dma-buf heaps.

#![forbid(unsafe_code)]

mod alloc;
mod bench;
mod cli;
mod completions;
mod counters;
mod dma_bufs;
mod doctor;
mod documents;
mod holders;
mod list;
mod names;
mod owner;
mod report;
mod set;
mod settings;
mod stats;
mod top;
mod udev;
mod verify;
mod which;

use clap::Parser;
use cli::Cli;
use cli::Command;
use command_line::Outcome;
use command_line::output;
use command_line::quantity;
use std::process::ExitCode;

fn main() -> ExitCode {
    completions::answer();
    output::speak_as("dmaheap");
    let result = match Cli::parse().command {
        Command::List(options) => list::run(&options),
        Command::Names(options) => names::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Holders(options) => holders::run(&options),
        Command::Top(options) => top::run(&options),
        Command::Stats(options) => stats::run(&options),
        Command::Which(options) => which::run(&options),
        Command::Report(options) => report::run(&options),
        Command::Set(options) => set::run(&options),
        Command::Alloc(options) => alloc::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Completions { shell } => completions::script(&shell)
            .and_then(|text| output::print_text(&text).map(|()| Outcome::Good)),
        Command::Man { folder } => documents::write_man(&folder),
        Command::Documents { folder } => documents::write(&folder),
        Command::Udev { clear: true } => names::clear().map(|()| Outcome::Good),
        Command::Udev { clear: false } => udev::run().map(|()| Outcome::Good),
        Command::Receive => verify::receive().map(|()| Outcome::Good),
    };
    command_line::exit_code(result)
}
