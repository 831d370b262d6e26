// SPDX-License-Identifier: GPL-2.0

//! The allocation ioctl, compatible to the byte with the kernel's own heaps.

use crate::Test;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::refused;
use crate::target::Target;
use crate::target::argument;
use crate::target::ordinary_flags;
use crate::target::page;
use dma_heap::AllocOptions;
use dma_heap::Errno;
use dma_heap::sys::abi::DMA_HEAP_IOCTL_ALLOC;
use dma_heap::sys::raw::Argument;
use rustix::fs::OFlags;
use rustix::fs::SeekFrom;
use rustix::io::FdFlags;
use rustix::ioctl::Direction;
use rustix::ioctl::opcode::from_components;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;

pub(crate) const TESTS: &[Test] = &[
    ("the allocation ioctl is C0184800h", number),
    ("only fd of the structure changes", structure_kept),
    ("the size is rounded up to pages", rounded_up),
    ("seeking tells the size and nothing else", seeking),
    ("O_CLOEXEC is honoured", cloexec),
    ("the access mode is honoured", access_mode),
    ("each buffer has an inode of its own", own_inode),
    ("fdinfo tells size, exporter and name", fdinfo),
    (
        "a structure without heap_flags is taken",
        without_heap_flags,
    ),
    ("a structure without fd_flags is taken", without_fd_flags),
    (
        "a structure of 32 bytes comes back with its surplus",
        longer_32,
    ),
    (
        "a structure of 4096 bytes comes back with its surplus",
        longer_4096,
    ),
    ("the type byte is not looked at", type_byte),
];

/// The descriptor of an allocation that must have succeeded.
fn allocated(what: &str, result: Result<Option<OwnedFd>, Errno>) -> Result<OwnedFd, Failure> {
    match result {
        Ok(Some(fd)) => Ok(fd),
        Ok(None) => fail(format!("{what} returned no new dma-buf")),
        Err(errno) => fail(format!("{what} gave {errno}")),
    }
}

fn number(target: &Target) -> TestResult {
    // The number as it stands in C programs that were compiled long ago.
    equal("the library's number", DMA_HEAP_IOCTL_ALLOC, 0xc018_4800)?;
    let mut bytes = argument(page(), 0, ordinary_flags(), 0);
    let result = target
        .raw
        .ioctl(0xc018_4800, &mut bytes, Argument::Ordinary);
    allocated("the ioctl", result)?;
    Ok(Pass)
}

fn structure_kept(target: &Target) -> TestResult {
    // An odd length, which the kernel must not overwrite with the rounded one.
    let mut bytes = argument(page() + 1, 0, ordinary_flags(), 0);
    let fd = allocated("the ioctl", target.send(&mut bytes))?;
    let number = u32::try_from(fd.as_raw_fd())?;
    let wanted = argument(page() + 1, number, ordinary_flags(), 0);
    equal("the structure", bytes, wanted)?;
    Ok(Pass)
}

fn rounded_up(target: &Target) -> TestResult {
    for (len, pages) in [
        (1, 1),
        (page() - 1, 1),
        (page(), 1),
        (page() + 1, 2),
        (7 * page() + 5, 8),
    ] {
        let buffer = target.heap.alloc(len)?;
        equal(&format!("the size for {len}"), buffer.len(), pages * page())?;
    }
    Ok(Pass)
}

fn seeking(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(2 * page())?;
    let fd = buffer.as_fd();
    equal(
        "the end",
        rustix::fs::seek(fd, SeekFrom::End(0))?,
        2 * page(),
    )?;
    equal("the start", rustix::fs::seek(fd, SeekFrom::Start(0))?, 0)?;
    refused(
        "SEEK_CUR",
        rustix::fs::seek(fd, SeekFrom::Current(0)),
        Errno::INVAL,
    )?;
    refused(
        "one byte in",
        rustix::fs::seek(fd, SeekFrom::Start(1)),
        Errno::INVAL,
    )?;
    Ok(Pass)
}

fn cloexec(target: &Target) -> TestResult {
    for cloexec in [true, false] {
        let options = AllocOptions {
            cloexec,
            ..AllocOptions::default()
        };
        let buffer = target.heap.alloc_with(page(), options)?;
        let flags = rustix::io::fcntl_getfd(&buffer)?;
        let wanted = if cloexec {
            FdFlags::CLOEXEC
        } else {
            FdFlags::empty()
        };
        equal("the descriptor's flags", flags, wanted)?;
    }
    Ok(Pass)
}

fn access_mode(target: &Target) -> TestResult {
    for mode in [OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR] {
        let mut bytes = argument(page(), 0, (mode | OFlags::CLOEXEC).bits(), 0);
        let fd = allocated("the ioctl", target.send(&mut bytes))?;
        let seen = rustix::fs::fcntl_getfl(&fd)? & OFlags::ACCMODE;
        equal("the access mode", seen, mode)?;
    }
    Ok(Pass)
}

fn own_inode(target: &Target) -> TestResult {
    let first = target.heap.alloc(page())?;
    let second = target.heap.alloc(page())?;
    if first.inode()? == second.inode()? {
        return fail(format!("two buffers have inode {}", first.inode()?));
    }
    Ok(Pass)
}

fn fdinfo(target: &Target) -> TestResult {
    let buffer = target.heap.alloc(3 * page())?;
    buffer.set_name("a name")?;
    let path = format!("/proc/self/fdinfo/{}", buffer.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path)?;
    let value = |key: &str| {
        text.lines()
            .find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(":\t")?.to_owned()))
    };
    equal("size", value("size"), Some((3 * page()).to_string()))?;
    equal(
        "exp_name",
        value("exp_name"),
        Some(target.name().to_owned()),
    )?;
    equal("name", value("name"), Some("a name".to_owned()))?;
    Ok(Pass)
}

fn without_heap_flags(target: &Target) -> TestResult {
    let mut bytes = argument(page(), 0, ordinary_flags(), 0);
    bytes.truncate(16);
    let fd = allocated("a structure of 16 bytes", target.send(&mut bytes))?;
    let flags = rustix::fs::fcntl_getfl(&fd)? & OFlags::ACCMODE;
    equal("the access mode", flags, OFlags::RDWR)?;
    Ok(Pass)
}

fn without_fd_flags(target: &Target) -> TestResult {
    let mut bytes = argument(page(), 0, ordinary_flags(), 0);
    bytes.truncate(12);
    let fd = allocated("a structure of 12 bytes", target.send(&mut bytes))?;
    // Missing members are zero, and zero is O_RDONLY without O_CLOEXEC.
    let flags = rustix::fs::fcntl_getfl(&fd)? & OFlags::ACCMODE;
    equal("the access mode", flags, OFlags::RDONLY)?;
    equal("the flags", rustix::io::fcntl_getfd(&fd)?, FdFlags::empty())?;
    Ok(Pass)
}

/// A structure of a later version of the ABI, with members unknown today.
fn longer(target: &Target, size: usize) -> TestResult {
    let surplus: Vec<u8> = (24..size).map(|i| i.to_le_bytes()[0] ^ 0x5a).collect();
    let mut bytes = argument(page(), 0, ordinary_flags(), 0);
    bytes.extend(&surplus);
    let fd = allocated("a longer structure", target.send(&mut bytes))?;
    let mut wanted = argument(page(), u32::try_from(fd.as_raw_fd())?, ordinary_flags(), 0);
    wanted.extend(&surplus);
    if let Some(byte) = bytes.iter().zip(&wanted).position(|(a, b)| a != b) {
        return fail(format!("byte {byte} of the structure changed"));
    }
    Ok(Pass)
}

fn longer_32(target: &Target) -> TestResult {
    longer(target, 32)
}

/// So long that the kernel cannot take it on its stack.
fn longer_4096(target: &Target) -> TestResult {
    longer(target, 4096)
}

/// The kernel's own heaps look at the number and size only.
fn type_byte(target: &Target) -> TestResult {
    let request = from_components(Direction::ReadWrite, b'I', 0, 24);
    let mut bytes = argument(page(), 0, ordinary_flags(), 0);
    let result = target.raw.ioctl(request, &mut bytes, Argument::Ordinary);
    allocated("an ioctl of type 'I'", result)?;
    Ok(Pass)
}
