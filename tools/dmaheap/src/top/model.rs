// SPDX-License-Identifier: GPL-2.0

//! What is on the screen of `top`, and in which order.

use super::sample::Sample;
use crate::dma_bufs::DmaBuf;
use std::cmp::Reverse;

/// What the long list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Processes,
    Buffers,
}

/// By what it is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Size,
    Growth,
    Name,
    Number,
}

impl Order {
    /// The next one, for the key that goes through them.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Size => Self::Growth,
            Self::Growth => Self::Name,
            Self::Name => Self::Number,
            Self::Number => Self::Size,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Growth => "growth",
            Self::Name => "name",
            Self::Number => "number",
        }
    }
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The process's number, or the buffer's inode number.
    pub(super) number: u64,
    pub(super) name: String,
    /// How many buffers, or how many processes have it.
    pub(super) count: usize,
    /// Bytes.
    pub(super) size: u64,
    /// Bytes more than one sample before.
    pub(super) growth: i64,
    /// The exporters, or the exporter.
    pub(super) exporters: String,
}

/// Two samples and how they are looked at.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) before: Option<Sample>,
    pub(super) now: Sample,
    pub(super) list: List,
    pub(super) order: Order,
    pub(super) is_reversed: bool,
    pub(super) is_paused: bool,
    /// How many lines of the list are above the screen.
    pub(super) scrolled: usize,
}

impl Model {
    pub(super) fn new(now: Sample, list: List) -> Self {
        Self {
            before: None,
            now,
            list,
            order: Order::Size,
            is_reversed: false,
            is_paused: false,
            scrolled: 0,
        }
    }

    /// Takes a new sample.
    pub(super) fn advance(&mut self, sample: Sample) {
        self.before = Some(std::mem::replace(&mut self.now, sample));
    }

    /// What a counter of a heap gained in a second.
    pub(super) fn rate(&self, heap: &str, counter: &str) -> Option<f64> {
        let before = self.before.as_ref()?;
        let seconds = (self.now.time - before.time).as_secs_f64();
        let gained = self
            .now
            .heap(heap)?
            .get(counter)?
            .saturating_sub(before.heap(heap)?.get(counter)?);
        (seconds > 0.0).then(|| gained as f64 / seconds)
    }

    /// The list, sorted.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = match self.list {
            List::Processes => self.processes(),
            List::Buffers => self.buffers(),
        };
        match self.order {
            Order::Size => lines.sort_by_key(|it| Reverse(it.size)),
            Order::Growth => lines.sort_by_key(|it| Reverse(it.growth)),
            Order::Name => lines.sort_by(|a, b| a.name.cmp(&b.name)),
            Order::Number => lines.sort_by_key(|it| it.number),
        }
        if self.is_reversed {
            lines.reverse();
        }
        lines
    }

    fn processes(&self) -> Vec<Line> {
        self.now
            .survey
            .processes
            .values()
            .map(|process| {
                let theirs: Vec<&DmaBuf> = buffers_of(&self.now, process.pid).collect();
                let mut exporters: Vec<&str> = theirs
                    .iter()
                    .filter_map(|it| it.exporter.as_deref())
                    .collect();
                exporters.sort_unstable();
                exporters.dedup();
                let size = theirs.iter().filter_map(|it| it.size).sum();
                let before = self.before.as_ref().map(|sample| {
                    buffers_of(sample, process.pid)
                        .filter_map(|it| it.size)
                        .sum()
                });
                Line {
                    number: process.pid.try_into().unwrap_or(0),
                    name: process.command.clone(),
                    count: theirs.len(),
                    size,
                    growth: growth(before, size),
                    exporters: exporters.join(" "),
                }
            })
            .collect()
    }

    fn buffers(&self) -> Vec<Line> {
        self.now
            .survey
            .buffers
            .iter()
            .map(|(inode, buffer)| {
                let size = buffer.size.unwrap_or(0);
                let before = self.before.as_ref().map(|sample| {
                    let then = sample.survey.buffers.get(inode);
                    then.and_then(|it| it.size).unwrap_or(0)
                });
                Line {
                    number: *inode,
                    name: buffer.name.clone().unwrap_or_default(),
                    count: buffer.holders.len(),
                    size,
                    growth: growth(before, size),
                    exporters: buffer.exporter.clone().unwrap_or_default(),
                }
            })
            .collect()
    }
}

fn buffers_of(sample: &Sample, pid: i32) -> impl Iterator<Item = &DmaBuf> {
    sample
        .survey
        .buffers
        .values()
        .filter(move |it| it.holders.contains_key(&pid))
}

/// Before there are two samples, nothing has grown.
fn growth(before: Option<u64>, now: u64) -> i64 {
    let before = before.unwrap_or(now);
    i64::try_from(i128::from(now) - i128::from(before)).unwrap_or(i64::MAX)
}
