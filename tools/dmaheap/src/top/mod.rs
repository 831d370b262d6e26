// SPDX-License-Identifier: GPL-2.0

//! `dmaheap top`: a live view of heaps, areas, processes and buffers.
//!
//! [`sample`] reads the machine, [`model`] keeps two samples and what the user wants to see of
//! them, [`view`] draws that.

mod model;
mod sample;
mod view;

use crate::Outcome;
use crate::cli::TopOptions;
use crate::output;
use anyhow::Context as _;
use model::List;
use model::Model;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event;
use ratatui::crossterm::event::Event;
use ratatui::crossterm::event::KeyCode;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::event::KeyEventKind;
use ratatui::crossterm::event::KeyModifiers;
use sample::Sample;
use std::io::IsTerminal as _;
use std::time::Duration;
use std::time::Instant;

/// The size of a frame that goes to no terminal.
const SIZE: (u16, u16) = (80, 24);

/// What a key has done.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The screen may be another now.
    Draw,
    Quit,
}

/// Shows it until the user has seen enough, or once.
pub(crate) fn run(options: &TopOptions) -> anyhow::Result<Outcome> {
    let list = if options.buffers {
        List::Buffers
    } else {
        List::Processes
    };
    let mut model = Model::new(Sample::take()?, list);
    if options.once {
        // Rates and growth need a second look.
        std::thread::sleep(options.delay);
        model.advance(Sample::take()?);
        return print_frame(&model);
    }
    if !std::io::stdout().is_terminal() {
        anyhow::bail!("standard output is no terminal: `dmaheap top --once` prints one frame");
    }
    let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
    let result = watch(&mut terminal, &mut model, options.delay);
    ratatui::restore();
    result.map(|()| Outcome::Good)
}

/// Prints a frame as it would stand on the screen.
fn print_frame(model: &Model) -> anyhow::Result<Outcome> {
    let (columns, lines) = match ratatui::crossterm::terminal::size() {
        Ok(size) if std::io::stdout().is_terminal() => size,
        _ => SIZE,
    };
    output::print_text(&frame(model, columns, lines)?)?;
    Ok(Outcome::Good)
}

/// A frame as text, without the keys that it would take.
fn frame(model: &Model, columns: u16, lines: u16) -> anyhow::Result<String> {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines))?;
    terminal.draw(|frame| view::draw(frame, model))?;
    let buffer = terminal.backend().buffer();
    let mut text: Vec<String> = buffer
        .content()
        .chunks(usize::from(columns.max(1)))
        .map(|cells| {
            let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
            line.trim_end().to_owned()
        })
        .collect();
    text.pop();
    while text.last().is_some_and(String::is_empty) {
        text.pop();
    }
    Ok(text.join("\n") + "\n")
}

/// Draws, reads keys, and takes a sample whenever `delay` has passed.
fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    model: &mut Model,
    delay: Duration,
) -> anyhow::Result<()> {
    let mut next = Instant::now() + delay;
    loop {
        terminal.draw(|frame| view::draw(frame, model))?;
        let left = next.saturating_duration_since(Instant::now());
        if event::poll(left)? {
            // A resize is drawn at once.
            if let Event::Key(key) = event::read()? {
                if key.kind == KeyEventKind::Press && press(model, key) == Next::Quit {
                    return Ok(());
                }
            }
        }
        if Instant::now() >= next {
            if !model.is_paused {
                model.advance(Sample::take()?);
            }
            next = Instant::now() + delay;
        }
    }
}

/// Does what a key says.
fn press(model: &mut Model, key: KeyEvent) -> Next {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Next::Quit,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Next::Quit,
        KeyCode::Char('p') => model.list = List::Processes,
        KeyCode::Char('b') => model.list = List::Buffers,
        KeyCode::Char('s') => model.order = model.order.next(),
        KeyCode::Char('r') => model.is_reversed = !model.is_reversed,
        KeyCode::Char(' ') => model.is_paused = !model.is_paused,
        KeyCode::Down | KeyCode::Char('j') => {
            model.scrolled = (model.scrolled + 1).min(model.lines().len());
        }
        KeyCode::Up | KeyCode::Char('k') => model.scrolled = model.scrolled.saturating_sub(1),
        KeyCode::Home => model.scrolled = 0,
        _ => {}
    }
    Next::Draw
}

#[cfg(test)]
mod tests;
