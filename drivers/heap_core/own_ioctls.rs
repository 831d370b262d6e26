// SPDX-License-Identifier: GPL-2.0

//! `RUST_DMA_HEAP_IOCTL_DESCRIBE`: what a buffer is, for whoever holds its descriptor.
//!
//! C header: `uapi/linux/rust-dma-heap.h` of this tree.

use crate::{
    abstractions::{
        dma_buf::{
            DmaBuf,
            Exporter, //
        },
        task,
        uapi::{
            self,
            AttachmentDescription,
            Description,
            IOCTL_DESCRIBE, //
        }, //
    },
    buffer::Buffer, //
};
use kernel::{
    ioctl::{
        _IOC_DIR,
        _IOC_NR,
        _IOC_SIZE,
        _IOC_TYPE, //
    },
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// Bytes of the structure as it was first, which every caller knows.
const FIRST_SIZE: usize = 112;

/// The same of the structure for an attached device.
const FIRST_ATTACHMENT_SIZE: usize = 96;

/// More bytes than one of them will ever have.
const ENTRY_SIZE_END: usize = 4096;

/// What stands where nothing is known.
const ZEROES: [u8; 64] = [0; 64];

/// Tells whether an ioctl's command word is for this file.
pub(super) fn is_meant(command: u32) -> bool {
    _IOC_TYPE(command) == _IOC_TYPE(IOCTL_DESCRIBE) && _IOC_NR(command) == _IOC_NR(IOCTL_DESCRIBE)
}

/// Answers the ioctl. May sleep.
///
/// The errors are those that the header names, and `EFAULT` for a bad pointer.
pub(super) fn answer(command: u32, argument: UserPtr) -> Result {
    let size = _IOC_SIZE(command);

    if _IOC_DIR(command) != _IOC_DIR(IOCTL_DESCRIBE) {
        return Err(EINVAL);
    }

    let mut description = read(size, argument)?;
    let room = Room::of(&description)?;

    if description.flags != 0 {
        return Err(EINVAL);
    }

    let dma_buf = DmaBuf::from_fd(description.fd)?;
    let buffer = Buffer::of(&dma_buf).ok_or(EXDEV)?;

    description.size = buffer.size() as u64;
    description.nr_blocks = buffer.nr_blocks() as u64;
    description.nr_segments = buffer.nr_segments() as u64;
    description.heap = uapi::name(buffer.name());
    description.nr_attachments = room.fill(buffer)?;
    UserSlice::new(argument, size_of::<Description>())
        .writer()
        .write(&description)
}

/// Copies the caller's structure in, of `size` bytes.
fn read(size: usize, argument: UserPtr) -> Result<Description> {
    if size < FIRST_SIZE {
        return Err(EINVAL);
    }

    let mut reader = UserSlice::new(argument, size).reader();
    let description = reader.read()?;

    while !reader.is_empty() {
        let mut surplus = ZEROES;
        let len = reader.len().min(surplus.len());

        reader.read_slice(surplus.get_mut(..len).ok_or(EINVAL)?)?;
        if surplus != ZEROES {
            return Err(E2BIG);
        }
    }
    Ok(description)
}

/// Where the caller wants to be told of attached devices.
struct Room {
    address: UserPtr,
    entry_size: usize,
    nr_entries: usize,
}

impl Room {
    fn of(description: &Description) -> Result<Self> {
        let entry_size = description.attachment_size as usize;
        let nr_entries = description.nr_attachments as usize;
        let address = usize::try_from(description.attachments).map_err(|_| EFAULT)?;

        if nr_entries != 0 && !(FIRST_ATTACHMENT_SIZE..ENTRY_SIZE_END).contains(&entry_size) {
            return Err(EINVAL);
        }
        Ok(Self {
            address: UserPtr::from_addr(address),
            entry_size,
            nr_entries,
        })
    }

    /// Tells of as many as there is room for. Returns how many there are.
    fn fill(&self, buffer: &Buffer) -> Result<u32> {
        let mut entries: KVVec<AttachmentDescription> = KVVec::new();
        let mut nr_attachments = buffer.describe_attachments(&mut entries);

        // Memory is allocated without the buffer's lock. More may be attached meanwhile.
        while entries.len() < nr_attachments.min(self.nr_entries) {
            task::check_alive()?;
            entries.clear();
            entries.reserve(nr_attachments.min(self.nr_entries), GFP_KERNEL)?;
            nr_attachments = buffer.describe_attachments(&mut entries);
        }

        let nr_entries = entries.len().min(self.nr_entries);
        let len = nr_entries.checked_mul(self.entry_size).ok_or(EFAULT)?;
        let mut writer = UserSlice::new(self.address, len).writer();

        for entry in entries.iter().take(nr_entries) {
            let mut surplus = self.entry_size - size_of::<AttachmentDescription>();

            writer.write(entry)?;
            while surplus > 0 {
                let zeroes = ZEROES.get(..surplus).unwrap_or(&ZEROES);

                writer.write_slice(zeroes)?;
                surplus -= zeroes.len();
            }
        }
        Ok(nr_attachments as u32)
    }
}
