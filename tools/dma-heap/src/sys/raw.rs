// SPDX-License-Identifier: GPL-2.0

//! For tests: ioctls with any number and argument, and arguments in memory
//! that the kernel cannot read or write.
//!
//! Nothing here can harm the caller's memory: the kernel is only ever pointed
//! at memory made for the one call.

use super::abi;
use super::abi::AllocationData;
use super::ioctl::adopt;
use rustix::io::Errno;
use rustix::io::Result;
use rustix::ioctl::Ioctl;
use rustix::ioctl::IoctlOutput;
use rustix::ioctl::Opcode;
use rustix::ioctl::Updater;
use rustix::ioctl::opcode;
use rustix::mm::MapFlags;
use rustix::mm::MprotectFlags;
use rustix::mm::ProtFlags;
use std::ffi::c_void;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

/// The most that a request number can name as its argument's size, in bytes.
const MAX_ARGUMENT: usize = 1 << 14;

/// An ioctl with everything chosen by the caller.
struct Any {
    request: Opcode,
    argument: *mut c_void,
}

// SAFETY: The number decides what the kernel does with the pointer; who makes
// an `Any` answers for the pair.
unsafe impl Ioctl for Any {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.request
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.argument
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> Result<()> {
        Ok(())
    }
}

/// What kind of memory an argument lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Readable and writable.
    Ordinary,
    /// Readable only: the kernel cannot copy its answer back.
    ReadOnly,
    /// Neither readable nor writable.
    NoAccess,
    /// Ordinary, but its last four bytes lie in a page without access.
    CutShort,
}

/// Two anonymous pages (more, if an argument needs them) of which the last may
/// be without access.
///
/// # Invariants
///
/// `base` and `len` describe a private anonymous mapping that this value owns.
struct Scratch {
    base: NonNull<u8>,
    len: usize,
}

impl Scratch {
    /// Ordinary memory, two pages and at least twice the largest argument.
    fn new() -> Result<Self> {
        let len = (2 * MAX_ARGUMENT).max(2 * rustix::param::page_size());
        // SAFETY: With a null hint and no MAP_FIXED the kernel chooses an
        // unused range.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        // INVARIANT: Just mapped, and nobody else knows of it.
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(Errno::NOMEM)?,
            len,
        })
    }

    /// Changes the access to everything from byte `from` on, a whole page.
    fn protect(&self, from: usize, access: MprotectFlags) -> Result<()> {
        let len = self.len.checked_sub(from).ok_or(Errno::INVAL)?;
        // SAFETY: `from` is at most `len`, so this is inside the mapping or
        // at its end.
        let start = unsafe { self.base.add(from) };
        // SAFETY: The range is ours, and no reference into it exists.
        unsafe { rustix::mm::mprotect(start.as_ptr().cast(), len, access) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: By the invariant it is ours, and no reference into it exists.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

/// An open heap node for raw requests.
///
/// # Invariants
///
/// The file is a character device under `/dev/dma_heap`.
#[derive(Debug)]
pub struct RawHeap(File);

impl RawHeap {
    /// Takes an open heap node.
    pub(crate) fn new(node: File) -> Self {
        // INVARIANT: The crate calls this for nodes it opened there only.
        Self(node)
    }

    /// Sends `request` with a copy of `argument` that lies in memory of the
    /// given kind. On success `argument` holds what the kernel left there, and
    /// if the kernel put the number of a new dma-buf into it, the caller gets
    /// that descriptor to own.
    ///
    /// # Errors
    ///
    /// Whatever the ioctl returns; E2BIG if `argument` is larger than a
    /// request number can tell. ENOSYS, without a call, for [our own
    /// ioctls](Self::own_ioctl): their arguments name other memory.
    pub fn ioctl(
        &self,
        request: Opcode,
        argument: &mut [u8],
        kind: Argument,
    ) -> Result<Option<OwnedFd>> {
        if array_member(request).is_some() {
            return Err(Errno::NOSYS);
        }
        let before = fd_member(argument);
        self.send(request, argument, kind)?;
        match fd_member(argument) {
            // A number that was there before the call is not a new one, and
            // may have an owner.
            Some(fd) if before != Some(fd) && is_dmabuf(fd) => adopt(fd).map(Some),
            _ => Ok(None),
        }
    }

    /// Sends `request`, one of our own ioctls of any size, with a copy of `argument` as
    /// [`Self::ioctl`] does. Its member that names an array is set to memory that holds a copy of
    /// `entries`, or, if there are none, cannot be accessed. On success, both hold what the kernel
    /// left there.
    ///
    /// # Errors
    ///
    /// Whatever the ioctl returns. Without a call, ENOSYS for another request, and E2BIG if
    /// `argument` is larger than a request number can tell, or asks for more than `entries` can
    /// take.
    pub fn own_ioctl(
        &self,
        request: Opcode,
        argument: &mut [u8],
        kind: Argument,
        entries: &mut [u8],
    ) -> Result<()> {
        let array = array_member(request).ok_or(Errno::NOSYS)?;
        let member = |at: usize| {
            let bytes = argument.get(at..at + 4).and_then(|it| it.try_into().ok());
            u64::from(bytes.map_or(0, u32::from_ne_bytes))
        };
        // The size of an entry and their number stand behind the address.
        let wanted = member(array + 8) * member(array + 12);
        let scratch = Scratch::new()?;
        let access = if entries.is_empty() {
            MprotectFlags::empty()
        } else if wanted > entries.len() as u64 || entries.len() > scratch.len {
            return Err(Errno::TOOBIG);
        } else {
            MprotectFlags::READ | MprotectFlags::WRITE
        };
        // SAFETY: The scratch memory is writable, as long as `entries` at least, and no part of it.
        unsafe {
            scratch
                .base
                .copy_from_nonoverlapping(NonNull::from(&*entries).cast(), entries.len())
        };
        scratch.protect(0, access)?;
        if let Some(address) = argument.get_mut(array..array + 8) {
            let base = scratch.base.as_ptr().expose_provenance() as u64;
            address.copy_from_slice(&base.to_ne_bytes());
        }
        self.send(request, argument, kind)?;
        if !entries.is_empty() {
            // SAFETY: As for the copy in.
            unsafe {
                scratch
                    .base
                    .copy_to_nonoverlapping(NonNull::from(&mut *entries).cast(), entries.len())
            };
        }
        Ok(())
    }

    /// Sends `request` with a copy of `argument`, whose other memory, if it names any, is scratch
    /// memory of the caller's.
    fn send(&self, request: Opcode, argument: &mut [u8], kind: Argument) -> Result<()> {
        if argument.len() > MAX_ARGUMENT {
            return Err(Errno::TOOBIG);
        }
        let scratch = Scratch::new()?;
        let page = rustix::param::page_size();
        let hole = scratch.len - page;
        let offset = match kind {
            Argument::CutShort => (hole + 4).saturating_sub(argument.len()),
            _ => 0,
        };
        // SAFETY: `offset` is less than half of the scratch memory or, cut
        // short, such that the argument ends inside of it.
        let place = unsafe { scratch.base.add(offset) };
        // SAFETY: The scratch memory is writable now, holds MAX_ARGUMENT bytes
        // from `offset` on or ends with the argument, and is no part of it.
        unsafe { place.copy_from_nonoverlapping(NonNull::from(&*argument).cast(), argument.len()) };
        match kind {
            Argument::Ordinary => {}
            Argument::ReadOnly => scratch.protect(0, MprotectFlags::READ)?,
            Argument::NoAccess => scratch.protect(0, MprotectFlags::empty())?,
            Argument::CutShort => scratch.protect(hole, MprotectFlags::empty())?,
        }
        let any = Any {
            request,
            argument: place.as_ptr().cast(),
        };
        // SAFETY:
        // - The pointer is into scratch memory, to which no reference exists
        //   and which is larger than what any request number can encode.
        // - By the invariant the file is a heap node. A heap and the generic
        //   code before it (which acts on descriptor flags and the like) write
        //   to the argument, and to what the caller has seen to.
        unsafe { rustix::ioctl::ioctl(&self.0, any) }?;
        scratch.protect(0, MprotectFlags::READ)?;
        // SAFETY: As for the copy in; the memory is readable now.
        unsafe {
            place.copy_to_nonoverlapping(NonNull::from(&mut *argument).cast(), argument.len())
        };
        Ok(())
    }
}

impl AsFd for RawHeap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Where the argument of one of our own ioctls has the address of an array.
fn array_member(request: Opcode) -> Option<usize> {
    const DESCRIBE: Opcode = abi::RUST_DMA_HEAP_IOCTL_DESCRIBE & 0xffff;
    const DEVICES: Opcode = abi::RUST_DMA_HEAP_IOCTL_DEVICES & 0xffff;
    match request & 0xffff {
        DESCRIBE => Some(8),
        DEVICES => Some(0),
        _ => None,
    }
}

/// The member `fd` of an allocation's argument, if that is long enough.
fn fd_member(argument: &[u8]) -> Option<u32> {
    let bytes = argument.get(8..12)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn is_dmabuf(fd: u32) -> bool {
    rustix::fs::readlink(format!("/proc/self/fd/{fd}"), Vec::new())
        .is_ok_and(|target| target.to_bytes().starts_with(b"/dmabuf:"))
}

/// An allocation's argument with something behind it that no kernel knows yet.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Longer {
    data: AllocationData,
    surplus: [u64; 5],
}

/// Allocates with a structure that is longer than the kernel's. Makes no other
/// call but that one.
///
/// # Errors
///
/// Whatever the ioctl returns; EBADMSG if what stands behind the structure does
/// not come back as it was.
pub fn alloc_longer(heap: BorrowedFd<'_>, len: u64, fd_flags: u32) -> Result<OwnedFd> {
    const SURPLUS: [u64; 5] = [1, 2, 3, 5, 8];
    const REQUEST: Opcode = opcode::read_write::<Longer>(abi::DMA_HEAP_IOC_MAGIC, 0);
    let mut longer = Longer {
        data: AllocationData {
            len,
            fd: 0,
            fd_flags,
            heap_flags: 0,
        },
        surplus: SURPLUS,
    };
    // SAFETY: The request number encodes the size and direction of `Longer`, so
    // the kernel reads and writes no more than that.
    let request = unsafe { Updater::<REQUEST, Longer>::new(&mut longer) };
    // SAFETY: As above; the call has no other effect on this process's memory.
    unsafe { rustix::ioctl::ioctl(heap, request) }?;
    let fd = adopt(longer.data.fd)?;
    if longer.surplus != SURPLUS {
        return Err(Errno::BADMSG);
    }
    Ok(fd)
}

/// Tries a mapping of a dma-buf and removes it again.
///
/// # Errors
///
/// What mmap returns.
pub fn try_map(
    dmabuf: BorrowedFd<'_>,
    offset: u64,
    len: usize,
    prot: ProtFlags,
    flags: MapFlags,
) -> Result<()> {
    super::region::Region::new(dmabuf, offset, len, prot, flags).map(drop)
}
