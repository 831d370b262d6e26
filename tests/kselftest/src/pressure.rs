// SPDX-License-Identifier: GPL-2.0

//! Others need the memory that a heap keeps warm.

use crate::Test;
use crate::child;
use crate::child::Role;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::pool_fixture;
use crate::system;
use crate::target::Target;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Stdio;

pub(crate) const TESTS: &[Test] = &[
    ("a memory hog gets all that is kept", hog),
    ("the kernel gets all that is kept", messages),
];

/// A board's memory is filled in a few seconds; a server's would take minutes.
const MOST: u64 = 8 << 30;

fn hog(target: &Target) -> TestResult {
    takes_all(target, Role::Hog)
}

fn messages(target: &Target) -> TestResult {
    // What the heap keeps is up there where it can be, and gives the kernel nothing.
    if system::meminfo("HighTotal").unwrap_or(0) > 0 {
        return skip("the kernel cannot use high memory for itself");
    }
    takes_all(target, Role::Messages)
}

fn takes_all(target: &Target, role: Role) -> TestResult {
    pool_fixture::with(target, |pool| {
        if target.is_contiguous() {
            return skip("contiguous memory is not what others run out of");
        }
        let Some(kills) = system::oom_kills()? else {
            return skip("/proc/vmstat has no oom_kill (CONFIG_VM_EVENT_COUNTERS)");
        };
        if system::meminfo("MemTotal")? > MOST {
            return skip("to take all memory of this machine would take long");
        }
        let size = pool.cap() / 16 / crate::target::page() * crate::target::page();
        let keep = || -> Result<(), Failure> {
            let buffers = (0..15)
                .map(|_| target.heap.alloc(size))
                .collect::<Result<Vec<_>, _>>()?;
            drop(buffers);
            pool.wait("freed memory is kept", || Ok(pool.held()? >= 14 * size))
        };
        keep()?;
        let before = pool.counters()?;
        let held = pool.held()?;
        // It ends when the heap keeps nothing; if that never comes, the OOM killer
        // takes it.
        let most = system::meminfo("MemTotal")?;
        let mut child = child::command(role, target.name(), most)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let left = pool.held()?;
        drop(child.stdin.take());
        let status = child.wait()?;
        if system::oom_kills()? != Some(kills) {
            return fail(format!(
                "the OOM killer came while {left} bytes of {held} were kept"
            ));
        }
        if line.trim() != "ready" || !status.success() {
            return fail(format!("the other process ended with {status}"));
        }
        if left > child::REST {
            return fail(format!("of {held} bytes {left} are still kept"));
        }
        // What goes is counted a moment later.
        pool.wait("what went is counted as reclaimed", || {
            Ok(pool.since(&before)?.reclaimed + pool.held()? >= held)
        })?;
        // Back at work.
        keep()?;
        let before = pool.counters()?;
        target.heap.alloc(size)?;
        equal(
            "what the next buffer found",
            pool.since(&before)?.hits,
            size,
        )?;
        Ok(Pass)
    })
}
