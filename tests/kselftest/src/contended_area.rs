// SPDX-License-Identifier: GPL-2.0

//! A contiguous area full of other programs' memory, which moves away unless
//! somebody holds it for a moment.

use crate::Test;
use crate::child;
use crate::child::Role;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::system;
use crate::target::Target;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::HeapInfo;
use dma_heap::sys::fork;
use dma_heap::sys::pinning::HeldPages;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    ("what forks copy is waited for", forks),
    ("what pipes hold for a moment is waited for", pipes),
];

/// A quarter of the area.
const SIZE: u64 = 64 << 20;
const AREA: u64 = 4 * SIZE;

/// Buffers of each heap beside forks.
const BUFFERS: usize = 200;

/// Buffers of ours that must come where the kernel's own heap was just refused, and how often to try
/// for that.
const BESIDE_PIPES: usize = 3;
const TRIES: usize = 40;

/// What is left free of the memory: half of it, so less than a buffer, is in the area, and the other
/// half has room for what must leave it, for what is copied, and for what the kernel needs itself.
const LEFT: u64 = SIZE + (48 << 20);

/// Memory comes in pieces of as much.
const PIECE: usize = 2 << 20;

/// Pieces that each fork writes; and those that are freed and taken again before pipes hold a page of
/// each.
const COPIED: usize = (8 << 20) / PIECE;
const REFRESHED: usize = (32 << 20) / PIECE;

/// More would take memory for longer than a test may.
const MOST: u64 = 4 << 30;

/// A process that has all other memory, until it goes out of scope.
struct Crowd {
    child: Child,
    tell: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Fails if it is dead already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Crowd {
    fn gather(target: &Target, role: Role) -> Result<Self, Failure> {
        let mut child = child::command(role, target.name(), LEFT)?
            // So that each piece goes back to the kernel when it is freed.
            .env("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1048576")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(tell), Some(told)) = (child.stdin.take(), child.stdout.take()) else {
            return fail("the other process has no input or output");
        };
        let mut crowd = Self {
            child,
            tell,
            told: BufReader::new(told),
        };
        crowd.wait()?;
        Ok(crowd)
    }

    /// Waits for its word.
    fn wait(&mut self) -> Result<(), Failure> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        equal("the word of the other process", line.trim(), "ready")
    }

    /// Fails if it has gone too soon.
    fn expect_alive(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => fail(format!("what had the memory ended too soon: {status}")),
        }
    }

    /// Has pipes hold pages, or not any more after a time.
    fn ask(&mut self, time: Duration) -> Result<(), Failure> {
        let millis = u32::try_from(time.as_millis())?;
        self.tell.write_all(&millis.to_ne_bytes())?;
        self.wait()
    }
}

/// Whether a heap has a buffer now.
fn allocate(heap: &Heap) -> Result<bool, Failure> {
    match heap.alloc(SIZE) {
        Ok(_) => Ok(true),
        Err(error) if error.errno() == Some(Errno::NOMEM) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Runs a test with the kernel's own heap of the same area.
fn beside_kernels_own(
    target: &Target,
    test: impl FnOnce(&Heap, &Heap) -> TestResult,
) -> TestResult {
    if !target.is_contiguous() {
        return skip("the heap does not promise contiguous buffers");
    }
    let kernels_own = target.name().strip_suffix("-pooled").and_then(|name| {
        let is_kernels_own = HeapInfo::of(name).is_ok_and(|info| !info.is_ours());
        is_kernels_own.then(|| Heap::open(name).ok()).flatten()
    });
    let Some(kernels_own) = kernels_own.filter(|_| target.limit() == Some(AREA)) else {
        return skip("needs the kernel's own CMA heap beside ours, and an area of 256 MiB");
    };
    if system::meminfo("MemTotal")? > MOST {
        return skip("to take all memory of this machine would take long");
    }
    test(&target.heap, &kernels_own)
}

/// In turn, so that both heaps meet the same trouble.
fn forks(target: &Target) -> TestResult {
    beside_kernels_own(target, |ours, kernels_own| {
        let mut crowd = Crowd::gather(target, Role::Forks)?;
        let mut refused = [0, 0];
        for round in 0..BUFFERS {
            let mut turns: Vec<_> = [ours, kernels_own].into_iter().zip(&mut refused).collect();
            // Who comes second finds the place that the first has just had.
            if round % 2 == 1 {
                turns.reverse();
            }
            for (heap, refused) in turns {
                *refused += usize::from(!allocate(heap)?);
            }
        }
        crowd.expect_alive()?;
        let [ours, theirs] = refused;
        println!("# of {BUFFERS} buffers {ours} were refused, by the kernel's own heap {theirs}");
        if ours > theirs {
            return fail(format!(
                "{ours} buffers were refused, by the kernel's own heap {theirs}"
            ));
        }
        Ok(Pass)
    })
}

/// Where the kernel's own heap finds no place because of what is held, ours looks once more a moment
/// later.
fn pipes(target: &Target) -> TestResult {
    beside_kernels_own(target, |ours, kernels_own| {
        let mut crowd = Crowd::gather(target, Role::Pipes)?;
        let mut waited = 0;
        for _ in 0..TRIES {
            crowd.ask(Duration::ZERO)?;
            let start = Instant::now();
            let is_in_the_way = !allocate(kernels_own)?;
            let look = start.elapsed();
            // Until shortly after one look of ours.
            crowd.ask(match is_in_the_way {
                true => look + look / 4,
                false => Duration::ZERO,
            })?;
            if is_in_the_way {
                println!("# a look at the whole area takes {look:?}");
                if !allocate(ours)? {
                    return fail("what was held only for a moment was not waited for");
                }
                waited += 1;
                if waited == BESIDE_PIPES {
                    return Ok(Pass);
                }
            }
        }
        fail(format!(
            "only {waited} times of {TRIES} pipes were in the way of the kernel's own heap"
        ))
    })
}

/// Takes memory until `left` bytes are free, and writes to it: else the allocator would hand out pages
/// that nobody touched.
fn take_all_but(left: u64, memory: &mut Vec<Vec<u8>>) -> Result<(), Failure> {
    let most = usize::try_from(system::meminfo("MemTotal")?)? / PIECE;
    while system::meminfo("MemFree")? > left && memory.len() < most {
        memory.push(vec![1; PIECE]);
    }
    Ok(())
}

/// Says that what was to be done is done.
fn say_ready() -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    Ok(())
}

/// Has children write to copies of memory, one part of it after the other, until standard input ends.
pub(crate) fn fork(left: &str) -> Result<(), Failure> {
    let mut memory = Vec::new();
    child::die_first();
    take_all_but(left.parse()?, &mut memory)?;
    say_ready()?;
    let mut part = Range::default();
    while !is_over()? {
        let begin = match part.end < memory.len() {
            true => part.end,
            false => 0,
        };
        part = begin..memory.len().min(begin + COPIED);
        fork::in_child(|| {
            for piece in memory.get_mut(part.clone()).into_iter().flatten() {
                piece.fill(2);
            }
            Ok(())
        })?
        .map_err(Failure)?;
    }
    Ok(())
}

/// Whether standard input has ended.
fn is_over() -> Result<bool, Failure> {
    let input = std::io::stdin();
    let mut files = [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    Ok(rustix::event::poll(&mut files, Some(&now))? > 0)
}

/// Each time that standard input asks for it, takes a part of the memory anew and has pipes hold pages
/// of all; and lets go of them after as many milliseconds as it says the next time.
pub(crate) fn fill_pipes(left: &str) -> Result<(), Failure> {
    let left = left.parse()?;
    let mut memory = Vec::new();
    let mut millis = [0; size_of::<u32>()];
    child::die_first();
    take_all_but(left, &mut memory)?;
    say_ready()?;
    while std::io::stdin().read_exact(&mut millis).is_ok() {
        // The oldest.
        memory.drain(..REFRESHED.min(memory.len()));
        take_all_but(left, &mut memory)?;
        let pages: Vec<&[u8]> = memory.iter().map(Vec::as_slice).collect();
        let held = HeldPages::hold(&pages)?;
        say_ready()?;
        if std::io::stdin().read_exact(&mut millis).is_err() {
            break;
        }
        say_ready()?;
        std::thread::sleep(Duration::from_millis(u32::from_ne_bytes(millis).into()));
        drop(held);
    }
    Ok(())
}
