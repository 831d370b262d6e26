// SPDX-License-Identifier: GPL-2.0

//! What nodes can do beyond the kernel's own heaps: tell what a buffer is, and which devices there
//! were.
//!
//! C header: `uapi/linux/rust-dma-heap.h` of this tree.

use crate::{
    abstractions::{
        dma_buf::{
            exporter::Exporter,
            DmaBuf, //
        },
        task,
        uapi::{
            self,
            AttachmentDescription,
            Description,
            Devices,
            IOCTL_DESCRIBE,
            IOCTL_DEVICES, //
        }, //
    },
    buffer::{
        Buffer,
        Export, //
    }, //
};
use kernel::{
    ioctl::{
        _IOC_DIR,
        _IOC_NR,
        _IOC_SIZE,
        _IOC_TYPE, //
    },
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceWriter, //
    }, //
};

/// Bytes of the structures as they were first, which every caller knows.
const FIRST_DESCRIPTION: usize = 112;
const FIRST_DEVICES: usize = 16;
const FIRST_ATTACHMENT: usize = 96;

/// More bytes than an entry will ever have.
const ENTRY_SIZE_END: usize = 4096;

/// What stands where nothing is known.
const ZEROES: [u8; 64] = [0; 64];

/// One of the ioctls, as a caller asked for it.
pub(super) struct OwnIoctl {
    command: u32,
    argument: UserPtr,
    answer: fn(&Self, &Export) -> Result,
}

impl OwnIoctl {
    /// Finds out whether a command word is for this file.
    pub(super) fn of(command: u32, argument: UserPtr) -> Option<Self> {
        let is = |ours| _IOC_TYPE(command) == _IOC_TYPE(ours) && _IOC_NR(command) == _IOC_NR(ours);
        let answer = if is(IOCTL_DESCRIBE) {
            Self::describe
        } else if is(IOCTL_DEVICES) {
            Self::devices
        } else {
            return None;
        };

        Some(Self {
            command,
            argument,
            answer,
        })
    }

    /// Answers it, on a node of a heap whose buffers share `export`. May sleep.
    ///
    /// The errors are those that the header names, `EFAULT` for a bad pointer, `ENOMEM`, and
    /// `EINTR` for a task that is about to be killed.
    pub(super) fn answer(&self, export: &Export) -> Result {
        // All of them are read and written.
        if _IOC_DIR(self.command) != _IOC_DIR(IOCTL_DESCRIBE) {
            return Err(EINVAL);
        }
        (self.answer)(self, export)
    }

    fn describe(&self, _export: &Export) -> Result {
        let mut description: Description = self.read(FIRST_DESCRIPTION)?;
        let room = Room::new(
            description.attachments,
            description.attachment_size,
            description.nr_attachments,
        )?;

        if description.flags != 0 {
            return Err(EINVAL);
        }

        let dma_buf = DmaBuf::from_fd(description.fd)?;
        let buffer = Buffer::of(&dma_buf).ok_or(EXDEV)?;

        description.size = buffer.len() as u64;
        description.nr_blocks = buffer.nr_blocks() as u64;
        description.nr_segments = buffer.nr_segments() as u64;
        description.heap = uapi::name(buffer.name());
        description.nr_attachments = room.fill(|told| buffer.describe_attachments(told))?;
        self.write(&description)
    }

    fn devices(&self, export: &Export) -> Result {
        let mut devices: Devices = self.read(FIRST_DEVICES)?;
        let room = Room::new(devices.devices, devices.device_size, devices.nr_devices)?;

        devices.nr_devices = room.fill(|told| export.describe_devices(told))?;
        self.write(&devices)
    }

    /// Copies the caller's structure in. It had `first` bytes when it was first; what the caller
    /// does not have is zero, and what this module does not know must be.
    fn read<T: FromBytes + AsBytes + Zeroable>(&self, first: usize) -> Result<T> {
        let size = _IOC_SIZE(self.command);

        if size < first {
            return Err(EINVAL);
        }

        let mut structure: T = pin_init::zeroed();
        let known = size.min(size_of::<T>());
        let mut reader = UserSlice::new(self.argument, size).reader();

        reader.read_slice(structure.as_bytes_mut().get_mut(..known).ok_or(EINVAL)?)?;
        while !reader.is_empty() {
            let mut surplus = ZEROES;
            let len = reader.len().min(surplus.len());

            reader.read_slice(surplus.get_mut(..len).ok_or(EINVAL)?)?;
            if surplus != ZEROES {
                return Err(E2BIG);
            }
        }
        Ok(structure)
    }

    /// Copies it back, as much as the caller has.
    fn write(&self, structure: &impl AsBytes) -> Result {
        let size = _IOC_SIZE(self.command);
        let bytes = structure.as_bytes();

        write_filled(
            &mut UserSlice::new(self.argument, size).writer(),
            bytes,
            size.min(bytes.len()),
        )
    }
}

/// Writes `len` bytes: those of a structure, as many as there are, and zeroes.
fn write_filled(writer: &mut UserSliceWriter, bytes: &[u8], len: usize) -> Result {
    let known = bytes.get(..len).unwrap_or(bytes);
    let mut surplus = len - known.len();

    writer.write_slice(known)?;
    while surplus > 0 {
        let zeroes = ZEROES.get(..surplus).unwrap_or(&ZEROES);

        writer.write_slice(zeroes)?;
        surplus -= zeroes.len();
    }
    Ok(())
}

/// Where the caller wants to be told of devices.
struct Room {
    address: UserPtr,
    entry_size: usize,
    nr_entries: usize,
}

impl Room {
    fn new(address: u64, entry_size: u32, nr_entries: u32) -> Result<Self> {
        let entry_size = entry_size as usize;
        let address = usize::try_from(address).map_err(|_| EFAULT)?;

        if nr_entries != 0 && !(FIRST_ATTACHMENT..ENTRY_SIZE_END).contains(&entry_size) {
            return Err(EINVAL);
        }
        Ok(Self {
            address: UserPtr::from_addr(address),
            entry_size,
            nr_entries: nr_entries as usize,
        })
    }

    /// Tells of as many as there is room for. `tell` adds those for which there is memory already,
    /// and returns how many there are; so does this.
    fn fill(&self, tell: impl Fn(&mut KVVec<AttachmentDescription>) -> usize) -> Result<u32> {
        let mut entries = KVVec::new();
        let mut there = tell(&mut entries);

        // Memory is allocated without the lock under which they are listed. More may come
        // meanwhile.
        while entries.len() < there.min(self.nr_entries) {
            task::check_alive()?;
            entries.clear();
            entries.reserve(there.min(self.nr_entries), GFP_KERNEL)?;
            there = tell(&mut entries);
        }

        let nr_entries = entries.len().min(self.nr_entries);
        let len = nr_entries.checked_mul(self.entry_size).ok_or(EFAULT)?;
        let mut writer = UserSlice::new(self.address, len).writer();

        for entry in entries.iter().take(nr_entries) {
            write_filled(&mut writer, entry.as_bytes(), self.entry_size)?;
        }
        Ok(there as u32)
    }
}
