// SPDX-License-Identifier: GPL-2.0

//! Who uses the heaps: allocates, writes, verifies, passes on, until killed.

use crate::channel::Channel;
use crate::heaps;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Error;
use dma_heap::Heap;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use dma_heap::page_size;
use dma_heap::pattern::Pattern;
use dma_heap::rng::Rng;
use dma_heap::sys::pages::Pages;
use std::os::fd::AsFd as _;
use std::time::Duration;

/// What a worker can do, as its lines call it.
pub(super) const DEEDS: [&str; 8] = [
    "allocate",
    "verify",
    "write by vmap",
    "write by DMA",
    "send",
    "receive",
    "keep a mapping",
    "give back",
];
const ALLOCATE: usize = 0;
const VERIFY: usize = 1;
const VMAP: usize = 2;
const DMA: usize = 3;
const SEND: usize = 4;
const RECEIVE: usize = 5;
const KEEP: usize = 6;
const GIVE_BACK: usize = 7;

/// Threads of a worker.
const THREADS: usize = 2;
/// Buffers of a thread.
const BUFFERS: usize = 6;
/// Deeds between two lines that count them: who is killed loses the last.
const LINE: u64 = 4;

/// Buffers of one worker at most, in bytes.
pub(super) const MOST: u64 = (THREADS * BUFFERS) as u64 * (4 << 20);

/// What a worker is told.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) seed: u64,
    pub(super) index: usize,
    pub(super) workers: usize,
    pub(super) run: u32,
    pub(super) heaps: Vec<String>,
}

/// A buffer and what it holds.
struct Held {
    buffer: Buffer,
    pattern: Pattern,
    /// Mappings that outlive what happens to the buffer.
    pages: Option<Pages>,
}

struct Worker {
    task: Task,
    heaps: Vec<Heap>,
    channel: Option<Channel>,
    importer: Option<Importer>,
    held: Vec<Held>,
    rng: Rng,
    counts: [u64; DEEDS.len()],
}

/// Why a deed was not done.
enum Undone {
    /// Something that may be refused was.
    Refused,
    /// What must not be.
    Wrong(String),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        match error.errno() {
            // No memory, or a limit that was just lowered.
            Some(Errno::NOMEM) => Self::Refused,
            _ => Self::Wrong(error.to_string()),
        }
    }
}

fn size(rng: &mut Rng) -> u64 {
    let page = page_size();
    let bytes = match rng.below(0..16) {
        0..6 => rng.below(1..17) * page,
        6..10 => rng.below(1..17) * (64 << 10),
        10..13 => 1 << 20,
        13 => 2 << 20,
        14 => (2 << 20) + (64 << 10) + page,
        _ => rng.below(1..1025) * page,
    };
    bytes.min(4 << 20) as u64
}

fn fill(buffer: &Buffer, pattern: Pattern) -> Result<(), Undone> {
    let mut mapping = buffer.map()?;
    let access = mapping.write()?;
    access.fill_with(|index| pattern.word(index));
    Ok(access.finish()?)
}

fn expect(buffer: &Buffer, wanted: impl Fn(usize) -> u64) -> Result<(), Undone> {
    let mapping = buffer.map()?;
    let access = mapping.read()?;
    match access.find_mismatch(&wanted) {
        Some((index, word)) => Err(Undone::Wrong(format!(
            "word {index} of {} bytes is {word:#x} instead of {:#x}",
            buffer.len(),
            wanted(index)
        ))),
        None => Ok(access.finish()?),
    }
}

/// The first words of a pattern, as bytes.
fn bytes(pattern: Pattern, count: u64) -> Vec<u8> {
    (0..usize::try_from(count / 8).unwrap_or(0))
        .flat_map(|index| pattern.word(index).to_ne_bytes())
        .collect()
}

impl Worker {
    fn pattern(&mut self) -> Pattern {
        Pattern::new(self.rng.word())
    }

    /// One of the held buffers.
    fn any(&mut self) -> Result<usize, Undone> {
        match self.held.len() {
            0 => Err(Undone::Refused),
            count => Ok(self.rng.below(0..count)),
        }
    }

    fn allocate(&mut self) -> Result<usize, Undone> {
        if self.held.len() >= BUFFERS {
            let index = self.any()?;
            self.held.swap_remove(index);
        }
        let pattern = self.pattern();
        let size = size(&mut self.rng);
        let heap = self.rng.below(0..self.heaps.len());
        let Some(heap) = self.heaps.get(heap) else {
            return Err(Undone::Refused);
        };
        let buffer = heap.alloc(size)?;
        // A new buffer is zero, looked at or not.
        if self.rng.below(0..2) == 0 {
            expect(&buffer, |_| 0)?;
        }
        fill(&buffer, pattern)?;
        self.held.push(Held {
            buffer,
            pattern,
            pages: None,
        });
        Ok(ALLOCATE)
    }

    fn verify(&mut self) -> Result<usize, Undone> {
        let index = self.any()?;
        let Some(held) = self.held.get(index) else {
            return Err(Undone::Refused);
        };
        expect(&held.buffer, |index| held.pattern.word(index))?;
        if let Some(pages) = &held.pages {
            let wanted = held.pattern.word(0);
            let word = pages.load(0, 0);
            if word != Some(wanted) {
                return Err(Undone::Wrong(format!(
                    "a mapping that was kept shows {word:x?} instead of {wanted:#x}"
                )));
            }
        }
        Ok(VERIFY)
    }

    /// Writes by an importer, and looks with the CPU.
    fn write(&mut self, dma: bool) -> Result<usize, Undone> {
        let index = self.any()?;
        let pattern = self.pattern();
        let (Some(importer), Some(held)) = (&self.importer, self.held.get_mut(index)) else {
            return Err(Undone::Refused);
        };
        let bytes = bytes(pattern, held.buffer.len());
        if dma {
            let attachment = importer.attach(&held.buffer)?;
            let mapping = attachment.map(Direction::Both)?;
            mapping.write(0, &bytes)?;
            mapping.release()?;
            attachment.release()?;
        } else {
            let vmap = importer.vmap(&held.buffer)?;
            vmap.write(0, &bytes)?;
            vmap.release()?;
        }
        held.pattern = pattern;
        expect(&held.buffer, |index| pattern.word(index))?;
        Ok(if dma { DMA } else { VMAP })
    }

    /// Gives a buffer to another process, or this one.
    fn send(&mut self) -> Result<usize, Undone> {
        let index = self.any()?;
        let to = self.rng.below(0..self.task.workers);
        let (Some(channel), Some(held)) = (&self.channel, self.held.get(index)) else {
            return Err(Undone::Refused);
        };
        // Its word 0 says which pattern it is; the note too.
        let note = held.pattern.seed().to_ne_bytes();
        match channel.send(to, held.buffer.as_fd(), &note) {
            Ok(()) => {
                self.held.swap_remove(index);
                Ok(SEND)
            }
            // Dead, or busy.
            Err(Errno::CONNREFUSED | Errno::AGAIN | Errno::TOOMANYREFS) => Err(Undone::Refused),
            Err(errno) => Err(Undone::Wrong(format!("a buffer cannot be sent: {errno:?}"))),
        }
    }

    fn receive(&mut self) -> Result<usize, Undone> {
        let Some(channel) = &self.channel else {
            return Err(Undone::Refused);
        };
        let (fd, note) = match channel.receive() {
            Ok((Some(fd), note)) => (fd, note),
            _ => return Err(Undone::Refused),
        };
        let buffer = Buffer::from_fd(fd)?;
        let pattern = Pattern::new(u64::from_ne_bytes(note));
        expect(&buffer, |index| pattern.word(index))?;
        if self.held.len() >= BUFFERS {
            let index = self.any()?;
            self.held.swap_remove(index);
        }
        self.held.push(Held {
            buffer,
            pattern,
            pages: None,
        });
        Ok(RECEIVE)
    }

    fn keep_mapping(&mut self) -> Result<usize, Undone> {
        let index = self.any()?;
        let Some(held) = self.held.get_mut(index) else {
            return Err(Undone::Refused);
        };
        match Pages::map(held.buffer.as_fd(), 0, 1, true) {
            Ok(pages) => held.pages = Some(pages),
            Err(Errno::NOMEM) => return Err(Undone::Refused),
            Err(errno) => return Err(Undone::Wrong(format!("mmap: {errno:?}"))),
        }
        Ok(KEEP)
    }

    fn give_back(&mut self) -> Result<usize, Undone> {
        let index = self.any()?;
        self.held.swap_remove(index);
        Ok(GIVE_BACK)
    }

    fn step(&mut self) -> Result<usize, Undone> {
        match self.rng.below(0..16) {
            0..4 => self.allocate(),
            4..7 => self.verify(),
            7 => self.write(false),
            8 => self.write(true),
            9..11 => self.send(),
            11..13 => self.receive(),
            13 => self.keep_mapping(),
            _ => self.give_back(),
        }
    }

    /// Goes on until killed, or something is wrong.
    fn work(&mut self) {
        let mut number = 0u64;
        loop {
            match self.step() {
                Ok(deed) => {
                    if let Some(count) = self.counts.get_mut(deed) {
                        *count += 1;
                    }
                }
                // The machine may have nothing for anybody just now.
                Err(Undone::Refused) => std::thread::sleep(Duration::from_millis(1)),
                Err(Undone::Wrong(what)) => {
                    println!("finding worker {}: {what}", self.task.index);
                    std::process::exit(1);
                }
            }
            number += 1;
            if number % LINE == 0 {
                let counts = std::mem::take(&mut self.counts);
                println!("did {}", counts.map(|count| count.to_string()).join(" "));
            }
        }
    }
}

/// Adds up a line that a worker printed; `None` if it is none of those.
pub(super) fn add_line(counts: &mut [u64; DEEDS.len()], line: &str) -> Option<()> {
    let numbers: Vec<u64> = line
        .strip_prefix("did ")?
        .split(' ')
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    for (count, more) in counts.iter_mut().zip(numbers) {
        *count += more;
    }
    Some(())
}

/// The life of a worker.
pub(super) fn run(task: &Task) -> anyhow::Result<()> {
    let mut channel = Some(Channel::open(task.run, task.index)?);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        for thread in 0..THREADS {
            let heaps = task
                .heaps
                .iter()
                .map(|name| Heap::open(name))
                .collect::<Result<Vec<_>, _>>()?;
            let importer = Importer::with_device(heaps::device()).ok();
            let channel = channel.take();
            let seed = task.seed ^ ((task.index * THREADS + thread) as u64).rotate_right(8);
            // Mappings that are kept stay in their thread.
            scope.spawn(move || {
                Worker {
                    heaps,
                    channel,
                    importer,
                    held: Vec::new(),
                    rng: Rng::new(seed),
                    counts: [0; DEEDS.len()],
                    task: task.clone(),
                }
                .work();
            });
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_add_up() {
        let mut counts = [1; DEEDS.len()];
        assert!(add_line(&mut counts, "did 1 2 3 4 5 6 7 8").is_some());
        assert_eq!(counts, [2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(add_line(&mut counts, "finding").is_none());
    }
}
