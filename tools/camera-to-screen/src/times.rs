// SPDX-License-Identifier: GPL-2.0

//! How long things took.

use rustix::time::ClockId;
use serde::Serialize;
use std::time::Duration;

/// CLOCK_MONOTONIC: the clock by which cameras and screens date their frames.
pub(crate) fn now() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::Monotonic);
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

/// How much of the time between two moments these spans take, each a beginning and
/// an end.
pub(crate) fn covered(
    spans: impl IntoIterator<Item = (Duration, Duration)>,
    from: Duration,
    to: Duration,
) -> Duration {
    spans
        .into_iter()
        .map(|(start, end)| end.min(to).saturating_sub(start.max(from)))
        .sum()
}

/// Some durations.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

/// What they come to, in microseconds; zeros without any.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) median_us: u128,
    pub(crate) p99_us: u128,
    pub(crate) max_us: u128,
}

impl Samples {
    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Median, and the value that a hundredth of the samples exceeds, by nearest
    /// rank.
    pub(crate) fn summary(&self) -> Summary {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |hundredths: usize| {
            let rank = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
            sorted.get(rank).map_or(0, Duration::as_micros)
        };
        Summary {
            count: sorted.len(),
            median_us: at(50),
            p99_us: at(99),
            max_us: at(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_what_they_overlap() {
        let at = Duration::from_millis;
        let spans = [(0, 10), (15, 20), (25, 100), (100, 200)].map(|(a, b)| (at(a), at(b)));
        assert_eq!(covered(spans, at(5), at(30)), at(5 + 5 + 5));
        assert_eq!(covered(spans, at(10), at(15)), at(0));
        assert_eq!(covered(spans, at(0), at(200)), at(190));
    }

    #[test]
    fn summaries() {
        let mut samples = Samples::default();
        let zeros = Summary {
            count: 0,
            median_us: 0,
            p99_us: 0,
            max_us: 0,
        };
        assert_eq!(samples.summary(), zeros);
        for micros in (1..=200).rev() {
            samples.add(Duration::from_micros(micros));
        }
        let summary = Summary {
            count: 200,
            median_us: 100,
            p99_us: 198,
            max_us: 200,
        };
        assert_eq!(samples.summary(), summary);
    }
}
