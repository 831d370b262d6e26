// SPDX-License-Identifier: GPL-2.0

//! What is known of a device: from sysfs, and from what our module saw when it was attached.

use anyhow::Context as _;
use dma_heap::AttachedDevice;
use serde::Serialize;
use serde::Serializer;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

/// A device that buffers are to be for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Device {
    /// What the user has called it.
    pub(super) asked: String,
    /// Its name in sysfs.
    pub(super) name: String,
    pub(super) driver: Option<String>,
    /// The last address that it reaches; 0 if it does no DMA, null if that is unknown.
    #[serde(rename = "last_address", serialize_with = "last_address")]
    pub(super) reach: Reach,
    /// The kernel's word for the translation of its IOMMU, if there is one before it: DMA, DMA-FQ
    /// or identity.
    pub(super) iommu: Option<String>,
    /// Bytes of one DMA range, as its driver demands, if the module saw it attached.
    pub(super) max_segment: Option<u64>,
    /// Whether the module saw it attached since it was loaded.
    pub(super) was_seen: bool,
}

/// Which addresses a device can put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// None: its driver uses the CPU.
    None,
    /// Those up to this one.
    UpTo(u64),
    Unknown,
}

fn last_address<S: Serializer>(reach: &Reach, serializer: S) -> Result<S::Ok, S::Error> {
    match reach {
        Reach::None => serializer.serialize_u64(0),
        Reach::UpTo(last) => serializer.serialize_u64(*last),
        Reach::Unknown => serializer.serialize_none(),
    }
}

impl Device {
    /// Looks for a device by a node in /dev, a name in sysfs (0000:00:02.0) or a folder there.
    pub(super) fn find(asked: &str, seen: &[AttachedDevice]) -> anyhow::Result<Self> {
        let folder = folder(asked).with_context(|| {
            format!(
                "{asked} is no device: name a node such as /dev/video0, or one in \
                 /sys/bus/*/devices such as 0000:00:02.0"
            )
        })?;
        let name = file_name(&folder).unwrap_or_default();
        let seen = seen.iter().find(|it| it.name == name);
        let reach = match seen {
            Some(device) => device.dma_mask.map_or(Reach::None, Reach::UpTo),
            None => pci_mask(&folder).map_or(Reach::Unknown, Reach::UpTo),
        };
        Ok(Self {
            asked: asked.to_owned(),
            driver: link_name(&folder.join("driver")),
            iommu: text(&folder.join("iommu_group/type")),
            reach,
            max_segment: seen.and_then(|it| it.max_segment),
            was_seen: seen.is_some(),
            name,
        })
    }

    /// Whether an IOMMU puts memory together for it.
    pub(super) fn is_translated(&self) -> bool {
        self.iommu
            .as_deref()
            .is_some_and(|kind| kind.starts_with("DMA"))
    }
}

/// The folder of a device that does DMA: for a node, of the device behind it.
fn folder(asked: &str) -> Option<PathBuf> {
    let path = Path::new(asked);
    if let Ok(file) = fs::metadata(path) {
        if file.is_dir() {
            // Each device has one.
            let folder = fs::canonicalize(path).ok()?;
            return folder.join("uevent").exists().then_some(folder);
        }
        let class = match file.file_type() {
            kind if kind.is_char_device() => "char",
            kind if kind.is_block_device() => "block",
            _ => return None,
        };
        let number = file.rdev();
        let node = format!(
            "/sys/dev/{class}/{}:{}",
            rustix::fs::major(number),
            rustix::fs::minor(number)
        );
        return fs::canonicalize(Path::new(&node).join("device")).ok();
    }
    if asked.contains('/') {
        return None;
    }
    fs::read_dir("/sys/bus").ok()?.find_map(|bus| {
        let device = bus.ok()?.path().join("devices").join(asked);
        fs::canonicalize(device).ok()
    })
}

/// The mask that a PCI driver has set.
fn pci_mask(folder: &Path) -> Option<u64> {
    let bits: u32 = text(&folder.join("dma_mask_bits"))?.parse().ok()?;
    Some(match bits {
        64.. => u64::MAX,
        bits => (1 << bits) - 1,
    })
}

fn text(file: &Path) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

fn link_name(link: &Path) -> Option<String> {
    file_name(&fs::canonicalize(link).ok()?)
}
