// SPDX-License-Identifier: GPL-2.0

//! Running out of memory, and being killed on the way.

use crate::Test;
use crate::child;
use crate::child::Role;
use crate::limits::Limit;
use crate::limits::NO_LIMIT;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::patience::ample;
use crate::pool_fixture;
use crate::system;
use crate::target::Target;
use crate::target::page;
use dma_heap::Errno;
use std::io::BufRead as _;
use std::io::BufReader;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    ("a kill during a large allocation is prompt", killed),
    ("what a killed task was to get is not got", given_up),
    ("a heap that is full says ENOMEM", full),
    ("a heap that was full has all memory again", full_then_free),
    (
        "more than all memory is ENOMEM without an OOM kill",
        all_memory,
    ),
];

/// How long a killed process may take to go, emulated machines included.
const PROMPT: Duration = Duration::from_secs(2);

/// Moments after the start of an allocation at which to kill.
const DELAYS: [u64; 6] = [1, 5, 20, 50, 100, 200];

/// A child that is killed at the latest when it goes out of scope.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        // Fails if it is dead already, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Victim {
    /// A child that allocates buffers of `size` bytes and frees them.
    fn allocating(target: &Target, size: u64) -> Result<Self, Failure> {
        let mut command = child::command(Role::Loop, target.name(), size)?;
        let mut victim = Self(command.stdout(Stdio::piped()).spawn()?);
        let Some(out) = victim.0.stdout.take() else {
            return fail("the child has no output");
        };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        equal("the child's first word", line.trim(), "ready")?;
        Ok(victim)
    }
}

/// The largest buffer to be killed in, or one that is large enough.
fn large(target: &Target) -> Result<u64, Failure> {
    let free = system::meminfo("MemAvailable")? / 4;
    let most = target.limit().map_or(free, |limit| free.min(limit / 2));
    target.largest(most)
}

fn killed(target: &Target) -> TestResult {
    let size = large(target)?;
    let used = target.used();
    let before = target.free_memory()?;
    for delay in DELAYS {
        let mut victim = Victim::allocating(target, size)?;
        std::thread::sleep(Duration::from_millis(delay));
        if let Some(status) = victim.0.try_wait()? {
            return fail(format!("the child ended by itself: {status}"));
        }
        let start = Instant::now();
        victim.0.kill()?;
        victim.0.wait()?;
        let time = start.elapsed();
        if time > ample(PROMPT) {
            return fail(format!(
                "killed in an allocation of {size} bytes, it took {time:?}"
            ));
        }
        target.expect_used(used)?;
    }
    // Not a whole buffer's memory may be missing, of so many that were cut short.
    let start = Instant::now();
    loop {
        let now = target.free_memory()?;
        if now.saturating_add(size / 2) > before {
            return Ok(Pass);
        }
        if start.elapsed() > ample(PROMPT) {
            return fail(format!(
                "killed in allocations of {size} bytes, {} bytes of memory are missing",
                before - now
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How long to try until a kill has come in the middle of an allocation.
const TRIES: Duration = Duration::from_secs(30);

/// Whether a buffer is being made: what it gets of an area lacks there, and of any
/// memory it is charged before. `unused` is what had been free, and charged.
fn is_begun(target: &Target, size: u64, unused: (u64, Option<u64>)) -> Result<bool, Failure> {
    Ok(if target.is_contiguous() {
        unused.0.saturating_sub(system::meminfo("CmaFree")?) > size / 2
    } else {
        target.used() != unused.1
    })
}

/// With nothing kept, all of a buffer is got anew. It counts as failed only if the
/// kernel did not go on to its end.
fn given_up(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        pool.set_cap(0)?;
        let size = large(target)?;
        let used = target.used();
        let failures = pool.counter("failures")?;
        let start = Instant::now();
        let mut tries = 0;
        while start.elapsed() < ample(TRIES) {
            // Not every kernel tells it, only those that have areas.
            let unused = match target.is_contiguous() {
                true => (system::meminfo("CmaFree")?, used),
                false => (0, used),
            };
            let mut victim = Victim::allocating(target, size)?;
            while !is_begun(target, size, unused)? {
                if let Some(status) = victim.0.try_wait()? {
                    return fail(format!("the child ended by itself: {status}"));
                }
                if start.elapsed() > ample(TRIES) {
                    return fail(format!("no buffer of {size} bytes was ever begun"));
                }
            }
            victim.0.kill()?;
            let status = victim.0.wait()?;
            if status.signal().is_none() {
                return fail(format!("the child ended by itself: {status}"));
            }
            target.expect_used(used)?;
            if pool.counter("failures")? > failures {
                return Ok(Pass);
            }
            tries += 1;
        }
        fail(format!(
            "{tries} tasks were killed while they had buffers of {size} bytes made, and each \
             was made to its end"
        ))
    })
}

/// Fills the heap in a child, with buffers of which several fit, and expects it
/// to be told ENOMEM.
fn fill_up(target: &Target, limit: u64) -> Result<(), Failure> {
    let kills = system::oom_kills()?;
    // The limit of a CMA heap is an upper bound: ask what it really has.
    let size = (target.largest(limit / 2)? / 4).max(page());
    let mut command = child::command(Role::Fill, target.name(), size)?;
    expect_errno(&mut command, Errno::NOMEM)?;
    equal("the number of OOM kills", system::oom_kills()?, kills)
}

/// Why a heap cannot be filled safely here, if it cannot.
fn unfillable(target: &Target, limit: u64) -> Result<Option<String>, Failure> {
    if target.is_contiguous() {
        return Ok(None);
    }
    let available = system::meminfo("MemAvailable")?;
    Ok((limit > available).then(|| {
        format!("the limit of {limit} bytes is above the {available} bytes of memory available")
    }))
}

fn expect_errno(command: &mut std::process::Command, wanted: Errno) -> Result<(), Failure> {
    let status = command.status()?;
    match status.code() {
        Some(code) if code == wanted.raw_os_error() => Ok(()),
        Some(code) if code != 0 && code != child::CONFUSED => fail(format!(
            "the allocation gave {} instead of {wanted}",
            Errno::from_raw_os_error(code)
        )),
        _ => fail(format!(
            "instead of {wanted}, the child ended with {status}"
        )),
    }
}

fn full(target: &Target) -> TestResult {
    let Some(limit) = target.limit() else {
        return skip(NO_LIMIT);
    };
    if let Some(reason) = unfillable(target, limit)? {
        return skip(reason);
    }
    fill_up(target, limit)?;
    Ok(Pass)
}

fn full_then_free(target: &Target) -> TestResult {
    let Some(limit) = target.limit() else {
        return skip(NO_LIMIT);
    };
    if let Some(reason) = unfillable(target, limit)? {
        return skip(reason);
    }
    let used = target.used();
    let size = target.largest(limit / 2)?;
    fill_up(target, limit)?;
    target.expect_used(used)?;
    let again = target.largest(limit / 2)?;
    equal("the largest buffer", again, size)?;
    Ok(Pass)
}

fn all_memory(target: &Target) -> TestResult {
    let Some(before) = target.limit() else {
        return skip(NO_LIMIT);
    };
    let Some(kills) = system::oom_kills()? else {
        return skip("/proc/vmstat has no oom_kill (CONFIG_VM_EVENT_COUNTERS)");
    };
    let total = dma_heap::page_align(system::meminfo("MemTotal")?).unwrap_or(u64::MAX);
    let raised = match Limit::set(target, before, total.saturating_mul(2)) {
        Ok(limit) => limit,
        Err(reason) => return skip(reason),
    };
    let used = target.used();
    let mut command = child::command(Role::Once, target.name(), total)?;
    expect_errno(&mut command, Errno::NOMEM)?;
    equal("the number of OOM kills", system::oom_kills()?, Some(kills))?;
    target.expect_used(used)?;
    drop(raised);
    equal("the limit put back", target.limit(), Some(before))?;
    Ok(Pass)
}
