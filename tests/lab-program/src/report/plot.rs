// SPDX-License-Identifier: GPL-2.0

//! The ratios as a plot: a bar a case, on a logarithmic axis.

use super::device_goals;
use super::goals::wanted_ratio;
use command_line::quantity::format_size;
use heap_bench::pair;
use heap_bench::report::Row;
use heap_bench::report::baseline;
use heap_bench::report::settings;
use heap_bench::report::table::format_ns;
use heap_bench::report::table::three_digits;
use svg::Document;
use svg::node::element::Group;
use svg::node::element::Line;
use svg::node::element::Path;
use svg::node::element::Rectangle;
use svg::node::element::Text;
use svg::node::element::path::Data;

const WIDTH: f64 = 1080.0;
/// Where the bars' area begins and ends.
const LEFT: f64 = 350.0;
const RIGHT: f64 = 860.0;
const TOP: f64 = 120.0;
const ROW: f64 = 22.0;
const HEADING: f64 = 40.0;

const FASTER: &str = "#2f7ebc";
const SLOWER: &str = "#d1782c";
const INK: &str = "#222222";
const PALE: &str = "#666666";
const GRID: &str = "#dddddd";

/// Ratios at which the axis has a line, within each decade.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

/// A logarithmic axis from `least` to `most`.
struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    /// One that has room for all the values, and for 1.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (0.8_f64, 2.0_f64);
        for value in values.filter(|value| *value > 0.0) {
            least = least.min(value * 0.9);
            most = most.max(value * 1.1);
        }
        Self { least, most }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn lines(&self) -> Vec<f64> {
        let mut lines = Vec::new();
        let mut decade = 0.001;
        while decade <= self.most {
            lines.extend(STEPS.map(|step| decade * step));
            decade *= 10.0;
        }
        // Powers of ten that were multiplied together are a little off.
        lines.retain(|line| (self.least..=self.most).contains(line));
        lines
    }
}

/// The plot of all rows that have a ratio.
pub(super) fn draw(rows: &[Row]) -> String {
    let shown: Vec<&Row> = rows.iter().filter(|row| row.ratio.is_some()).collect();
    let goal = |row: &Row| {
        let against = row.against.as_deref()?;
        device_goals::wanted_ratio(row)
            .or_else(|| wanted_ratio(pair::is_contiguous(against), &row.case))
    };
    let axis = Axis::of(shown.iter().flat_map(|row| {
        [row.ratio, row.ratio_q1, row.ratio_q3, goal(row)]
            .into_iter()
            .flatten()
    }));
    let mut pairs: Vec<(&str, Option<&str>, Option<String>)> = Vec::new();
    for row in &shown {
        let pair = (row.heap.as_str(), row.against.as_deref(), row.setting());
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    // The heap that most programs use comes first.
    pairs.sort_by_key(|(_, against, _)| against.is_some_and(pair::is_contiguous));
    let mut body = Group::new();
    let mut y = TOP;
    for (heap, against, setting) in pairs {
        // Nothing of the grid behind the heading.
        body = body.add(
            Rectangle::new()
                .set("y", y + 4.0)
                .set("width", WIDTH)
                .set("height", HEADING - 8.0)
                .set("fill", "white"),
        );
        let mut heading = format!("{heap} against the kernel's {}", against.unwrap_or("heap"));
        if let Some(setting) = &setting {
            heading += &format!(", {setting}");
        }
        body =
            body.add(text(heading, 24.0, y + HEADING - 14.0, 15, INK).set("font-weight", "bold"));
        y += HEADING;
        let of_heading = |row: &&&Row| row.heap == heap && row.setting() == setting;
        for row in shown.iter().filter(of_heading) {
            body = body.add(bar(&axis, row, baseline(rows, row), goal(row), y));
            y += ROW;
        }
    }
    let bottom = y + 6.0;
    let height = bottom + 34.0;
    let mut document = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("font-family", "sans-serif")
        .add(
            Rectangle::new()
                .set("width", WIDTH)
                .set("height", height)
                .set("fill", "white"),
        );
    for line in head(rows) {
        document = document.add(line);
    }
    document.add(grid(&axis, bottom)).add(body).to_string() + "\n"
}

fn text(content: impl Into<String>, x: f64, y: f64, size: u32, color: &str) -> Text {
    Text::new(content)
        .set("x", round(x))
        .set("y", round(y))
        .set("font-size", size)
        .set("fill", color)
}

/// A tenth of a pixel is enough for everybody.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn vertical(x: f64, top: f64, bottom: f64, color: &str, width: f64) -> Line {
    Line::new()
        .set("x1", round(x))
        .set("x2", round(x))
        .set("y1", round(top))
        .set("y2", round(bottom))
        .set("stroke", color)
        .set("stroke-width", width)
}

/// Title, machine and legend.
fn head(rows: &[Row]) -> Vec<Group> {
    let machine = rows
        .first()
        .map(|row| match settings(rows).len() {
            // Then each heading says which.
            2.. => format!("{}, several machines", row.arch),
            _ => format!("{}, {}", row.arch, row.config),
        })
        .unwrap_or_default();
    let title = "How many times as fast as the kernel's C heap";
    let titles = Group::new()
        .add(text(title, 24.0, 34.0, 20, INK).set("font-weight", "bold"))
        .add(text(machine, 24.0, 56.0, 12, PALE));
    let square = |x: f64, color: &str| {
        Rectangle::new()
            .set("x", x)
            .set("y", 71.0)
            .set("width", 14)
            .set("height", 12)
            .set("fill", color)
    };
    let legend = Group::new()
        .add(square(24.0, FASTER))
        .add(text("faster", 44.0, 82.0, 12, INK))
        .add(square(100.0, SLOWER))
        .add(text("slower", 120.0, 82.0, 12, INK))
        .add(whisker(182.0, 210.0, 77.0))
        .add(text("quartiles of the paired ratios", 218.0, 82.0, 12, INK))
        .add(diamond(412.0, 77.0))
        .add(text("goal", 424.0, 82.0, 12, INK))
        .add(
            text("median: ours / the kernel's", WIDTH - 24.0, 82.0, 12, PALE)
                .set("text-anchor", "end"),
        );
    vec![titles, legend]
}

fn grid(axis: &Axis, bottom: f64) -> Group {
    let mut grid = Group::new();
    for line in axis.lines() {
        let one = (line - 1.0).abs() < 1e-6;
        let (color, width) = if one { (INK, 1.5) } else { (GRID, 1.0) };
        let x = axis.at(line);
        let label = format!("{}x", (line * 1000.0).round() / 1000.0);
        grid = grid.add(vertical(x, TOP - 6.0, bottom, color, width));
        for y in [TOP - 12.0, bottom + 16.0] {
            grid = grid.add(text(label.clone(), x, y, 11, PALE).set("text-anchor", "middle"));
        }
    }
    grid
}

/// A case: its name, the bar from 1 to the ratio, quartiles, goal and medians.
fn bar(axis: &Axis, row: &Row, kernel: Option<&Row>, goal: Option<f64>, y: f64) -> Group {
    let ratio = row.ratio.unwrap_or(1.0);
    let middle = y + ROW / 2.0;
    let (from, to) = (axis.at(ratio.min(1.0)), axis.at(ratio.max(1.0)));
    let color = if ratio >= 1.0 { FASTER } else { SLOWER };
    let name = format!("{}, {}", row.case.title(), format_size(row.case.size));
    let mut group = Group::new()
        .add(text(name, LEFT - 12.0, middle + 4.0, 12, INK).set("text-anchor", "end"))
        .add(
            Rectangle::new()
                .set("x", round(from))
                .set("y", round(y + 4.0))
                // A ratio of 1 is to be seen, too.
                .set("width", round((to - from).max(1.5)))
                .set("height", ROW - 8.0)
                .set("fill", color),
        );
    if let (Some(first), Some(third)) = (row.ratio_q1, row.ratio_q3) {
        group = group.add(whisker(axis.at(first), axis.at(third), middle));
    }
    if let Some(goal) = goal {
        group = group.add(diamond(axis.at(goal), middle));
    }
    let median = |row: &Row| row.median_ns.map_or_else(|| "-".to_owned(), format_ns);
    let medians = format!(
        "{} / {}",
        median(row),
        kernel.map_or_else(|| "-".to_owned(), median)
    );
    group
        .add(text(
            three_digits(ratio),
            RIGHT + 14.0,
            middle + 4.0,
            12,
            INK,
        ))
        .add(text(medians, WIDTH - 24.0, middle + 4.0, 12, PALE).set("text-anchor", "end"))
}

fn whisker(from: f64, to: f64, y: f64) -> Group {
    Group::new()
        .add(
            Line::new()
                .set("x1", round(from))
                .set("x2", round(to))
                .set("y1", round(y))
                .set("y2", round(y))
                .set("stroke", INK)
                .set("stroke-width", 1),
        )
        .add(vertical(from, y - 3.0, y + 3.0, INK, 1.0))
        .add(vertical(to, y - 3.0, y + 3.0, INK, 1.0))
}

fn diamond(x: f64, y: f64) -> Path {
    let data = Data::new()
        .move_to((round(x), round(y - 6.0)))
        .line_by((5, 6))
        .line_by((-5, 6))
        .line_by((-5, -6))
        .close();
    Path::new()
        .set("d", data)
        .set("fill", "#ffd54a")
        .set("stroke", INK)
        .set("stroke-width", 1)
}

#[cfg(test)]
mod tests {
    use super::super::tests::run;
    use super::*;
    use heap_bench::record::Kind;
    use heap_bench::report::merge;

    #[test]
    fn the_axis_is_logarithmic() {
        let axis = Axis::of([100.0, 0.5].into_iter());
        let decade = axis.at(10.0) - axis.at(1.0);
        assert!((axis.at(100.0) - axis.at(10.0) - decade).abs() < 1e-9);
        assert!(axis.at(0.5) >= LEFT && axis.at(100.0) <= RIGHT);
        let lines = axis.lines();
        assert!(lines.iter().any(|line| (line - 1.0).abs() < 1e-9));
        assert!(lines.iter().all(|line| (0.4..120.0).contains(line)));
    }

    #[test]
    fn a_plot_names_its_cases() {
        let rows = merge(&[run(Kind::Time, &[("system-pooled", 100), ("system", 220)])]);
        let plot = draw(&rows);
        assert!(plot.starts_with("<svg"));
        for part in ["alloc-close cold, 1 MiB", "2.00", "100 ns / 220 ns"] {
            assert!(plot.contains(part), "{part} is missing");
        }
    }
}
