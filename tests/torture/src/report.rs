// SPDX-License-Identifier: GPL-2.0

//! TAP version 13 on standard output, whose plan comes last, and the exit status
//! of a kselftest.

use std::io::Write as _;
use std::process::ExitCode;

#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    pub(crate) fn start(what: &str) -> Self {
        print("TAP version 13");
        let report = Self::default();
        report.note(what);
        report
    }

    /// Prints what helps to understand the results.
    pub(crate) fn note(&self, text: &str) {
        for line in text.lines() {
            print(&format!("# {line}"));
        }
    }

    fn number(&self) -> usize {
        self.passed + self.failed + self.skipped + 1
    }

    /// A test, and what to say if it has failed.
    pub(crate) fn expect(&mut self, passed: bool, test: &str, otherwise: &str) {
        // A number sign would begin a directive.
        let test = test.replace('#', "");
        if passed {
            print(&format!("ok {} - {test}", self.number()));
            self.passed += 1;
        } else {
            print(&format!("not ok {} - {test}", self.number()));
            self.note(otherwise);
            self.failed += 1;
        }
    }

    pub(crate) fn skip(&mut self, test: &str, reason: &str) {
        print(&format!("ok {} - {test} # SKIP {reason}", self.number()));
        self.skipped += 1;
    }

    pub(crate) fn finish(self) -> ExitCode {
        print(&format!("1..{}", self.number() - 1));
        if self.failed > 0 || self.passed == 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// Prints a line at once: if the machine dies later, the lines so far tell how
/// far it came. If nobody reads them, the exit status still counts.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
