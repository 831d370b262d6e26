// SPDX-License-Identifier: GPL-2.0

//! TAP version 13 and the exit status of a kselftest: 0 passed, 1 failed, 4 skipped.
//!
//! Why a test has failed comes after its `not ok`, as comments: so whoever reads along, or
//! cuts failures out, knows to which test a reason belongs.

#![forbid(unsafe_code)]

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

const FAIL: u8 = 1;
const SKIP: u8 = 4;

/// What is written, and counts of it.
pub struct Tap {
    out: Box<dyn Write>,
    passed: usize,
    failed: usize,
    skipped: usize,
    planned: Option<usize>,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("passed", &self.passed)
            .field("failed", &self.failed)
            .field("skipped", &self.skipped)
            .field("planned", &self.planned)
            .finish_non_exhaustive()
    }
}

impl Tap {
    /// Begins, on standard output.
    #[must_use]
    pub fn start() -> Self {
        Self::on(Box::new(std::io::stdout()))
    }

    fn on(out: Box<dyn Write>) -> Self {
        let mut tap = Self {
            out,
            passed: 0,
            failed: 0,
            skipped: 0,
            planned: None,
        };
        tap.print("TAP version 13");
        tap
    }

    /// Says how many tests come. Without it, [`finish`](Self::finish) says how many came.
    pub fn plan(&mut self, tests: usize) {
        self.planned = Some(tests);
        self.print(&format!("1..{tests}"));
    }

    /// Says what helps to understand the results. It is not for why a test fails.
    pub fn note(&mut self, text: &str) {
        for line in text.lines() {
            self.print(&format!("# {line}"));
        }
    }

    /// A test has passed.
    pub fn pass(&mut self, test: &str) {
        self.passed += 1;
        self.result("ok", test, "");
    }

    /// A test has failed, and why.
    pub fn fail(&mut self, test: &str, why: &str) {
        self.failed += 1;
        self.result("not ok", test, "");
        self.note(why);
    }

    /// A test could not be made, and what is missing.
    pub fn skip(&mut self, test: &str, reason: &str) {
        self.skipped += 1;
        self.result("ok", test, &format!(" # SKIP {reason}"));
    }

    /// A test that passes if `passed`, and else fails for the reason `otherwise`.
    pub fn expect(&mut self, passed: bool, test: &str, otherwise: &str) {
        if passed {
            self.pass(test);
        } else {
            self.fail(test, otherwise);
        }
    }

    /// Says that no test can run.
    #[must_use]
    pub fn skip_all(mut self, reason: &str) -> ExitCode {
        self.print(&format!("1..0 # SKIP {reason}"));
        ExitCode::from(SKIP)
    }

    /// Says that the run cannot go on.
    #[must_use]
    pub fn bail_out(mut self, reason: &str) -> ExitCode {
        self.print(&format!("Bail out! {reason}"));
        ExitCode::from(FAIL)
    }

    /// Says how many tests came, if nothing did before, and the sums.
    #[must_use]
    pub fn finish(mut self) -> ExitCode {
        if self.planned.is_none() {
            self.plan(self.done());
        }
        self.print(&format!(
            "# Totals: pass:{} fail:{} xfail:0 xpass:0 skip:{} error:0",
            self.passed, self.failed, self.skipped
        ));
        ExitCode::from(self.status())
    }

    fn done(&self) -> usize {
        self.passed + self.failed + self.skipped
    }

    /// To have tested nothing is a failure, too.
    fn status(&self) -> u8 {
        let done = self.done();
        if self.failed > 0 || done == 0 || self.planned.is_some_and(|planned| planned != done) {
            FAIL
        } else if self.passed == 0 {
            SKIP
        } else {
            0
        }
    }

    fn result(&mut self, result: &str, test: &str, directive: &str) {
        // A number sign would begin a directive.
        let test = test.replace('#', "");
        let number = self.done();
        self.print(&format!("{result} {number} - {test}{directive}"));
    }

    /// Prints a line at once: if a later test takes the machine down, the lines so far tell
    /// which one. If nobody reads them, the exit status still counts.
    fn print(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::Mutex;

    /// What was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0
                .lock()
                .map_err(|_| std::io::Error::other("poisoned"))?
                .write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The lines after the first, and the status.
    fn lines(run: impl FnOnce(&mut Tap)) -> (Vec<String>, u8) {
        let written = Written::default();
        let mut tap = Tap::on(Box::new(written.clone()));
        run(&mut tap);
        let status = tap.status();
        let _ = tap.finish();
        let bytes = written.0.lock().map(|bytes| bytes.clone());
        let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
        let mut lines = text.lines().map(str::to_owned);
        assert_eq!(lines.next().as_deref(), Some("TAP version 13"));
        (lines.collect(), status)
    }

    #[test]
    fn of_two_failures_in_a_row_each_has_its_reason_after_it() {
        let (lines, status) = lines(|tap| {
            tap.plan(4);
            tap.pass("one");
            tap.fail("two", "this is why two fails\nand more of it");
            tap.fail("three", "this is why three fails");
            tap.pass("four");
        });
        assert_eq!(
            lines,
            [
                "1..4",
                "ok 1 - one",
                "not ok 2 - two",
                "# this is why two fails",
                "# and more of it",
                "not ok 3 - three",
                "# this is why three fails",
                "ok 4 - four",
                "# Totals: pass:2 fail:2 xfail:0 xpass:0 skip:0 error:0",
            ]
        );
        assert_eq!(status, FAIL);
    }

    #[test]
    fn the_plan_may_come_last() {
        let (lines, status) = lines(|tap| {
            tap.expect(true, "issue #7", "no reason");
            tap.skip("two", "needs a device");
        });
        assert_eq!(
            lines,
            [
                "ok 1 - issue 7",
                "ok 2 - two # SKIP needs a device",
                "1..2",
                "# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:1 error:0",
            ]
        );
        assert_eq!(status, 0);
    }

    #[test]
    fn the_status_follows_the_results() {
        assert_eq!(lines(|tap| tap.skip("one", "none")).1, SKIP);
        // Nothing was tested.
        assert_eq!(lines(|_| ()).1, FAIL);
        // Fewer results than planned.
        let fewer = |tap: &mut Tap| {
            tap.plan(2);
            tap.pass("one");
        };
        assert_eq!(lines(fewer).1, FAIL);
    }
}
