// SPDX-License-Identifier: GPL-2.0

//! What a pipeline waits for: a device that is still at work on a buffer has a
//! fence in it. poll(), sync_files and CPU accesses go by that. The device is vgem,
//! whose fences the test itself signals.

use crate::Test;
use crate::graphics::Card;
use crate::graphics::with_vgem;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::refused;
use crate::patience::ample;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::sys::abi;
use dma_heap::sys::ioctl;
use dma_heap::sys::vgem::Pending;
use dma_heap::sys::vgem::Vgem;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    ("poll waits for a device that writes", poll_of_written),
    (
        "poll for writing waits for a device that reads",
        poll_of_read,
    ),
    ("poll sleeps until the device is done", poll_sleeps),
    ("a CPU access waits for the device", access_waits),
    ("a sync_file says when a device is done", exported),
    ("a sync_file that is imported is waited for", imported),
    ("a sync_file outlives its buffer", outlived),
    ("bad sync_file requests are refused", bad),
];

const READ: u32 = abi::DMA_BUF_SYNC_READ as u32;
const WRITE: u32 = abi::DMA_BUF_SYNC_WRITE as u32;
const BOTH: PollFlags = PollFlags::IN.union(PollFlags::OUT);

/// How long a device is at work.
const WORK: Duration = Duration::from_millis(200);

/// How long something that is to come may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A device that is at work on a buffer for as long as the test likes.
struct Device {
    card: Card,
    vgem: Vgem,
}

impl Device {
    fn new(card: Card) -> Result<Self, Failure> {
        let vgem = Vgem::new(card.as_fd().try_clone_to_owned()?)?;
        Ok(Self { card, vgem })
    }

    fn begin(&self, buffer: &Buffer, write: bool) -> Result<Pending, Failure> {
        // A second import is the same handle.
        let handle = self.card.import(buffer)?;
        Ok(self.vgem.attach(handle.into(), write)?)
    }
}

/// Runs a test with a buffer and a device.
fn with(target: &Target, test: impl FnOnce(&Buffer, &Device) -> TestResult) -> TestResult {
    with_vgem(target, |card| {
        let device = Device::new(card)?;
        let buffer = target.heap.alloc(3 * page())?;
        test(&buffer, &device)
    })
}

/// Which of the events a file has within a time.
fn events(file: &impl AsFd, wanted: PollFlags, timeout: Duration) -> Result<PollFlags, Failure> {
    let mut files = [PollFd::new(file, wanted)];
    rustix::event::poll(&mut files, Some(&timeout.try_into()?))?;
    let [file] = files;
    Ok(file.revents())
}

/// Which of both a file has now. They are asked for one by one: a poll that waits
/// for two is another matter.
fn now(file: &impl AsFd) -> Result<PollFlags, Failure> {
    let read = events(file, PollFlags::IN, Duration::ZERO)?;
    let write = events(file, PollFlags::OUT, Duration::ZERO)?;
    Ok(read | write)
}

/// Whether the fences of a sync_file have signalled.
fn is_done(sync_file: &OwnedFd) -> Result<bool, Failure> {
    Ok(events(sync_file, PollFlags::IN, Duration::ZERO)? == PollFlags::IN)
}

fn export(buffer: &Buffer, flags: u32) -> Result<OwnedFd, Failure> {
    Ok(ioctl::export_sync_file(buffer.as_fd(), flags)?)
}

fn poll_of_written(target: &Target) -> TestResult {
    with(target, |buffer, device| {
        equal("poll without a fence", now(buffer)?, BOTH)?;
        let work = device.begin(buffer, true)?;
        equal(
            "poll while a device writes",
            now(buffer)?,
            PollFlags::empty(),
        )?;
        let other = buffer.try_clone()?;
        equal(
            "poll of another descriptor",
            now(&other)?,
            PollFlags::empty(),
        )?;
        device.vgem.signal(work)?;
        equal("poll when it is done", now(buffer)?, BOTH)?;
        Ok(Pass)
    })
}

fn poll_of_read(target: &Target) -> TestResult {
    with(target, |buffer, device| {
        let first = device.begin(buffer, false)?;
        let second = device.begin(buffer, false)?;
        equal("poll while a device reads", now(buffer)?, PollFlags::IN)?;
        device.vgem.signal(first)?;
        equal(
            "poll while another still reads",
            now(buffer)?,
            PollFlags::IN,
        )?;
        device.vgem.signal(second)?;
        equal("poll when both are done", now(buffer)?, BOTH)?;
        Ok(Pass)
    })
}

/// Has a device be at work while this thread does something, and fails unless that
/// took until the device was done, and not much longer.
fn wait_for_work(
    device: &Device,
    work: Pending,
    wait: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let start = Instant::now();
        let worker = scope.spawn(move || {
            std::thread::sleep(WORK);
            device.vgem.signal(work)
        });
        wait()?;
        let waited = start.elapsed();
        match worker.join() {
            Ok(signalled) => signalled?,
            Err(_) => return fail("the thread of the device has panicked"),
        }
        if waited < WORK || waited > WORK + ample(PATIENCE) {
            return fail(format!("{waited:?} were waited for a device's {WORK:?}"));
        }
        Ok(())
    })
}

fn poll_sleeps(target: &Target) -> TestResult {
    with(target, |buffer, device| {
        for (write, wanted) in [(true, PollFlags::IN), (true, BOTH), (false, PollFlags::OUT)] {
            let work = device.begin(buffer, write)?;
            wait_for_work(device, work, || {
                let seen = events(buffer, wanted, 2 * ample(PATIENCE))?;
                if seen.is_empty() || !wanted.contains(seen) {
                    return fail(format!("poll for {wanted:?} gave {seen:?}"));
                }
                Ok(())
            })?;
        }
        Ok(Pass)
    })
}

fn access_waits(target: &Target) -> TestResult {
    with(target, |buffer, device| {
        let mapping = buffer.map()?;
        // A device that reads is in the way of a writing CPU only.
        let work = device.begin(buffer, false)?;
        drop(mapping.read()?);
        device.vgem.signal(work)?;
        let work = device.begin(buffer, true)?;
        wait_for_work(device, work, || {
            drop(mapping.read()?);
            Ok(())
        })?;
        drop(mapping);
        let mut mapping = buffer.map()?;
        let work = device.begin(buffer, false)?;
        wait_for_work(device, work, || {
            drop(mapping.write()?);
            Ok(())
        })?;
        Ok(Pass)
    })
}

fn exported(target: &Target) -> TestResult {
    with(target, |buffer, device| {
        let nothing = export(buffer, READ | WRITE)?;
        equal("a sync_file of no fence is done", is_done(&nothing)?, true)?;

        let work = device.begin(buffer, true)?;
        let (read, write) = (export(buffer, READ)?, export(buffer, WRITE)?);
        equal("for a reader, the writer is done", is_done(&read)?, false)?;
        equal("for a writer, the writer is done", is_done(&write)?, false)?;
        wait_for_work(device, work, || {
            let seen = events(&read, PollFlags::IN, 2 * ample(PATIENCE))?;
            equal("poll of a sync_file", seen, PollFlags::IN)
        })?;
        equal("for a writer, then", is_done(&write)?, true)?;

        let work = device.begin(buffer, false)?;
        let (read, write) = (export(buffer, READ)?, export(buffer, WRITE)?);
        equal("a reader waits for no reader", is_done(&read)?, true)?;
        equal("for a writer, the reader is done", is_done(&write)?, false)?;
        device.vgem.signal(work)?;
        equal("for a writer, then", is_done(&write)?, true)?;
        Ok(Pass)
    })
}

fn imported(target: &Target) -> TestResult {
    with(target, |buffer, device| {
        // The device knows nothing of these.
        let written = target.heap.alloc(page())?;
        let read = target.heap.alloc(page())?;
        let work = device.begin(buffer, true)?;
        let sync_file = export(buffer, WRITE)?;
        ioctl::import_sync_file(written.as_fd(), WRITE, sync_file.as_fd())?;
        ioctl::import_sync_file(read.as_fd(), READ, sync_file.as_fd())?;
        drop(sync_file);
        equal(
            "poll of one to be written",
            now(&written)?,
            PollFlags::empty(),
        )?;
        equal("poll of one to be read", now(&read)?, PollFlags::IN)?;
        let again = export(&written, READ)?;
        equal("what is exported again is done", is_done(&again)?, false)?;
        wait_for_work(device, work, || {
            let seen = events(&written, PollFlags::IN, 2 * ample(PATIENCE))?;
            equal("poll of the one to be written", seen, PollFlags::IN)
        })?;
        equal("poll of it, then", now(&written)?, BOTH)?;
        equal("poll of the other, then", now(&read)?, BOTH)?;
        equal("what was exported again, then", is_done(&again)?, true)?;
        Ok(Pass)
    })
}

fn outlived(target: &Target) -> TestResult {
    with(target, |buffer, device| {
        let used = target.used();
        let other = target.heap.alloc(page())?;
        let work = device.begin(buffer, true)?;
        let sync_file = export(buffer, WRITE)?;
        ioctl::import_sync_file(other.as_fd(), WRITE, sync_file.as_fd())?;
        let own = export(&other, READ)?;
        drop(other);
        // No device has it: a fence alone keeps no memory.
        target.expect_used(used)?;
        equal("its sync_file is done", is_done(&own)?, false)?;
        device.vgem.signal(work)?;
        equal("its sync_file, then", is_done(&own)?, true)?;
        Ok(Pass)
    })
}

fn bad(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(page())?;
    let sync_file = export(&buffer, READ)?;
    for flags in [0, 4, READ | 4, 1 << 31] {
        let exported = ioctl::export_sync_file(buffer.as_fd(), flags);
        refused(
            &format!("export with flags {flags:#x}"),
            exported,
            Errno::INVAL,
        )?;
        let imported = ioctl::import_sync_file(buffer.as_fd(), flags, sync_file.as_fd());
        refused(
            &format!("import with flags {flags:#x}"),
            imported,
            Errno::INVAL,
        )?;
    }
    let imported = ioctl::import_sync_file(buffer.as_fd(), WRITE, buffer.as_fd());
    refused("import of what is no sync_file", imported, Errno::INVAL)?;
    equal("poll after all", now(&buffer)?, BOTH)?;
    Ok(Pass)
}
