// SPDX-License-Identifier: GPL-2.0

//! How the screen of `top` is drawn; 80 columns and 24 lines are enough for it.

use super::model::Line;
use super::model::List;
use super::model::Model;
use crate::quantity::format_count;
use crate::quantity::format_size_short;
use ratatui::Frame;
use ratatui::layout::Constraint;
use ratatui::layout::Layout;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::style::Style;
use ratatui::text::Text;
use ratatui::widgets::Cell;
use ratatui::widgets::Row;
use ratatui::widgets::Table;

/// Lines of heaps and of areas that are shown at most.
const MOST_HEAPS: usize = 6;
const MOST_AREAS: usize = 4;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let heaps = model.now.heaps.len().min(MOST_HEAPS);
    let areas = model.now.areas.len().min(MOST_AREAS);
    let height = |lines: usize| match lines {
        0 => 0,
        lines => u16::try_from(lines + 2).unwrap_or(u16::MAX),
    };
    let [title, heap_table, area_table, list, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(height(heaps)),
        Constraint::Length(height(areas)),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Text::raw(summary(model)), title);
    if heaps > 0 {
        frame.render_widget(heaps_of(model), heap_table);
    }
    if areas > 0 {
        frame.render_widget(areas_of(model), area_table);
    }
    draw_list(frame, list, model);
    frame.render_widget(Text::styled(keys_of(model), Modifier::DIM), keys);
}

/// The keys, for the last line.
fn keys_of(model: &Model) -> String {
    format!(
        "q quit  p processes  b buffers  s sort: {}  r reverse  space pause  ↑↓ scroll",
        model.order.name()
    )
}

/// The first line.
fn summary(model: &Model) -> String {
    let survey = &model.now.survey;
    let bytes: u64 = survey.buffers.values().filter_map(|it| it.size).sum();
    let mut text = format!(
        "{}, {}, in {}",
        format_count(survey.buffers.len(), "dma-buf", "dma-bufs"),
        format_size_short(bytes),
        format_count(survey.processes.len(), "process", "processes")
    );
    if let Some((some, full)) = model.now.pressure {
        text += &format!("   memory pressure: some {some:.1} %, full {full:.1} %");
    }
    if survey.unseen > 0 {
        text += "   (as root: all)";
    }
    if model.is_paused {
        text += "   PAUSED";
    }
    text
}

/// A header; titles of columns of numbers, marked by `>`, stand at their right.
fn header(titles: &[&'static str]) -> Row<'static> {
    let cells = titles.iter().map(|title| match title.strip_prefix('>') {
        Some(title) => right(title.to_owned()),
        None => Cell::from(*title),
    });
    Row::new(cells).style(Style::new().add_modifier(Modifier::REVERSED))
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), format_size_short)
}

/// Numbers stand at the right of their columns.
fn right(text: String) -> Cell<'static> {
    Cell::from(Text::from(text).right_aligned())
}

fn heaps_of(model: &Model) -> Table<'static> {
    let rate = |heap: &str, counter: &str| model.rate(heap, counter);
    let number = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |it| format!("{it:.1}"));
    let rows = model.now.heaps.iter().take(MOST_HEAPS).map(|heap| {
        let name = heap.heap.as_str();
        // Lossless enough: a rate is far below 2^53.
        let hits = match (rate(name, "hits"), rate(name, "misses")) {
            (Some(hits), Some(misses)) if hits + misses > 0.0 => {
                format!("{:.0} %", 100.0 * hits / (hits + misses))
            }
            _ => "-".to_owned(),
        };
        Row::new([
            Cell::from(name.to_owned()),
            right(size(heap.get("used"))),
            right(size(heap.get("limit"))),
            right(size(heap.get("pool_held"))),
            right(number(rate(name, "allocations"))),
            right(hits),
            right(number(rate(name, "failures"))),
            right(number(rate(name, "maps"))),
        ])
    });
    Table::new(
        rows,
        [
            // Our longest usual name, in 80 columns.
            Constraint::Min(18),
            Constraint::Length(10),
            Constraint::Length(10),
            Constraint::Length(10),
            Constraint::Length(7),
            Constraint::Length(5),
            Constraint::Length(6),
            Constraint::Length(6),
        ],
    )
    .header(header(&[
        "HEAP", ">USED", ">LIMIT", ">POOL", ">ALLOC/s", ">HITS", ">FAIL/s", ">MAPS/s",
    ]))
}

fn areas_of(model: &Model) -> Table<'static> {
    let rows = model.now.areas.iter().take(MOST_AREAS).map(|area| {
        Row::new([
            Cell::from(area.name.clone()),
            right(size(Some(area.total))),
            right(size(area.free)),
            right(size(area.largest)),
        ])
    });
    Table::new(
        rows,
        [
            Constraint::Fill(1),
            Constraint::Length(12),
            Constraint::Length(12),
            Constraint::Length(14),
        ],
    )
    .header(header(&[
        "CONTIGUOUS AREA",
        ">TOTAL",
        ">FREE",
        ">LARGEST RUN",
    ]))
}

fn draw_list(frame: &mut Frame<'_>, place: Rect, model: &Model) {
    let lines = model.lines();
    let room = usize::from(place.height.saturating_sub(1));
    let scrolled = model.scrolled.min(lines.len().saturating_sub(room));
    let rows = lines.iter().skip(scrolled).take(room).map(row);
    let titles = match model.list {
        List::Processes => [
            ">PID",
            "COMMAND",
            ">BUFFERS",
            ">SIZE",
            ">GROWTH",
            "EXPORTERS",
        ],
        List::Buffers => [">INODE", "NAME", ">SHARED", ">SIZE", ">GROWTH", "EXPORTER"],
    };
    let table = Table::new(
        rows,
        [
            Constraint::Length(8),
            Constraint::Fill(1),
            Constraint::Length(7),
            Constraint::Length(10),
            Constraint::Length(11),
            Constraint::Fill(1),
        ],
    )
    .header(header(&titles));
    frame.render_widget(table, place);
}

fn row(line: &Line) -> Row<'static> {
    Row::new([
        right(line.number.to_string()),
        Cell::from(line.name.clone()),
        right(line.count.to_string()),
        right(format_size_short(line.size)),
        right(growth(line.growth)),
        Cell::from(line.exporters.clone()),
    ])
}

fn growth(bytes: i64) -> String {
    let size = format_size_short(bytes.unsigned_abs());
    match bytes {
        0 => "-".to_owned(),
        1.. => format!("+{size}"),
        _ => format!("-{size}"),
    }
}
