// SPDX-License-Identifier: GPL-2.0

//! Manual pages, shell completions and docs/dmaheap.md, made from the command line's own help.

use crate::Outcome;
use crate::cli::Cli;
use crate::completions;
use anyhow::Context;
use clap::Command;
use clap::CommandFactory;
use std::fs;
use std::path::Path;

/// The name of the program.
const NAME: &str = "dmaheap";

/// Columns of the help in docs/dmaheap.md.
const WIDTH: usize = 100;

/// Writes a manual page for the program and one for each subcommand (NAME-SUBCOMMAND.1) into
/// `folder`.
pub(crate) fn write_man(folder: &Path) -> anyhow::Result<Outcome> {
    let context = || format!("cannot write into {}", folder.display());
    fs::create_dir_all(folder).with_context(context)?;
    clap_mangen::generate_to(shown(Cli::command()), folder).with_context(context)?;
    Ok(Outcome::Good)
}

/// Writes those, completions, and NAME.md, into `folder`.
pub(crate) fn write(folder: &Path) -> anyhow::Result<Outcome> {
    let context = || format!("cannot write into {}", folder.display());
    write_man(folder)?;
    for (shell, file) in completions::SHELLS {
        fs::write(folder.join(file), completions::script(shell)?).with_context(context)?;
    }
    let page = folder.join(NAME).with_extension("md");
    fs::write(page, markdown(shown(Cli::command()))).with_context(context)?;
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

/// The help of the program and of each subcommand, as docs/dmaheap.md has it.
fn markdown(command: Command) -> String {
    let mut command = command.term_width(WIDTH).disable_help_subcommand(true);
    command.build();
    let mut page =
        "<!-- Made by `make docs` from the program's own help. -->\n\n# dmaheap\n".to_owned();
    page += &fenced(&mut command);
    for subcommand in command
        .get_subcommands_mut()
        .filter(|subcommand| !subcommand.is_hide_set())
    {
        page += &format!("\n## {NAME} {}\n", subcommand.get_name());
        page += &fenced(subcommand);
    }
    page
}

fn fenced(command: &mut Command) -> String {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    format!("\n```text\n{}\n```\n", lines.join("\n"))
}
