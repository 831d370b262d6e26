// SPDX-License-Identifier: GPL-2.0

//! Numbers and structures of the kernel's ABI.
//!
//! C headers: `linux/dma-heap.h`, `linux/dma-buf.h`, and uapi/linux/rust-dma-heap.h of the module.

use rustix::ioctl::Opcode;
use rustix::ioctl::opcode;

/// The argument of [`DMA_HEAP_IOCTL_ALLOC`].
///
/// The 64-bit members are aligned so in every ABI: the structure is the same
/// for a 32-bit caller.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocationData {
    /// Bytes wanted; the kernel rounds them up to whole pages.
    pub len: u64,
    /// Zero in, the new file descriptor out.
    pub fd: u32,
    /// `O_CLOEXEC` and an access mode.
    pub fd_flags: u32,
    /// No flag is defined: zero.
    pub heap_flags: u64,
}

/// The argument of [`DMA_BUF_IOCTL_SYNC`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncData {
    /// `DMA_BUF_SYNC_*`.
    pub flags: u64,
}

/// The argument of [`DMA_BUF_IOCTL_EXPORT_SYNC_FILE`] and
/// [`DMA_BUF_IOCTL_IMPORT_SYNC_FILE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncFileData {
    /// [`DMA_BUF_SYNC_READ`] and [`DMA_BUF_SYNC_WRITE`].
    pub flags: u32,
    /// The sync_file.
    pub fd: i32,
}

/// Bytes of a name in the structures below, with the NUL at its end.
pub const RUST_DMA_HEAP_NAME_LEN: usize = 64;

/// The driver has unmapped the buffer, and the mapping is kept.
pub const RUST_DMA_HEAP_ATTACHMENT_KEPT: u32 = 1;

/// An attached device, in the answer of [`RUST_DMA_HEAP_IOCTL_DESCRIBE`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachmentData {
    /// Its name.
    pub device: [u8; RUST_DMA_HEAP_NAME_LEN],
    /// The highest address that it can put out; 0 if it does no DMA.
    pub dma_mask: u64,
    /// Bytes of one DMA range, as its driver demands; 0 if any.
    pub max_segment: u64,
    /// No range crosses a multiple of this and one; all ones if any may.
    pub boundary_mask: u64,
    /// How often it is mapped now.
    pub maps: u32,
    /// [`RUST_DMA_HEAP_ATTACHMENT_KEPT`].
    pub flags: u32,
}

impl AttachmentData {
    /// Room for one.
    pub const EMPTY: Self = Self {
        device: [0; RUST_DMA_HEAP_NAME_LEN],
        dma_mask: 0,
        max_segment: 0,
        boundary_mask: 0,
        maps: 0,
        flags: 0,
    };
}

/// The argument of [`RUST_DMA_HEAP_IOCTL_DESCRIBE`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptionData {
    /// The dma-buf.
    pub fd: i32,
    /// No flag is defined: zero.
    pub flags: u32,
    /// Where there is room for attached devices.
    pub attachments: u64,
    /// Bytes of one of them.
    pub attachment_size: u32,
    /// For how many there is room, and then how many there are.
    pub nr_attachments: u32,
    /// Bytes of the buffer.
    pub size: u64,
    /// Blocks of memory that it is made of.
    pub nr_blocks: u64,
    /// Physically contiguous ranges that they make.
    pub nr_segments: u64,
    /// The heap that it came from.
    pub heap: [u8; RUST_DMA_HEAP_NAME_LEN],
}

/// The argument of [`RUST_DMA_HEAP_IOCTL_DEVICES`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicesData {
    /// Where there is room for devices.
    pub devices: u64,
    /// Bytes of one of them.
    pub device_size: u32,
    /// For how many there is room, and then how many there are.
    pub nr_devices: u32,
}

/// The type byte of heap ioctls.
pub const DMA_HEAP_IOC_MAGIC: u8 = b'H';
/// Allocate a buffer.
pub const DMA_HEAP_IOCTL_ALLOC: Opcode =
    opcode::read_write::<AllocationData>(DMA_HEAP_IOC_MAGIC, 0);

/// Describe a buffer of the module rust_dma_heap.
pub const RUST_DMA_HEAP_IOCTL_DESCRIBE: Opcode =
    opcode::read_write::<DescriptionData>(DMA_HEAP_IOC_MAGIC, 0x91);

/// Tell which devices were attached to buffers of the module.
pub const RUST_DMA_HEAP_IOCTL_DEVICES: Opcode =
    opcode::read_write::<DevicesData>(DMA_HEAP_IOC_MAGIC, 0x92);

/// Start or end CPU access.
pub const DMA_BUF_IOCTL_SYNC: Opcode = opcode::write::<SyncData>(b'b', 0);
/// Name a buffer; the argument is the string's address itself.
pub const DMA_BUF_SET_NAME: Opcode = opcode::write::<*const u8>(b'b', 1);
/// Make a sync_file of the fences that an access has to wait for.
pub const DMA_BUF_IOCTL_EXPORT_SYNC_FILE: Opcode = opcode::read_write::<SyncFileData>(b'b', 2);
/// Have accesses wait for a sync_file's fences.
pub const DMA_BUF_IOCTL_IMPORT_SYNC_FILE: Opcode = opcode::write::<SyncFileData>(b'b', 3);
/// Longest buffer name in bytes, the final NUL included.
pub const DMA_BUF_NAME_LEN: usize = 32;

/// The CPU reads.
pub const DMA_BUF_SYNC_READ: u64 = 1;
/// The CPU writes.
pub const DMA_BUF_SYNC_WRITE: u64 = 2;
/// The bracket starts.
pub const DMA_BUF_SYNC_START: u64 = 0;
/// The bracket ends.
pub const DMA_BUF_SYNC_END: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::align_of;
    use std::mem::offset_of;
    use std::mem::size_of;

    // The expected values are those of the C headers on x86-64, arm64 and
    // i386, where they agree.
    #[test]
    fn layout() {
        assert_eq!(size_of::<AllocationData>(), 24);
        assert_eq!(align_of::<AllocationData>(), 8);
        assert_eq!(offset_of!(AllocationData, len), 0);
        assert_eq!(offset_of!(AllocationData, fd), 8);
        assert_eq!(offset_of!(AllocationData, fd_flags), 12);
        assert_eq!(offset_of!(AllocationData, heap_flags), 16);
        assert_eq!(size_of::<SyncData>(), 8);
        assert_eq!(size_of::<SyncFileData>(), 8);
        assert_eq!(size_of::<AttachmentData>(), 96);
        assert_eq!(offset_of!(AttachmentData, dma_mask), 64);
        assert_eq!(offset_of!(AttachmentData, maps), 88);
        assert_eq!(size_of::<DescriptionData>(), 112);
        assert_eq!(offset_of!(DescriptionData, attachments), 8);
        assert_eq!(offset_of!(DescriptionData, nr_attachments), 20);
        assert_eq!(offset_of!(DescriptionData, heap), 48);
        assert_eq!(size_of::<DevicesData>(), 16);
    }

    #[test]
    fn numbers() {
        assert_eq!(DMA_HEAP_IOCTL_ALLOC, 0xc018_4800);
        assert_eq!(RUST_DMA_HEAP_IOCTL_DESCRIBE, 0xc070_4891);
        assert_eq!(RUST_DMA_HEAP_IOCTL_DEVICES, 0xc010_4892);
        assert_eq!(DMA_BUF_IOCTL_SYNC, 0x4008_6200);
        assert_eq!(DMA_BUF_IOCTL_EXPORT_SYNC_FILE, 0xc008_6202);
        assert_eq!(DMA_BUF_IOCTL_IMPORT_SYNC_FILE, 0x4008_6203);
        let set_name = if cfg!(target_pointer_width = "64") {
            0x4008_6201
        } else {
            0x4004_6201
        };
        assert_eq!(DMA_BUF_SET_NAME, set_name);
    }
}
