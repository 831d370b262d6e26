// SPDX-License-Identifier: GPL-2.0

//! `dmaheap-lab`: what the lab's machines need of heaps beside `dmaheap`.

#![forbid(unsafe_code)]

mod bench;
mod cli;
mod importer;
mod report;
mod schema;
mod screens;

use clap::Parser;
use cli::Cli;
use cli::Command;
use command_line::output;
use std::process::ExitCode;

fn main() -> ExitCode {
    output::speak_as("dmaheap-lab");
    command_line::exit_code(match Cli::parse().command {
        Command::Importer(options) => importer::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::BenchReport(options) => report::run(&options),
        Command::Screens(options) => screens::run(&options),
        Command::Schema(options) => schema::run(&options),
    })
}
