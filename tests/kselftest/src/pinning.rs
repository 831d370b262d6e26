// SPDX-License-Identifier: GPL-2.0

//! What cannot be done with a mapping, on the kernel's own heaps either: whatever has the kernel
//! hold its pages instead of going by the page tables. docs/programs.md says what to do instead.

use crate::Test;
use crate::camera;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::errno;
use crate::outcome::refused;
use crate::outcome::skip;
use crate::target::Target;
use dma_heap::Errno;
use dma_heap::pattern::Pattern;
use dma_heap::sys::pages::Pages;
use dma_heap::sys::pinning;
use dma_heap::sys::pinning::Futex;
use dma_heap::sys::pinning::HeldPages;
use dma_heap::sys::pinning::Send;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;

pub(crate) const TESTS: &[Test] = &[
    ("O_DIRECT into a mapping is EFAULT", direct_io),
    ("a mapping as io_uring's fixed buffer is EFAULT", io_uring),
    ("MSG_ZEROCOPY from a mapping is EFAULT", zero_copy),
    ("a mapping as USERPTR of a camera is EFAULT", user_pointer),
    (
        "a futex between processes in a mapping is EFAULT",
        shared_futex,
    ),
    ("vmsplice of a mapping is EFAULT", spliced),
    (
        "process_vm_readv of a mapping is EFAULT",
        read_by_another_process,
    ),
];

/// Bytes of a mapping: more than any device has in a sector.
const SIZE: u64 = 64 << 10;

fn mapped(target: &Target) -> Result<(Pages, Pattern), Failure> {
    let (buffer, pattern) = target.filled(SIZE)?;
    let count = usize::try_from(SIZE)? / dma_heap::page_size();
    Ok((Pages::map(buffer.as_fd(), 0, count, true)?, pattern))
}

/// What was refused has changed nothing.
fn unchanged(pages: &Pages, pattern: Pattern) -> TestResult {
    equal("the first word", pages.load(0, 0), Some(pattern.word(0)))?;
    Ok(Pass)
}

/// Disks and memory: to read from others may move a tray, or never end.
const BLOCK_DEVICES: [&str; 5] = ["ram", "vd", "sd", "nvme", "mmcblk"];

/// A block device, open for direct reads; and for others.
fn block_device() -> Option<[OwnedFd; 2]> {
    std::fs::read_dir("/sys/block")
        .ok()?
        .flatten()
        .find_map(|device| {
            let name = device.file_name().into_string().ok()?;
            let sectors = std::fs::read_to_string(device.path().join("size")).ok()?;
            if sectors.trim().parse::<u64>().ok()? * 512 < SIZE
                || !BLOCK_DEVICES.iter().any(|kind| name.starts_with(kind))
            {
                return None;
            }
            let open = |more| {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | more;
                rustix::fs::open(format!("/dev/{name}"), flags, Mode::empty()).ok()
            };
            Some([open(OFlags::DIRECT)?, open(OFlags::empty())?])
        })
}

fn direct_io(target: &Target) -> TestResult {
    let Some([direct, cached]) = block_device() else {
        return skip("no block device that can be read: load one with `modprobe brd`");
    };
    let (mut pages, pattern) = mapped(target)?;
    let read = pinning::read(direct.as_fd(), &mut pages);
    refused("a direct read into a mapping", read, Errno::FAULT)?;
    unchanged(&pages, pattern)?;
    let read = pinning::read(cached.as_fd(), &mut pages)?;
    equal("what an ordinary read gets", read as u64, SIZE)?;
    Ok(Pass)
}

fn io_uring(target: &Target) -> TestResult {
    let (mut pages, pattern) = mapped(target)?;
    match pinning::register_with_io_uring(&mut pages) {
        Err(Errno::OPNOTSUPP) => return skip("there is no io_uring here"),
        result => refused("a mapping as a fixed buffer", result, Errno::FAULT)?,
    }
    unchanged(&pages, pattern)
}

fn zero_copy(target: &Target) -> TestResult {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let connected = listener.and_then(|listener| {
        let sender = TcpStream::connect(listener.local_addr()?)?;
        Ok((sender, listener.accept()?.0))
    });
    let Ok((sender, mut receiver)) = connected else {
        return skip("no TCP to this machine itself: `ip link set lo up`");
    };
    if pinning::allow_zero_copy(sender.as_fd()).is_err() {
        return skip("this kernel's sockets have no SO_ZEROCOPY");
    }
    let (pages, pattern) = mapped(target)?;
    let sent = pinning::send(sender.as_fd(), &pages, Send::ZeroCopy);
    refused("sending without a copy", sent, Errno::FAULT)?;
    // The ordinary way goes.
    pinning::send(sender.as_fd(), &pages, Send::Copy)?;
    let mut word = [0; size_of::<u64>()];
    receiver.read_exact(&mut word)?;
    equal(
        "what was received",
        u64::from_ne_bytes(word),
        pattern.word(0),
    )?;
    Ok(Pass)
}

fn user_pointer(target: &Target) -> TestResult {
    camera::with_pointers(target, |camera, format| {
        let size = dma_heap::page_align(u64::from(format.size)).unwrap_or(u64::MAX);
        let (buffer, pattern) = target.filled(size)?;
        let count = usize::try_from(size)? / dma_heap::page_size();
        let mut pages = Pages::map(buffer.as_fd(), 0, count, true)?;
        let offered = errno(camera.offer_pages(&mut pages));
        refused("a mapping for a camera", offered, Errno::FAULT)?;
        unchanged(&pages, pattern)
    })
}

fn shared_futex(target: &Target) -> TestResult {
    let (pages, _) = mapped(target)?;
    let waited = pinning::wait_for_futex(&pages, Futex::Shared);
    refused("a futex between processes", waited, Errno::FAULT)?;
    // One of this process alone goes.
    let waited = pinning::wait_for_futex(&pages, Futex::Private);
    refused("a futex of this process", waited, Errno::TIMEDOUT)?;
    Ok(Pass)
}

fn spliced(target: &Target) -> TestResult {
    let (pages, pattern) = mapped(target)?;
    let held = HeldPages::hold_mapping(&pages);
    refused("vmsplice", held, Errno::FAULT)?;
    unchanged(&pages, pattern)
}

fn read_by_another_process(target: &Target) -> TestResult {
    let (pages, pattern) = mapped(target)?;
    let read = pinning::read_as_another_process(&pages);
    refused("process_vm_readv", read, Errno::FAULT)?;
    unchanged(&pages, pattern)
}
