// SPDX-License-Identifier: GPL-2.0

//! What a buffer is, as the heap's node tells whoever holds it.

use crate::buffer::is_dma_buf;
use crate::error::Error;
use crate::sys::abi::AttachmentData;
use crate::sys::abi::RUST_DMA_HEAP_ATTACHMENT_KEPT;
use crate::sys::ioctl;
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

/// For how many attached devices there is room at first.
const ROOM: u16 = 16;

/// What the memory of a buffer is, and who uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The heap that it came from.
    pub heap: String,
    /// Bytes.
    pub size: u64,
    /// Blocks of memory that it is made of.
    pub blocks: u64,
    /// Physically contiguous ranges that they make.
    pub segments: u64,
    /// The devices that are attached. One that is attached several times is there as often.
    pub attachments: Vec<AttachedDevice>,
}

/// A device that is attached to a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedDevice {
    /// Its name, as in `/sys/bus/*/devices`.
    pub name: String,
    /// The highest address that it can put out, or `None` if it does no DMA.
    pub dma_mask: Option<u64>,
    /// Bytes of one DMA range, if its driver demands any.
    pub max_segment: Option<u64>,
    /// A power of two less one, of which no multiple lies inside a range, if its driver demands it.
    pub boundary_mask: Option<u64>,
    /// How often the buffer is mapped for it.
    pub maps: u32,
    /// Whether its mapping is kept although its driver has unmapped the buffer.
    pub is_kept: bool,
}

impl Description {
    /// Asks the node of a heap.
    pub(crate) fn ask(heap: BorrowedFd<'_>, buffer: BorrowedFd<'_>) -> Result<Self, Error> {
        let mut room = ROOM;
        loop {
            let (data, attachments) = match ioctl::describe(heap, buffer, room) {
                // Of the two reasons for that, one can be told.
                Err(Errno::INVAL) if !is_dma_buf(buffer) => return Err(Error::NotADmaBuf),
                answer => answer.map_err(|errno| Error::Describe { errno })?,
            };
            let wanted = u16::try_from(data.nr_attachments).unwrap_or(u16::MAX);
            if wanted > room {
                room = wanted;
                continue;
            }
            return Ok(Self {
                heap: text(&data.heap),
                size: data.size,
                blocks: data.nr_blocks,
                segments: data.nr_segments,
                attachments: attachments.iter().map(AttachedDevice::from).collect(),
            });
        }
    }
}

impl AttachedDevice {
    /// Asks the node of a heap for those that were attached.
    pub(crate) fn ask(heap: BorrowedFd<'_>) -> Result<Vec<Self>, Error> {
        let mut room = ROOM;
        loop {
            let (number, devices) =
                ioctl::devices(heap, room).map_err(|errno| Error::Describe { errno })?;
            let wanted = u16::try_from(number).unwrap_or(u16::MAX);
            if wanted > room {
                room = wanted;
                continue;
            }
            return Ok(devices.iter().map(Self::from).collect());
        }
    }
}

impl From<&AttachmentData> for AttachedDevice {
    fn from(data: &AttachmentData) -> Self {
        let demanded = |value, nothing| Some(value).filter(|it| *it != nothing);
        Self {
            name: text(&data.device),
            dma_mask: demanded(data.dma_mask, 0),
            max_segment: demanded(data.max_segment, 0),
            boundary_mask: demanded(data.boundary_mask, u64::MAX),
            maps: data.maps,
            is_kept: data.flags & RUST_DMA_HEAP_ATTACHMENT_KEPT != 0,
        }
    }
}

/// A name as the structures have it.
fn text(bytes: &[u8]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_demanded_is_none() {
        let mut data = AttachmentData {
            boundary_mask: u64::MAX,
            ..AttachmentData::EMPTY
        };
        if let Some(bytes) = data.device.get_mut(..4) {
            bytes.copy_from_slice(b"gpu0");
        }
        let device = AttachedDevice::from(&data);
        assert_eq!(device.name, "gpu0");
        assert_eq!(device.dma_mask, None);
        assert_eq!(device.max_segment, None);
        assert_eq!(device.boundary_mask, None);
        assert!(!device.is_kept);
    }

    #[test]
    fn a_name_may_fill_its_field() {
        assert_eq!(text(&[b'x'; 64]).len(), 64);
        assert_eq!(text(b""), "");
    }
}
