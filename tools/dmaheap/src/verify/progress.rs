// SPDX-License-Identifier: GPL-2.0

//! A progress bar on standard error, for runs of more than a second.

use crate::quantity::format_size;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use std::time::Duration;
use std::time::Instant;

/// Runs shorter than this show no bar: it would only flicker.
const PATIENCE: Duration = Duration::from_secs(1);

/// The bar. Shown on a terminal only.
pub(super) struct Progress {
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// A hidden bar for `steps` steps.
    pub(super) fn new(steps: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            start: Instant::now(),
        }
    }

    /// Runs one step, which is about a heap and a size.
    pub(super) fn step<R>(&self, heap: &str, size: u64, step: impl FnOnce() -> R) -> R {
        if self.bar.is_hidden() && self.start.elapsed() >= PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar
            .set_message(format!("{heap} {}", format_size(size)));
        let result = step();
        self.bar.inc(1);
        result
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
