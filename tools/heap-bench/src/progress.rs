// SPDX-License-Identifier: GPL-2.0

//! A bar that says how long a run still takes, about.

use indicatif::ProgressBar;
use indicatif::ProgressState;
use indicatif::ProgressStyle;
use std::cell::Cell;
use std::fmt::Write;
use std::time::Duration;

/// The bar, in milliseconds. Shown on a terminal only, and drawn only between samples: a
/// thread that draws would be measured along.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// What the cases before this one were to take, and ...
    before: Cell<Duration>,
    /// ... what this one is to take.
    case: Cell<Duration>,
}

impl Progress {
    /// A bar for a run that takes so long.
    pub(crate) fn new(whole: Duration) -> Self {
        let bar = ProgressBar::new(millis(whole));
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {left} left  {msg}") {
            let left = |state: &ProgressState, out: &mut dyn Write| {
                // A string takes all.
                let _ = write!(out, "{:>3} s", seconds_left(state.pos(), state.len()));
            };
            bar.set_style(style.with_key("left", left));
        }
        Self {
            bar,
            before: Cell::default(),
            case: Cell::default(),
        }
    }

    /// A case begins that takes so long.
    pub(crate) fn begin(&self, title: &str, time: Duration) {
        self.case.set(time);
        self.bar.set_message(title.to_owned());
    }

    /// It has taken that long.
    pub(crate) fn at(&self, elapsed: Duration) {
        let in_time = elapsed.min(self.case.get());
        self.bar.set_position(millis(self.before.get() + in_time));
    }

    /// It has ended, however long it took.
    pub(crate) fn end(&self) {
        self.at(self.case.get());
        self.before.set(self.before.get() + self.case.take());
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// From a position to the end, both in milliseconds.
fn seconds_left(position: u64, end: Option<u64>) -> u64 {
    end.unwrap_or(0).saturating_sub(position).div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_takes_longer_or_shorter_ends_where_it_was_to() {
        let second = Duration::from_secs(1);
        let progress = Progress::new(3 * second);
        progress.begin("long", second);
        progress.at(second / 2);
        assert_eq!(progress.bar.position(), 500);
        progress.at(5 * second);
        assert_eq!(progress.bar.position(), 1000);
        progress.end();
        progress.begin("short", 2 * second);
        progress.end();
        assert_eq!(progress.bar.position(), 3000);
    }

    #[test]
    fn what_is_left_is_rounded_up() {
        assert_eq!(seconds_left(0, Some(14_200)), 15);
        assert_eq!(seconds_left(14_199, Some(14_200)), 1);
        assert_eq!(seconds_left(15_000, Some(14_200)), 0);
    }
}
