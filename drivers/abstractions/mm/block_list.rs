// SPDX-License-Identifier: GPL-2.0

//! The memory of one buffer, and which of it anybody may have written.

use crate::abstractions::mm::{
    block::{
        Block,
        Dirty,
        Zeroed, //
    },
    gfp::GFP_KERNEL_MAYFAIL,
    returned::Returned,
    shown_blocks::{
        Blocks,
        Shown, //
    }, //
};
use core::mem;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        UniqueArc, //
    }, //
};

/// Where a buffer's blocks go when nobody uses them any more.
pub(crate) trait Home: Send + Sync {
    /// Takes the blocks back. May sleep.
    fn take_back(&self, blocks: Returned);
}

/// The memory of one buffer: blocks in the order in which the buffer shows them.
///
/// Made from zeroed blocks only. Whoever gives somebody a way to write them has to say so first, by
/// [`Part::mark`] or [`Self::mark_all`]: the others are known to be still zero in the end. The
/// order of that mark and of the end is the reference count's.
///
/// # Invariants
///
/// - `nr_pages` is the sum of the blocks' lengths; it fits `u32`, and `usize` in bytes. Each
///   `first` is the sum of the lengths before.
/// - Unless `all_writable`, a block that is not `writable` was zeroed, and nobody but the list
///   could write it since.
pub(crate) struct BlockList {
    blocks: Blocks,
    nr_pages: u32,
    /// Whether somebody could write any block: what [`Shown::writable`] says of one.
    all_writable: Atomic<bool>,
    home: Option<Arc<dyn Home>>,
}

impl BlockList {
    /// Makes the memory of a buffer that has none yet, with room for `capacity` blocks. May sleep.
    ///
    /// It is in its place already, where many can share it once it is complete.
    pub(crate) fn with_capacity(capacity: usize) -> Result<UniqueArc<Self>> {
        let blocks = if capacity > 1 {
            Blocks::Many(KVVec::with_capacity(capacity, GFP_KERNEL_MAYFAIL)?)
        } else {
            Blocks::None
        };

        Ok(UniqueArc::new(
            Self {
                blocks,
                nr_pages: 0,
                all_writable: Atomic::new(false),
                home: None,
            },
            GFP_KERNEL,
        )?)
    }

    /// Adds a block at the end. Returns `ENOMEM` if there is no memory for another, and `EINVAL`
    /// for more bytes than fit an address. May sleep.
    pub(crate) fn push(&mut self, block: Block<Zeroed>) -> Result {
        let first = self.nr_pages;
        let nr_pages = u32::try_from(block.nr_pages()).map_err(|_| EINVAL)?;
        let sum = first.checked_add(nr_pages).ok_or(EINVAL)?;

        if sum as usize > usize::MAX / PAGE_SIZE {
            return Err(EINVAL);
        }
        self.blocks.push(Shown {
            block: block.into_dirty(),
            first,
            // INVARIANT: The block was zeroed, and only the list has it now.
            writable: Atomic::new(false),
        })?;
        // INVARIANT: The block is counted; the sum was checked.
        self.nr_pages = sum;
        Ok(())
    }

    /// Makes the blocks go to `home` in the end. Without one, each goes to where it came from.
    pub(crate) fn set_home(&mut self, home: Arc<dyn Home>) {
        self.home = Some(home);
    }

    /// Returns the length in pages.
    pub(crate) fn nr_pages(&self) -> usize {
        self.nr_pages as usize
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.nr_pages() * PAGE_SIZE
    }

    /// Returns the number of blocks.
    pub(crate) fn nr_blocks(&self) -> usize {
        self.blocks.as_slice().len()
    }

    /// Returns the blocks in buffer order.
    pub(in crate::abstractions) fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = &Block<Dirty>> + Clone {
        self.blocks.as_slice().iter().map(|shown| &shown.block)
    }

    /// Returns the only block, if there is but one.
    pub(in crate::abstractions) fn single(&self) -> Option<&Block<Dirty>> {
        match self.blocks.as_slice() {
            [shown] => Some(&shown.block),
            _ => None,
        }
    }

    /// Returns the parts of blocks that make up `nr_pages` pages of the buffer, from page `first`
    /// on. What is beyond the end is left out.
    pub(in crate::abstractions) fn range(
        &self,
        first: usize,
        nr_pages: usize,
    ) -> impl Iterator<Item = Part<'_>> {
        let end = first.saturating_add(nr_pages).min(self.nr_pages());
        let blocks = self.blocks.as_slice();
        let start =
            blocks.partition_point(|shown| shown.first as usize + shown.block.nr_pages() <= first);

        blocks
            .get(start..)
            .unwrap_or(&[])
            .iter()
            .take_while(move |shown| (shown.first as usize) < end)
            .map(move |shown| {
                let block_start = shown.first as usize;
                let block_end = block_start + shown.block.nr_pages();
                let skip = first.saturating_sub(block_start);

                Part {
                    shown,
                    pfn: shown.block.pfn() + skip,
                    nr_pages: end.min(block_end) - (block_start + skip),
                }
            })
    }

    /// Says that somebody is about to get a way to write any of the blocks.
    pub(in crate::abstractions) fn mark_all(&self) {
        self.all_writable.store(true, Relaxed);
    }

    /// Takes the blocks out, with what is known of them.
    fn take_out(&mut self) -> Returned {
        Returned {
            blocks: mem::replace(&mut self.blocks, Blocks::None),
            all_writable: self.all_writable.load(Relaxed),
        }
    }
}

impl Shown {
    fn mark(&self) {
        // Read first: faults of many threads shall not fight for the cache line.
        if !self.writable.load(Relaxed) {
            self.writable.store(true, Relaxed);
        }
    }
}

/// A part of a block, as a range of a buffer shows it.
pub(in crate::abstractions) struct Part<'a> {
    shown: &'a Shown,
    /// The first page frame.
    pub(in crate::abstractions) pfn: usize,
    /// The number of pages, not 0.
    pub(in crate::abstractions) nr_pages: usize,
}

impl Part<'_> {
    /// Says that somebody is about to get a way to write the block.
    pub(in crate::abstractions) fn mark(&self) {
        self.shown.mark();
    }
}

impl Drop for BlockList {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.take_back(self.take_out());
        }
    }
}

#[kunit_tests(rust_dma_heap_block_list)]
mod tests {
    use super::*;
    use crate::abstractions::mm::{
        block::{
            Effort,
            Payer, //
        },
        returned::ReturnedBlock, //
    };

    /// Blocks of 2, 1 and 1 pages.
    fn list() -> Result<UniqueArc<BlockList>> {
        let mut list = BlockList::with_capacity(1)?;

        for order in [1, 0, 0] {
            list.push(Block::alloc(order, Effort::Reclaim, Payer::None)?)?;
        }
        Ok(list)
    }

    /// Which blocks come back dirty.
    fn dirty(mut list: UniqueArc<BlockList>) -> Result<KVec<bool>> {
        let returned = list.take_out();
        let mut dirty = KVec::with_capacity(3, GFP_KERNEL)?;

        returned.for_each(|block| {
            let _ = dirty.push_within_capacity(matches!(block, ReturnedBlock::Dirty(_)));
        });
        Ok(dirty)
    }

    #[test]
    fn what_nobody_could_write_is_still_zero() -> Result {
        assert_eq!(dirty(list()?)?.as_slice(), [false, false, false]);
        Ok(())
    }

    #[test]
    fn a_part_marks_its_block_and_no_other() -> Result {
        let list = list()?;

        for part in list.range(1, 2) {
            part.mark();
        }
        assert_eq!(dirty(list)?.as_slice(), [true, true, false]);
        Ok(())
    }

    #[test]
    fn who_gets_everything_marks_everything() -> Result {
        let list = list()?;

        list.mark_all();
        assert_eq!(dirty(list)?.as_slice(), [true, true, true]);
        Ok(())
    }

    #[test]
    fn ranges_are_cut_at_blocks_and_at_the_end() -> Result {
        let list = list()?;
        let lens = |first, nr_pages| {
            let mut lens = [0; 3];

            for (len, part) in lens.iter_mut().zip(list.range(first, nr_pages)) {
                *len = part.nr_pages;
            }
            lens
        };

        assert_eq!(list.nr_pages(), 4);
        assert_eq!(lens(0, 4), [2, 1, 1]);
        assert_eq!(lens(1, 2), [1, 1, 0]);
        assert_eq!(lens(3, usize::MAX), [1, 0, 0]);
        assert_eq!(lens(4, 1), [0, 0, 0]);
        assert_eq!(lens(2, 0), [0, 0, 0]);
        Ok(())
    }
}
