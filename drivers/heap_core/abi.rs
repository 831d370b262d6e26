// SPDX-License-Identifier: GPL-2.0

//! `DMA_HEAP_IOCTL_ALLOC` to the byte.
//!
//! C header: `uapi/linux/dma-heap.h` of this tree.
//!
//! As in the kernel's heap core, only the number of a command selects it. Its size and direction
//! say how much the caller passes in and takes back, so that programs built for a shorter or longer
//! structure work: missing fields are zero, and surplus bytes come back as given.

use crate::abstractions::uapi::{
    AllocationData,
    IOCTL_ALLOC,
    VALID_FD_FLAGS,
    VALID_HEAP_FLAGS, //
};
use core::mem::offset_of;
use kernel::{
    ioctl::{
        _IOC_DIR,
        _IOC_NR,
        _IOC_SIZE, //
    },
    page::{
        page_align,
        PAGE_SHIFT, //
    },
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
    uapi, //
};

/// Bytes of the structure that this module knows.
const DATA_SIZE: usize = size_of::<AllocationData>();

/// Direction and sizes of one call.
#[derive(Debug, PartialEq)]
pub(super) struct Command {
    /// Bytes that the caller passes in.
    in_size: usize,
    /// Bytes that the caller takes back.
    out_size: usize,
}

impl Command {
    /// Reads an ioctl's command word. Returns `EINVAL` for a number that is not ours.
    pub(super) fn decode(command: u32) -> Result<Self> {
        if _IOC_NR(command) != _IOC_NR(IOCTL_ALLOC) {
            return Err(EINVAL);
        }

        let direction = _IOC_DIR(command) & _IOC_DIR(IOCTL_ALLOC);
        let size = |bit| {
            if direction & bit == 0 {
                0
            } else {
                _IOC_SIZE(command)
            }
        };

        Ok(Self {
            in_size: size(uapi::_IOC_WRITE),
            out_size: size(uapi::_IOC_READ),
        })
    }

    /// Copies the caller's structure in. Returns `EFAULT` for a bad pointer.
    pub(super) fn read(&self, argument: UserPtr) -> Result<Allocation> {
        let mut known = [0; DATA_SIZE];
        let mut surplus = match self.in_size.max(self.out_size) {
            size if size > DATA_SIZE => Some(KVec::from_elem(0, size - DATA_SIZE, GFP_KERNEL)?),
            _ => None,
        };
        let mut reader = UserSlice::new(argument, self.in_size).reader();

        reader.read_slice(known.get_mut(..self.in_size.min(DATA_SIZE)).ok_or(EINVAL)?)?;
        if let Some(surplus) = &mut surplus {
            let more = self.in_size.saturating_sub(DATA_SIZE);

            reader.read_slice(surplus.get_mut(..more).ok_or(EINVAL)?)?;
        }
        Ok(Allocation { known, surplus })
    }

    /// Copies the structure back. Returns `EFAULT` for a bad pointer.
    pub(super) fn write(&self, argument: UserPtr, allocation: &Allocation) -> Result {
        let known = self.out_size.min(DATA_SIZE);
        let mut writer = UserSlice::new(argument, self.out_size).writer();

        writer.write_slice(allocation.known.get(..known).ok_or(EINVAL)?)?;
        if let Some(surplus) = &allocation.surplus {
            let more = self.out_size.saturating_sub(DATA_SIZE);

            writer.write_slice(surplus.get(..more).ok_or(EINVAL)?)?;
        }
        Ok(())
    }
}

/// A checked request: what a caller may ask for, in the units of the layers below.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    /// Length of the buffer in whole pages, not 0.
    pub(super) nr_pages: usize,
    /// Flags of the new file descriptor.
    pub(super) fd_flags: u32,
}

/// The caller's `struct dma_heap_allocation_data`, with whatever came behind it.
pub(super) struct Allocation {
    known: [u8; DATA_SIZE],
    surplus: Option<KVec<u8>>,
}

impl Allocation {
    fn field<const N: usize>(&self, offset: usize) -> Result<[u8; N]> {
        let bytes = self.known.get(offset..offset + N).ok_or(EINVAL)?;

        bytes.try_into().map_err(|_| EINVAL)
    }

    /// Checks the request, in the order of the kernel's heap core. `EINVAL` says that
    ///
    /// - `fd` is not 0, or a flag is unknown;
    /// - the length is 0, or does not fit an address once it is rounded up to whole pages.
    pub(super) fn check(&self) -> Result<Request> {
        let fd = u32::from_ne_bytes(self.field(offset_of!(AllocationData, fd))?);
        let fd_flags = u32::from_ne_bytes(self.field(offset_of!(AllocationData, fd_flags))?);
        let heap_flags = u64::from_ne_bytes(self.field(offset_of!(AllocationData, heap_flags))?);
        let len = u64::from_ne_bytes(self.field(offset_of!(AllocationData, len))?);

        if fd != 0 || fd_flags & !VALID_FD_FLAGS != 0 || heap_flags & !VALID_HEAP_FLAGS != 0 {
            return Err(EINVAL);
        }

        // On 32-bit machines a length beyond `size_t` is refused here, not truncated.
        let len = usize::try_from(len).map_err(|_| EINVAL)?;
        let nr_pages = page_align(len).ok_or(EINVAL)? >> PAGE_SHIFT;

        if nr_pages == 0 {
            return Err(EINVAL);
        }
        Ok(Request { nr_pages, fd_flags })
    }

    /// Enters the new file descriptor.
    pub(super) fn set_fd(&mut self, fd: u32) -> Result {
        let offset = offset_of!(AllocationData, fd);

        self.known
            .get_mut(offset..offset + size_of::<u32>())
            .ok_or(EINVAL)?
            .copy_from_slice(&fd.to_ne_bytes());
        Ok(())
    }
}

#[kunit_tests(rust_dma_heap_abi)]
mod tests {
    use super::*;
    use kernel::page::PAGE_SIZE;

    fn allocation(len: u64, fd: u32, fd_flags: u32, heap_flags: u64) -> Result<Allocation> {
        let mut bytes = KVec::new();

        bytes.extend_from_slice(&len.to_ne_bytes(), GFP_KERNEL)?;
        bytes.extend_from_slice(&fd.to_ne_bytes(), GFP_KERNEL)?;
        bytes.extend_from_slice(&fd_flags.to_ne_bytes(), GFP_KERNEL)?;
        bytes.extend_from_slice(&heap_flags.to_ne_bytes(), GFP_KERNEL)?;
        Ok(Allocation {
            known: bytes.as_slice().try_into().map_err(|_| EINVAL)?,
            surplus: None,
        })
    }

    fn pages(len: u64) -> Result<usize> {
        Ok(allocation(len, 0, 0, 0)?.check()?.nr_pages)
    }

    #[test]
    fn the_command_word_is_upstreams() {
        assert_eq!(IOCTL_ALLOC, 0xc018_4800);
    }

    #[test]
    fn sizes_come_from_the_command_word() {
        let command = Command::decode(kernel::ioctl::_IOWR::<[u8; 40]>('H' as u32, 0));

        assert_eq!(
            command,
            Ok(Command {
                in_size: 40,
                out_size: 40
            })
        );
    }

    #[test]
    fn a_direction_that_is_missing_copies_nothing() {
        let size = (DATA_SIZE as u32) << 16;

        assert_eq!(
            Command::decode(size),
            Ok(Command {
                in_size: 0,
                out_size: 0
            })
        );
        assert_eq!(
            Command::decode(size | uapi::_IOC_WRITE << 30),
            Ok(Command {
                in_size: DATA_SIZE,
                out_size: 0
            })
        );
    }

    #[test]
    fn other_numbers_are_refused() {
        assert_eq!(Command::decode(IOCTL_ALLOC + 1), Err(EINVAL));
    }

    #[test]
    fn lengths_are_rounded_up_to_pages() -> Result {
        assert_eq!(pages(1)?, 1);
        assert_eq!(pages(PAGE_SIZE as u64)?, 1);
        assert_eq!(pages(PAGE_SIZE as u64 + 1)?, 2);
        Ok(())
    }

    #[test]
    fn lengths_that_mean_nothing_are_refused() {
        assert_eq!(pages(0), Err(EINVAL));
        assert_eq!(pages(u64::MAX), Err(EINVAL));
        assert_eq!(pages(u64::MAX - PAGE_SIZE as u64 + 2), Err(EINVAL));
    }

    #[test]
    fn descriptors_and_flags_are_checked() -> Result {
        assert_eq!(allocation(1, 3, 0, 0)?.check(), Err(EINVAL));
        assert_eq!(
            allocation(1, 0, kernel::fs::file::flags::O_NONBLOCK, 0)?.check(),
            Err(EINVAL)
        );
        assert_eq!(allocation(1, 0, 0, 1)?.check(), Err(EINVAL));
        assert_eq!(
            allocation(1, 0, VALID_FD_FLAGS, 0)?.check(),
            Ok(Request {
                nr_pages: 1,
                fd_flags: VALID_FD_FLAGS
            })
        );
        Ok(())
    }

    #[test]
    fn the_descriptor_is_entered_and_nothing_else() -> Result {
        let mut allocation = allocation(5, 0, 0, 0)?;

        allocation.set_fd(7)?;
        assert_eq!(
            u32::from_ne_bytes(allocation.field(offset_of!(AllocationData, fd))?),
            7
        );
        assert_eq!(
            u64::from_ne_bytes(allocation.field(offset_of!(AllocationData, len))?),
            5
        );
        Ok(())
    }
}
