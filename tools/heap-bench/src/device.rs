// SPDX-License-Identifier: GPL-2.0

//! The device that buffers are mapped for: QEMU's edu where the machine has one,
//! or else one in software.
//!
//! Only edu stands behind the machine's IOMMU.

use super::operation::fill;
use super::operation::nanos;
use super::record::BOUNCING;
use super::record::Failure;
use super::record::NO_IOMMU;
use anyhow::Context as _;
use anyhow::ensure;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Error;
use dma_heap::Heap;
use dma_heap::importer::Attachment;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use dma_heap::importer::Vmap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// The device in software.
const SOFTWARE: &str = "software";
/// QEMU's device, which moves bytes by itself.
const EDU: &str = "edu";

const PCI_DEVICES: &str = "/sys/bus/pci/devices";

/// Bytes that edu moves for a frame: all that fit its buffer.
const MOVED: u64 = 4096;

/// A sample of repeated maps is to last so long, so that the clock does not
/// count, or have the most cycles that the importer does.
const LONG: Duration = Duration::from_millis(2);
const MOST_CYCLES: u64 = 1000;

/// A device of the test importer.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) importer: Importer,
    pub(crate) name: &'static str,
    /// What stands between it and the memory.
    pub(crate) iommu: String,
}

impl Device {
    /// Claims the first edu device, or makes one in software. `None` if the
    /// test importer is not there or not for this user.
    ///
    /// # Errors
    ///
    /// If there is an edu device that cannot be had.
    pub(crate) fn open() -> anyhow::Result<Option<Self>> {
        match Importer::with_edu(0) {
            Ok(importer) => Ok(Some(Self {
                importer,
                name: EDU,
                iommu: iommu(Some(&edu_directory()?))?,
            })),
            Err(Error::ImporterOpen { .. }) => Ok(None),
            Err(error) if error.errno() == Some(Errno::NODEV) => Ok(Some(Self {
                importer: Importer::with_device(DeviceSettings::default())?,
                name: SOFTWARE,
                iommu: iommu(None)?,
            })),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn has_engine(&self) -> bool {
        self.name == EDU
    }

    /// Attaches and maps once. Where that is refused, no case with this buffer
    /// can be measured.
    ///
    /// # Errors
    ///
    /// If the importer fails and not the exporter.
    pub(crate) fn try_map(&self, buffer: &Buffer) -> anyhow::Result<Option<Failure>> {
        let refused = |step: &str, error: Error| match error.errno() {
            Some(errno) => Ok(Some(Failure {
                step: step.into(),
                errno: errno.raw_os_error(),
            })),
            None => Err(error.into()),
        };
        let attachment = match self.importer.attach(buffer) {
            Ok(attachment) => attachment,
            Err(error) => return refused("attach", error),
        };
        let mapping = match attachment.map(Direction::Both) {
            Ok(mapping) => mapping,
            Err(error) => return refused("map", error),
        };
        mapping.release()?;
        attachment.release()?;
        Ok(None)
    }

    /// Times of the first map and unmap of `attachments` new attachments:
    /// of one, on average, `count` times.
    pub(crate) fn first_maps(
        &self,
        buffer: &Buffer,
        attachments: u64,
        count: usize,
    ) -> anyhow::Result<Vec<u64>> {
        (0..count)
            .map(|_| {
                let times = self
                    .importer
                    .time_maps(buffer, Direction::Both, attachments, 0)?;
                Ok(nanos(times.first) / attachments)
            })
            .collect()
    }

    /// The same for maps after the first, `cycles` of them on each attachment.
    pub(crate) fn repeated_maps(
        &self,
        buffer: &Buffer,
        attachments: u64,
        cycles: u64,
        count: usize,
    ) -> anyhow::Result<Vec<u64>> {
        (0..count)
            .map(|_| {
                let times =
                    self.importer
                        .time_maps(buffer, Direction::Both, attachments, cycles)?;
                Ok(nanos(times.repeated) / (cycles * attachments))
            })
            .collect()
    }

    /// How many repeated maps last long enough to be timed together.
    pub(crate) fn cycles(&self, buffer: &Buffer) -> anyhow::Result<u64> {
        let times = self.importer.time_maps(buffer, Direction::Both, 1, 1)?;
        let cycles = nanos(LONG) / nanos(times.repeated).max(1);
        Ok(cycles.clamp(1, MOST_CYCLES))
    }

    /// Puts bytes into edu's own buffer, and returns what their words sum up to.
    /// They stay there.
    pub(crate) fn fill_engine(&self, heap: &Heap) -> anyhow::Result<u64> {
        let source = heap.alloc(MOVED)?;
        fill(&source)?;
        let attachment = self.importer.attach(&source)?;
        let mapping = attachment.map(Direction::ToDevice)?;
        mapping.load(0, 0, MOVED)?;
        mapping.release()?;
        attachment.release()?;
        Ok(self.importer.vmap(&source)?.cpu_sum(0, MOVED)?.0)
    }
}

/// A buffer that frames come in: attached to a device, and mapped into the
/// kernel for who looks at them.
#[derive(Debug)]
pub(crate) struct FrameBuffer<'d> {
    attachment: Attachment<'d>,
    vmap: Vmap<'d>,
}

impl<'d> FrameBuffer<'d> {
    pub(crate) fn new(device: &'d Device, buffer: &Buffer) -> anyhow::Result<Self> {
        Ok(Self {
            attachment: device.importer.attach(buffer)?,
            vmap: device.importer.vmap(buffer)?,
        })
    }

    /// One frame: the device writes what its own buffer has, and the CPU reads
    /// it, which is to sum up to `sum`. Returns the time of everything but the
    /// DMA, without the importer's system calls: a driver does all this within
    /// the kernel.
    ///
    /// A frame of `other` goes by before the frame and while the device is at
    /// work, as in a pipeline with several buffers: the tenth of a second that
    /// edu takes would leave every cache cold, which no camera does.
    pub(crate) fn frame(&self, other: Option<&Self>, sum: u64) -> anyhow::Result<u64> {
        let another_goes_by = || other.map_or(Ok(()), Self::frame_without_dma);
        another_goes_by()?;
        let mapping = self.attachment.map(Direction::FromDevice)?;
        let mut time = mapping.time();
        mapping.store(0, 0, MOVED)?;
        another_goes_by()?;
        time += mapping.release_timed()?;
        let (seen, reading) = self.vmap.cpu_sum(0, MOVED)?;
        ensure!(
            seen == sum,
            "the CPU does not read what the device has written"
        );
        Ok(nanos(time + reading))
    }

    fn frame_without_dma(&self) -> anyhow::Result<()> {
        self.attachment.map(Direction::FromDevice)?.release()?;
        self.vmap.cpu_sum(0, MOVED)?;
        Ok(())
    }
}

/// The directory of the first edu device in sysfs.
fn edu_directory() -> anyhow::Result<PathBuf> {
    let is_edu = |dir: &Path| {
        let id = |name| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        id("vendor").trim() == "0x1234" && id("device").trim() == "0x11e8"
    };
    let mut found: Vec<PathBuf> = std::fs::read_dir(PCI_DEVICES)
        .with_context(|| format!("cannot read {PCI_DEVICES}"))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|dir| is_edu(dir))
        .collect();
    found.sort_unstable();
    found
        .into_iter()
        .next()
        .with_context(|| format!("the edu device is not in {PCI_DEVICES}"))
}

/// What translates or copies for the device with this directory.
fn iommu(directory: Option<&Path>) -> anyhow::Result<String> {
    if let Some(target) = directory.and_then(|dir| std::fs::read_link(dir.join("iommu")).ok()) {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let kind = directory
            .and_then(|dir| std::fs::read_to_string(dir.join("iommu_group/type")).ok())
            .unwrap_or_default();
        return Ok(format!("{} {}", driver(&name), policy(kind.trim())));
    }
    let line = std::fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
    Ok(if bounces(&line) { BOUNCING } else { NO_IOMMU }.into())
}

/// The driver of an IOMMU, by the name of its device.
fn driver(name: &str) -> &str {
    match name.trim_end_matches(|it: char| it.is_ascii_digit()) {
        "dmar" => "intel-iommu",
        "ivhd" => "amd-iommu",
        _ if name.starts_with("smmu3.") => "arm-smmu-v3",
        other => other,
    }
}

/// The kernel's kinds of domains, in the words of its command line.
fn policy(kind: &str) -> &str {
    match kind {
        "DMA" => "strict",
        "DMA-FQ" => "lazy",
        other => other,
    }
}

/// Whether a kernel's command line has everything bounce.
fn bounces(line: &str) -> bool {
    line.split_whitespace()
        .filter_map(|word| word.strip_prefix("swiotlb="))
        .any(|value| value.split(',').any(|part| part == "force"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iommus_are_known_by_name() {
        assert_eq!(driver("dmar0"), "intel-iommu");
        assert_eq!(driver("smmu3.0x0000000009050000"), "arm-smmu-v3");
        assert_eq!(driver("new7"), "new");
        assert_eq!(policy("DMA-FQ"), "lazy");
        assert_eq!(policy("identity"), "identity");
    }

    #[test]
    fn bouncing_is_on_the_command_line() {
        assert!(bounces("quiet swiotlb=65536,force"));
        assert!(bounces("swiotlb=force"));
        assert!(!bounces("swiotlb=65536 force"));
    }
}
