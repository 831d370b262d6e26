// SPDX-License-Identifier: GPL-2.0

//! Operations on descriptors of dma-bufs, which another thread may replace or
//! close at any time.

use super::kinds::Outcome;
use super::worker::Hand;
use super::worker::Worker;
use super::worker::any_place;
use super::worker::bad_place;
use crate::sys::arena::Place;
use crate::sys::fds;
use dma_heap::Errno;
use dma_heap::page_size;
use dma_heap::rng::Rng;
use dma_heap::sys::abi::DMA_BUF_IOCTL_SYNC;
use std::os::fd::AsFd as _;

/// `DMA_BUF_SET_NAME_A` and `_B`: they differ in the size they name.
const SET_NAME: [u32; 2] = [0x4004_6201, 0x4008_6201];
/// `DMA_BUF_IOCTL_EXPORT_SYNC_FILE`, of flags and a descriptor.
const EXPORT: u32 = 0xc008_6202;
/// `DMA_BUF_IOCTL_IMPORT_SYNC_FILE`, of the same.
const IMPORT: u32 = 0x4008_6203;
/// Bytes of a name, with its end.
const NAME: usize = 32;

pub(super) fn sync(hand: &Hand, rng: &mut Rng) -> Outcome {
    // READ, WRITE or both; START or END.
    let flags = rng.below(1..4) as u64 | ((rng.below(0..2) as u64) << 2);
    hand.ioctl(
        hand.buffer(rng).number(),
        DMA_BUF_IOCTL_SYNC,
        &flags.to_ne_bytes(),
        Place::Scratch(0),
    )
    .into()
}

pub(super) fn sync_wrongly(hand: &Hand, rng: &mut Rng) -> Outcome {
    // Neither read nor write, or a bit that has no meaning.
    let unknown = rng.below(0..8) as u64 | (1 << rng.below(3..64));
    let flags = rng.pick(&[0, 4, unknown, unknown]).unwrap_or(0);
    let (flags, place, errno) = match rng.below(0..2) {
        0 => (flags, Place::Scratch(8), Errno::INVAL),
        _ => (1, bad_place(rng), Errno::FAULT),
    };
    let number = hand.buffer(rng).number();
    let result = hand.ioctl(number, DMA_BUF_IOCTL_SYNC, &flags.to_ne_bytes(), place);
    Outcome::refusal(result, &[errno])
}

fn name_command(rng: &mut Rng) -> u32 {
    rng.pick(&SET_NAME).unwrap_or(0x4008_6201)
}

pub(super) fn set_name(hand: &Hand, rng: &mut Rng) -> Outcome {
    let mut name = [0; NAME];
    let len = rng.below(0..NAME);
    for byte in name.iter_mut().take(len) {
        *byte = rng.below(1..256) as u8;
    }
    let number = hand.buffer(rng).number();
    hand.ioctl(number, name_command(rng), &name, Place::Scratch(64))
        .into()
}

pub(super) fn set_name_wrongly(hand: &Hand, rng: &mut Rng) -> Outcome {
    let number = hand.buffer(rng).number();
    let (place, errno) = match rng.below(0..2) {
        // Without an end.
        0 => (Place::Scratch(64), Errno::INVAL),
        _ => (bad_place(rng), Errno::FAULT),
    };
    let result = hand.ioctl(number, name_command(rng), &[b'x'; NAME + 8], place);
    Outcome::refusal(result, &[errno])
}

fn fence_argument(flags: u32, fd: i32) -> [u8; 8] {
    let [a, b, c, d] = flags.to_ne_bytes();
    let [e, f, g, h] = fd.to_ne_bytes();
    [a, b, c, d, e, f, g, h]
}

pub(super) fn export_fence(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let hand = worker.hand;
    let number = hand.buffer(rng).number();
    if rng.below(0..4) == 0 {
        // Bad flags, or no way to tell of the descriptor.
        let (flags, place, errno) = match rng.below(0..2) {
            0 => (
                rng.pick(&[0, 4, 8, 1 << 31]).unwrap_or(0),
                Place::Scratch(128),
                Errno::INVAL,
            ),
            _ => (1, bad_place(rng), Errno::FAULT),
        };
        let result = hand.ioctl(number, EXPORT, &fence_argument(flags, 0), place);
        return Outcome::refusal(result, &[errno]);
    }
    let flags = rng.below(1..4) as u32;
    let argument = fence_argument(flags, -1);
    if let Err(errno) = hand.ioctl(number, EXPORT, &argument, Place::Scratch(128)) {
        return Outcome::Refused(errno);
    }
    let mut fd = [0; 4];
    hand.arena.get(hand.index, 128 + 4, &mut fd);
    match fds::adopt(i32::from_ne_bytes(fd).into()) {
        Some(fd) => Worker::fence(rng).put(fd).into(),
        None => Outcome::wrong("no descriptor was returned"),
    }
}

pub(super) fn import_fence(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let hand = worker.hand;
    let number = hand.buffer(rng).number();
    let flags = rng.pick(&[1, 2, 3, 1, 2, 3, 0, 4]).unwrap_or(1);
    let fd = match rng.below(0..6) {
        0 => -1,
        1 => hand.buffer(rng).number(),
        _ => Worker::fence(rng).number(),
    };
    let place = match rng.below(0..6) {
        0 => bad_place(rng),
        _ => Place::Scratch(128),
    };
    let result = hand.ioctl(number, IMPORT, &fence_argument(flags, fd), place);
    match place {
        Place::Scratch(_) => result.into(),
        _ => Outcome::refusal(result, &[Errno::FAULT]),
    }
}

/// Commands that dma-bufs do not know.
pub(super) fn garbage(hand: &Hand, rng: &mut Rng) -> Outcome {
    let number = hand.buffer(rng).number();
    let random = rng.word() as u32;
    let command = match rng.below(0..3) {
        // The right type, a number that there is not.
        0 => random & !0xffff | (u32::from(b'b') << 8) | rng.below(4..256) as u32,
        // A number that there is, with the wrong size.
        1 => {
            let size = rng.below(9..1 << 14) as u32;
            random & 0xc000_0000 | (size << 16) | (u32::from(b'b') << 8) | rng.below(0..4) as u32
        }
        // A heap's.
        _ => DMA_HEAP_ALLOC,
    };
    let argument = [rng.word() as u8; 64];
    let result = hand.ioctl(number, command, &argument, any_place(rng));
    Outcome::refusal(result, &[Errno::NOTTY])
}

const DMA_HEAP_ALLOC: u32 = dma_heap::sys::abi::DMA_HEAP_IOCTL_ALLOC;

pub(super) fn seek(hand: &Hand, rng: &mut Rng) -> Outcome {
    let slot = hand.buffer(rng);
    match rng.below(0..4) {
        0 => slot.seek(0, libc::SEEK_SET).into(),
        1 => Outcome::refusal(
            slot.seek(rng.below(1..1 << 20) as i64, libc::SEEK_END),
            &[Errno::INVAL],
        ),
        2 => Outcome::refusal(slot.seek(0, libc::SEEK_CUR), &[Errno::INVAL]),
        _ => match slot.seek(0, libc::SEEK_END) {
            Ok(len) if len <= 0 || len as u64 % page_size() as u64 != 0 => {
                Outcome::wrong(format!("a buffer of {len} bytes"))
            }
            result => result.into(),
        },
    }
}

pub(super) fn poll(hand: &Hand, rng: &mut Rng) -> Outcome {
    let events = rng.pick(&[
        libc::POLLIN,
        libc::POLLOUT,
        libc::POLLIN | libc::POLLOUT,
        0,
        !0,
    ]);
    let wait = i32::from(rng.below(0..64) == 0);
    hand.buffer(rng).poll(events.unwrap_or(0), wait).into()
}

/// What a dma-buf cannot do, and flags of the open file.
pub(super) fn others(hand: &Hand, rng: &mut Rng) -> Outcome {
    let slot = hand.buffer(rng);
    let address = hand.arena.address(hand.index, Place::Scratch(0), 100);
    match rng.below(0..5) {
        0 => {
            let read = hand.arena.read(slot.number(), address, 100);
            Outcome::refusal(read, &[Errno::INVAL])
        }
        1 => {
            let written = hand.arena.write(slot.number(), address, 100);
            Outcome::refusal(written, &[Errno::INVAL])
        }
        2 => Outcome::refusal(slot.truncate(rng.below(0..1 << 20) as i64), &[Errno::INVAL]),
        3 => slot.flags(None).into(),
        _ => {
            let flags = rng
                .pick(&[libc::O_NONBLOCK, libc::O_APPEND, 0])
                .unwrap_or(0);
            slot.flags(Some(flags)).into()
        }
    }
}

/// By the eyes of fstat and procfs.
pub(super) fn look(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let slot = worker.hand.buffer(rng);
    match rng.below(0..3) {
        0 => match slot.take() {
            Ok(fd) => rustix::fs::fstat(&fd).into(),
            Err(errno) => Outcome::Refused(errno),
        },
        1 => match slot.take() {
            Ok(fd) => {
                use std::os::fd::AsRawFd as _;
                let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
                match std::fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()) {
                    Ok(text) if text.contains("exp_name:") => Outcome::Done,
                    Ok(text) => Outcome::wrong(format!("fdinfo of a dma-buf is {text:?}")),
                    Err(error) => Outcome::wrong(format!("fdinfo: {error}")),
                }
            }
            Err(errno) => Outcome::Refused(errno),
        },
        _ => match std::fs::read("/sys/kernel/debug/dma_buf/bufinfo") {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::wrong(format!("bufinfo: {error}")),
        },
    }
}

pub(super) fn dup(hand: &Hand, rng: &mut Rng) -> Outcome {
    let (from, to) = (hand.buffer(rng), hand.buffer(rng));
    if from == to {
        return Outcome::refusal(to.copy(from), &[Errno::INVAL]);
    }
    match to.copy(from) {
        // Another thread is about to put something there: as documented.
        Err(Errno::BUSY) => Outcome::Done,
        result => result.into(),
    }
}

pub(super) fn close(hand: &Hand, rng: &mut Rng) -> Outcome {
    hand.buffer(rng).close().into()
}

pub(super) fn send(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let fd = match worker.hand.buffer(rng).take() {
        Ok(fd) => fd,
        Err(errno) => return Outcome::Refused(errno),
    };
    let to = rng.below(0..worker.task.workers);
    worker.channel.send(to, fd.as_fd(), b"a buffer").into()
}

pub(super) fn receive(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let slot = worker.hand.buffer(rng);
    match worker.channel.receive() {
        Ok((Some(fd), _)) => slot.put(fd).into(),
        Ok((None, _)) => Outcome::wrong("a message without its descriptor"),
        Err(errno) => Outcome::Refused(errno),
    }
}
