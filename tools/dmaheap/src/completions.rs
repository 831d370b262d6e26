// SPDX-License-Identifier: GPL-2.0

//! Completions: a shell asks the program itself, which knows the heaps there are.

use crate::cli::Cli;
use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::CompleteEnv;
use clap_complete::CompletionCandidate;
use clap_complete::env::Shells;

/// The name of the program.
const NAME: &str = "dmaheap";

/// By which variable a shell asks.
const VARIABLE: &str = "COMPLETE";

/// What a shell's autoloading lacks: the first time, zsh calls the file that defines the function.
const ZSH_AUTOLOAD: &str = "\
if [ \"${funcstack[1]}\" = _dmaheap ]; then
    _clap_dynamic_completer_dmaheap \"$@\"
fi
";

/// The shells there are completions for, with the names that files of them have.
pub(crate) const SHELLS: [(&str, &str); 3] = [
    ("bash", "dmaheap.bash"),
    ("zsh", "_dmaheap"),
    ("fish", "dmaheap.fish"),
];

/// Answers a shell, and ends, if it is one that asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .bin(NAME)
        .complete();
}

/// What makes a shell ask.
pub(crate) fn script(shell: &str) -> anyhow::Result<String> {
    let shells = Shells::builtins();
    let completer = shells
        .completer(shell)
        .with_context(|| format!("there are no completions for {shell}"))?;
    let mut text = Vec::new();
    completer.write_registration(VARIABLE, NAME, NAME, NAME, &mut text)?;
    let mut text = String::from_utf8(text)?;
    if shell == "zsh" {
        text += ZSH_AUTOLOAD;
    }
    Ok(text)
}

/// The names of heaps, for an argument that is one.
pub(crate) fn heaps() -> Vec<CompletionCandidate> {
    dma_heap::heaps()
        .unwrap_or_default()
        .into_iter()
        .flat_map(|heap| [vec![heap.name], heap.other_names].concat())
        .map(CompletionCandidate::new)
        .collect()
}
