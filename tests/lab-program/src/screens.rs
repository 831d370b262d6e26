// SPDX-License-Identifier: GPL-2.0

//! `dmaheap-lab screens`: what commands have printed in a machine, as pictures of a terminal.
//!
//! tests/vm/tests/screens.sh prints them among its results: a comment `screen NAME COMMAND`,
//! then the lines, each a comment that begins with `| `.

use crate::cli::ScreensOptions;
use anyhow::Context as _;
use command_line::Outcome;
use command_line::output;
use std::fs;
use svg::Document;
use svg::node::element::Rectangle;
use svg::node::element::Text;

const FONT: f64 = 13.0;
/// Of the usual monospaced fonts, the widest.
const COLUMN: f64 = 7.9;
const LINE: f64 = 18.0;
const MARGIN: f64 = 16.0;

const PAPER: &str = "#1e2127";
const INK: &str = "#d7dae0";
const PALE: &str = "#8a919e";
/// The colours of doctor's levels.
const LEVELS: [(&str, &str); 3] = [
    ("ok ", "#98c379"),
    ("note ", "#e5c07b"),
    ("problem ", "#e06c75"),
];

/// What a command has printed.
#[derive(Debug, PartialEq, Eq)]
struct Screen<'a> {
    name: &'a str,
    command: &'a str,
    lines: Vec<&'a str>,
}

/// Makes NAME.svg of each screen.
pub(crate) fn run(options: &ScreensOptions) -> anyhow::Result<Outcome> {
    let path = options.results.display();
    let text = fs::read_to_string(&options.results).with_context(|| format!("{path}"))?;
    let screens = screens(&text);
    if screens.is_empty() {
        anyhow::bail!("{path} has no screens");
    }
    for screen in screens {
        let file = options.folder.join(format!("{}.svg", screen.name));
        let with_path = || file.display().to_string();
        fs::write(&file, format!("{}\n", draw(&screen))).with_context(with_path)?;
        output::print_text(&format!("{}\n", file.display()))?;
    }
    Ok(Outcome::Good)
}

fn screens(results: &str) -> Vec<Screen<'_>> {
    let mut found: Vec<Screen<'_>> = Vec::new();
    for comment in results.lines().filter_map(|line| line.strip_prefix("# ")) {
        if let Some((name, command)) = comment
            .strip_prefix("screen ")
            .and_then(|it| it.split_once(' '))
        {
            let lines = Vec::new();
            found.push(Screen {
                name,
                command,
                lines,
            });
        } else if let (Some(line), Some(screen)) = (comment.strip_prefix("| "), found.last_mut()) {
            screen.lines.push(line.trim_end());
        }
    }
    found
}

fn draw(screen: &Screen<'_>) -> Document {
    let prompt = format!("$ {}", screen.command);
    let all = std::iter::once(prompt.as_str()).chain(screen.lines.iter().copied());
    let columns = all.clone().map(|line| line.chars().count()).max();
    // Lossless: no screen has 2^32 columns or lines.
    let width = columns.unwrap_or(0) as f64 * COLUMN + 2.0 * MARGIN;
    let height = (screen.lines.len() + 1) as f64 * LINE + 2.0 * MARGIN;
    let mut picture = Document::new()
        .set("viewBox", (0.0, 0.0, width.ceil(), height.ceil()))
        .set("width", width.ceil())
        .set(
            "font-family",
            "DejaVu Sans Mono, Menlo, Consolas, monospace",
        )
        .set("font-size", FONT)
        .add(
            Rectangle::new()
                .set("width", "100%")
                .set("height", "100%")
                .set("rx", 8)
                .set("fill", PAPER),
        );
    for (number, line) in all.enumerate().filter(|(_, line)| !line.is_empty()) {
        // Spaces that no viewer puts together.
        let mut text = Text::new(line.replace(' ', "\u{a0}"))
            .set("x", MARGIN)
            .set("y", MARGIN + (number + 1) as f64 * LINE - 5.0)
            .set("fill", if number == 0 { PALE } else { colour(line) });
        if number > 0 && is_header(line) {
            text = text.set("font-weight", "bold");
        }
        picture = picture.add(text);
    }
    picture
}

fn colour(line: &str) -> &'static str {
    let level = LEVELS.iter().find(|(word, _)| line.starts_with(word));
    level.map_or(INK, |(_, colour)| colour)
}

/// The titles of a table's columns.
fn is_header(line: &str) -> bool {
    let is_title = |word: &str| word.starts_with(|it: char| it.is_uppercase() || it == '%');
    line.split_whitespace().count() > 2 && line.split_whitespace().all(is_title)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULTS: &str = "TAP version 13\n1..1\n# | nobody's\nok 1 - a screen\n\
        # screen list dmaheap list\n# | HEAP  USED  MOST\n# | system  <1 MiB>  \n# | \n# other\n\
        # screen doctor dmaheap doctor --json\n# | problem  one\n";

    #[test]
    fn screens_are_found_among_results() {
        let screen = |name, command, lines: &[&'static str]| Screen {
            name,
            command,
            lines: lines.to_vec(),
        };
        assert_eq!(
            screens(RESULTS),
            [
                screen(
                    "list",
                    "dmaheap list",
                    &["HEAP  USED  MOST", "system  <1 MiB>", ""]
                ),
                screen("doctor", "dmaheap doctor --json", &["problem  one"]),
            ]
        );
    }

    #[test]
    fn a_picture_has_the_lines() {
        let pictures: Vec<String> = screens(RESULTS)
            .iter()
            .map(|screen| draw(screen).to_string())
            .collect();
        let has = |part: &str| {
            pictures
                .iter()
                .any(|it| it.contains(&part.replace(' ', "\u{a0}")))
        };
        assert!(has("$ dmaheap list") && has("system  &lt;1 MiB&gt;"));
        assert!(!has("<1 MiB>"), "{pictures:?}");
        assert!(has("font-weight=\"bold\"") && has("#e06c75"));
    }

    #[test]
    fn headers_are_told_from_lines() {
        assert!(is_header("PID  COMMAND  SIZE"));
        assert!(is_header("     PID COMMAND  BUFFERS"));
        for line in [
            "",
            "1 problem",
            "3 dma-bufs, 16 MiB",
            "ok  kernel  7.3",
            "  12 A B",
        ] {
            assert!(!is_header(line), "{line}");
        }
    }
}
