// SPDX-License-Identifier: GPL-2.0

//! The ioctls of heaps and dma-bufs, typed.

use super::abi;
use super::abi::AllocationData;
use super::abi::AttachmentData;
use super::abi::DescriptionData;
use super::abi::DevicesData;
use super::abi::SyncData;
use super::abi::SyncFileData;
use rustix::io::Errno;
use rustix::io::Result;
use rustix::ioctl::Ioctl;
use rustix::ioctl::IoctlOutput;
use rustix::ioctl::Opcode;
use rustix::ioctl::Setter;
use rustix::ioctl::Updater;
use std::ffi::CStr;
use std::ffi::c_void;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

/// Allocates a buffer of `len` bytes from the heap that `heap` is an open node
/// of.
///
/// # Errors
///
/// Whatever the ioctl returns, and EBADF if it succeeds without naming a file
/// descriptor, which no heap does.
pub fn alloc(heap: BorrowedFd<'_>, len: u64, fd_flags: u32, heap_flags: u64) -> Result<OwnedFd> {
    let mut data = AllocationData {
        len,
        fd: 0,
        fd_flags,
        heap_flags,
    };
    // SAFETY: The request number encodes the size and direction of
    // `AllocationData`, so the kernel reads and writes no more than `data`.
    let request =
        unsafe { Updater::<{ abi::DMA_HEAP_IOCTL_ALLOC }, AllocationData>::new(&mut data) };
    // SAFETY: As above; the call has no other effect on this process's memory.
    unsafe { rustix::ioctl::ioctl(heap, request) }?;
    adopt(data.fd)
}

/// Asks the node of a heap what a buffer is. There is room for `room` attached devices; of more,
/// only the number in the answer tells.
///
/// # Errors
///
/// Whatever the ioctl returns: EINVAL from a node of the kernel's own heaps, EXDEV for a buffer
/// that is not of the module.
pub fn describe(
    heap: BorrowedFd<'_>,
    dmabuf: BorrowedFd<'_>,
    room: u16,
) -> Result<(DescriptionData, Vec<AttachmentData>)> {
    let mut attachments = vec![AttachmentData::EMPTY; usize::from(room)];
    let mut data = DescriptionData {
        fd: dmabuf.as_raw_fd(),
        flags: 0,
        // Lossless: an address has at most 64 bits on every Linux.
        attachments: attachments.as_mut_ptr().expose_provenance() as u64,
        attachment_size: ATTACHMENT_SIZE,
        nr_attachments: u32::from(room),
        size: 0,
        nr_blocks: 0,
        nr_segments: 0,
        heap: [0; abi::RUST_DMA_HEAP_NAME_LEN],
    };
    // SAFETY: The request number encodes the size and direction of `DescriptionData`, so the kernel
    // reads and writes no more than `data`, and the array that it names: that is as long as it says.
    let request = unsafe {
        Updater::<{ abi::RUST_DMA_HEAP_IOCTL_DESCRIBE }, DescriptionData>::new(&mut data)
    };
    // SAFETY: As above; the call has no other effect on this process's memory.
    unsafe { rustix::ioctl::ioctl(heap, request) }?;
    attachments.truncate(usize::try_from(data.nr_attachments).unwrap_or(usize::MAX));
    Ok((data, attachments))
}

/// Asks the node of a heap which devices were attached to buffers of its module. There is room for
/// `room` of them; the answer has how many there are, too.
///
/// # Errors
///
/// Whatever the ioctl returns: EINVAL from a node of the kernel's own heaps.
pub fn devices(heap: BorrowedFd<'_>, room: u16) -> Result<(u32, Vec<AttachmentData>)> {
    let mut devices = vec![AttachmentData::EMPTY; usize::from(room)];
    let mut data = DevicesData {
        // Lossless: an address has at most 64 bits on every Linux.
        devices: devices.as_mut_ptr().expose_provenance() as u64,
        device_size: ATTACHMENT_SIZE,
        nr_devices: u32::from(room),
    };
    // SAFETY: The request number encodes the size and direction of `DevicesData`, so the kernel
    // reads and writes no more than `data`, and the array that it names: that is as long as it says.
    let request =
        unsafe { Updater::<{ abi::RUST_DMA_HEAP_IOCTL_DEVICES }, DevicesData>::new(&mut data) };
    // SAFETY: As above; the call has no other effect on this process's memory.
    unsafe { rustix::ioctl::ioctl(heap, request) }?;
    devices.truncate(usize::try_from(data.nr_devices).unwrap_or(usize::MAX));
    Ok((data.nr_devices, devices))
}

/// Bytes of an entry, as the kernel is told.
const ATTACHMENT_SIZE: u32 = 96;
const _: () = assert!(size_of::<AttachmentData>() == ATTACHMENT_SIZE as usize);

/// Takes the file descriptor that a successful allocation has just returned.
pub(super) fn adopt(fd: u32) -> Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(|_| Errno::BADF)?;
    // SAFETY: The kernel has just installed this descriptor for this call, so
    // nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Starts or ends CPU access; `flags` are `DMA_BUF_SYNC_*`.
///
/// # Errors
///
/// Whatever the ioctl returns. EINTR and EAGAIN mean: try again.
pub fn sync(dmabuf: BorrowedFd<'_>, flags: u64) -> Result<()> {
    // SAFETY: The request number encodes the size and direction of `SyncData`,
    // which is only read.
    let request =
        unsafe { Setter::<{ abi::DMA_BUF_IOCTL_SYNC }, SyncData>::new(SyncData { flags }) };
    // SAFETY: As above; the call has no other effect on this process's memory.
    unsafe { rustix::ioctl::ioctl(dmabuf, request) }
}

/// Makes a sync_file of the fences that an access must wait for; `flags` are
/// `DMA_BUF_SYNC_READ` and `DMA_BUF_SYNC_WRITE`.
///
/// # Errors
///
/// Whatever the ioctl returns.
pub fn export_sync_file(dmabuf: BorrowedFd<'_>, flags: u32) -> Result<OwnedFd> {
    let mut data = SyncFileData { flags, fd: -1 };
    // SAFETY: The request number encodes the size and direction of
    // `SyncFileData`, so the kernel reads and writes no more than `data`.
    let request =
        unsafe { Updater::<{ abi::DMA_BUF_IOCTL_EXPORT_SYNC_FILE }, SyncFileData>::new(&mut data) };
    // SAFETY: As above; the call has no other effect on this process's memory.
    unsafe { rustix::ioctl::ioctl(dmabuf, request) }?;
    adopt(u32::try_from(data.fd).map_err(|_| Errno::BADF)?)
}

/// Has accesses to a buffer wait for the fences of a sync_file, too: with
/// `DMA_BUF_SYNC_WRITE` in `flags` all of them, with `DMA_BUF_SYNC_READ` alone
/// those that write.
///
/// # Errors
///
/// Whatever the ioctl returns: EINVAL if the descriptor is no sync_file.
pub fn import_sync_file(
    dmabuf: BorrowedFd<'_>,
    flags: u32,
    sync_file: BorrowedFd<'_>,
) -> Result<()> {
    let data = SyncFileData {
        flags,
        fd: sync_file.as_raw_fd(),
    };
    // SAFETY: The request number encodes the size and direction of
    // `SyncFileData`, which is only read.
    let request =
        unsafe { Setter::<{ abi::DMA_BUF_IOCTL_IMPORT_SYNC_FILE }, SyncFileData>::new(data) };
    // SAFETY: As above; the call has no other effect on this process's memory.
    unsafe { rustix::ioctl::ioctl(dmabuf, request) }
}

/// `DMA_BUF_SET_NAME`, whose argument is the string itself, not a pointer to a
/// pointer.
struct SetName<'a>(&'a CStr);

// SAFETY: The kernel reads the NUL-terminated string that `as_ptr` points to
// and writes nothing.
unsafe impl Ioctl for SetName<'_> {
    type Output = ();

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        abi::DMA_BUF_SET_NAME
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0.as_ptr().cast_mut().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> Result<()> {
        Ok(())
    }
}

/// Names a buffer.
///
/// # Errors
///
/// EINVAL if the name has [`abi::DMA_BUF_NAME_LEN`] bytes or more.
pub fn set_name(dmabuf: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: `SetName` describes the request truthfully, see there.
    unsafe { rustix::ioctl::ioctl(dmabuf, SetName(name)) }
}
