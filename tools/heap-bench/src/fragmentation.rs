// SPDX-License-Identifier: GPL-2.0

//! Buffers in small pieces, made in a machine whose free memory is in pieces.
//!
//! A file in memory takes all free memory, page after page, and then loses
//! every second page: what is free now is single pages. The buffers are
//! allocated then, and the file goes before anything is measured.
//!
//! The kernel's system heap has no mercy: where memory runs out it has the OOM killer
//! kill somebody, this process first. So each allocation is made only if there is room for
//! it, by the kernel's count. What the contiguous areas have does not count: heaps get
//! nothing of that. All in all it takes, beside what is in use and those areas,
//! twice the buffers' memory, [`SPARE`] and [`RESERVE`]. What a machine has above that
//! is taken in large blocks first, for to take memory to pieces takes long.
//!
//! To take memory to pieces has the kernel raise the mark below which there is none, by up to
//! a tenth of all (vm.watermark_boost_factor). It must not, meanwhile.

use super::meminfo::Meminfo;
use anyhow::Context as _;
use anyhow::ensure;
use dma_heap::Buffer;
use dma_heap::Heap;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use rustix::fs::FallocateFlags;
use rustix::fs::MemfdFlags;
use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;
use std::time::Instant;

/// Bytes to leave free while the file grows, so that the kernel need not
/// reclaim, which would undo the work.
const SPARE: u64 = 128 << 20;

/// Bytes that are left to the kernel, below which it would have to look for memory.
const RESERVE: u64 = 32 << 20;

/// Pages by which the file grows.
const STEP: usize = 1024;

/// Bytes by which is taken away what is not needed at all.
const SURPLUS: usize = 32 << 20;

/// Bytes of each buffer that takes away what the file has left in one piece.
const BALLAST: u64 = 2 << 20;

/// Makes buffers of these sizes from each of `heaps`. `filler` is the heap that
/// takes the memory that is still in one piece.
pub(crate) fn stock(
    importer: &Importer,
    heaps: &[&Heap],
    filler: &Heap,
    sizes: &[u64],
) -> anyhow::Result<Vec<Vec<Buffer>>> {
    let _boost = NoBoost::new()?;
    let needed = sizes.iter().sum::<u64>() * heaps.len() as u64;
    let surplus = take_surplus(2 * needed + 2 * SPARE)?;
    let file = take_every_second_page()?;
    expect_room(needed)?;
    let mut ballast = take_large_blocks(importer, filler)?;
    let mut stocks: Vec<Vec<Buffer>> = heaps.iter().map(|_| Vec::new()).collect();
    // In turn: what is left of larger blocks is for all.
    for size in sizes {
        for (heap, stock) in heaps.iter().zip(&mut stocks) {
            stock.push(alloc_in_pieces(importer, heap, *size, &mut ballast)?);
        }
    }
    drop((ballast, surplus));
    drop(file);
    Ok(stocks)
}

/// Allocates until a buffer comes in small pieces, mostly. The others become
/// ballast: the kernel puts free memory together again meanwhile, and they take
/// what it has got.
fn alloc_in_pieces(
    importer: &Importer,
    heap: &Heap,
    size: u64,
    ballast: &mut Vec<Buffer>,
) -> anyhow::Result<Buffer> {
    let pages = size / dma_heap::page_size() as u64;
    let mut taken = 0;
    loop {
        expect_room(size)?;
        let buffer = heap.alloc(size)?;
        let pieces = pieces(importer, &buffer)?;
        if pieces >= pages / 2 {
            return Ok(buffer);
        }
        taken += size;
        ensure!(
            taken < 4 * SPARE,
            "the memory cannot be fragmented: a buffer of {pages} pages still has {pieces} pieces"
        );
        ballast.push(buffer);
    }
}

/// Keeps the kernel from raising its marks, until it is dropped.
struct NoBoost {
    before: String,
}

impl NoBoost {
    const FACTOR: &str = "/proc/sys/vm/watermark_boost_factor";
    /// The kernel lowers them when it next looks after its memory.
    const PATIENCE: Duration = Duration::from_secs(5);

    fn new() -> anyhow::Result<Self> {
        let before = fs::read_to_string(Self::FACTOR).context(Self::FACTOR)?;
        fs::write(Self::FACTOR, "0").context(Self::FACTOR)?;
        let this = Self { before };
        let start = Instant::now();
        while boost(&fs::read_to_string("/proc/zoneinfo")?) > 0 {
            ensure!(
                start.elapsed() < Self::PATIENCE,
                "the kernel keeps memory aside for larger blocks, and the OOM killer would come"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(this)
    }
}

impl Drop for NoBoost {
    fn drop(&mut self) {
        // It was written a moment ago.
        let _ = fs::write(Self::FACTOR, &self.before);
    }
}

/// By how many pages marks are raised, in all zones.
fn boost(zones: &str) -> u64 {
    zones
        .lines()
        .filter_map(|line| line.trim().strip_prefix("boost"))
        .filter_map(|count| count.trim().parse::<u64>().ok())
        .sum()
}

/// Fails unless so many bytes can be had without the OOM killer.
fn expect_room(bytes: u64) -> anyhow::Result<()> {
    let meminfo = Meminfo::read()?;
    let free = room(&meminfo)?;
    ensure!(
        bytes <= free,
        "the machine's memory is too small: fragmented buffers take {} MiB more, and {} MiB are \
         free beside what the kernel needs and the contiguous areas have",
        bytes.div_ceil(1 << 20),
        free >> 20
    );
    Ok(())
}

/// Free bytes that a heap may take.
fn room(meminfo: &Meminfo) -> anyhow::Result<u64> {
    // A kernel without contiguous areas has no such line.
    let areas = meminfo.bytes("CmaFree").unwrap_or(0);
    let free = meminfo.bytes("MemFree")?;
    Ok(free.saturating_sub(areas).saturating_sub(RESERVE))
}

/// Takes memory until there is room for no more than so many bytes. Not from a heap, which may have
/// a limit.
fn take_surplus(keep: u64) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut surplus = Vec::new();
    while room(&Meminfo::read()?)? > keep + SURPLUS as u64 {
        // Not zeroes, for which no memory would be taken.
        surplus.push(vec![1; SURPLUS]);
    }
    Ok(surplus)
}

fn take_every_second_page() -> anyhow::Result<File> {
    let page = dma_heap::page_size();
    let name = "heap bench: fragmentation";
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)
        .context("cannot make a file in memory")?;
    let file = File::from(file);
    let zeros = vec![0; STEP * page];
    let mut pages = 0;
    while Meminfo::read()?.bytes("MemFree")? > SPARE + zeros.len() as u64 {
        file.write_all_at(&zeros, pages * page as u64)
            .context("cannot fill the memory")?;
        pages += STEP as u64;
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for odd in (1..pages).step_by(2) {
        rustix::fs::fallocate(&file, flags, odd * page as u64, page as u64)
            .context("cannot give pages back")?;
    }
    Ok(file)
}

/// Entries of the buffer's scatterlist. 0 if it cannot be mapped: where devices
/// bounce, that is for the size of an entry.
fn pieces(importer: &Importer, buffer: &Buffer) -> anyhow::Result<u64> {
    let attachment = importer.attach(buffer)?;
    let pieces = match attachment.map(Direction::ToDevice) {
        Ok(mapping) => mapping.range_count(),
        Err(error) if error.errno().is_some() => 0,
        Err(error) => return Err(error.into()),
    };
    attachment.release()?;
    Ok(pieces)
}

/// Takes the memory that is still in larger pieces.
fn take_large_blocks(importer: &Importer, heap: &Heap) -> anyhow::Result<Vec<Buffer>> {
    let mut ballast = Vec::new();
    let last = alloc_in_pieces(importer, heap, BALLAST, &mut ballast)?;
    ballast.push(last);
    Ok(ballast)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_all_zones() {
        let zones = "Node 0, zone DMA\n  pages free 3\n        boost    0\n        min      87\n\
                     Node 0, zone DMA32\n        boost    22528\n        min      1\n";
        assert_eq!(boost(zones), 22528);
    }

    #[test]
    fn what_contiguous_areas_have_is_no_room() {
        let room = |text: &str| room(&Meminfo::from(text)).ok();
        assert_eq!(
            room("MemFree: 131072 kB\nCmaFree: 65536 kB\n"),
            Some(32 << 20)
        );
        assert_eq!(room("MemFree: 65536 kB\n"), Some(32 << 20));
        assert_eq!(room("MemFree: 65536 kB\nCmaFree: 65000 kB\n"), Some(0));
        assert_eq!(room("MemTotal: 65536 kB\n"), None);
    }
}
