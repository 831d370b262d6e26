// SPDX-License-Identifier: GPL-2.0

//! `dmaheap stats`.

use crate::Outcome;
use crate::cli::StatsOptions;
use crate::counters;
use crate::counters::Counter;
use crate::counters::Kind;
use crate::counters::Reading;
use crate::counters::Unit;
use crate::output;
use crate::quantity::format_size_short;
use serde::Serialize;
use serde::Serializer;
use std::fmt::Write as _;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Readings of all heaps, a time apart.
struct Interval<'a> {
    before: Option<&'a [Reading]>,
    now: &'a [Reading],
    passed: Duration,
}

/// Shows the numbers.
pub(crate) fn run(options: &StatsOptions) -> anyhow::Result<Outcome> {
    let mut now = counters::readings(&options.heaps)?;
    if now.is_empty() {
        if options.json {
            output::print_json(&Document { heaps: Vec::new() })?;
        }
        return Ok(Outcome::NoHeap);
    }
    if options.prometheus {
        output::print_text(&prometheus(&now))?;
        hint(&now);
        return Ok(Outcome::Good);
    }
    show(
        options,
        &Interval {
            before: None,
            now: &now,
            passed: Duration::ZERO,
        },
    )?;
    hint(&now);
    let Some(pause) = options.watch else {
        return Ok(Outcome::Good);
    };
    loop {
        let start = Instant::now();
        thread::sleep(pause);
        let next: Vec<Reading> = now.iter().map(Reading::again).collect();
        if !options.json {
            output::print_text("\n")?;
        }
        show(
            options,
            &Interval {
                before: Some(&now),
                now: &next,
                passed: start.elapsed(),
            },
        )?;
        now = next;
    }
}

/// Says what is missing without the rights to see it.
fn hint(readings: &[Reading]) {
    if !readings.iter().any(Reading::has_events) {
        output::note(
            "counters of events are in debugfs: run as root, and mount it on /sys/kernel/debug",
        );
    }
}

fn show(options: &StatsOptions, interval: &Interval<'_>) -> anyhow::Result<()> {
    match (options.json, options.watch) {
        (true, None) => output::print_json(&interval.document()),
        (true, Some(_)) => output::print_json_line(&interval.document()),
        _ => interval.print(),
    }
}

/// A heap as JSON shows it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(serialize_with = "pairs")]
    values: Vec<(&'static str, u64)>,
    /// What was added in a second; null for the first reading.
    #[serde(serialize_with = "optional_pairs")]
    per_second: Option<Vec<(&'static str, f64)>>,
}

/// The whole answer as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    heaps: Vec<Row<'a>>,
}

fn pairs<S: Serializer, V: Serialize>(
    pairs: &[(&'static str, V)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

fn optional_pairs<S: Serializer>(
    rates: &Option<Vec<(&'static str, f64)>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match rates {
        Some(rates) => pairs(rates, serializer),
        None => serializer.serialize_none(),
    }
}

impl Interval<'_> {
    /// What was added to a counter in a second.
    fn rate(&self, heap: usize, counter: &Counter) -> Option<f64> {
        if counter.kind == Kind::Gauge {
            return None;
        }
        let before = self.before?.get(heap)?.get(counter.name)?;
        let now = self.now.get(heap)?.get(counter.name)?;
        // A module that was loaded anew counts from 0.
        Some(now.saturating_sub(before) as f64 / self.passed.as_secs_f64())
    }

    fn document(&self) -> Document<'_> {
        let rows = self.now.iter().enumerate().map(|(at, reading)| Row {
            name: &reading.heap,
            values: counters::all()
                .filter_map(|it| Some((it.name, reading.get(it.name)?)))
                .collect(),
            per_second: self.before.map(|_| {
                counters::all()
                    .filter_map(|it| Some((it.name, self.rate(at, it)?)))
                    .collect()
            }),
        });
        Document {
            heaps: rows.collect(),
        }
    }

    fn print(&self) -> anyhow::Result<()> {
        let mut table = output::table(&["HEAP", "WHAT", "VALUE", "PER SECOND", "MEANING"]);
        for (at, reading) in self.now.iter().enumerate() {
            for counter in counters::all() {
                let Some(value) = reading.get(counter.name) else {
                    continue;
                };
                let rate = self.rate(at, counter);
                table.add_row([
                    reading.heap.clone(),
                    counter.name.to_owned(),
                    quantity(counter.unit, value),
                    rate.map_or("-".into(), |rate| per_second(counter.unit, rate)),
                    meaning(counter),
                ]);
            }
        }
        output::print_table(&table)
    }
}

fn quantity(unit: Unit, value: u64) -> String {
    match unit {
        // Numbers beyond any memory stand for "as much as there is".
        Unit::Bytes => format_size_short(value),
        Unit::Number => value.to_string(),
        Unit::Milliseconds => format!("{value} ms"),
        Unit::Flag => if value == 0 { "no" } else { "yes" }.to_owned(),
    }
}

fn per_second(unit: Unit, rate: f64) -> String {
    match unit {
        // Lossless enough: rates are far below 2^53.
        Unit::Bytes => format_size_short(rate.round() as u64),
        _ => format!("{rate:.1}"),
    }
}

fn meaning(counter: &Counter) -> String {
    match counter.unit {
        Unit::Bytes => format!("bytes {}", counter.about),
        Unit::Milliseconds => format!("time {}", counter.about),
        Unit::Number | Unit::Flag => counter.about.to_owned(),
    }
}

/// The text format of Prometheus, with its rules for names: the unit, and `_total` for counters.
fn prometheus(readings: &[Reading]) -> String {
    let mut text = String::new();
    for counter in counters::all() {
        let lines: Vec<(&str, u64)> = readings
            .iter()
            .filter_map(|it| Some((it.heap.as_str(), it.get(counter.name)?)))
            .collect();
        if lines.is_empty() {
            continue;
        }
        let name = metric(counter);
        let kind = match counter.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "# HELP {name} {}", meaning(counter));
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for (heap, value) in lines {
            let heap = heap.replace('\\', "\\\\").replace('"', "\\\"");
            let value = match counter.unit {
                Unit::Milliseconds => format!("{}", value as f64 / 1000.0),
                _ => value.to_string(),
            };
            let _ = writeln!(text, "{name}{{heap=\"{heap}\"}} {value}");
        }
    }
    text
}

fn metric(counter: &Counter) -> String {
    let name = counter.name.trim_end_matches("_ms");
    let unit = match counter.unit {
        Unit::Bytes => "_bytes",
        Unit::Milliseconds => "_seconds",
        Unit::Number | Unit::Flag => "",
    };
    let total = match counter.kind {
        Kind::Gauge => "",
        Kind::Counter => "_total",
    };
    format!("dma_heap_{name}{unit}{total}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_metrics_follow_the_rules() {
        let names: Vec<String> = counters::all().map(metric).collect();
        for wanted in [
            "dma_heap_used_bytes",
            "dma_heap_pool_trim_seconds",
            "dma_heap_allocations_total",
            "dma_heap_hits_bytes_total",
            "dma_heap_keep_mappings",
        ] {
            assert!(names.iter().any(|it| it == wanted), "{wanted} is missing");
        }
    }
}
