// SPDX-License-Identifier: GPL-2.0

//! A map that cannot succeed: it fails soon, and nobody waits for it meanwhile.

use crate::Test;
use crate::device;
use crate::edu::FLUSH;
use crate::mapping_cache;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::errno;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::patience::ample;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::importer::Attachment;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use std::os::fd::AsFd as _;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    (
        "a map for which there are no addresses fails at once",
        fails_at_once,
    ),
    (
        "a map for which there is no bounce buffer fails at once",
        fails_to_bounce_at_once,
    ),
];

/// What a mapping of which is kept, and is too small to make room for another.
const SMALL: u64 = 64 << 10;

/// Between two maps and between two polls, so that they meet by chance.
const PAUSE: Duration = Duration::from_micros(500);

/// Maps that are tried.
const TRIES: usize = 100;

/// What any bounce buffer holds in one piece, and how many pieces it has at most.
const BOUNCED: u64 = 256 << 10;
const MOST_PIECES: usize = 4096;

/// How often the buffer is polled meanwhile.
const POLLS: usize = 1000;

/// How many of them may be late.
const MAY_BE_LATE: usize = POLLS / 100;

/// Within what time all others are done, and those.
const MOST_POLLS: Duration = Duration::from_millis(20);
const ALL_POLLS: Duration = Duration::from_millis(50);

/// Within what time a map fails, or five times what it takes with one of the
/// kernel's own heaps; where the IOMMU flushes later, it may wait for that.
const STRICT: Duration = Duration::from_millis(1);
const LAZY: Duration = Duration::from_millis(15);

/// For how long that is tried, because the machine may have other work, and how
/// often polls must be late where they are not beside maps that succeed.
const WAIT: Duration = Duration::from_secs(90);
const STRIKES: usize = 3;

fn fails_at_once(target: &Target) -> TestResult {
    mapping_cache::with_few_addresses(target, |cache, edu, addresses| {
        let (buffer, _) = target.filled(mapping_cache::PIECE)?;
        let mut mappings = Vec::new();
        let mut is_flushed = false;
        let full = loop {
            let attachment = edu.attach(&buffer)?;
            if mappings.len() as u64 > addresses / mapping_cache::PIECE {
                return fail("the IOMMU has more addresses than the device");
            }
            match errno(attachment.map(Direction::Both)) {
                Ok(mapping) => mappings.push(mapping),
                Err(Errno::NOMEM) if is_flushed => break attachment,
                Err(Errno::NOMEM) => {
                    // Those of an earlier test may still come back.
                    std::thread::sleep(FLUSH);
                    is_flushed = true;
                }
                Err(errno) => return fail(format!("mapping gave {errno}")),
            }
        };

        // What is kept is of no help: here it is too small, where all the rest is in use, and
        // elsewhere it has addresses of its own.
        let (small, _) = target.filled(SMALL)?;
        let near = edu.attach(&small)?;
        near.map(Direction::Both)?.release()?;
        let other = Importer::with_device(DeviceSettings::default())?;
        let elsewhere = other.attach(&buffer)?;
        elsewhere.map(Direction::Both)?.release()?;
        let before = cache.mappings()?;
        let keep = || -> Result<(), Failure> {
            near.map(Direction::Both)?.release()?;
            Ok(elsewhere.map(Direction::Both)?.release()?)
        };
        let mut ours = Duration::MAX;
        let mut strikes = 0;
        let mut is_in_time = false;
        let begin = Instant::now();
        while begin.elapsed() < ample(WAIT) {
            let (times, polls) = while_polled(&buffer, || {
                keep()?;
                failing(&full, Errno::NOMEM)
            })?;
            // A machine that has other work may stop who has the lock: then polls
            // are late beside maps that succeed as well, and this says nothing.
            let (_, control) = while_polled(&buffer, || {
                keep()?;
                keep()?;
                Ok(Duration::ZERO)
            })?;
            cache.expect("of what cannot help", before, 0, 0)?;
            ours = ours.min(median(times));
            match lateness(&polls) {
                None => {
                    is_in_time = true;
                    break;
                }
                Some(late) if lateness(&control).is_none() => {
                    strikes += 1;
                    println!("# {late}, and not beside maps that succeed");
                    if strikes == STRIKES {
                        return fail(format!("{late}; a map that fails takes {ours:?}"));
                    }
                }
                Some(_) => {}
            }
        }
        if !is_in_time {
            return fail("the machine is too busy: polls are late beside any map");
        }

        in_time(ours, kernels_own(target, edu, Errno::NOMEM)?, is_lazy()?)
    })
}

/// Judges how long a failing map takes, beside what it takes with the kernel's own heap.
fn in_time(ours: Duration, theirs: Option<Duration>, is_lazy: bool) -> TestResult {
    let most = if is_lazy {
        LAZY
    } else {
        STRICT.max(5 * theirs.unwrap_or_default())
    };
    let what = format!("a failing map takes {ours:?}, with the kernel's own heap {theirs:?}");
    println!("# {what}");
    if ours > ample(most) {
        return fail(what);
    }
    Ok(Pass)
}

fn fails_to_bounce_at_once(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip("the kernel's own heaps keep no mappings");
    }
    if !device::all_bounce()? {
        return skip("not every device bounces here");
    }
    device::with_edu(|edu| {
        // All of the bounce buffer, by ever smaller pieces.
        let buffers = [mapping_cache::PIECE, BOUNCED, page()]
            .into_iter()
            .map(|size| Ok(target.filled(size)?.0))
            .collect::<Result<Vec<_>, Failure>>()?;
        let mut mappings = Vec::new();
        for buffer in &buffers {
            while mappings.len() < MOST_PIECES {
                let attachment = edu.attach(buffer)?;
                match errno(attachment.map(Direction::Both)) {
                    Ok(mapping) => mappings.push(mapping),
                    Err(Errno::IO) => break,
                    Err(errno) => return fail(format!("mapping gave {errno}")),
                }
            }
        }
        if mappings.len() == MOST_PIECES {
            return fail("the bounce buffer does not end");
        }
        let Some(large) = buffers.first() else {
            return fail("there is no buffer");
        };
        let attachment = edu.attach(large)?;
        let times = (0..TRIES)
            .map(|_| failing(&attachment, Errno::IO))
            .collect::<Result<_, _>>()?;
        in_time(median(times), kernels_own(target, edu, Errno::IO)?, false)
    })
}

/// Calls `each` again and again while another thread polls the buffer, and
/// returns what it said, and how long each poll took.
fn while_polled(
    buffer: &Buffer,
    each: impl Fn() -> Result<Duration, Failure>,
) -> Result<(Vec<Duration>, Vec<Duration>), Failure> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let polls = scope.spawn(|| {
            let mut polls = Vec::new();
            let mut late = 0;
            // More than enough late ones need not be waited for.
            while polls.len() < POLLS && late <= MAY_BE_LATE {
                let poll = poll(buffer);
                late += usize::from(is_late(poll));
                polls.push(poll);
            }
            is_over.store(true, Ordering::Relaxed);
            polls
        });
        let mut times = Vec::new();
        while times.len() < TRIES || !is_over.load(Ordering::Relaxed) {
            times.push(each()?);
            std::thread::sleep(PAUSE);
        }
        match polls.join() {
            Ok(polls) => Ok((times, polls)),
            Err(_) => fail("the thread that polls panicked"),
        }
    })
}

/// How long a map takes that fails with `expected`.
fn failing(attachment: &Attachment<'_>, expected: Errno) -> Result<Duration, Failure> {
    match attachment.try_map(Direction::Both)? {
        (Some(errno), time) if errno == expected => Ok(time),
        (errno, _) => fail(format!("a map without addresses gave {errno:?}")),
    }
}

/// How long a poll takes that need not wait for a device.
fn poll(buffer: &Buffer) -> Duration {
    let mut files = [PollFd::from_borrowed_fd(buffer.as_fd(), PollFlags::OUT)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    std::thread::sleep(PAUSE);
    let start = Instant::now();
    // What it says is another test's.
    let _ = rustix::event::poll(&mut files, Some(&now));
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// What to say of polls that took too long, if they did.
fn lateness(polls: &[Duration]) -> Option<String> {
    let late = polls.iter().filter(|&&poll| is_late(poll)).count();
    let longest = polls.iter().max().copied().unwrap_or_default();
    (late > MAY_BE_LATE || longest > ample(ALL_POLLS)).then(|| {
        format!(
            "{late} of {} polls took more than {MOST_POLLS:?}, the longest {longest:?}",
            polls.len()
        )
    })
}

fn is_late(poll: Duration) -> bool {
    poll > ample(MOST_POLLS)
}

/// How long the same takes with a buffer of the kernel's own system heap, where
/// there is one.
fn kernels_own(
    target: &Target,
    edu: &Importer,
    expected: Errno,
) -> Result<Option<Duration>, Failure> {
    let Some(name) = target.name().strip_suffix("-pooled") else {
        return Ok(None);
    };
    let Ok(heap) = Heap::open(name) else {
        return Ok(None);
    };
    let buffer = heap.alloc(mapping_cache::PIECE)?;
    let attachment = edu.attach(&buffer)?;
    let times = (0..TRIES)
        .map(|_| failing(&attachment, expected))
        .collect::<Result<_, _>>()?;
    Ok(Some(median(times)))
}

/// Whether the IOMMU before edu devices flushes later, for many mappings at once.
fn is_lazy() -> Result<bool, Failure> {
    for entry in std::fs::read_dir("/sys/bus/pci/drivers/dma_buf_test_importer")? {
        let group = entry?.path().join("iommu_group/type");
        if group.exists() {
            return Ok(std::fs::read_to_string(group)?.trim() == "DMA-FQ");
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_polls_count() {
        let mut polls = vec![Duration::from_micros(5); POLLS];
        assert_eq!(lateness(&polls), None);
        polls
            .iter_mut()
            .take(MAY_BE_LATE)
            .for_each(|poll| *poll = Duration::from_millis(49));
        assert_eq!(lateness(&polls), None);
        polls.push(Duration::from_millis(21));
        assert!(lateness(&polls).is_some());
        assert!(lateness(&[Duration::from_millis(51)]).is_some());
    }
}
