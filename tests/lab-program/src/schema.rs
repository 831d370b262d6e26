// SPDX-License-Identifier: GPL-2.0

//! `dmaheap-lab schema`: is what dmaheap has printed as its schema says?

use crate::cli::SchemaOptions;
use anyhow::Context as _;
use command_line::Outcome;
use command_line::output;
use std::io::Read as _;

/// Reads standard input and compares.
pub(crate) fn run(options: &SchemaOptions) -> anyhow::Result<Outcome> {
    let mut json = Vec::new();
    std::io::stdin()
        .read_to_end(&mut json)
        .context("cannot read standard input")?;
    let values = dmaheap_schemas::read(&options.command, &json).map_err(anyhow::Error::msg)?;
    output::print_text(&format!("{}\n", values.len()))?;
    Ok(Outcome::Good)
}
