// SPDX-License-Identifier: GPL-2.0

//! Buffers in small pieces, made in a machine whose free memory is in pieces.
//!
//! A file in memory takes all free memory, page after page, and then loses
//! every second page: what is free now is single pages. The buffers are
//! allocated then, and the file goes before anything is measured.

use super::meminfo::Meminfo;
use super::vmap;
use anyhow::Context as _;
use anyhow::ensure;
use dma_heap::Buffer;
use dma_heap::Heap;
use dma_heap::importer::Importer;
use rustix::fs::FallocateFlags;
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Bytes to leave free while the file grows, so that the kernel need not
/// reclaim, which would undo the work.
const SPARE: u64 = 128 << 20;

/// Pages by which the file grows.
const STEP: usize = 1024;

/// Bytes of each buffer that takes away what the file has left in one piece.
const BALLAST: u64 = 2 << 20;

/// Makes buffers of these sizes from each of `heaps`. `filler` is the heap that
/// takes the memory that is still in one piece.
pub(super) fn stock(
    importer: &Importer,
    heaps: &[&Heap],
    filler: &Heap,
    sizes: &[u64],
) -> anyhow::Result<Vec<Vec<Buffer>>> {
    let file = take_every_second_page()?;
    let ballast = take_large_blocks(importer, filler)?;
    let mut stocks: Vec<Vec<Buffer>> = heaps.iter().map(|_| Vec::new()).collect();
    // In turn: what is left of larger blocks is for all.
    for size in sizes {
        for (heap, stock) in heaps.iter().zip(&mut stocks) {
            stock.push(heap.alloc(*size)?);
        }
    }
    drop(ballast);
    drop(file);
    Ok(stocks)
}

fn take_every_second_page() -> anyhow::Result<File> {
    let page = dma_heap::page_size();
    let name = "dmaheap bench: fragmentation";
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

/// Allocates until a buffer comes in small pieces, mostly.
fn take_large_blocks(importer: &Importer, heap: &Heap) -> anyhow::Result<Vec<Buffer>> {
    let pages = BALLAST / dma_heap::page_size() as u64;
    let mut ballast = Vec::new();
    loop {
        let buffer = heap.alloc(BALLAST)?;
        let segments = vmap::segments(importer, &buffer)?;
        ballast.push(buffer);
        if segments >= pages / 2 {
            return Ok(ballast);
        }
        ensure!(
            ballast.len() as u64 * BALLAST < 4 * SPARE,
            "the memory cannot be fragmented: a buffer of {pages} pages still has {segments} \
             segments"
        );
    }
}
