// SPDX-License-Identifier: GPL-2.0

//! What one user's refused requests take from others: nothing, not even for a moment.

use crate::Test;
use crate::child;
use crate::child::Role;
use crate::limits::Limit;
use crate::limits::NO_LIMIT;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::errno;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::patience::ample;
use crate::patience::slowness;
use crate::target::Target;
use crate::target::page;
use dma_heap::Errno;
use dma_heap::Heap;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[("a user's refused requests are not felt by others", not_felt)];

/// The user who is refused, and one who is not.
const REFUSED: u32 = 65534;
const OTHER: u32 = 65533;

/// Threads that are refused.
const THREADS: usize = 8;

/// What each of them must have been refused before the others begin.
const WARM_UP: u64 = 100;

/// How long that may take.
const PROMPT: Duration = Duration::from_secs(20);

/// Buffers of root, and of the other user; fewer on a machine that is slow. Who pays is
/// told in one place for all heaps, and to get contiguous memory takes long.
const BUFFERS: u64 = 10_000;
const CONTIGUOUS_BUFFERS: u64 = 1_000;

/// Pages that the heap has left, all of which each refused request asks for, and what a
/// user may have of them.
const LEFT: u64 = 64;
const SHARE: u64 = 8;

fn not_felt(target: &Target) -> TestResult {
    let (Some(before), Some(used)) = (target.limit(), target.used()) else {
        return skip(NO_LIMIT);
    };
    if !rustix::process::geteuid().is_root() {
        return skip("only root can become another user");
    }
    let limits = Limit::set(target, before, used + LEFT * page())
        .and_then(|limit| Ok((limit, Limit::set_of_user(target, SHARE * page())?)));
    let limits = match limits {
        Ok(limits) => limits,
        Err(reason) => return skip(reason),
    };
    let node = || target.heap.as_fd().try_clone_to_owned();
    let (mut near, far) = UnixStream::pair()?;
    let mut crowd = child::command(Role::Contender, target.name(), LEFT * page())?
        .uid(REFUSED)
        .gid(REFUSED)
        .stdin(node()?)
        .stdout(OwnedFd::from(far))
        .spawn()?;
    let mut word = [0; 1];
    if near.read(&mut word)? == 0 {
        return fail(format!("those who are refused ended: {}", crowd.wait()?));
    }
    let other = child::command(Role::Again, target.name(), page())?
        .uid(OTHER)
        .gid(OTHER)
        .stdin(node()?)
        .stdout(Stdio::piped())
        .spawn()?;
    let roots = refusals(&target.heap, page());
    let other = other.wait_with_output()?;
    let roots = roots?;
    // Still there, as they were all the time.
    let ended = crowd.try_wait()?;
    near.shutdown(Shutdown::Write)?;
    let status = crowd.wait()?;
    drop(limits);
    if let Some(status) = ended {
        return fail(format!("those who are refused ended too soon: {status}"));
    }
    if !status.success() {
        return fail("one was not refused, or in another way");
    }
    let others = String::from_utf8_lossy(&other.stdout)
        .trim()
        .parse::<u64>()?;
    equal(
        "what root and the other user were refused",
        (roots, others),
        (0, 0),
    )?;
    target.expect_used(Some(used))?;
    Ok(Pass)
}

/// How many of so many allocations, one after the other, were refused.
fn refusals(heap: &Heap, size: u64) -> Result<u64, Failure> {
    let heaps = dma_heap::heaps()?;
    let info = heaps.iter().find(|info| info.name == heap.name());
    let buffers = match info.and_then(|info| info.attribute("contiguous")) {
        Some(1) => CONTIGUOUS_BUFFERS,
        _ => BUFFERS,
    };
    // Those who are refused keep all processors busy: each buffer waits for them in turn.
    let refused = (0..buffers / u64::from(slowness()).pow(2))
        .filter(|_| heap.alloc(size).is_err())
        .count();
    Ok(u64::try_from(refused)?)
}

/// What a child does as the other user: tells how many were refused.
pub(crate) fn go_on(heap: &str, size: &str) -> Result<(), Failure> {
    let heap = child::given_heap(heap)?;
    println!("{}", refusals(&heap, size.parse()?)?);
    Ok(())
}

/// What a child does as the user who is refused, until its parent ends the connection
/// that is standard output.
pub(crate) fn be_refused(heap: &str, size: &str) -> Result<(), Failure> {
    let heap = child::given_heap(heap)?;
    let size = size.parse()?;
    let mut parent = UnixStream::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let counts: [AtomicU64; THREADS] = std::array::from_fn(|_| AtomicU64::new(0));
    let ends = AtomicBool::new(false);
    let is_wrong = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| -> Result<(), Failure> {
        for count in &counts {
            scope.spawn(|| {
                while !ends.load(Relaxed) {
                    match errno(heap.alloc(size)) {
                        Err(Errno::DQUOT | Errno::NOMEM) => _ = count.fetch_add(1, Relaxed),
                        _ => is_wrong.store(true, Relaxed),
                    }
                }
            });
        }
        let is_warm = || counts.iter().all(|count| count.load(Relaxed) >= WARM_UP);
        while !is_warm() && start.elapsed() < ample(PROMPT) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let told = if is_warm() {
            parent
                .write_all(b"!")
                .and_then(|()| parent.read_to_end(&mut Vec::new()))
                .map(drop)
        } else {
            Ok(())
        };
        ends.store(true, Relaxed);
        Ok(told?)
    })?;
    match is_wrong.load(Relaxed) {
        true => fail("one was not refused"),
        false => Ok(()),
    }
}
