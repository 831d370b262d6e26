// SPDX-License-Identifier: GPL-2.0

//! What shells offer.

mod fake_machine;

use fake_machine::FakeMachine;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dmaheap");

/// What bash offers for the last word, by the script that packages install.
const BASH: &str = r#"
source <(dmaheap completions bash)
COMP_WORDS=(dmaheap "$@")
COMP_CWORD=$#
_clap_complete_dmaheap dmaheap "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

fn lines(text: &[u8]) -> BTreeSet<String> {
    String::from_utf8_lossy(text)
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Where the program is found.
fn path() -> String {
    let folder = Path::new(PROGRAM).parent().map(Path::display);
    let rest = std::env::var("PATH").unwrap_or_default();
    folder.map_or(rest.clone(), |folder| format!("{folder}:{rest}"))
}

fn offered(words: &[&str]) -> io::Result<BTreeSet<String>> {
    let output = Command::new("bash")
        .args(["-c", BASH, "bash"])
        .args(words)
        .env("PATH", path())
        .output()?;
    Ok(lines(&output.stdout))
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// The words that a help lists in some place: what `pick` takes of a line.
fn listed(
    arguments: &[&str],
    pick: impl Fn(&str) -> Option<String>,
) -> io::Result<BTreeSet<String>> {
    let output = Command::new(PROGRAM).args(arguments).output()?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(pick)
        .collect())
}

fn commands() -> io::Result<BTreeSet<String>> {
    listed(&["-h"], |line| {
        let word = line.strip_prefix("  ")?.split(' ').next()?;
        (!word.is_empty() && !word.starts_with('-') && word != "help").then(|| word.to_owned())
    })
}

#[test]
fn commands_that_are_not_hidden() -> io::Result<()> {
    let mut all = offered(&[""])?;
    all.retain(|word| !word.starts_with('-'));
    all.remove("help");
    // The exit statuses of the help are no commands.
    let mut wanted = commands()?;
    wanted.retain(|word| word.parse::<u8>().is_err());
    assert_eq!(all, wanted);
    assert_eq!(offered(&["ver"])?, set(&["verify"]));
    Ok(())
}

#[test]
fn each_option_of_each_command() -> io::Result<()> {
    let mut commands = commands()?;
    commands.retain(|word| word.parse::<u8>().is_err());
    assert!(commands.len() > 8);
    for command in commands {
        let options = listed(&[&command, "--help"], |line| {
            let text = line.trim_start();
            let option = text.strip_prefix("-h, ").unwrap_or(text);
            let end = option.find([' ', '[', '=', '<']).unwrap_or(option.len());
            let option = option.get(..end)?;
            (option.starts_with("--") && line.starts_with(' ')).then(|| option.to_owned())
        })?;
        let offered = offered(&[&command, "--"])?;
        let missing: Vec<_> = options.difference(&offered).collect();
        assert!(missing.is_empty(), "{command}: {missing:?} of {options:?}");
    }
    Ok(())
}

#[test]
fn heaps_that_there_are() -> io::Result<()> {
    let mut machine = FakeMachine::new()?;
    machine.heap("system", &[("contiguous", "0")])?;
    machine.heap("reserved", &[])?;
    for command in ["list", "alloc", "verify", "stats", "set"] {
        let mut shell = machine.dmaheap(&["--", "dmaheap", command, ""]);
        let output = shell
            .env("COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", "2")
            .env("_CLAP_IFS", "\n")
            .output()?;
        let mut offered = lines(&output.stdout);
        offered.retain(|word| !word.starts_with('-'));
        assert_eq!(offered, set(&["reserved", "system"]), "{command}");
    }
    Ok(())
}

#[test]
fn scripts_for_three_shells() -> io::Result<()> {
    for (shell, word) in [
        ("bash", "complete -o"),
        ("zsh", "#compdef dmaheap"),
        ("fish", "complete "),
    ] {
        let output = Command::new(PROGRAM)
            .args(["completions", shell])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains(word),
            "{shell}: {text}"
        );
    }
    let output = Command::new(PROGRAM)
        .args(["completions", "tcsh"])
        .output()?;
    assert_eq!(output.status.code(), Some(2));
    Ok(())
}

#[test]
fn manual_pages_for_each_command() -> io::Result<()> {
    let folder = tempfile::TempDir::new()?;
    let status = Command::new(PROGRAM)
        .arg("man")
        .arg(folder.path())
        .status()?;
    assert!(status.success());
    for command in commands()?
        .iter()
        .filter(|word| word.parse::<u8>().is_err())
    {
        let page = folder.path().join(format!("dmaheap-{command}.1"));
        assert!(page.exists(), "{}", page.display());
    }
    assert!(!folder.path().join("dmaheap-documents.1").exists());
    Ok(())
}
