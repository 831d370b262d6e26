// SPDX-License-Identifier: GPL-2.0

//! The checks themselves.

use super::content::expect_words;
use super::content::fill;
use super::device;
use super::report::Check;
use super::report::Checked;
use super::report::Row;
use super::report::Status;
use super::sharing;
use crate::quantity::format_size;
use anyhow::anyhow;
use anyhow::ensure;
use dma_heap::Buffer;
use dma_heap::Heap;
use dma_heap::HeapInfo;
use dma_heap::importer::Importer;
use dma_heap::kcore::CheckError;
use dma_heap::kcore::Contiguity;
use dma_heap::kcore::Kcore;
use dma_heap::kcore::Unavailable;
use dma_heap::pattern::Pattern;
use std::time::Instant;

/// How often a buffer is dirtied, freed and allocated again: enough for the
/// memory of one round to come back in another although a pool stands between.
const ROUNDS: usize = 4;

/// Bytes of a buffer that shows where a heap's memory is: a large one is found
/// in few steps, and small ones are near it.
const LOCATOR: u64 = 4 << 20;

/// What is kept from one buffer to the next.
pub(super) struct Verifier {
    kcore: Option<Result<Kcore, Unavailable>>,
    /// The device to go through, if one was asked for.
    importer: Option<Importer>,
    /// The heap that was located last.
    located: String,
}

/// The statuses of one buffer, as they come.
struct Checks(Vec<Checked>);

impl Checks {
    fn add(&mut self, check: Check, status: Status) {
        self.0.push(Checked { check, status });
    }

    /// Adds the result of a check that has no other outcome than pass and
    /// fail.
    fn expect(&mut self, check: Check, result: anyhow::Result<()>) {
        self.add(
            check,
            match result {
                Ok(()) => Status::Passed,
                Err(error) => Status::Failed(format!("{error:#}")),
            },
        );
    }
}

impl Verifier {
    /// With `importer`, buffers go through the test importer, too. Fails if
    /// that is not there.
    pub(super) fn new(importer: bool) -> Result<Self, dma_heap::Error> {
        Ok(Self {
            kcore: None,
            importer: if importer {
                Some(device::open()?)
            } else {
                None
            },
            located: String::new(),
        })
    }

    /// Makes every check of a heap with buffers of `size` bytes.
    pub(super) fn verify(&mut self, info: &HeapInfo, size: u64) -> Row {
        let start = Instant::now();
        let mut checks = Checks(Vec::new());
        self.all(info, size, &mut checks);
        Row {
            heap: info.name.clone(),
            size,
            checks: checks.0,
            ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn all(&mut self, info: &HeapInfo, size: u64, checks: &mut Checks) {
        let limit = info.attributes.as_ref().and_then(|own| own.limit);
        if let Some(limit) = limit.filter(|limit| size > *limit) {
            let reason = format!(
                "{} is above the heap's limit of {}",
                format_size(size),
                format_size(limit)
            );
            checks.add(Check::Alloc, Status::Skipped(reason));
            return;
        }
        let (heap, buffer) = match open_and_alloc(info, size) {
            Ok(both) => both,
            Err(error) => {
                checks.add(Check::Alloc, Status::Failed(error.to_string()));
                return;
            }
        };
        checks.add(Check::Alloc, Status::Passed);
        checks.expect(Check::Size, check_size(&buffer, size));
        checks.expect(Check::Zeroed, check_zeroed(&buffer));
        checks.expect(Check::Pattern, check_pattern(&buffer));
        checks.expect(Check::SecondMapping, check_second_mapping(&buffer));
        if buffer.len() > dma_heap::page_size() as u64 {
            checks.expect(Check::Offset, check_offsets(&buffer));
        } else {
            checks.add(Check::Offset, Status::NotApplicable("one page"));
        }
        checks.expect(Check::Dup, sharing::check_dup(&buffer));
        checks.expect(Check::Fork, sharing::check_fork(&buffer));
        checks.expect(Check::Socket, sharing::check_socket(&buffer));
        if let Some(importer) = &self.importer {
            checks.expect(Check::DmaRead, device::check_read(importer, &buffer));
            checks.expect(Check::DmaWrite, device::check_write(importer, &buffer));
            checks.expect(Check::Vmap, device::check_vmap(importer, &buffer));
        }
        let contiguous = self.contiguous(info, &heap, &buffer);
        drop(buffer);
        checks.expect(Check::Reuse, check_reuse(&heap, size));
        checks.add(Check::Contiguous, contiguous);
    }

    fn contiguous(&mut self, info: &HeapInfo, heap: &Heap, buffer: &Buffer) -> Status {
        let promised = info.attributes.as_ref().and_then(|own| own.contiguous);
        if promised != Some(true) {
            return Status::NotApplicable("not promised");
        }
        let kcore = match self.kcore.get_or_insert_with(Kcore::open) {
            Ok(kcore) => kcore,
            Err(reason) => return Status::Skipped(reason.to_string()),
        };
        if self.located != info.name {
            self.located.clone_from(&info.name);
            // Should this fail, the search only takes longer.
            let _ = heap
                .alloc(LOCATOR)
                .map_err(CheckError::from)
                .and_then(|buffer| check_contiguous(kcore, &buffer));
        }
        match check_contiguous(kcore, buffer) {
            Ok(Contiguity::Contiguous { .. }) => Status::Passed,
            Ok(Contiguity::Scattered {
                found,
                at,
                elsewhere,
            }) => Status::Failed(format!(
                "page {found} of the buffer is at physical address {at:#x}, but page {elsewhere} \
                 is not where it would be in a row with it"
            )),
            Ok(Contiguity::NotFound) => {
                Status::Skipped("the buffer is not in the RAM that /proc/kcore shows".into())
            }
            Err(CheckError::Unavailable(reason)) => Status::Skipped(reason.to_string()),
            Err(error) => Status::Failed(error.to_string()),
        }
    }
}

fn check_contiguous(kcore: &mut Kcore, buffer: &Buffer) -> Result<Contiguity, CheckError> {
    kcore.check(&mut buffer.map()?)
}

fn open_and_alloc(info: &HeapInfo, size: u64) -> Result<(Heap, Buffer), dma_heap::Error> {
    let heap = Heap::open(&info.name)?;
    let buffer = heap.alloc(size)?;
    Ok((heap, buffer))
}

fn check_size(buffer: &Buffer, size: u64) -> anyhow::Result<()> {
    let wanted = dma_heap::page_align(size).ok_or_else(|| anyhow!("the size overflows"))?;
    ensure!(
        buffer.len() == wanted,
        "the buffer has {} bytes instead of {wanted}",
        buffer.len()
    );
    Ok(())
}

fn check_zeroed(buffer: &Buffer) -> anyhow::Result<()> {
    expect_words(&buffer.map()?, |_| 0)
}

fn check_pattern(buffer: &Buffer) -> anyhow::Result<()> {
    let pattern = Pattern::random()?;
    let mut mapping = buffer.map()?;
    fill(&mut mapping, pattern)?;
    expect_words(&mapping, |index| pattern.word(index))
}

fn check_second_mapping(buffer: &Buffer) -> anyhow::Result<()> {
    let mut first = buffer.map()?;
    let mut second = buffer.map()?;
    for first_writes in [true, false] {
        let pattern = Pattern::random()?;
        let (to, from) = if first_writes {
            (&mut first, &second)
        } else {
            (&mut second, &first)
        };
        fill(to, pattern)?;
        expect_words(from, |index| pattern.word(index))?;
    }
    Ok(())
}

/// Maps from the second, the middle and the last page on, and the second page
/// alone.
fn check_offsets(buffer: &Buffer) -> anyhow::Result<()> {
    let pattern = Pattern::random()?;
    let mut whole = buffer.map()?;
    fill(&mut whole, pattern)?;
    let page = dma_heap::page_size();
    let pages = whole.len() / page;
    for (first, count) in [
        (1, pages - 1),
        (pages / 2, pages - pages / 2),
        (pages - 1, 1),
        (1, 1),
    ] {
        let offset = first * page;
        let part = buffer.map_range(offset as u64, (count * page) as u64)?;
        let skipped = offset / size_of::<u64>();
        expect_words(&part, |index| pattern.word(skipped + index))
            .map_err(|error| error.context(format!("mapped from byte {offset} on")))?;
    }
    // And written there, it must arrive in its place.
    let offset = (pages - 1) * page;
    let mut part = buffer.map_range(offset as u64, page as u64)?;
    let skipped = offset / size_of::<u64>();
    let access = part.write()?;
    access.fill_with(|index| !pattern.word(skipped + index));
    access.finish()?;
    expect_words(&whole, |index| {
        if index < skipped {
            pattern.word(index)
        } else {
            !pattern.word(index)
        }
    })
}

fn check_reuse(heap: &Heap, size: u64) -> anyhow::Result<()> {
    for round in 1..=ROUNDS {
        let buffer = heap.alloc(size)?;
        let mut mapping = buffer.map()?;
        expect_words(&mapping, |_| 0)
            .map_err(|error| error.context(format!("allocated again, round {round}")))?;
        fill(&mut mapping, Pattern::random()?)?;
    }
    Ok(())
}
