// SPDX-License-Identifier: GPL-2.0

//! Manual pages and shell completions, made from the command line's own help.

use crate::Outcome;
use crate::cli::Cli;
use anyhow::Context;
use clap::Command;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_complete::generate_to;
use std::fs;
use std::path::Path;

/// The name of the program.
const NAME: &str = "dmaheap";

/// Writes a page for the program and one for each subcommand (NAME-SUBCOMMAND.1),
/// and completions for bash, zsh and fish, into `folder`.
pub(crate) fn write(folder: &Path) -> anyhow::Result<Outcome> {
    let context = || format!("cannot write into {}", folder.display());
    fs::create_dir_all(folder).with_context(context)?;
    let command = shown(Cli::command());
    clap_mangen::generate_to(command.clone(), folder).with_context(context)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command.clone(), NAME, folder).with_context(context)?;
    }
    Ok(Outcome::Good)
}

/// The command without what is hidden: subcommands that only the program itself calls.
fn shown(command: Command) -> Command {
    let mut result = Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about(command.get_about().cloned().unwrap_or_default())
        .long_about(command.get_long_about().cloned().unwrap_or_default())
        .after_help(command.get_after_help().cloned().unwrap_or_default())
        .subcommand_required(true);
    for argument in command.get_arguments() {
        result = result.arg(argument);
    }
    for subcommand in command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
    {
        result = result.subcommand(subcommand.clone());
    }
    result
}
