// SPDX-License-Identifier: GPL-2.0

//! A device that loses its driver while it is attached to buffers. Some drivers
//! keep their attachments then; what was mapped by them must not be left behind.

use crate::Test;
use crate::device;
use crate::edu::Log;
use crate::edu::WORD;
use crate::mapping_cache::MappingCache;
use crate::mmap::expect;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::errno;
use crate::outcome::fail;
use crate::outcome::refused;
use crate::outcome::skip;
use crate::target::Target;
use dma_heap::Errno;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use std::path::Path;
use std::thread;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    (
        "an IOMMU stops hardware once its driver is unbound",
        stopped_after_unbinding,
    ),
    (
        "what a driver was asked for ends before it is unbound",
        ends_before,
    ),
    (
        "nothing is kept for a device that lost its driver",
        nothing_kept,
    ),
    (
        "a device that was attached without a driver can have one",
        bound_afterwards,
    ),
];

/// Where the kernel binds and unbinds the driver of edu devices.
const DRIVER: &str = "/sys/bus/pci/drivers/dma_buf_test_importer";

/// A device without its driver, which it gets back on drop.
struct Unbound {
    device: String,
    is_bound: bool,
}

impl Unbound {
    /// Unbinds the first device.
    fn new() -> Result<Self, Failure> {
        for entry in std::fs::read_dir(DRIVER)? {
            let name = entry?.file_name();
            if let Some(device) = name.to_str().filter(|name| name.contains(':')) {
                std::fs::write(Path::new(DRIVER).join("unbind"), device)?;
                return Ok(Self {
                    device: device.to_owned(),
                    is_bound: false,
                });
            }
        }
        fail(format!("{DRIVER} has no device"))
    }

    /// Binds it again.
    fn bind(&mut self) -> Result<(), Failure> {
        std::fs::write(Path::new(DRIVER).join("bind"), &self.device)?;
        self.is_bound = true;
        Ok(())
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        if !self.is_bound {
            // The next test says that there is no device.
            drop(self.bind());
        }
    }
}

fn stopped_after_unbinding(target: &Target) -> TestResult {
    device::with_edu(|edu| {
        if device::edu_iommu_bits()?.is_none() {
            return skip("needs an IOMMU before the device");
        }
        edu.keep_attachments()?;
        let (buffer, pattern) = target.filled(64 << 10)?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::Both)?;
        let Some(range) = mapping.ranges()?.first().copied() else {
            return fail("a mapping without a range");
        };
        // Something else than what is in the buffer's first page.
        mapping.load(4096, 0, 4096)?;
        mapping.release()?;

        Unbound::new()?.bind()?;
        let again = Importer::with_edu(0)?;
        let mut log = Log::from_now()?;
        again.store_at(range.address, 0, WORD)?;
        log.expect_fault(range.address)?;
        expect(&buffer.map()?, |index| pattern.word(index))?;
        Ok(Pass)
    })
}

fn ends_before(target: &Target) -> TestResult {
    if !target.is_ours() {
        return skip("the kernel's own heaps do not describe buffers");
    }
    device::with_edu(|edu| {
        let (buffer, _) = target.filled(64 << 10)?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::Both)?;
        let (left, last) = thread::scope(|scope| {
            let transfers = scope.spawn(|| {
                // Each takes a tenth of a second, with the mapping in its hands.
                (0..100).try_for_each(|_| mapping.load(0, 0, 64))
            });
            thread::sleep(Duration::from_millis(350));
            let unbound = Unbound::new();
            let left = target.heap.describe(&buffer);
            let last = transfers.join();
            unbound?.bind()?;
            Ok::<_, Failure>((left?.attachments, last))
        })?;
        equal("attached devices without a driver", left.len(), 0)?;
        match last {
            Ok(last) => refused("a transfer", errno(last), Errno::NODEV)?,
            Err(_) => return fail("the thread panicked"),
        }
        refused(
            "to attach",
            errno(edu.attach(&buffer)).map(drop),
            Errno::NODEV,
        )?;
        Ok(Pass)
    })
}

fn nothing_kept(target: &Target) -> TestResult {
    crate::mapping_cache::with_counters(target, |cache| {
        device::with_edu(|edu| {
            edu.keep_attachments()?;
            let (buffer, _) = target.filled(64 << 10)?;
            let attachment = edu.attach(&buffer)?;
            let before = cache.mappings()?;
            for _ in 0..3 {
                attachment.map(Direction::Both)?.release()?;
            }
            if cache.expect("", before, 3, 0).is_ok() {
                return skip("this device may bounce, so nothing is kept for it");
            }
            cache.expect("while there was a driver", before, 1, 0)?;
            let mut unbound = Unbound::new()?;
            cache.expect("when it went", before, 1, 1)?;
            each_time_anew(cache, || Ok(attachment.map(Direction::Both)?.release()?))?;
            unbound.bind()?;
            // The attachment is of another driver's time.
            each_time_anew(cache, || Ok(attachment.map(Direction::Both)?.release()?))?;
            Ok(Pass)
        })
    })
}

/// Fails unless each call of `map` makes one mapping, which it also ends.
fn each_time_anew(
    cache: &MappingCache,
    map: impl Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let before = cache.mappings()?;
    for _ in 0..3 {
        map()?;
    }
    cache.expect("without the driver", before, 3, 0)
}

fn bound_afterwards(target: &Target) -> TestResult {
    device::with_edu(|edu| {
        edu.keep_attachments()?;
        let mut unbound = Unbound::new()?;
        let (buffer, _) = target.filled(64 << 10)?;
        let attachment = edu.attach(&buffer)?;
        for _ in 0..2 {
            attachment.map(Direction::Both)?.release()?;
        }
        unbound.bind()?;
        let again = Importer::with_edu(0)?;
        let mapping = again.attach(&buffer)?.map(Direction::Both)?;
        mapping.load(0, 0, 64)?;
        mapping.release()?;
        attachment.release()?;
        Ok(Pass)
    })
}
