// SPDX-License-Identifier: GPL-2.0

//! A process of the fuzzer: one thread that owns its memory, and one that
//! disturbs it.

use super::kinds::Outcome;
use super::kinds::Run;
use super::node::Request;
use super::stream;
use super::stream::COUNT;
use super::stream::Operation;
use super::stream::Stream;
use crate::channel::Channel;
use crate::sys::arena::Arena;
use crate::sys::arena::MAP;
use crate::sys::arena::MAPS;
use crate::sys::arena::Place;
use crate::sys::fds::Slot;
use crate::sys::process;
use anyhow::Context as _;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::HeapInfo;
use dma_heap::rng::Rng;
use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Duration;
use std::time::Instant;

/// Descriptors of dma-bufs.
const BUFFERS: usize = 16;
/// Descriptors of sync files.
const FENCES: usize = 4;
/// Open test importers.
const IMPORTERS: usize = 2;

/// What a worker is told.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) seed: u64,
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    /// Operations of both threads together.
    pub(crate) operations: u64,
    pub(crate) time: Duration,
    /// Names the sockets: the same for all workers of a run.
    pub(crate) run: u32,
    pub(crate) heaps: Vec<String>,
    pub(crate) verbose: bool,
}

/// What a thread does its operations with.
#[derive(Clone, Copy)]
pub(crate) struct Hand {
    pub(crate) arena: &'static Arena,
    pub(crate) index: usize,
}

impl Hand {
    pub(crate) fn buffer(&self, rng: &mut Rng) -> Slot {
        Slot::new(rng.below(0..BUFFERS))
    }

    /// An ioctl with an argument that lies at `place`.
    pub(crate) fn ioctl(
        &self,
        number: RawFd,
        command: u32,
        argument: &[u8],
        place: Place,
    ) -> Result<i64, Errno> {
        self.arena.put(self.index, place, argument);
        let address = self.arena.address(self.index, place, argument.len());
        self.arena.ioctl(number, command, address)
    }
}

/// A place that is no ordinary memory.
pub(crate) fn bad_place(rng: &mut Rng) -> Place {
    match rng.below(0..6) {
        0 => Place::Guard,
        1 => Place::Null,
        2 => Place::Kernel,
        3 => Place::NonCanonical,
        _ => Place::CutShort(rng.below(0..4)),
    }
}

/// Any place, most often ordinary memory.
pub(crate) fn any_place(rng: &mut Rng) -> Place {
    match rng.below(0..12) {
        0 => bad_place(rng),
        1 => Place::ReadOnly,
        2 => Place::Map(rng.below(0..MAPS), rng.below(0..MAP)),
        _ => Place::Scratch(rng.below(0..4096) & !7),
    }
}

/// The node of a heap.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) file: OwnedFd,
    pub(crate) heap: Heap,
    pub(crate) sysfs: PathBuf,
    pub(crate) debugfs: PathBuf,
}

/// The owner's thread.
pub(crate) struct Worker {
    pub(crate) hand: Hand,
    pub(crate) task: Task,
    pub(crate) nodes: Vec<Node>,
    pub(crate) channel: Channel,
    pub(crate) reader: OwnedFd,
    pub(crate) writer: OwnedFd,
    pub(crate) zero: File,
}

impl Worker {
    fn new(task: Task, arena: &'static Arena) -> anyhow::Result<Self> {
        let nodes = task
            .heaps
            .iter()
            .map(|name| Node::open(name))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let channel = Channel::open(task.run, task.worker)?;
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self {
            hand: Hand { arena, index: 0 },
            task,
            nodes,
            channel,
            reader,
            writer,
            zero: File::open("/dev/zero")?,
        })
    }

    pub(crate) fn node(&self, rng: &mut Rng) -> Option<&Node> {
        self.nodes.get(rng.below(0..self.nodes.len()))
    }

    pub(crate) fn fence(rng: &mut Rng) -> Slot {
        Slot::new(BUFFERS + rng.below(0..FENCES))
    }

    pub(crate) fn importer(rng: &mut Rng) -> Slot {
        Slot::new(BUFFERS + FENCES + rng.below(0..IMPORTERS))
    }

    pub(crate) fn pipe(&self) -> (RawFd, RawFd) {
        (self.reader.as_raw_fd(), self.writer.as_raw_fd())
    }
}

impl Node {
    fn open(name: &str) -> anyhow::Result<Self> {
        let info = HeapInfo::of(name)?;
        let sysfs = info.sysfs.context("the heap has no directory in sysfs")?;
        Ok(Self {
            file: rustix::fs::open(
                &info.node,
                OFlags::RDWR | OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )?,
            heap: Heap::open(name)?,
            debugfs: PathBuf::from("/sys/kernel/debug/rust_dma_heap").join(name),
            sysfs,
            name: name.to_owned(),
        })
    }
}

/// How often an operation of each kind was tried and did what it should, and
/// how long all of them took in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) tries: [u64; COUNT],
    pub(crate) done: [u64; COUNT],
    pub(crate) nanos: [u64; COUNT],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            tries: [0; COUNT],
            done: [0; COUNT],
            nanos: [0; COUNT],
        }
    }
}

impl Counts {
    /// Counts an outcome; returns what is wrong with it.
    fn count(&mut self, operation: Operation, took: Duration, outcome: Outcome) -> Option<String> {
        if let Some(nanos) = self.nanos.get_mut(operation.kind) {
            *nanos += u64::try_from(took.as_nanos()).unwrap_or(0);
        }
        if let Some(tries) = self.tries.get_mut(operation.kind) {
            *tries += 1;
        }
        match outcome {
            Outcome::Done => {
                if let Some(done) = self.done.get_mut(operation.kind) {
                    *done += 1;
                }
                None
            }
            Outcome::Refused(errno) => stream::kind(operation.kind)
                .filter(|kind| !kind.errnos.contains(&errno))
                .map(|_| format!("refused with {errno:?}, which is not documented")),
            Outcome::Wrong(what) => Some(what),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.tries.iter_mut().zip(other.tries) {
            *sum += more;
        }
        for (sum, more) in self.done.iter_mut().zip(other.done) {
            *sum += more;
        }
        for (sum, more) in self.nanos.iter_mut().zip(other.nanos) {
            *sum += more;
        }
    }

    pub(crate) fn operations(&self) -> u64 {
        self.tries.iter().sum()
    }
}

/// Says that something is wrong, at once: the next operation may be the last.
fn report(task: &Task, hand: usize, number: u64, operation: Operation, what: &str) {
    let name = stream::kind(operation.kind).map_or("?", |kind| kind.name);
    println!(
        "finding worker {} thread {hand} operation {number} \"{name}\" ({:#x}): {what}",
        task.worker, operation.seed
    );
}

/// How many findings a thread reports: one fault can have many.
const MOST: usize = 20;

/// When to stop.
struct End {
    operations: u64,
    time: Instant,
}

impl End {
    /// The clock is read now and then only.
    fn is_due(&self, number: u64) -> bool {
        number >= self.operations || (number % 64 == 0 && Instant::now() >= self.time)
    }
}

fn own(worker: &mut Worker, stream: &mut Stream, end: &End) -> Counts {
    let mut counts = Counts::default();
    let mut findings = 0;
    let mut number = 0;
    while !end.is_due(number) && findings < MOST {
        let operation = stream.next();
        let mut rng = Rng::new(operation.seed);
        if worker.task.verbose {
            let name = stream::kind(operation.kind).map_or("?", |kind| kind.name);
            eprintln!("worker {} operation {number}: {name}", worker.task.worker);
        }
        let start = Instant::now();
        let outcome = match stream::kind(operation.kind).map(|kind| kind.run) {
            Some(Run::Owner(run)) => run(worker, &mut rng),
            Some(Run::Anyone(run)) => run(&worker.hand, &mut rng),
            None => Outcome::wrong("no such kind"),
        };
        if let Some(what) = counts.count(operation, start.elapsed(), outcome) {
            findings += 1;
            report(&worker.task, 0, number, operation, &what);
        }
        number += 1;
    }
    counts
}

fn disturb(task: &Task, hand: Hand, stream: &mut Stream, end: &End) -> Counts {
    let mut counts = Counts::default();
    let mut findings = 0;
    let mut number = 0;
    while !end.is_due(number) && findings < MOST {
        let operation = stream.next();
        let mut rng = Rng::new(operation.seed);
        let start = Instant::now();
        let outcome = match stream::kind(operation.kind).map(|kind| kind.run) {
            Some(Run::Anyone(run)) => run(&hand, &mut rng),
            _ => Outcome::wrong("not for this thread"),
        };
        if let Some(what) = counts.count(operation, start.elapsed(), outcome) {
            findings += 1;
            report(task, hand.index, number, operation, &what);
        }
        number += 1;
    }
    counts
}

/// Descriptors that are open and are none of the fixed numbers.
fn open_descriptors() -> std::io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok())
        .filter(|number| *number < Slot::new(0).number())
        .count())
}

/// The life of a worker. Prints findings as they come, and the counts last.
pub(crate) fn run(task: Task) -> anyhow::Result<()> {
    let arena: &'static Arena = Box::leak(Box::new(Arena::new(&Request::good().bytes())?));
    let importer = std::path::Path::new(dma_heap::importer::NODE).exists();
    let mut worker = Worker::new(task.clone(), arena)?;
    let before = open_descriptors()?;
    // Most are the disturber's, who has the quick ones.
    let time = Instant::now() + task.time;
    let end = |operations| End { operations, time };
    let quick = task.operations / 4 * 3;
    let stream = |hand| Stream::new(task.seed, task.worker, hand, importer);
    let (mut owned, mut disturbed) = (stream(0), stream(1));
    process::interrupt_every(3000 + 500 * u16::try_from(task.worker % 8)?)?;
    // What a thread needs for itself it allocates before memory is unmapped.
    let start = Barrier::new(2);
    let counts = std::thread::scope(|scope| {
        let hand = Hand { arena, index: 1 };
        let (task, start) = (&task, &start);
        let disturber = scope.spawn(move || {
            start.wait();
            disturb(task, hand, &mut disturbed, &end(quick))
        });
        start.wait();
        let mut counts = own(&mut worker, &mut owned, &end(task.operations - quick));
        if let Ok(more) = disturber.join() {
            counts.add(&more);
        }
        counts
    });
    let after = open_descriptors()?;
    if after != before {
        println!(
            "finding worker {}: {before} descriptors were open, now {after} are",
            task.worker
        );
    }
    counts_to_lines(&counts).for_each(|line| println!("{line}"));
    Ok(())
}

fn counts_to_lines(counts: &Counts) -> impl Iterator<Item = String> {
    (counts.tries.into_iter().zip(counts.done).zip(counts.nanos))
        .enumerate()
        .map(|(index, ((tries, done), nanos))| format!("count {index} {tries} {done} {nanos}"))
}

/// Adds up a line that a worker printed; `None` if it is none of those.
pub(crate) fn add_line(counts: &mut Counts, line: &str) -> Option<()> {
    let mut words = line.strip_prefix("count ")?.split(' ');
    let index: usize = words.next()?.parse().ok()?;
    for column in [&mut counts.tries, &mut counts.done, &mut counts.nanos] {
        *column.get_mut(index)? += words.next()?.parse::<u64>().ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back() {
        let mut counts = Counts::default();
        let took = Duration::from_nanos(7);
        for index in 0..COUNT {
            let operation = Operation {
                kind: index,
                seed: 0,
            };
            assert!(counts.count(operation, took, Outcome::Done).is_none());
            let odd = Outcome::Refused(Errno::DEADLK);
            assert!(counts.count(operation, took, odd).is_some());
        }
        let mut read = Counts::default();
        for line in counts_to_lines(&counts) {
            assert!(add_line(&mut read, &line).is_some());
        }
        assert_eq!(read, counts);
        assert!(add_line(&mut read, "count 1000 1 1 1").is_none());
        assert_eq!(read.operations(), 2 * COUNT as u64);
    }
}
