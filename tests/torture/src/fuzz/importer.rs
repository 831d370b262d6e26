// SPDX-License-Identifier: GPL-2.0

//! Operations of importers, which the module dma_buf_test_importer plays.
//!
//! They go by number, so that numbers of what there is not are tried, too. Its
//! commands are described in tests/importer/commands.rs.

use super::kinds::Outcome;
use super::worker::Worker;
use super::worker::any_place;
use super::worker::bad_place;
use crate::sys::arena::Place;
use dma_heap::Errno;
use dma_heap::importer::NODE;
use dma_heap::rng::Rng;
use rustix::fs::Mode;
use rustix::fs::OFlags;

const WORDS: usize = 6;
/// Numbers of objects that are tried.
const OBJECTS: usize = 16;
/// Where the words lie in scratch memory.
const AT: usize = 256;

const DEVICE: u32 = 0;
const ATTACH: u32 = 1;
const MAP: u32 = 2;
const RANGE: u32 = 3;
const DMA_READ: u32 = 4;
const DMA_WRITE: u32 = 5;
const VMAP: u32 = 6;
const VMAP_READ: u32 = 7;
const VMAP_WRITE: u32 = 8;
const RELEASE: u32 = 9;
const BEGIN_CPU_ACCESS: u32 = 10;
const END_CPU_ACCESS: u32 = 11;
const TIME_VMAPS: u32 = 12;
const TIME_MAPS: u32 = 18;
const CPU_SUM: u32 = 19;
/// No command has this number, or a larger one.
const UNKNOWN: usize = 64;

fn command(number: u32) -> u32 {
    (3 << 30) | ((WORDS as u32 * 8) << 16) | (u32::from(b'I') << 8) | number
}

fn bytes(words: [u64; WORDS]) -> [u8; WORDS * 8] {
    let mut bytes = [0; WORDS * 8];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// Runs a command. None of its words may be an address outside of the arena.
fn run(worker: &Worker, rng: &mut Rng, number: u32, words: [u64; WORDS]) -> Result<i64, Errno> {
    let slot = Worker::importer(rng).number();
    worker
        .hand
        .ioctl(slot, command(number), &bytes(words), Place::Scratch(AT))
}

/// As far as an importer was opened: else there is no descriptor.
fn outcome(result: Result<i64, Errno>) -> Outcome {
    match result {
        Err(Errno::BADF) => Outcome::Refused(Errno::NODEV),
        result => result.into(),
    }
}

fn id(rng: &mut Rng) -> u64 {
    match rng.below(0..32) {
        0 => rng.word(),
        // The first numbers are given out first.
        1..20 => rng.below(0..OBJECTS / 4) as u64,
        _ => rng.below(0..OBJECTS) as u64,
    }
}

fn buffer(worker: &Worker, rng: &mut Rng) -> u64 {
    worker.hand.buffer(rng).number() as u64
}

fn direction(rng: &mut Rng) -> u64 {
    match rng.below(0..32) {
        0 => 3,
        // All in one direction, most often: others are refused meanwhile.
        1..20 => 0,
        _ => rng.below(0..3) as u64,
    }
}

/// Closes a device with all that it holds, and makes another one.
pub(super) fn renew(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let opened = rustix::fs::open(NODE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let slot = Worker::importer(rng);
    if let Err(errno) = opened.and_then(|file| slot.put(file)) {
        return Outcome::wrong(format!("cannot open the importer: {errno:?}"));
    }
    let all = u64::MAX;
    let mask = rng.pick(&[all, all, all, all, all, 0]).unwrap_or(all);
    // Never unset: the checks of the DMA API then take it for 64 KiB.
    let segment = rng
        .pick(&[4096, 64 << 10, 1 << 20, u32::MAX.into(), u32::MAX.into()])
        .unwrap_or(4096);
    let boundary = rng
        .pick(&[0, 0, (64 << 10) - 1, (1 << 32) - 1])
        .unwrap_or(0);
    let words = bytes([mask, segment, boundary, 0, 0, 0]);
    worker
        .hand
        .ioctl(slot.number(), command(DEVICE), &words, Place::Scratch(AT))
        .into()
}

pub(super) fn attach(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let fd = buffer(worker, rng);
    match run(worker, rng, ATTACH, [fd, 0, 0, 0, 0, 0]) {
        // Either the importer's or the buffer's.
        Err(Errno::BADF) => Outcome::Refused(Errno::BADF),
        result => result.into(),
    }
}

pub(super) fn map(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let (id, direction) = (id(rng), direction(rng));
    outcome(run(worker, rng, MAP, [id, direction, 0, 0, 0, 0]))
}

pub(super) fn range(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let (id, index) = (id(rng), rng.below(0..8) as u64);
    outcome(run(worker, rng, RANGE, [id, index, 0, 0, 0, 0]))
}

/// A read or write of an object: the words, the address among them.
fn transfer(worker: &Worker, rng: &mut Rng) -> [u64; WORDS] {
    let hand = worker.hand;
    let (len, most) = (rng.below(0..16 << 10) as u64, 8 << 20);
    let offset = match rng.below(0..4) {
        0 => rng.below(0..most) as u64,
        1 => rng.word(),
        _ => rng.below(0..4096) as u64,
    };
    let address = hand.arena.address(hand.index, any_place(rng), 1);
    [id(rng), offset, len, address.word(), 0, 0]
}

pub(super) fn dma(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let words = transfer(worker, rng);
    let number = rng.pick(&[DMA_READ, DMA_WRITE]).unwrap_or(DMA_READ);
    outcome(run(worker, rng, number, words))
}

pub(super) fn vmap(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let fd = buffer(worker, rng);
    run(worker, rng, VMAP, [fd, 0, 0, 0, 0, 0]).into()
}

pub(super) fn use_vmap(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let words = transfer(worker, rng);
    let number = rng
        .pick(&[VMAP_READ, VMAP_WRITE, CPU_SUM])
        .unwrap_or(VMAP_READ);
    outcome(run(worker, rng, number, words))
}

pub(super) fn cpu_access(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let (fd, direction) = (buffer(worker, rng), direction(rng));
    let number = rng.pick(&[BEGIN_CPU_ACCESS, END_CPU_ACCESS]);
    let number = number.unwrap_or(BEGIN_CPU_ACCESS);
    run(worker, rng, number, [fd, direction, 0, 0, 0, 0]).into()
}

pub(super) fn release(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let id = id(rng);
    outcome(run(worker, rng, RELEASE, [id, 0, 0, 0, 0, 0]))
}

pub(super) fn many_maps(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let (fd, direction) = (buffer(worker, rng), direction(rng));
    let (attachments, cycles) = (rng.below(0..5) as u64, rng.below(0..8) as u64);
    let words = [fd, direction, attachments, cycles, 0, 0];
    run(worker, rng, TIME_MAPS, words).into()
}

pub(super) fn many_vmaps(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let (fd, cycles) = (buffer(worker, rng), rng.below(0..4) as u64);
    run(worker, rng, TIME_VMAPS, [fd, cycles, 0, 0, 0, 0]).into()
}

/// Commands that it does not know, and words that cannot be had.
pub(super) fn garbage(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let slot = Worker::importer(rng).number();
    let hand = worker.hand;
    let (result, errno) = match rng.below(0..3) {
        0 => {
            let words = bytes([0; WORDS]);
            let place = bad_place(rng);
            (hand.ioctl(slot, command(MAP), &words, place), Errno::FAULT)
        }
        1 => {
            let number = rng.below(UNKNOWN..256) as u32;
            let words = bytes([0; WORDS]);
            (
                hand.ioctl(slot, command(number), &words, Place::Scratch(AT)),
                Errno::NOTTY,
            )
        }
        _ => {
            // Of another size.
            let wrong = command(rng.below(0..20) as u32) ^ (1 << rng.below(16..29));
            (
                hand.ioctl(slot, wrong, &[0xff; 64], any_place(rng)),
                Errno::NOTTY,
            )
        }
    };
    // EBADF: it was not opened yet.
    Outcome::refusal(result, &[errno, Errno::BADF])
}
