// SPDX-License-Identifier: GPL-2.0

//! What is measured: one line of the results.

use serde::Deserialize;
use serde::Serialize;
use std::time::Duration;

/// The operations and their cases, for help texts.
pub const CASES: &str = "\
Operations:
  alloc-close        the ioctl and the close. Cold: the pool was emptied before
                     (pool_cap is set to 0 and back). Warm: the previous owner
                     wrote every page 16 ms ago. Untouched: one allocation
                     follows the other, and nobody touches the memory
  alloc-write-close  allocate, map, write every byte, unmap and close
  touch              map a new buffer, touch each page, unmap
  vmap               vmap and vunmap. For buffers of system heaps in small
                     pieces, all free memory is taken for a moment
  pipeline           the ioctl in a stream of frames: 60 a second of 12 MiB, each
                     written in full and held for 4 frames; the ratio is that of
                     the 99th percentiles
  metadata           kernel memory beside the buffer's own
  map                map for a device and unmap: on new attachments (first) or on
                     ones that were mapped before (repeated), on one, two or four
                     in turn; the time is that of one. The device is QEMU's edu,
                     behind the machine's IOMMU if it has one, or else a device in
                     software
  frame              map, have edu write 4 KiB, unmap, and read them with the CPU
                     in a bracket; the DMA is not timed

Where a heap's buffer cannot be mapped, the results say what was refused.";

/// What is done with a heap.
#[derive(
    Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// The ioctl and the close, and nothing between them that is timed.
    AllocClose,
    /// Allocation, mapping, a write to every byte, unmapping and close.
    AllocWriteClose,
    /// Mapping a new buffer, an access to each of its pages, and unmapping it.
    Touch,
    /// vmap and vunmap.
    Vmap,
    /// The ioctl, within a stream of frames.
    Pipeline,
    /// Kernel memory for a buffer and an attachment beside the buffer's own.
    Metadata,
    /// Mapping for a device and unmapping, as importers do for each frame. Not
    /// measured unless it is asked for.
    Map,
    /// A frame that a device writes and the CPU reads a page of: mapping, DMA
    /// (which is not timed), unmapping, and the read in its bracket. Needs
    /// QEMU's edu device. Not measured unless it is asked for.
    Frame,
}

impl Operation {
    /// Whether a device attaches to the buffer, so that it matters which.
    pub fn is_by_device(self) -> bool {
        matches!(self, Self::Map | Self::Frame)
    }
}

/// In which state the heap or the buffer is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The pool is empty.
    Cold,
    /// The previous owner wrote every page.
    Warm,
    /// The previous owner touched nothing.
    Untouched,
    /// The first vmap of a buffer, or the first map of an attachment.
    First,
    /// Those after the first.
    Repeated,
}

/// How a buffer gets into the address space.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// By the library crate, which asks for a suitable address.
    Library,
    /// By mmap, at an address that the kernel chooses.
    Plain,
}

/// How pages are touched.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// A write to each page.
    Write,
    /// A read of each page, then a write to each.
    ReadWrite,
}

/// What a buffer consists of, where that matters.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One range of addresses.
    Contiguous,
    /// The largest ranges that the heap makes, since memory is not fragmented.
    LargeBlocks,
    /// Many small ones.
    Fragmented,
}

/// A measurement on any heap.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Case {
    /// What is done.
    pub operation: Operation,
    /// `null` where no state matters.
    pub mode: Option<Mode>,
    /// Bytes of a buffer.
    pub size: u64,
    /// How many threads do it at once.
    pub threads: u32,
    /// Milliseconds between one operation and the next.
    pub gap_ms: u64,
    /// How it gets into the address space, where it does.
    pub mapping: Option<Mapping>,
    /// How its pages are touched, where they are.
    pub access: Option<Access>,
    /// What the buffer consists of, where that matters.
    pub layout: Option<Layout>,
    /// How many attachments a device has to the buffer, and maps in turn.
    pub attachments: Option<u32>,
}

impl Case {
    /// One thread, one operation after the other.
    pub fn new(operation: Operation, mode: Mode, size: u64) -> Self {
        Self {
            operation,
            mode: Some(mode),
            size,
            threads: 1,
            gap_ms: 0,
            mapping: None,
            access: None,
            layout: None,
            attachments: None,
        }
    }

    pub(crate) fn gap(&self) -> Duration {
        Duration::from_millis(self.gap_ms)
    }

    /// Whether it is that operation in that mode.
    pub fn is(&self, operation: Operation, mode: Mode) -> bool {
        self.operation == operation && self.mode == Some(mode)
    }

    /// What it is, in the words of the table.
    pub fn title(&self) -> String {
        let operation = match self.operation {
            Operation::AllocClose => "alloc-close",
            Operation::AllocWriteClose => "alloc-write-close",
            Operation::Touch => "touch",
            Operation::Vmap => "vmap",
            Operation::Pipeline => "pipeline",
            Operation::Metadata => "metadata",
            Operation::Map => "map",
            Operation::Frame => "frame",
        };
        let mut words = vec![operation.to_owned()];
        // The modes of the others say nothing that their names do not.
        let mode = match self.operation {
            Operation::AllocClose | Operation::Vmap | Operation::Map => self.mode,
            _ => None,
        };
        words.extend(mode.map(|mode| {
            match mode {
                Mode::Cold => "cold",
                Mode::Warm => "warm",
                Mode::Untouched => "untouched",
                Mode::First => "first",
                Mode::Repeated => "repeated",
            }
            .to_owned()
        }));
        words.extend(self.layout.map(|layout| {
            match layout {
                Layout::Contiguous => "contiguous",
                Layout::LargeBlocks => "large blocks",
                Layout::Fragmented => "fragmented",
            }
            .to_owned()
        }));
        words.extend(self.access.map(|access| {
            match access {
                Access::Write => "write",
                Access::ReadWrite => "read, then write",
            }
            .to_owned()
        }));
        words.extend(self.mapping.map(|mapping| {
            match mapping {
                Mapping::Library => "(library)",
                Mapping::Plain => "(plain mmap)",
            }
            .to_owned()
        }));
        if self.threads > 1 {
            words.push(format!("{} threads", self.threads));
        }
        if let Some(count) = self.attachments.filter(|count| *count > 1) {
            words.push(format!("{count} attachments"));
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_tell_cases_apart() {
        let mut case = Case::new(Operation::AllocClose, Mode::Untouched, 4096);
        case.threads = 2;
        assert_eq!(case.title(), "alloc-close untouched 2 threads");
        case = Case::new(Operation::Touch, Mode::Warm, 4096);
        case.mapping = Some(Mapping::Plain);
        case.access = Some(Access::ReadWrite);
        assert_eq!(case.title(), "touch read, then write (plain mmap)");
    }
}
