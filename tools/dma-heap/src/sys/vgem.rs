// SPDX-License-Identifier: GPL-2.0

//! Fences that this process signals, from vgem, the kernel's graphics driver
//! without hardware: for tests of what waits for a device.
//!
//! C header: `drm/vgem_drm.h`.

use rustix::fs::FileType;
use rustix::fs::major;
use rustix::io::Errno;
use rustix::io::Result;
use rustix::ioctl::Opcode;
use rustix::ioctl::Setter;
use rustix::ioctl::Updater;
use rustix::ioctl::opcode;
use std::ffi::c_int;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;

/// The major number of all DRM devices.
const DRM_MAJOR: u32 = 226;

const VERSION: Opcode = opcode::read_write::<Version>(b'd', 0);
const FENCE_ATTACH: Opcode = opcode::read_write::<FenceAttach>(b'd', 0x41);
const FENCE_SIGNAL: Opcode = opcode::write::<FenceSignal>(b'd', 0x42);

const FENCE_WRITE: u32 = 1;

#[repr(C)]
struct Version {
    numbers: [c_int; 3],
    name_len: usize,
    name: *mut u8,
    date_len: usize,
    date: *mut u8,
    desc_len: usize,
    desc: *mut u8,
}

#[repr(C)]
struct FenceAttach {
    handle: u32,
    flags: u32,
    out_fence: u32,
    pad: u32,
}

#[repr(C)]
struct FenceSignal {
    fence: u32,
    flags: u32,
}

/// An open device of vgem.
///
/// # Invariants
///
/// The file is one of the driver vgem.
#[derive(Debug)]
pub struct Vgem(OwnedFd);

/// A fence that has not been signalled yet. It signals itself after ten seconds.
#[derive(Debug)]
#[must_use]
pub struct Pending(u32);

impl Vgem {
    /// Takes an open node.
    ///
    /// # Errors
    ///
    /// ENODEV if it is one of another driver.
    pub fn new(node: OwnedFd) -> Result<Self> {
        let stat = rustix::fs::fstat(&node)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !kind.is_char_device() || major(stat.st_rdev) != DRM_MAJOR {
            return Err(Errno::NODEV);
        }
        let mut name = [0; 8];
        let mut version = Version {
            numbers: [0; 3],
            name_len: name.len(),
            name: name.as_mut_ptr(),
            date_len: 0,
            date: std::ptr::null_mut(),
            desc_len: 0,
            desc: std::ptr::null_mut(),
        };
        // SAFETY: The request number encodes the size and direction of `Version`.
        let request = unsafe { Updater::<VERSION, Version>::new(&mut version) };
        // SAFETY: A DRM device fills the structure, and of the strings it points to
        // at most as much as their lengths allow.
        unsafe { rustix::ioctl::ioctl(node.as_fd(), request) }?;
        if !name.starts_with(b"vgem\0") {
            return Err(Errno::NODEV);
        }
        // INVARIANT: Just seen.
        Ok(Self(node))
    }

    /// Adds a fence to the buffer of a handle, as of a device that reads or writes
    /// it until the fence is signalled.
    ///
    /// # Errors
    ///
    /// EBUSY if the buffer has a fence for which such a device would have to wait.
    pub fn attach(&self, handle: u32, write: bool) -> Result<Pending> {
        let mut data = FenceAttach {
            handle,
            flags: if write { FENCE_WRITE } else { 0 },
            out_fence: 0,
            pad: 0,
        };
        // SAFETY: The request number encodes the size and direction of
        // `FenceAttach`.
        let request = unsafe { Updater::<FENCE_ATTACH, FenceAttach>::new(&mut data) };
        // SAFETY: By the invariant, vgem reads and fills the structure.
        unsafe { rustix::ioctl::ioctl(self.0.as_fd(), request) }?;
        Ok(Pending(data.out_fence))
    }

    /// Signals a fence: the device is done.
    ///
    /// # Errors
    ///
    /// ETIMEDOUT if it has signalled itself before.
    pub fn signal(&self, fence: Pending) -> Result<()> {
        let data = FenceSignal {
            fence: fence.0,
            flags: 0,
        };
        // SAFETY: The request number encodes the size and direction of
        // `FenceSignal`, which is only read.
        let request = unsafe { Setter::<FENCE_SIGNAL, FenceSignal>::new(data) };
        // SAFETY: By the invariant, vgem reads the structure.
        unsafe { rustix::ioctl::ioctl(self.0.as_fd(), request) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn numbers() {
        assert_eq!(VERSION, 0xc040_6400);
        assert_eq!(FENCE_ATTACH, 0xc010_6441);
        assert_eq!(FENCE_SIGNAL, 0x4008_6442);
    }

    #[test]
    fn only_vgem_is_taken() -> std::io::Result<()> {
        let null = std::fs::File::open("/dev/null")?;
        assert!(matches!(Vgem::new(null.into()), Err(Errno::NODEV)));
        Ok(())
    }
}
