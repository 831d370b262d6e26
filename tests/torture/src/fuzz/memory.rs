// SPDX-License-Identifier: GPL-2.0

//! Operations on mappings.

use super::kinds::Outcome;
use super::node;
use super::worker::Worker;
use crate::sys::arena::FAULTED;
use crate::sys::arena::MAP;
use crate::sys::arena::MAPS;
use crate::sys::arena::Place;
use crate::sys::arena::Span;
use crate::sys::arena::Touch;
use crate::sys::fds::Slot;
use dma_heap::Errno;
use dma_heap::page_size;
use dma_heap::pattern::Pattern;
use dma_heap::rng::Rng;
use std::ffi::c_int;
use std::os::fd::AsRawFd as _;

/// Bytes of the largest access through the kernel: a pipe holds as many.
const ACCESS: usize = 64 << 10;

/// A piece of a place for mappings: most often of few pages, near its start,
/// where most buffers are.
fn span(rng: &mut Rng) -> Span {
    let map = rng.below(0..MAPS);
    let (near, far) = (1 << 20, MAP);
    match rng.below(0..4) {
        0 => Span::new(map, 0, MAP),
        1 => Span::new(map, rng.below(0..far), rng.below(1..far)),
        _ => Span::new(map, rng.below(0..near), rng.below(1..near)),
    }
}

fn access(rng: &mut Rng) -> c_int {
    let both = libc::PROT_READ | libc::PROT_WRITE;
    rng.pick(&[
        both,
        both,
        both,
        libc::PROT_READ,
        libc::PROT_WRITE,
        libc::PROT_NONE,
    ])
    .unwrap_or(both)
}

/// Bytes of a buffer.
fn len(slot: Slot) -> Result<usize, Errno> {
    Ok(usize::try_from(slot.seek(0, libc::SEEK_END)?).unwrap_or(0))
}

pub(super) fn map(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let slot = worker.hand.buffer(rng);
    let len = match len(slot) {
        Ok(len) => len,
        Err(errno) => return Outcome::Refused(errno),
    };
    let page = page_size();
    // All of it, most often.
    let first = match rng.below(0..4) {
        0 => rng.below(0..len.max(page) / page) * page,
        _ => 0,
    };
    let rest = len.saturating_sub(first).clamp(page, MAP);
    let bytes = match rng.below(0..4) {
        0 => rng.below(1..rest + 1),
        _ => rest,
    };
    let at = match rng.below(0..4) {
        0 => rng.below(0..MAP - bytes + 1),
        _ => 0,
    };
    let flags = [
        libc::MAP_SHARED,
        libc::MAP_SHARED,
        libc::MAP_SHARED,
        libc::MAP_SHARED_VALIDATE,
        libc::MAP_SHARED | libc::MAP_POPULATE,
        libc::MAP_SHARED | libc::MAP_LOCKED,
    ];
    let mut prot = access(rng);
    if rng.below(0..32) == 0 {
        prot |= libc::PROT_EXEC;
    }
    worker
        .hand
        .arena
        .map(
            Span::new(rng.below(0..MAPS), at, bytes),
            prot,
            rng.pick(&flags).unwrap_or(libc::MAP_SHARED),
            slot.number(),
            first as i64,
        )
        .into()
}

pub(super) fn map_wrongly(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    // A descriptor of our own: nobody replaces the buffer meanwhile.
    let slot = match worker.hand.buffer(rng).take() {
        Ok(fd) => fd,
        Err(errno) => return Outcome::Refused(errno),
    };
    let len = match rustix::fs::seek(&slot, rustix::fs::SeekFrom::End(0)) {
        Ok(len) => len as usize,
        Err(errno) => return Outcome::Refused(errno),
    };
    let page = page_size();
    let mut span = Span::new(rng.below(0..MAPS), 0, len.min(MAP / 2));
    let mut prot = libc::PROT_READ;
    let (mut flags, mut offset) = (libc::MAP_SHARED, 0);
    let mut errnos: &[Errno] = &[Errno::INVAL];
    match rng.below(0..5) {
        0 => {
            // Private: a write would be lost.
            flags = libc::MAP_PRIVATE;
            prot |= libc::PROT_WRITE;
        }
        1 => flags = libc::MAP_PRIVATE,
        2 => {
            // Not all of it is inside.
            span = Span::new(0, 0, page * 2);
            offset = (len - page) as i64;
        }
        3 => {
            // None of it is.
            offset = (len + page * rng.below(0..1000)) as i64;
        }
        _ => {
            // So far away that the sum overflows.
            offset = i64::MAX & !(page as i64 - 1);
            errnos = &[Errno::INVAL, Errno::OVERFLOW];
        }
    }
    let mapped = worker
        .hand
        .arena
        .map(span, prot, flags, slot.as_raw_fd(), offset);
    Outcome::refusal(mapped, errnos)
}

pub(super) fn unmap(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    worker.hand.arena.unmap(span(rng)).into()
}

pub(super) fn remap(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let (from, to) = (span(rng), span(rng));
    let arena = worker.hand.arena;
    match rng.below(0..8) {
        // Another length, in its place.
        0 => arena.resize(from, rng.below(1..2 * from.len())).into(),
        // A second mapping of the same.
        1 => arena
            .remap(
                Span::new(rng.below(0..MAPS), 0, from.len()),
                from.len(),
                libc::MREMAP_DONTUNMAP,
                to,
            )
            .into(),
        _ => arena
            .remap(from, rng.below(1..2 * from.len()), 0, to)
            .into(),
    }
}

pub(super) fn protect(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    worker.hand.arena.protect(span(rng), access(rng)).into()
}

pub(super) fn advise(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    // Not those that poison memory: that is gone until the machine starts again.
    let advice = [
        libc::MADV_NORMAL,
        libc::MADV_RANDOM,
        libc::MADV_SEQUENTIAL,
        libc::MADV_WILLNEED,
        libc::MADV_DONTNEED,
        libc::MADV_FREE,
        libc::MADV_REMOVE,
        libc::MADV_DONTFORK,
        libc::MADV_DOFORK,
        libc::MADV_MERGEABLE,
        libc::MADV_UNMERGEABLE,
        libc::MADV_HUGEPAGE,
        libc::MADV_NOHUGEPAGE,
        libc::MADV_DONTDUMP,
        libc::MADV_DODUMP,
        libc::MADV_WIPEONFORK,
        libc::MADV_KEEPONFORK,
        libc::MADV_COLD,
        libc::MADV_PAGEOUT,
        libc::MADV_POPULATE_READ,
        libc::MADV_POPULATE_WRITE,
        libc::MADV_COLLAPSE,
        12345,
    ];
    let advice = rng.pick(&advice).unwrap_or(libc::MADV_NORMAL);
    worker.hand.arena.advise(span(rng), advice).into()
}

pub(super) fn sync(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let flags = [libc::MS_SYNC, libc::MS_ASYNC, libc::MS_INVALIDATE, 0];
    let flags = rng.pick(&flags).unwrap_or(0);
    worker.hand.arena.sync(span(rng), flags).into()
}

pub(super) fn lock(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let locked = rng.below(0..2) == 0;
    worker.hand.arena.lock(span(rng), locked).into()
}

pub(super) fn remap_pages(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let page = page_size();
    let len = rng.below(1..4) * page;
    let span = Span::new(rng.below(0..MAPS), rng.below(0..4) * page, len);
    worker.hand.arena.remap_pages(span, rng.below(0..8)).into()
}

/// A place in a mapping, and how much to access.
fn target(rng: &mut Rng) -> (Place, usize) {
    let near = [4096, 64 << 10, 1 << 20, MAP];
    let offset = rng.below(0..rng.clone().pick(&near).unwrap_or(MAP));
    (
        Place::Map(rng.below(0..MAPS), offset),
        rng.below(1..ACCESS + 1),
    )
}

/// Empties the pipe.
fn drain(worker: &Worker) {
    let (reader, _) = worker.pipe();
    let hand = worker.hand;
    let to = hand.arena.address(hand.index, Place::Scratch(0), ACCESS);
    // Until it says EAGAIN, or is interrupted.
    while hand
        .arena
        .read(reader, to, ACCESS)
        .is_ok_and(|read| read > 0)
    {}
}

/// The kernel reads what is mapped.
pub(super) fn read(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let (place, len) = target(rng);
    let hand = worker.hand;
    let from = hand.arena.address(hand.index, place, len);
    let written = hand.arena.write(worker.pipe().1, from, len);
    drain(worker);
    written.into()
}

/// The kernel writes what is mapped.
pub(super) fn write(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let (place, len) = target(rng);
    let hand = worker.hand;
    let to = hand.arena.address(hand.index, place, len);
    if rng.below(0..2) == 0 {
        return hand.arena.read(worker.zero.as_raw_fd(), to, len).into();
    }
    let from = hand.arena.address(hand.index, Place::Scratch(0), len);
    if let Err(errno) = hand.arena.write(worker.pipe().1, from, len) {
        return Outcome::Refused(errno);
    }
    let read = hand.arena.read(worker.pipe().0, to, len);
    drain(worker);
    read.into()
}

/// What is written through one mapping is read through another.
pub(super) fn round_trip(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    let pattern = Pattern::new(rng.word());
    let size = node::size(rng);
    let trip = || -> Result<Option<(usize, u64)>, dma_heap::Error> {
        let buffer = node.heap.alloc(size)?;
        let other = buffer.try_clone()?;
        let mut first = buffer.map()?;
        let access = first.write()?;
        access.fill_with(|index| pattern.word(index));
        access.finish()?;
        let second = other.map()?;
        drop(first);
        drop(buffer.try_clone()?);
        let access = second.read()?;
        Ok(access.find_mismatch(|index| pattern.word(index)))
    };
    match trip() {
        Ok(None) => Outcome::Done,
        Ok(Some((index, word))) => Outcome::wrong(format!(
            "word {index} of {size} bytes is {word:#x} instead of {:#x}",
            pattern.word(index)
        )),
        Err(error) => match error.errno() {
            Some(errno) => Outcome::Refused(errno),
            None => Outcome::wrong(error.to_string()),
        },
    }
}

/// Nobody gets hold of the pages behind a mapping.
pub(super) fn pin(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    let hand = worker.hand;
    let request = node.heap.alloc(node::size(rng));
    let buffer = match request.map_err(|error| error.errno()) {
        Ok(buffer) => buffer,
        Err(Some(errno)) => return Outcome::Refused(errno),
        Err(None) => return Outcome::wrong("no buffer"),
    };
    let map = rng.below(0..MAPS);
    let span = Span::new(map, 0, usize::try_from(buffer.len()).unwrap_or(MAP));
    let both = libc::PROT_READ | libc::PROT_WRITE;
    let fd = std::os::fd::AsFd::as_fd(&buffer).as_raw_fd();
    if let Err(errno) = hand.arena.map(span, both, libc::MAP_SHARED, fd, 0) {
        return Outcome::Refused(errno);
    }
    // There is an entry to follow.
    let place = Place::Map(map, rng.below(0..span.len()) & !7);
    let address = hand.arena.address(hand.index, place, 8);
    if let Err(errno) = hand.arena.read(worker.zero.as_raw_fd(), address, 8) {
        return Outcome::wrong(format!("a new mapping cannot be written: {errno:?}"));
    }
    let pinned = hand.arena.splice_to(worker.pipe().1, address, 8);
    drain(worker);
    Outcome::refusal(pinned, &[Errno::FAULT])
}

pub(super) fn fork(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let mut touches = [Touch::Load(0, 0); 12];
    // What is touched before the first fault counts.
    for touch in &mut touches {
        let (map, near) = (rng.below(0..MAPS), rng.below(0..4 << 12));
        *touch = match rng.below(0..8) {
            0 => Touch::Unmap(span(rng)),
            1..4 => Touch::Store(map, near),
            _ => Touch::Load(map, near),
        };
    }
    match worker.hand.arena.touch_in_child(&touches) {
        Ok(0 | FAULTED) => Outcome::Done,
        Ok(status) => Outcome::wrong(format!("a child ended with {status}")),
        Err(errno) => Outcome::Refused(errno),
    }
}
