// SPDX-License-Identifier: GPL-2.0

//! TAP version 13 on standard output. The plan comes last: how many entries
//! there are shows when all heaps have been swept.

use std::io::Write as _;
use std::process::ExitCode;

/// Counts of what was printed.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    passed: usize,
    failed: usize,
}

impl Tap {
    pub(crate) fn start() -> Self {
        print("TAP version 13");
        Self::default()
    }

    pub(crate) fn result(&mut self, passed: bool, text: &str) {
        let count = if passed {
            &mut self.passed
        } else {
            &mut self.failed
        };
        *count += 1;
        let number = self.passed + self.failed;
        let not = if passed { "" } else { "not " };
        print(&format!("{not}ok {number} - {text}"));
    }

    /// Prints what helps to understand the results.
    pub(crate) fn diagnostic(&self, text: &str) {
        for line in text.lines() {
            print(&format!("# {line}"));
        }
    }

    /// Prints the plan. The status is that of a kselftest; to have tested
    /// nothing is a failure.
    pub(crate) fn finish(&self) -> ExitCode {
        print(&format!("1..{}", self.passed + self.failed));
        ExitCode::from(u8::from(self.failed > 0 || self.passed == 0))
    }
}

/// Prints a line at once: if a later fault takes the machine down, the lines so
/// far tell which one.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
