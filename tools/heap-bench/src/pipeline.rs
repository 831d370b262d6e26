// SPDX-License-Identifier: GPL-2.0

//! A stream of frames, as a camera or a decoder makes it: 60 times a second a
//! buffer is allocated and written in full, and four frames later it is closed.

use super::operation::allocate;
use super::operation::fill;
use super::operation::nanos;
use dma_heap::Buffer;
use dma_heap::Heap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

/// From one frame to the next.
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / 60);

/// Frames for which a buffer is held.
const HELD: usize = 4;

/// Frames before the first that is timed: by then buffers have come back.
const LEAD: usize = 2 * HELD;

/// What a piece of the stream has seen.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    /// Nanoseconds of each allocation, the ioctl alone.
    pub(crate) times: Vec<u64>,
    /// Frames that began a whole period too late.
    pub(crate) late: u64,
}

/// How many buffers a segment allocates, with those that are not timed.
pub(crate) fn operations(frames: usize) -> usize {
    LEAD + frames
}

/// How long a segment of so many frames takes.
pub(crate) fn duration(frames: usize) -> Duration {
    PERIOD * u32::try_from(operations(frames)).unwrap_or(u32::MAX)
}

/// Runs the stream for so many frames.
pub(crate) fn run(heap: &Heap, size: u64, frames: usize) -> anyhow::Result<Segment> {
    let mut segment = Segment::default();
    let mut held = VecDeque::with_capacity(HELD + 1);
    let start = Instant::now();
    let mut due = Duration::ZERO;
    for frame in 0..operations(frames) {
        let early = due.saturating_sub(start.elapsed());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        segment.late += u64::from(start.elapsed() > due + PERIOD);
        let begin = Instant::now();
        let fd = allocate(heap, size)?;
        let time = begin.elapsed();
        if frame >= LEAD {
            segment.times.push(nanos(time));
        }
        let buffer = Buffer::from_fd(fd)?;
        fill(&buffer)?;
        held.push_back(buffer);
        // The frame of four frames ago has been shown.
        if held.len() > HELD {
            held.pop_front();
        }
        due += PERIOD;
    }
    Ok(segment)
}
