// SPDX-License-Identifier: GPL-2.0

//! Requests that must be refused, with which errno, and that leave nothing.

use crate::Test;
use crate::op_counters;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::refused;
use crate::outcome::skip;
use crate::patience::ample;
use crate::system;
use crate::target::Target;
use crate::target::argument;
use crate::target::ordinary_flags;
use crate::target::page;
use crate::target::request;
use dma_heap::Errno;
use dma_heap::sys::raw;
use dma_heap::sys::raw::Argument;
use rustix::fs::OFlags;
use rustix::fs::SeekFrom;
use rustix::ioctl::Direction;
use rustix::ioctl::opcode::from_components;
use rustix::mm::MapFlags;
use rustix::mm::ProtFlags;
use rustix::process::Resource;
use rustix::process::Rlimit;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    ("length 0 is EINVAL", length_zero),
    (
        "a length whose rounding overflows is EINVAL",
        length_overflow,
    ),
    ("the longest length is refused at once", length_longest),
    (
        "a length above the limit is ENOMEM at once",
        length_above_limit,
    ),
    (
        "a length above the limit touches no memory",
        limit_touches_nothing,
    ),
    ("an fd that is not 0 is EINVAL", fd_given),
    ("every unknown fd flag is EINVAL", fd_flags),
    ("every heap flag is EINVAL", heap_flags),
    ("a structure of no bytes is EINVAL", no_structure),
    ("a structure that is only written is EINVAL", only_written),
    ("every other ioctl number is EINVAL", other_numbers),
    ("an argument without access is EFAULT", argument_no_access),
    ("an argument cut short is EFAULT", argument_cut_short),
    ("a read-only argument is EFAULT", argument_read_only),
    ("without a free descriptor it is EMFILE", no_descriptor),
    ("the node cannot be read, mapped or sought", node_operations),
];

/// Runs a test and fails if it leaves a descriptor or a buffer.
fn leaves_nothing(
    target: &Target,
    test: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let used = target.used();
    let files = system::open_files()?;
    test()?;
    equal("the number of open files", system::open_files()?, files)?;
    target.expect_used(used)
}

fn refuse_length(target: &Target, len: u64, wanted: Errno) -> Result<(), Failure> {
    leaves_nothing(target, || {
        let mut bytes = argument(len, 0, ordinary_flags(), 0);
        refused(&format!("length {len:#x}"), target.send(&mut bytes), wanted)
    })
}

fn length_zero(target: &Target) -> TestResult {
    refuse_length(target, 0, Errno::INVAL)?;
    Ok(Pass)
}

fn length_overflow(target: &Target) -> TestResult {
    if !target.is_ours() && !system::kernel_is_64_bit() {
        return skip("a 32-bit kernel's own heaps truncate a length beyond their range");
    }
    for len in [u64::MAX, u64::MAX - 1, u64::MAX - page() + 2] {
        refuse_length(target, len, Errno::INVAL)?;
    }
    Ok(Pass)
}

/// The kernel's own heaps try to find as much memory as is asked for, however
/// absurd, and let the OOM killer end it.
const NO_LIMIT: &str = "the kernel's own heaps have no limit";

/// A call that must be refused before any memory was looked for.
fn at_once(target: &Target, len: u64, wanted: Errno) -> Result<(), Failure> {
    let start = Instant::now();
    refuse_length(target, len, wanted)?;
    let time = start.elapsed();
    if time > ample(Duration::from_secs(1)) {
        return fail(format!("the refusal took {time:?}"));
    }
    Ok(())
}

fn length_longest(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip(NO_LIMIT);
    }
    // The largest whole number of pages, whose rounding does not overflow; a
    // 32-bit kernel cannot even count its bytes.
    let wanted = if system::kernel_is_64_bit() {
        Errno::NOMEM
    } else {
        Errno::INVAL
    };
    at_once(target, u64::MAX - page() + 1, wanted)?;
    Ok(Pass)
}

fn length_above_limit(target: &Target) -> TestResult {
    let Some(limit) = target.limit() else {
        return skip(NO_LIMIT);
    };
    at_once(target, limit.saturating_add(page()), Errno::NOMEM)?;
    Ok(Pass)
}

fn limit_touches_nothing(target: &Target) -> TestResult {
    let Some(limit) = target.limit() else {
        return skip(NO_LIMIT);
    };
    let Some(before) = system::pages_allocated()? else {
        return skip("/proc/vmstat has no pgalloc counters (CONFIG_VM_EVENT_COUNTERS)");
    };
    let mut bytes = argument(limit.saturating_add(page()), 0, ordinary_flags(), 0);
    refused(
        "a length above the limit",
        target.send(&mut bytes),
        Errno::NOMEM,
    )?;
    let after = system::pages_allocated()?.unwrap_or(before);
    let pages = after.wrapping_sub(before);
    // What else runs may allocate a little, but not a sixteenth of the limit.
    if pages.saturating_mul(page()) > limit / 16 {
        return fail(format!("{pages} pages were allocated meanwhile"));
    }
    Ok(Pass)
}

fn fd_given(target: &Target) -> TestResult {
    for fd in [1, 3, 0x7fff_ffff, u32::MAX] {
        leaves_nothing(target, || {
            let mut bytes = argument(page(), fd, ordinary_flags(), 0);
            refused(&format!("fd {fd}"), target.send(&mut bytes), Errno::INVAL)
        })?;
    }
    Ok(Pass)
}

fn fd_flags(target: &Target) -> TestResult {
    let known = (OFlags::CLOEXEC | OFlags::ACCMODE).bits();
    for flag in (0..32)
        .map(|bit| 1u32 << bit)
        .filter(|flag| flag & known == 0)
    {
        leaves_nothing(target, || {
            let mut bytes = argument(page(), 0, ordinary_flags() | flag, 0);
            refused(
                &format!("fd flag {flag:#x}"),
                target.send(&mut bytes),
                Errno::INVAL,
            )
        })?;
    }
    Ok(Pass)
}

fn heap_flags(target: &Target) -> TestResult {
    for flag in (0..64).map(|bit| 1u64 << bit) {
        leaves_nothing(target, || {
            let mut bytes = argument(page(), 0, ordinary_flags(), flag);
            refused(
                &format!("heap flag {flag:#x}"),
                target.send(&mut bytes),
                Errno::INVAL,
            )
        })?;
    }
    Ok(Pass)
}

/// Without a structure every member is zero, so the length is.
fn no_structure(target: &Target) -> TestResult {
    leaves_nothing(target, || {
        refused(
            "_IO('H', 0)",
            target.send_any(Direction::None, 0, 0),
            Errno::INVAL,
        )
    })?;
    Ok(Pass)
}

fn only_written(target: &Target) -> TestResult {
    leaves_nothing(target, || {
        refused(
            "_IOR('H', 0, 24)",
            target.send_any(Direction::Read, 0, 24),
            Errno::INVAL,
        )
    })?;
    Ok(Pass)
}

fn other_numbers(target: &Target) -> TestResult {
    // Our own have tests of their own.
    for number in (1..=u8::MAX).filter(|number| ![0x91, 0x92].contains(number)) {
        leaves_nothing(target, || {
            refused(
                &format!("ioctl number {number}"),
                target.send_any(Direction::ReadWrite, number, 24),
                Errno::INVAL,
            )
        })?;
    }
    Ok(Pass)
}

impl Target {
    /// Sends a request with an allocation of one page as its argument.
    fn send_any(&self, direction: Direction, number: u8, size: usize) -> Result<(), Errno> {
        let mut bytes = argument(page(), 0, ordinary_flags(), 0);
        let request = from_components(direction, b'H', number, size);
        self.raw
            .ioctl(request, &mut bytes, Argument::Ordinary)
            .map(drop)
    }
}

fn bad_argument(target: &Target, kind: Argument) -> TestResult {
    leaves_nothing(target, || {
        let mut bytes = argument(page(), 0, ordinary_flags(), 0);
        let result = target.raw.ioctl(request(bytes.len()), &mut bytes, kind);
        refused("the ioctl", result, Errno::FAULT)
    })?;
    Ok(Pass)
}

fn argument_no_access(target: &Target) -> TestResult {
    bad_argument(target, Argument::NoAccess)
}

fn argument_cut_short(target: &Target) -> TestResult {
    bad_argument(target, Argument::CutShort)
}

/// The buffer exists by the time that the answer cannot be copied back.
fn argument_read_only(target: &Target) -> TestResult {
    counted(target, || bad_argument(target, Argument::ReadOnly))
}

/// Runs a test of one valid request that fails, and expects the heap to count it. A
/// kernel's own heap counts nothing, nor does one without debugfs.
fn counted(target: &Target, test: impl FnOnce() -> TestResult) -> TestResult {
    let failures = || op_counters::counter(target, "failures").ok();
    let before = failures();
    let outcome = test()?;
    equal(
        "the number of failures",
        failures(),
        before.map(|before| before + 1),
    )?;
    Ok(outcome)
}

/// The limit of open files, put back on drop.
struct FileLimit(Rlimit);

impl FileLimit {
    fn set(files: u64) -> Result<Self, Failure> {
        let before = rustix::process::getrlimit(Resource::Nofile);
        let now = Rlimit {
            current: Some(files),
            ..before
        };
        rustix::process::setrlimit(Resource::Nofile, now)?;
        Ok(Self(before))
    }
}

impl Drop for FileLimit {
    fn drop(&mut self) {
        // Raising it back to what it was is always allowed.
        let _ = rustix::process::setrlimit(Resource::Nofile, self.0);
    }
}

fn no_descriptor(target: &Target) -> TestResult {
    counted(target, || without_descriptor(target))
}

fn without_descriptor(target: &Target) -> TestResult {
    leaves_nothing(target, || {
        let free = rustix::io::dup(&target.raw)?;
        let lowest = u64::try_from(free.as_raw_fd())?;
        drop(free);
        let limit = FileLimit::set(lowest)?;
        let mut bytes = argument(page(), 0, ordinary_flags(), 0);
        let result = target.send(&mut bytes);
        drop(limit);
        refused("the ioctl", result, Errno::MFILE)
    })?;
    Ok(Pass)
}

fn node_operations(target: &Target) -> TestResult {
    let node = target.raw.as_fd();
    let mut byte = [0; 1];
    refused("read", rustix::io::read(node, &mut byte), Errno::INVAL)?;
    refused(
        "seek",
        rustix::fs::seek(node, SeekFrom::End(0)),
        Errno::SPIPE,
    )?;
    let mapped = raw::try_map(
        node,
        0,
        dma_heap::page_size(),
        ProtFlags::READ,
        MapFlags::SHARED,
    );
    refused("mmap", mapped, Errno::NODEV)?;
    Ok(Pass)
}
