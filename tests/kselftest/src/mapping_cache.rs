// SPDX-License-Identifier: GPL-2.0

//! DMA mappings that are kept between an unmap and the next map.

use crate::Test;
use crate::device;
use crate::device::device_reads;
use crate::edu::FLUSH;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::errno;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::target::Target;
use dma_heap::Errno;
use dma_heap::MODULE_NAME;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

pub(crate) const TESTS: &[Test] = &[
    ("a DMA mapping is made once for an attachment", made_once),
    ("another direction makes it anew", other_direction),
    ("keep_mappings=0 ends mappings at once", not_kept),
    ("mappings come and go while devices use them", knob_in_use),
    (
        "idle mappings make room in an IOMMU for new ones",
        room_is_made,
    ),
];

/// A size with blocks of several kinds.
const LARGE: u64 = (1 << 20) + (192 << 10);

/// Bytes that fill an IOMMU's addresses in few pieces.
pub(crate) const PIECE: u64 = 8 << 20;

/// How many maps may miss a flush.
const MAY_BE_LATE: usize = 3;

/// To fill the addresses of a device with more bits would take too long.
const BITS: u32 = 28;

/// Where a heap counts its mappings, and the knob, which is put back on drop.
pub(crate) struct MappingCache {
    counters: PathBuf,
    knob: PathBuf,
}

/// DMA mappings so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mappings {
    made: u64,
    dropped: u64,
}

impl MappingCache {
    pub(crate) fn mappings(&self) -> Result<Mappings, Failure> {
        let counter = |name| -> Result<u64, Failure> {
            Ok(std::fs::read_to_string(self.counters.join(name))?
                .trim()
                .parse()?)
        };
        Ok(Mappings {
            made: counter("mappings")?,
            dropped: counter("mappings_dropped")?,
        })
    }

    /// Fails unless so many mappings were made and dropped since `before`.
    pub(crate) fn expect(
        &self,
        what: &str,
        before: Mappings,
        made: u64,
        dropped: u64,
    ) -> Result<(), Failure> {
        let now = self.mappings()?;
        let since = Mappings {
            made: now.made - before.made,
            dropped: now.dropped - before.dropped,
        };
        equal(what, since, Mappings { made, dropped })
    }

    fn set(&self, keep: bool) -> Result<(), Failure> {
        Ok(std::fs::write(
            &self.knob,
            if keep { "1\n" } else { "0\n" },
        )?)
    }
}

impl Drop for MappingCache {
    fn drop(&mut self) {
        // A test that could not set it has said so.
        drop(self.set(true));
    }
}

/// Runs a test, or skips it where mappings are not kept or cannot be counted.
pub(crate) fn with_counters(
    target: &Target,
    test: impl FnOnce(&MappingCache) -> TestResult,
) -> TestResult {
    if !target.is_ours() {
        return skip("the kernel's own heaps keep no mappings");
    }
    let Some(sysfs) = target.info().sysfs.clone() else {
        return skip("the heap has no directory in sysfs");
    };
    let cache = MappingCache {
        counters: PathBuf::from("/sys/kernel/debug")
            .join(MODULE_NAME)
            .join(target.name()),
        knob: sysfs.join("keep_mappings"),
    };
    if let Err(Failure(why)) = cache.mappings() {
        return skip(format!(
            "the counters in {} cannot be read: {why}; mount debugfs and run as root",
            cache.counters.display()
        ));
    }
    test(&cache)
}

/// Runs such a test with a device without limits.
fn with(target: &Target, test: impl FnOnce(&MappingCache, &Importer) -> TestResult) -> TestResult {
    with_counters(target, |cache| {
        device::with_any(|importer| test(cache, importer))
    })
}

/// Runs such a test with the hardware that an IOMMU gives few addresses to.
pub(crate) fn with_few_addresses(
    target: &Target,
    test: impl FnOnce(&MappingCache, &Importer, u64) -> TestResult,
) -> TestResult {
    with_counters(target, |cache| {
        device::with_edu(|edu| match device::edu_iommu_bits()? {
            None => skip("needs an IOMMU before the device"),
            Some(bits) if bits > BITS => skip(format!(
                "needs an edu device of few address bits (edu_mask_bits={BITS})"
            )),
            Some(bits) => test(cache, edu, 1 << bits),
        })
    })
}

fn made_once(target: &Target) -> TestResult {
    with(target, |cache, importer| {
        let (buffer, pattern) = target.filled(LARGE)?;
        let before = cache.mappings()?;
        for _ in 0..2 {
            let attachment = importer.attach(&buffer)?;
            for _ in 0..5 {
                let mapping = attachment.map(Direction::ToDevice)?;
                device_reads(&mapping, &buffer, pattern)?;
                mapping.release()?;
            }
            attachment.release()?;
        }
        // A bounce buffer is never kept.
        let made = if device::all_bounce()? { 10 } else { 2 };
        cache.expect("mappings of two attachments", before, made, 0)?;
        Ok(Pass)
    })
}

fn other_direction(target: &Target) -> TestResult {
    with(target, |cache, importer| {
        let (buffer, _) = target.filled(LARGE)?;
        let attachment = importer.attach(&buffer)?;
        let before = cache.mappings()?;
        for direction in Direction::ALL {
            attachment.map(direction)?.release()?;
        }
        cache.expect("mappings in three directions", before, 3, 0)?;
        // A second outstanding one shares the first's.
        let (first, second) = (
            attachment.map(Direction::Both)?,
            attachment.map(Direction::Both)?,
        );
        cache.expect("with two at a time", before, 4, 0)?;
        first.release()?;
        second.release()?;
        Ok(Pass)
    })
}

fn not_kept(target: &Target) -> TestResult {
    with(target, |cache, importer| {
        if device::all_bounce()? {
            return skip("no mapping is kept on a machine where every device bounces");
        }
        let (buffer, pattern) = target.filled(LARGE)?;
        let (first, second) = (importer.attach(&buffer)?, importer.attach(&buffer)?);
        first.map(Direction::ToDevice)?.release()?;
        let outstanding = second.map(Direction::ToDevice)?;
        let before = cache.mappings()?;
        cache.set(false)?;
        cache.expect("when the knob was set", before, 0, 1)?;
        device_reads(&outstanding, &buffer, pattern)?;
        outstanding.release()?;
        for _ in 0..3 {
            second.map(Direction::ToDevice)?.release()?;
        }
        cache.expect("while it was set", before, 3, 1)?;
        cache.set(true)?;
        for _ in 0..3 {
            second.map(Direction::ToDevice)?.release()?;
        }
        cache.expect("after it was set back", before, 4, 1)?;
        Ok(Pass)
    })
}

/// Devices attach, map, read and detach in threads of their own, while the knob
/// is turned and the CPU opens brackets.
fn knob_in_use(target: &Target) -> TestResult {
    with(target, |cache, _| {
        let (buffer, pattern) = target.filled(256 << 10)?;
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let devices: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let importer = Importer::with_device(DeviceSettings::default())?;
                        for _ in 0..10 {
                            let attachment = importer.attach(&buffer)?;
                            for _ in 0..3 {
                                let mapping = attachment.map(Direction::ToDevice)?;
                                device_reads(&mapping, &buffer, pattern)?;
                                mapping.release()?;
                            }
                        }
                        Ok::<(), Failure>(())
                    })
                })
                .collect();
            let knob = scope.spawn(|| {
                let mut keep = false;
                while !done.load(Ordering::Relaxed) {
                    cache.set(keep)?;
                    keep = !keep;
                    crate::mmap::expect(&buffer.map()?, |index| pattern.word(index))?;
                }
                Ok::<(), Failure>(())
            });
            let results: Vec<_> = devices.into_iter().map(|device| device.join()).collect();
            done.store(true, Ordering::Relaxed);
            for result in results.into_iter().chain([knob.join()]) {
                match result {
                    Ok(result) => result?,
                    Err(_) => return fail("a thread panicked"),
                }
            }
            Ok(Pass)
        })
    })
}

/// The second buffer's mappings need the addresses that the first one's still
/// have, though nobody uses them: those of the first few, but for one that is in
/// use. What other devices keep elsewhere is of no help.
fn room_is_made(target: &Target) -> TestResult {
    with_few_addresses(target, |cache, edu, addresses| {
        let (first, first_pattern) = target.filled(PIECE)?;
        let (second, second_pattern) = target.filled(PIECE)?;
        let half = addresses / PIECE * 3 / 4;
        let other = Importer::with_device(DeviceSettings::default())?;
        let elsewhere = other.attach(&first)?;
        elsewhere.map(Direction::Both)?.release()?;
        let before = cache.mappings()?;
        let attach = |buffer| -> Result<Vec<_>, Failure> {
            (0..half).map(|_| Ok(edu.attach(buffer)?)).collect()
        };
        let (firsts, seconds) = (attach(&first)?, attach(&second)?);
        for attachment in &firsts {
            attachment.map(Direction::Both)?.release()?;
        }
        cache.expect("mappings of the first buffer", before, half, 0)?;
        let Some(in_use) = firsts.first() else {
            return fail("the IOMMU has not enough addresses for one buffer");
        };
        let in_use = in_use.map(Direction::Both)?;
        let mut late = 0;
        for attachment in &seconds {
            match errno(attachment.map(Direction::Both)) {
                // An IOMMU that flushes later is waited for, but not for longer than
                // that takes where the machine has no other work.
                Err(Errno::NOMEM) if late < MAY_BE_LATE => {
                    late += 1;
                    std::thread::sleep(FLUSH);
                    attachment.map(Direction::Both)?.release()?;
                }
                Err(errno) => return fail(format!("mapping gave {errno}")),
                Ok(mapping) => mapping.release()?,
            }
        }
        let dropped = cache.mappings()?.dropped - before.dropped;
        // Some addresses are no device's, and pieces may lie apart.
        let room = addresses / PIECE;
        let fewest = 2 * half - room;
        if !(fewest..=fewest + 4).contains(&dropped) {
            return fail(format!(
                "{dropped} mappings were dropped where there is room for {room} and {} were made",
                2 * half
            ));
        }

        // What was in use has stayed, as have those that were used last.
        let before = cache.mappings()?;
        elsewhere.map(Direction::Both)?.release()?;
        cache.expect("of a device elsewhere", before, 0, 0)?;
        for (mapping, buffer, pattern) in [
            (Some(in_use), &first, first_pattern),
            (
                firsts
                    .last()
                    .map(|it| it.map(Direction::Both))
                    .transpose()?,
                &first,
                first_pattern,
            ),
            (
                seconds
                    .last()
                    .map(|it| it.map(Direction::Both))
                    .transpose()?,
                &second,
                second_pattern,
            ),
        ] {
            let Some(mapping) = mapping else {
                return fail("no attachments");
            };
            let last = PIECE - 64;
            mapping.load(last, 0, 64)?;
            mapping.store(0, 0, 64)?;
            mapping.release()?;
            device::same_bytes(
                "the CPU",
                0,
                &device::cpu_reads(buffer, 0, 64)?,
                &device::pattern_bytes(pattern, usize::try_from(last)?, 64),
            )?;
        }
        cache.expect("of those used last", before, 0, 0)?;
        Ok(Pass)
    })
}
