// SPDX-License-Identifier: GPL-2.0

//! TAP version 13 on standard output, and the exit status of a kselftest.

use crate::outcome::Failure;
use crate::outcome::Outcome;
use crate::outcome::TestResult;
use std::io::Write as _;
use std::process::ExitCode;

const FAIL: u8 = 1;
const SKIP: u8 = 4;

/// Counts of what was printed.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    passed: usize,
    failed: usize,
    skipped: usize,
    planned: usize,
}

impl Tap {
    /// Prints the version line.
    pub(crate) fn start() -> Self {
        print("TAP version 13");
        Self::default()
    }

    /// Prints the plan.
    pub(crate) fn plan(&mut self, tests: usize) {
        self.planned = tests;
        print(&format!("1..{tests}"));
    }

    /// Prints what helps to understand the results.
    pub(crate) fn diagnostic(&self, text: &str) {
        print(&format!("# {text}"));
    }

    /// Prints the result of one test.
    pub(crate) fn result(&mut self, heap: &str, test: &str, result: &TestResult) {
        let number = self.passed + self.failed + self.skipped + 1;
        let line = format!("{number} {heap}: {test}");
        match result {
            Ok(Outcome::Pass) => {
                self.passed += 1;
                print(&format!("ok {line}"));
            }
            Ok(Outcome::Skip(reason)) => {
                self.skipped += 1;
                print(&format!("ok {line} # SKIP {reason}"));
            }
            Err(Failure(what)) => {
                self.failed += 1;
                print(&format!("# {heap}: {test}: {what}"));
                print(&format!("not ok {line}"));
            }
        }
    }

    /// Says that no test can run.
    pub(crate) fn skip_all(self, reason: &str) -> ExitCode {
        print(&format!("1..0 # SKIP {reason}"));
        ExitCode::from(SKIP)
    }

    /// Says that the run cannot go on.
    pub(crate) fn bail_out(self, reason: &str) -> ExitCode {
        print(&format!("Bail out! {reason}"));
        ExitCode::from(FAIL)
    }

    /// Prints the sums.
    pub(crate) fn finish(self) -> ExitCode {
        print(&format!(
            "# Totals: pass:{} fail:{} xfail:0 xpass:0 skip:{} error:0",
            self.passed, self.failed, self.skipped
        ));
        ExitCode::from(self.status())
    }

    fn status(&self) -> u8 {
        let done = self.passed + self.failed + self.skipped;
        if self.failed > 0 || done != self.planned {
            FAIL
        } else if self.passed == 0 {
            SKIP
        } else {
            0
        }
    }
}

/// Prints a line at once: if a later test takes the machine down, the lines so
/// far tell which one. If nobody reads them, the exit status still counts.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(passed: usize, failed: usize, skipped: usize) -> Tap {
        Tap {
            passed,
            failed,
            skipped,
            planned: 3,
        }
    }

    #[test]
    fn status_follows_the_results() {
        assert_eq!(tap(3, 0, 0).status(), 0);
        assert_eq!(tap(1, 0, 2).status(), 0);
        assert_eq!(tap(2, 1, 0).status(), 1);
        assert_eq!(tap(0, 0, 3).status(), 4);
        // Fewer results than planned.
        assert_eq!(tap(2, 0, 0).status(), 1);
    }
}
