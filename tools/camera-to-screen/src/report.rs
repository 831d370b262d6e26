// SPDX-License-Identifier: GPL-2.0

//! What came of a run.

use crate::times::Summary;
use serde::Serialize;
use std::fmt;
use std::fmt::Display;
use std::fmt::Formatter;

/// All of it, as JSON has it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) camera: String,
    /// None without a screen.
    pub(crate) screen: Option<String>,
    pub(crate) heap: String,
    pub(crate) buffers: u32,
    /// Of the first size.
    pub(crate) format: String,
    pub(crate) pitch: u32,
    pub(crate) buffer_bytes: u64,
    /// Frames a second, as the camera has it; as asked for, if it does not say.
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    pub(crate) counts: Counts,
    /// Time from one frame to the next: what an allocation must not take.
    pub(crate) budget_us: u128,
    /// Later than this after its capture a frame is late.
    pub(crate) late_after_us: u128,
    /// From a frame's capture until it was on the screen, or here without one.
    pub(crate) latency: Summary,
    pub(crate) allocations: Summary,
    /// Of all of a stream's buffers at once.
    pub(crate) frees: Summary,
    /// Of the other clients.
    pub(crate) client_allocations: Summary,
    /// From the last frame in one size until the first in another was shown.
    pub(crate) changes: Summary,
}

/// What became of the frames.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// That the camera has delivered.
    pub(crate) captured: u64,
    /// That were on the screen.
    pub(crate) shown: u64,
    /// That the camera has skipped, by its own count.
    pub(crate) dropped: u64,
    /// That the camera itself called wrong.
    pub(crate) broken: u64,
    /// That a newer one came before, which was then shown in their place.
    pub(crate) overtaken: u64,
    pub(crate) late: u64,
    /// Of these: that would not have been late without an allocation.
    pub(crate) late_by_allocation: u64,
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let none = "none";
        writeln!(f, "camera       {}", self.camera)?;
        writeln!(f, "screen       {}", self.screen.as_deref().unwrap_or(none))?;
        writeln!(
            f,
            "frames       {}, {} bytes a line, {:.2} a second",
            self.format, self.pitch, self.rate
        )?;
        writeln!(
            f,
            "buffers      {} of {} bytes from {}",
            self.buffers, self.buffer_bytes, self.heap
        )?;
        let counts = self.counts;
        writeln!(
            f,
            "{} frames in {:.2} s: {} shown, {} overtaken, {} dropped by the camera, {} broken",
            counts.captured,
            self.seconds,
            counts.shown,
            counts.overtaken,
            counts.dropped,
            counts.broken
        )?;
        writeln!(
            f,
            "{} late (later than {} µs after capture), {} of them because of an allocation",
            counts.late, self.late_after_us, counts.late_by_allocation
        )?;
        writeln!(
            f,
            "             {:>8} {:>9} {:>9} {:>9}",
            "number", "median µs", "99 % µs", "most µs"
        )?;
        for (name, summary) in [
            ("latency", &self.latency),
            ("allocation", &self.allocations),
            ("free", &self.frees),
            ("others'", &self.client_allocations),
            ("change", &self.changes),
        ] {
            if summary.count > 0 {
                writeln!(
                    f,
                    "{name:<12} {:>8} {:>9} {:>9} {:>9}",
                    summary.count, summary.median_us, summary.p99_us, summary.max_us
                )?;
            }
        }
        write!(f, "from one frame to the next: {} µs", self.budget_us)
    }
}
