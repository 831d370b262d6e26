// SPDX-License-Identifier: GPL-2.0

//! Operations on the nodes of heaps.

use super::kinds::Outcome;
use super::worker::Node;
use super::worker::Worker;
use super::worker::any_place;
use super::worker::bad_place;
use crate::sys::arena::MAPS;
use crate::sys::arena::Place;
use crate::sys::arena::SCRATCH;
use crate::sys::arena::Span;
use crate::sys::fds;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::page_size;
use dma_heap::rng::Rng;
use dma_heap::sys::abi::DMA_HEAP_IOCTL_ALLOC;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::SeekFrom;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Bytes of the structure that the ioctl takes.
const DATA: usize = 24;

/// The request's fields, in their order.
#[derive(Clone, Copy)]
pub(super) struct Request {
    len: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

impl Request {
    /// What every heap grants.
    pub(super) fn good() -> Self {
        Self {
            len: 1,
            fd: 0,
            fd_flags: (OFlags::RDWR | OFlags::CLOEXEC).bits(),
            heap_flags: 0,
        }
    }

    pub(super) fn bytes(self) -> [u8; DATA] {
        let mut bytes = [0; DATA];
        let parts = [
            self.len.to_ne_bytes(),
            // Both halves, in memory order.
            concat(self.fd.to_ne_bytes(), self.fd_flags.to_ne_bytes()),
            self.heap_flags.to_ne_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(parts.as_flattened()) {
            *to = *from;
        }
        bytes
    }
}

fn concat(first: [u8; 4], second: [u8; 4]) -> [u8; 8] {
    let [a, b, c, d] = first;
    let [e, f, g, h] = second;
    [a, b, c, d, e, f, g, h]
}

/// Bytes of a buffer: each size of block, and what lies between.
pub(super) fn size(rng: &mut Rng) -> u64 {
    let page = page_size() as u64;
    let some = |rng: &mut Rng, most: usize| rng.below(1..most + 1) as u64;
    match rng.below(0..64) {
        0 => some(rng, page_size()),
        1..40 => some(rng, 3) * page,
        40..44 => some(rng, 15) * page,
        44..54 => (64 << 10) * some(rng, 2),
        54..58 => (64 << 10) * some(rng, 4) + some(rng, 3) * page,
        58..60 => 1 << 20,
        60 => (1 << 20) + (64 << 10) + page,
        61..63 => 2 << 20,
        _ => (2 << 20) + (1 << 20) + some(rng, 20) * page,
    }
}

fn flags(rng: &mut Rng) -> u32 {
    // Most can be read and written, for what follows.
    let access = match rng.below(0..8) {
        0 => OFlags::RDONLY,
        1 => OFlags::WRONLY,
        _ => OFlags::RDWR,
    };
    let cloexec = [OFlags::CLOEXEC, OFlags::empty()];
    let cloexec = rng.pick(&cloexec).unwrap_or(OFlags::CLOEXEC);
    (access | cloexec).bits()
}

fn request(rng: &mut Rng) -> Request {
    Request {
        len: size(rng),
        fd: 0,
        fd_flags: flags(rng),
        heap_flags: 0,
    }
}

/// The descriptor that the next call will make, whoever tells of it.
fn next_descriptor(any: BorrowedFd<'_>) -> Result<i64, Errno> {
    Ok(rustix::io::fcntl_dupfd_cloexec(any, 0)?.as_raw_fd().into())
}

/// What lies in an argument's member `fd`.
fn told(worker: &Worker, offset: usize) -> i64 {
    let mut fd = [0; 4];
    worker
        .hand
        .arena
        .get(worker.hand.index, offset + 8, &mut fd);
    u32::from_ne_bytes(fd).into()
}

/// Takes the buffer of a call that has made one as descriptor `wanted`, and was
/// told of it at `place`, if that can be looked at.
fn adopt(worker: &Worker, wanted: i64, place: Option<usize>) -> Result<OwnedFd, Outcome> {
    let fd = fds::adopt(wanted).ok_or_else(|| Outcome::wrong("no descriptor was left"))?;
    if !is_dma_buf(&fd) {
        return Err(Outcome::wrong("success, but there is no new dma-buf"));
    }
    match place.map(|offset| told(worker, offset)) {
        Some(number) if number != wanted => Err(Outcome::wrong(format!(
            "the new descriptor is {wanted}, but the caller is told {number}"
        ))),
        _ => Ok(fd),
    }
}

fn is_dma_buf(fd: &OwnedFd) -> bool {
    const MAGIC: u64 = 0x444d_4142;
    rustix::fs::fstatfs(fd).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(MAGIC))
}

/// Allocates as a program would, and keeps the buffer.
pub(super) fn allocate(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    let request = request(rng);
    let slot = worker.hand.buffer(rng);
    let number = node.file.as_raw_fd();
    let place = Place::Scratch(0);
    let allocated = worker
        .hand
        .ioctl(number, DMA_HEAP_IOCTL_ALLOC, &request.bytes(), place);
    match allocated {
        Err(errno) => Outcome::Refused(errno),
        Ok(_) => match fds::adopt(told(worker, 0)) {
            Some(fd) => slot.put(fd).into(),
            None => Outcome::wrong("no descriptor was returned"),
        },
    }
}

/// Every byte of a new buffer is zero.
pub(super) fn allocate_and_read(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    match read_new(node, size(rng)) {
        Ok(None) => Outcome::Done,
        Ok(Some((index, word))) => {
            Outcome::wrong(format!("a new buffer holds {word:#x} at word {index}"))
        }
        Err(error) => match error.errno() {
            Some(errno) => Outcome::Refused(errno),
            None => Outcome::wrong(error.to_string()),
        },
    }
}

fn read_new(node: &Node, size: u64) -> Result<Option<(usize, u64)>, dma_heap::Error> {
    let buffer = node.heap.alloc(size)?;
    let mapping = buffer.map()?;
    let access = mapping.read()?;
    Ok(access.find_mismatch(|_| 0))
}

/// A request with one thing changed.
pub(super) fn almost(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    let (mut request, mut command) = (request(rng), DMA_HEAP_IOCTL_ALLOC);
    let (mut place, mut size) = (Place::Scratch(0), DATA);
    // None: it may well succeed.
    let mut wanted: Option<&[Errno]> = Some(&[Errno::INVAL]);
    match rng.below(0..12) {
        0 => request.len = 0,
        1 => request.len = u64::MAX - rng.below(0..page_size() - 1) as u64,
        2 => {
            request.len = 1 << rng.below(44..63);
            wanted = Some(&[Errno::NOMEM]);
        }
        3 => request.fd = rng.word() as u32 | 1,
        4 => request.fd_flags |= 1 << rng.pick(&[2, 6, 10, 11, 12, 18, 20, 30]).unwrap_or(31),
        5 => request.heap_flags = 1 << rng.below(0..64),
        6 => command |= 1 << rng.below(0..8),
        7 => {
            // A good request in memory that cannot be written, for one.
            place = match rng.below(0..2) {
                0 => Place::ReadOnly,
                _ => bad_place(rng),
            };
            wanted = Some(&[Errno::FAULT]);
        }
        8 => {
            // Shorter or longer: what is missing is zero.
            size = rng.pick(&[8, 12, 16, 20, 32, 40, 4096]).unwrap_or(DATA);
            command = command & !(0x3fff << 16) | ((size as u32) << 16);
            wanted = None;
        }
        // Without a direction nothing is read: the length is zero.
        9 => command &= !(1 << 30),
        10 => {
            // The caller is not told.
            command &= !(1 << 31);
            wanted = None;
        }
        _ => {
            // Another type, the same number: as upstream, only that counts.
            command = command & !0xff00 | (u32::from(b'J') << 8);
            wanted = None;
        }
    }
    let mut bytes = [0; 4096];
    for (to, from) in bytes.iter_mut().zip(request.bytes()) {
        *to = from;
    }
    let Some(argument) = bytes.get(..size) else {
        return Outcome::wrong("an argument of more than a page");
    };
    let Ok(next) = next_descriptor(node.file.as_fd()) else {
        return Outcome::wrong("no descriptor is left");
    };
    let slot = worker.hand.buffer(rng);
    let result = worker
        .hand
        .ioctl(node.file.as_raw_fd(), command, argument, place);
    match (result, wanted) {
        (result, Some(wanted)) => Outcome::refusal(result, wanted),
        (Err(errno), None) => Outcome::Refused(errno),
        (Ok(_), None) => {
            let tells = command >> 31 == 1 && size >= 12;
            match adopt(worker, next, tells.then_some(0)) {
                Ok(fd) => slot.put(fd).into(),
                Err(outcome) => outcome,
            }
        }
    }
}

/// Values at which something may go wrong.
fn odd(rng: &mut Rng) -> u64 {
    let page = page_size() as u64;
    let odd = [
        0,
        1,
        2,
        3,
        7,
        8,
        page - 1,
        page,
        page + 1,
        1 << 31,
        1 << 32,
        u64::MAX,
        u64::MAX / 2,
    ];
    match rng.below(0..4) {
        0 => rng.word(),
        1 => rng.word() & 0xff,
        _ => rng.pick(&odd).unwrap_or(0),
    }
}

/// Any argument with any command.
pub(super) fn garbage(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    let size = rng.below(0..128);
    // Not the types of the calls that every file understands: 0 (FIGETBSZ), T, X
    // and f.
    let kind = rng.pick(b"HHHHbIJ\xff").unwrap_or(b'H');
    let number = rng.pick(&[0, 0, 1, 2, 255]).unwrap_or(0);
    let direction = rng.pick(&[3, 3, 3, 0, 1, 2]).unwrap_or(3);
    let command = (direction << 30) | ((size as u32) << 16) | (u32::from(kind) << 8) | number;
    let mut bytes = [0; 128];
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&odd(rng).to_ne_bytes());
    }
    let Some(argument) = bytes.get(..size) else {
        return Outcome::wrong("an argument too long");
    };
    let Ok(next) = next_descriptor(node.file.as_fd()) else {
        return Outcome::wrong("no descriptor is left");
    };
    let place = any_place(rng);
    let errnos = [Errno::INVAL, Errno::FAULT, Errno::NOMEM];
    match worker
        .hand
        .ioctl(node.file.as_raw_fd(), command, argument, place)
    {
        Err(errno) if errnos.contains(&errno) => Outcome::Done,
        Err(errno) => Outcome::Refused(errno),
        Ok(_) if number != 0 => Outcome::wrong("an unknown ioctl succeeded"),
        Ok(_) => match adopt(worker, next, None) {
            Ok(_) => Outcome::Done,
            Err(outcome) => outcome,
        },
    }
}

/// What a node cannot do, and that it is ready.
pub(super) fn others(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    let number = node.file.as_raw_fd();
    let arena = worker.hand.arena;
    let address = arena.address(worker.hand.index, Place::Scratch(0), SCRATCH / 2);
    match rng.below(0..5) {
        0 => Outcome::refusal(arena.read(number, address, 100), &[Errno::INVAL]),
        1 => Outcome::refusal(arena.write(number, address, 100), &[Errno::INVAL]),
        2 => Outcome::refusal(
            rustix::fs::seek(&node.file, SeekFrom::Start(rng.word() >> 1)),
            &[Errno::SPIPE],
        ),
        3 => {
            let span = Span::new(rng.below(0..MAPS), 0, page_size());
            let writable = libc::PROT_READ | libc::PROT_WRITE;
            let mapped = arena.map(span, writable, libc::MAP_SHARED, number, 0);
            Outcome::refusal(mapped, &[Errno::NODEV])
        }
        _ => {
            let mut poll = [PollFd::new(&node.file, PollFlags::IN | PollFlags::OUT)];
            let now = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            rustix::event::poll(&mut poll, Some(&now)).into()
        }
    }
}

pub(super) fn reopen(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    if rng.below(0..2) == 0 {
        return match Heap::open(&node.name) {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::wrong(error.to_string()),
        };
    }
    let flags = [OFlags::RDWR, OFlags::RDONLY, OFlags::WRONLY];
    let more = [
        OFlags::NONBLOCK,
        OFlags::APPEND,
        OFlags::empty(),
        OFlags::PATH,
    ];
    let flags = rng.pick(&flags).unwrap_or(OFlags::RDWR);
    let more = rng.pick(&more).unwrap_or(OFlags::empty());
    let path = Path::new(dma_heap::HEAP_DIR).join(&node.name);
    rustix::fs::open(path, flags | more | OFlags::CLOEXEC, Mode::empty()).into()
}
