// SPDX-License-Identifier: GPL-2.0

//! Tables, JSON and text on standard output.

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets;
use serde::Serialize;
use std::io;
use std::io::Write as _;
use std::sync::OnceLock;

/// A table without lines: columns for the eye, and still something that `awk`
/// can read.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    table
}

/// Prints a table without the space that pads its lines.
///
/// # Errors
///
/// If standard output takes nothing.
pub fn print_table(table: &Table) -> anyhow::Result<()> {
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().trim_start_matches(' ').to_owned())
        .collect();
    print_text(&(lines.join("\n") + "\n"))
}

/// Prints JSON and the newline that ends it.
///
/// # Errors
///
/// If standard output takes nothing.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
    text.push('\n');
    print_text(&text)
}

/// Prints JSON on a line of its own.
///
/// # Errors
///
/// If standard output takes nothing.
pub fn print_json_line(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string(value).context("cannot write JSON")?;
    text.push('\n');
    print_text(&text)
}

/// Prints text at once, so that whoever waits for it behind a pipe gets it.
///
/// # Errors
///
/// If standard output takes nothing.
pub fn print_text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

/// The program's name, once it is known.
static SPEAKER: OnceLock<&str> = OnceLock::new();

/// Has notes begin with the name of this program.
pub fn speak_as(program: &'static str) {
    // The first name stays.
    let _ = SPEAKER.set(program);
}

/// Says something beside the output. If standard error is closed, nobody wants
/// to hear it.
pub fn note(text: &str) {
    let name = SPEAKER.get().map(|name| format!("{name}: "));
    let _ = writeln!(io::stderr().lock(), "{}{text}", name.unwrap_or_default());
}

/// Whether the reader of our output has gone.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
