// SPDX-License-Identifier: GPL-2.0

//! The carveout heap: contiguous memory that is set aside when the module is loaded, so that no
//! allocation has to wait for others to leave it, or finds it taken.
//!
//! It is the example of a heap of your own, too. CONTRIBUTING.md leads through it.

use crate::{
    abstractions::mm::{
        block::{
            Block,
            Dirty,
            Kept, //
        },
        block_list::{
            BlockList,
            Home, //
        },
        cma::CmaArea,
        contiguous::ContiguousMemory,
        returned::Returned, //
    },
    heap_core::{
        Heap,
        HeapDescription, //
    }, //
};
use kernel::{
    kvec,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        new_mutex,
        Arc,
        Mutex,
        UniqueArc, //
    }, //
};

/// Who has what of the memory.
struct Runs {
    /// What no buffer has. No two of these runs adjoin.
    free: KVec<Block<Kept<Dirty>>>,
    /// How many runs buffers have.
    lent: usize,
}

impl Runs {
    /// How many places for free runs there have to be: each lent run needs one to come back to, and
    /// so do both parts of one that is cut in two.
    fn places(&self) -> usize {
        self.free.len() + self.lent + 2
    }

    /// Takes `nr_pages` pages out of the smallest free run that has as many in a row of which
    /// nobody else has one still. Returns [`None`] if [`Self::places`] are not there.
    ///
    /// A page that is broken goes to the area, and the log says so.
    fn take(&mut self, nr_pages: usize) -> Result<Option<Block<Dirty>>> {
        loop {
            if self.free.capacity() < self.places() {
                return Ok(None);
            }

            let runs = self.free.iter().enumerate();
            let (n, start, _) = runs
                .filter_map(|(n, run)| Some((n, run.find_unused(nr_pages)?, run.nr_pages())))
                .min_by_key(|(.., len)| *len)
                .ok_or(ENOMEM)?;
            let mut run = self.free.remove(n).map_err(|_| ENOMEM)?;

            // Either is a part of nothing where the run begins or ends with what is taken.
            run = match run.split(start) {
                Ok((before, rest)) => self.free.push_within_capacity(before).map(|()| rest)?,
                Err(run) => run,
            };
            run = match run.split(nr_pages) {
                Ok((run, rest)) => self.free.push_within_capacity(rest).map(|()| run)?,
                Err(run) => run,
            };

            match run.recheck() {
                Ok(run) => {
                    self.lent += 1;
                    return Ok(Some(run));
                }
                Err(unfit) => {
                    pr_warn!("carveout: a page with a hardware fault is not used any more\n");
                    // A cut takes a place more.
                    for part in unfit.cut_out().into_iter().flatten() {
                        self.put(part);
                    }
                }
            }
        }
    }

    /// Takes back what a buffer had.
    fn take_back(&mut self, run: Block<Kept<Dirty>>) {
        self.lent -= 1;
        self.put(run);
    }

    /// Adds a free run, joined with those that it adjoins.
    fn put(&mut self, mut run: Block<Kept<Dirty>>) {
        while let Some(n) = self.free.iter().position(|other| other.adjoins(&run)) {
            match self.free.remove(n) {
                Ok(other) => run = run.join(other).unwrap_or_else(|(run, _)| run),
                Err(_) => break,
            }
        }
        // There is room, by `take`.
        let _ = self.free.push_within_capacity(run);
    }
}

/// The heap's memory. Each buffer holds a reference, to give its run back.
#[pin_data]
struct Carveout {
    /// Where the runs came from, and broken pages go.
    _memory: Arc<ContiguousMemory>,
    /// What was set aside, in bytes.
    capacity: u64,
    #[pin]
    runs: Mutex<Runs>,
}

impl Carveout {
    /// Takes a run for a buffer.
    fn take(&self, nr_pages: usize) -> Result<Block<Dirty>> {
        let mut spare = KVec::new();

        loop {
            let places = {
                let mut runs = self.runs.lock();

                if spare.capacity() >= runs.places() {
                    let less = core::mem::replace(&mut runs.free, spare);

                    for run in less {
                        runs.free.push_within_capacity(run)?;
                    }
                }
                if let Some(run) = runs.take(nr_pages)? {
                    return Ok(run);
                }
                2 * runs.places()
            };

            // Without the lock, which is all users'.
            spare = KVec::with_capacity(places, GFP_KERNEL)?;
        }
    }
}

impl Home for Carveout {
    fn take_back(&self, blocks: Returned) {
        blocks.for_each(|block| self.runs.lock().take_back(block.into_dirty()));
    }
}

impl Heap for Arc<Carveout> {
    fn contiguous(&self) -> bool {
        true
    }

    fn capacity(&self) -> Option<u64> {
        Some(self.capacity)
    }

    fn allocate(&self, nr_pages: usize) -> Result<UniqueArc<BlockList>> {
        let mut list = BlockList::with_capacity(1)?;
        let run = self.take(nr_pages)?;
        // It comes back as it was if the task is being killed.
        let run = run.zero().map_err(|run| {
            self.runs.lock().take_back(run.keep());
            EINTR
        })?;

        list.push(run)?;
        list.set_home(self.clone());
        Ok(list)
    }
}

/// Describes the heap, of `mib` MiB of the default contiguous area, or returns [`None`] for 0.
///
/// Returns `ENOMEM`, with a line in the log, if the area does not have that in one piece.
pub(super) fn describe(mib: u32) -> Result<Option<HeapDescription>> {
    if mib == 0 {
        return Ok(None);
    }

    let (memory, run) = CmaArea::default_area()
        .zip((mib as usize).checked_mul(1 << (20 - PAGE_SHIFT)))
        .ok_or(ENOMEM)
        .and_then(|(area, nr_pages)| {
            let memory = ContiguousMemory::new(area)?;
            let run = Block::alloc_contiguous(&memory, nr_pages)?;

            Ok((memory, run))
        })
        .inspect_err(|_| {
            pr_err!("carveout_mib={mib}: the default contiguous area has no free range of that size; ask for less, or boot with cma=256M or more\n")
        })?;
    let free = kvec![run.keep()]?;
    let runs = new_mutex!(Runs { free, lent: 0 });
    let carveout = Arc::pin_init(
        pin_init!(Carveout {
            _memory: memory,
            capacity: u64::from(mib) << 20,
            runs <- runs,
        }),
        GFP_KERNEL,
    )?;

    Ok(Some(HeapDescription {
        name: c"carveout",
        kernel_has_it: false,
        heap: KBox::new(carveout, GFP_KERNEL)?,
    }))
}
