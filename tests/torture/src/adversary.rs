// SPDX-License-Identifier: GPL-2.0

//! `adversary`: tries to get back a byte of its own.
//!
//! It fills all memory that it gets, in every way that there is, gives it back
//! and takes memory again, of all sizes: each byte that is not zero then was
//! somebody's.

use crate::heaps;
use crate::heaps::Knobs;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::HeapInfo;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use dma_heap::page_size;
use dma_heap::rng::Rng;
use dmaheap_tap::Tap;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

/// Options of `adversary`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// GiB to check, at least
    #[arg(long, default_value_t = 20.0)]
    gib: f64,
    /// Seconds after which it gives up
    #[arg(long, default_value_t = 1800)]
    seconds: u64,
    /// Percent of the memory that must come from what the heaps have kept
    #[arg(long, default_value_t = 50)]
    reused: u64,
    /// The number that an earlier run has printed
    #[arg(long, value_parser = crate::number)]
    seed: Option<u64>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// The heaps [default: all of the module rust_dma_heap]
    heaps: Vec<String>,
}

/// Ways of writing.
const WAYS: [&str; 3] = ["CPU", "vmap", "DMA"];
const CPU: usize = 0;
const VMAP: usize = 1;

/// Sizes of buffers: for each size of block one that is made of nothing else.
struct Class {
    name: &'static str,
    /// Bytes of a buffer, given those of a page.
    len: fn(usize) -> usize,
    /// Bytes that are allocated before the first is given back.
    batch: usize,
    /// How often it has its turn, in relation to the others: small buffers take
    /// long, most of it for system calls.
    rounds: usize,
}

const CLASSES: [Class; 6] = [
    Class {
        name: "a page",
        len: |page| page,
        batch: 64 << 10,
        rounds: 1,
    },
    Class {
        // As many as do not yet make a larger block.
        name: "pages",
        len: |page| (64 << 10) - page,
        batch: 1 << 20,
        rounds: 2,
    },
    Class {
        // The same.
        name: "64 KiB",
        len: |_| (1 << 20) - (64 << 10),
        batch: 8 << 20,
        rounds: 4,
    },
    Class {
        name: "1 MiB",
        len: |_| 1 << 20,
        batch: 8 << 20,
        rounds: 4,
    },
    Class {
        name: "2 MiB",
        len: |_| 16 << 20,
        batch: 32 << 20,
        rounds: 6,
    },
    Class {
        name: "all of them",
        len: |page| (2 << 20) + (1 << 20) + (64 << 10) + page,
        batch: 12 << 20,
        rounds: 3,
    },
];

/// What a heap has room for beside others: contiguous areas are small.
const CONTIGUOUS: usize = 4 << 20;

/// Bytes checked, for each class and the way in which such memory was last
/// written.
type Table = [[u64; WAYS.len()]; CLASSES.len()];

/// What one thread has found.
#[derive(Default)]
struct Found {
    checked: Table,
    foreign: u64,
    /// Where the first ones were.
    places: Vec<String>,
    /// Batches that the heap could not give, and the like.
    refused: u64,
    failed: Option<String>,
    /// Seconds for allocating, reading, and writing in each way.
    times: [f64; 2 + WAYS.len()],
}

impl Found {
    /// Counts the time since `start` as that of a phase, and starts anew.
    fn time(&mut self, phase: usize, start: &mut Instant) {
        if let Some(time) = self.times.get_mut(phase) {
            *time += start.elapsed().as_secs_f64();
        }
        *start = Instant::now();
    }

    fn total(&self) -> u64 {
        self.checked.as_flattened().iter().sum()
    }

    fn add(&mut self, other: Self) {
        let sums = self.checked.as_flattened_mut().iter_mut();
        for (sum, more) in sums.zip(other.checked.as_flattened()) {
            *sum += more;
        }
        for (sum, more) in self.times.iter_mut().zip(other.times) {
            *sum += more;
        }
        self.foreign += other.foreign;
        self.places.extend(other.places);
        self.refused += other.refused;
        self.failed = self.failed.take().or(other.failed);
    }
}

/// The word that is written, to be known again: who wrote it, and how.
fn mark(class: usize, way: usize) -> u64 {
    0xbadb_0000_5ec0_e7e7 | ((class as u64) << 40) | ((way as u64) << 32)
}

struct Thief {
    heap: Heap,
    contiguous: bool,
    importer: Importer,
    rng: Rng,
    /// The way in which memory of each class was last written.
    last: [usize; CLASSES.len()],
    bytes: Vec<u8>,
}

impl Thief {
    fn new(heap: &str, rng: Rng) -> anyhow::Result<Self> {
        Ok(Self {
            heap: Heap::open(heap)?,
            contiguous: heaps::attribute(heap, "contiguous") == Some(1),
            importer: Importer::with_device(heaps::device())?,
            rng,
            last: [CPU; CLASSES.len()],
            bytes: vec![0; 1 << 20],
        })
    }

    /// Takes a batch, looks at it, fills it and gives it back.
    fn round(&mut self, class: usize, found: &mut Found) -> Result<(), dma_heap::Error> {
        let Some(kind) = CLASSES.get(class) else {
            return Ok(());
        };
        let most = match self.contiguous {
            true => CONTIGUOUS,
            false => usize::MAX,
        };
        let len = (kind.len)(page_size()).min(most) as u64;
        let batch = kind.batch.min(most) as u64;
        let mut start = Instant::now();
        let mut buffers = Vec::new();
        for _ in 0..batch.div_ceil(len) {
            match self.heap.alloc(len) {
                Ok(buffer) => buffers.push(buffer),
                Err(error) if error.errno() == Some(Errno::NOMEM) => {
                    found.refused += 1;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        found.time(0, &mut start);
        let before = self.last.get(class).copied().unwrap_or(CPU);
        for buffer in &buffers {
            self.look(buffer, kind.name, found)?;
            let row = found.checked.get_mut(class);
            if let Some(sum) = row.and_then(|row| row.get_mut(before)) {
                *sum += buffer.len();
            }
        }
        found.time(1, &mut start);
        let way = self.rng.below(0..WAYS.len());
        for chunk in self.bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&mark(class, way).to_ne_bytes());
        }
        for buffer in buffers {
            self.fill(buffer, class, way)?;
        }
        found.time(2 + way, &mut start);
        if let Some(last) = self.last.get_mut(class) {
            *last = way;
        }
        Ok(())
    }

    /// Reads every byte.
    fn look(&self, buffer: &Buffer, class: &str, found: &mut Found) -> Result<(), dma_heap::Error> {
        let mapping = buffer.map()?;
        let access = mapping.read()?;
        if access.is_zero() {
            return access.finish();
        }
        // From the first one on, all are counted.
        if let Some((index, word)) = access.find_mismatch(|_| 0) {
            for index in index..mapping.len() / 8 {
                let bytes = access.word(index)?.to_ne_bytes();
                found.foreign += bytes.iter().filter(|byte| **byte != 0).count() as u64;
            }
            if found.places.len() < 10 {
                found.places.push(format!(
                    "{}: a new buffer ({class}) holds {word:#018x} at byte {:#x}",
                    self.heap.name(),
                    index * 8
                ));
            }
        }
        access.finish()
    }

    fn fill(&mut self, buffer: Buffer, class: usize, way: usize) -> Result<(), dma_heap::Error> {
        let steps = |len: u64| (0..len).step_by(self.bytes.len());
        let piece = |offset: u64, len: u64| {
            let most = usize::try_from(len - offset).unwrap_or(usize::MAX);
            self.bytes.get(..most).unwrap_or(&self.bytes)
        };
        let len = buffer.len();
        match way {
            CPU => {
                let mut mapping = buffer.map()?;
                let access = mapping.write()?;
                access.fill(mark(class, way));
                access.finish()?;
            }
            VMAP => {
                let vmap = self.importer.vmap(&buffer)?;
                for offset in steps(len) {
                    vmap.write(offset, piece(offset, len))?;
                }
                vmap.release()?;
            }
            _ => {
                let attachment = self.importer.attach(&buffer)?;
                let mapping = attachment.map(Direction::FromDevice)?;
                // A device may write when nobody has the buffer open any more.
                drop(buffer);
                for offset in steps(len) {
                    mapping.write(offset, piece(offset, len))?;
                }
                mapping.release()?;
                attachment.release()?;
            }
        }
        Ok(())
    }
}

/// What the heaps have counted.
fn counted(heaps: &[String], name: &str) -> u64 {
    heaps
        .iter()
        .filter_map(|heap| heaps::counter(heap, name))
        .sum()
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => dma_heap::pattern::random_word()?,
    };
    let heaps = heaps::chosen(&arguments.heaps)?;
    let threads = arguments.threads.clamp(1, 64);
    let goal = (arguments.gib * (1u64 << 30) as f64) as u64;
    let mut report = Tap::start();
    report.note(&format!("adversary --seed={seed:#x} --threads={threads}"));
    // What waits for its turn shall not go because it is idle.
    let patient = Knobs::of(&heaps)?;
    for heap in &heaps {
        if let Some(dir) = HeapInfo::of(heap)?.sysfs {
            std::fs::write(dir.join("pool_trim_ms"), "600000")?;
        }
    }
    let (hits, misses) = (counted(&heaps, "hits"), counted(&heaps, "misses"));
    let start = Instant::now();
    let end = start + Duration::from_secs(arguments.seconds);

    let mut found = Found::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|index| {
                let heaps = &heaps;
                scope.spawn(move || {
                    let rng = Rng::new(seed ^ (index as u64).rotate_right(8));
                    work(heaps, rng, goal.div_ceil(threads as u64), end)
                })
            })
            .collect();
        for thread in running {
            match thread.join() {
                Ok(more) => found.add(more),
                Err(_) => found.failed = Some("a thread has panicked".into()),
            }
        }
    });
    let took = start.elapsed().as_secs_f64();
    let hits = counted(&heaps, "hits") - hits;
    let misses = counted(&heaps, "misses") - misses;

    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    for (class, row) in CLASSES.iter().zip(found.checked) {
        for (way, bytes) in WAYS.iter().zip(row) {
            report.expect(
                bytes > 0,
                &format!("{}, after {way}: {:.2} GiB checked", class.name, gib(bytes)),
                "none was",
            );
        }
    }
    if let Some(what) = &found.failed {
        report.expect(false, "nothing failed", what);
    }
    let total = found.total();
    report.note(&format!(
        "{:.2} GiB checked in {took:.0} s, {:.2} GiB/s; {} batches were cut short",
        gib(total),
        gib(total) / took,
        found.refused
    ));
    let [allocating, reading, cpu, vmap, dma] = found.times;
    report.note(&format!(
        "of all threads, {allocating:.0} s to allocate, {reading:.0} s to read, and to write and \
         free {cpu:.0} s by CPU, {vmap:.0} s by vmap, {dma:.0} s by DMA"
    ));
    report.expect(
        total >= goal,
        &format!("{:.1} GiB are checked", arguments.gib),
        &format!("{:.2} GiB were, in {took:.0} s", gib(total)),
    );
    report.note(&format!(
        "{:.2} GiB from what was kept, {:.2} GiB newly allocated",
        gib(hits),
        gib(misses)
    ));
    report.expect(
        hits * 100 >= (hits + misses) * arguments.reused,
        &format!("{} percent of the memory was reused", arguments.reused),
        &format!("{} percent was", hits * 100 / (hits + misses).max(1)),
    );
    report.expect(
        found.foreign == 0,
        "0 foreign bytes",
        &format!(
            "{} foreign bytes\n{}",
            found.foreign,
            found.places.join("\n")
        ),
    );
    patient.restore()?;
    heaps::expect_idle(&mut report, &heaps);
    Ok(report.finish())
}

/// Takes turns with the heaps until its share is done.
fn work(heaps: &[String], mut rng: Rng, goal: u64, end: Instant) -> Found {
    let mut found = Found::default();
    let mut thieves = Vec::new();
    for heap in heaps {
        match Thief::new(heap, Rng::new(rng.word())) {
            Ok(thief) => thieves.push(thief),
            Err(error) => {
                found.failed = Some(error.to_string());
                return found;
            }
        }
    }
    while found.total() < goal && Instant::now() < end {
        let mut turn = rng.below(0..CLASSES.iter().map(|class| class.rounds).sum());
        let class = CLASSES.iter().position(|class| {
            let its = turn < class.rounds;
            turn = turn.saturating_sub(class.rounds);
            its
        });
        let class = class.unwrap_or(0);
        for thief in &mut thieves {
            if let Err(error) = thief.round(class, &mut found) {
                found.failed = Some(error.to_string());
                return found;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_have_no_zero_byte_alone() {
        // Every word of a page that was written shows.
        for class in 0..CLASSES.len() {
            for way in 0..WAYS.len() {
                assert_ne!(mark(class, way), 0);
            }
        }
    }

    #[test]
    fn classes_are_made_of_one_size() {
        let page = page_size();
        for class in &CLASSES {
            let len = (class.len)(page);
            assert_eq!(len % page, 0);
            assert!(class.batch >= len);
        }
    }
}
