// SPDX-License-Identifier: GPL-2.0

//! The module cannot be unloaded while anything of it is in use.
//!
//! The tests never unload it: they hold a node open all the time. That each
//! other thing would hold it, too, shows in its count of users.

use crate::Test;
use crate::device;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::fail;
use crate::outcome::refused;
use crate::outcome::skip;
use crate::patience::ample;
use crate::system;
use crate::target::Target;
use crate::target::page;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::MODULE_NAME;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use dma_heap::sys::pages::Pages;
use rustix::fs::OFlags;
use std::ffi::CString;
use std::os::fd::AsFd as _;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    ("the module cannot be unloaded while in use", refused_in_use),
    ("each open node holds the module", nodes),
    ("each buffer holds the module", buffers),
    ("a mapping of a closed buffer holds the module", mapping),
    ("a device on a closed buffer holds the module", attachment),
];

/// How long a last close may take to be counted.
const SETTLE: Duration = Duration::from_secs(2);

/// Users of the module, `None` if the kernel does not count them.
pub(crate) fn users() -> Option<usize> {
    std::fs::read_to_string(format!("/sys/module/{MODULE_NAME}/refcnt"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Expects `count` users, and that the module cannot be unloaded.
pub(crate) fn expect_users(what: &str, count: usize) -> Result<(), Failure> {
    let start = Instant::now();
    while users() != Some(count) {
        if start.elapsed() > ample(SETTLE) {
            return fail(format!(
                "{what}, the module has {:?} users instead of {count} (does another process use \
                 it?)",
                users()
            ));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Runs a test with the number of users that there are now.
fn counting(target: &Target, test: impl FnOnce(usize) -> TestResult) -> TestResult {
    if !target.is_ours() {
        return skip("the kernel's own heap is not of the module rust_dma_heap");
    }
    let Some(before) = users() else {
        return skip(
            "the kernel does not count the module's users (built in, or no CONFIG_MODULE_UNLOAD)",
        );
    };
    if before == 0 {
        return fail("the module has no users, though this process has its nodes open");
    }
    let outcome = test(before)?;
    expect_users("after all", before)?;
    Ok(outcome)
}

fn refused_in_use(target: &Target) -> TestResult {
    counting(target, |_| {
        // Non-blocking: else the kernel might wait for the last user, that is
        // for us.
        let flags = i32::try_from(OFlags::NONBLOCK.bits())?;
        let name = CString::new(MODULE_NAME)?;
        let _buffer = target.heap.alloc(page())?;
        let result = rustix::system::delete_module(&name, flags);
        if result.is_err_and(|errno| system::is_denied(Some(errno))) {
            return skip("only root may unload modules");
        }
        refused("delete_module", result, Errno::AGAIN)?;
        // Refused is refused: everything goes on.
        target.heap.alloc(page())?;
        Heap::open(target.name())?;
        Ok(Pass)
    })
}

/// The kernel counts an open node more than once (for the device and for the
/// file), and how often is its own affair.
fn nodes(target: &Target) -> TestResult {
    counting(target, |before| {
        let first = Heap::open(target.name())?;
        let each = users().unwrap_or(before).saturating_sub(before);
        if each == 0 {
            return fail(format!(
                "with one more node open, the users are still {before}"
            ));
        }
        let second = Heap::open(target.name())?;
        expect_users("with two more nodes open", before + 2 * each)?;
        drop(first);
        expect_users("with one of them closed", before + each)?;
        drop(second);
        Ok(Pass)
    })
}

fn buffers(target: &Target) -> TestResult {
    counting(target, |before| {
        let buffers = (0..3)
            .map(|_| target.heap.alloc(page()))
            .collect::<Result<Vec<_>, _>>()?;
        expect_users("with three buffers", before + 3)?;
        let duplicate = match buffers.first() {
            Some(buffer) => buffer.try_clone()?,
            None => return fail("no buffer"),
        };
        drop(buffers);
        expect_users("with a duplicate of one", before + 1)?;
        drop(duplicate);
        Ok(Pass)
    })
}

fn mapping(target: &Target) -> TestResult {
    counting(target, |before| {
        let buffer = target.heap.alloc(2 * page())?;
        let mut pages = Pages::map(buffer.as_fd(), 0, 2, true)?;
        drop(buffer);
        expect_users("with a mapping", before + 1)?;
        pages.unmap(0..1)?;
        expect_users("with a piece of a mapping", before + 1)?;
        drop(pages);
        Ok(Pass)
    })
}

fn attachment(target: &Target) -> TestResult {
    device::with_any(|_| {
        counting(target, |before| {
            let importer = Importer::with_device(DeviceSettings::default())?;
            let buffer = target.heap.alloc(page())?;
            let mapping = importer.attach(&buffer)?.map(Direction::Both)?;
            drop(buffer);
            expect_users("with a device's mapping", before + 1)?;
            drop(mapping);
            expect_users("without it", before)?;
            Ok(Pass)
        })
    })
}
