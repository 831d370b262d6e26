// SPDX-License-Identifier: GPL-2.0

//! Stacks of blocks that need no memory of their own: they are linked by their first pages.

use crate::abstractions::{
    bindings,
    mm::{
        block::Block,
        page_chain::{
            next,
            set_next, //
        }, //
    }, //
};
use core::{
    marker::PhantomData,
    mem,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Blocks of one order and state, the latest on top.
///
/// # Invariants
///
/// `top` leads, by `page_private()` of each first page, over `len` blocks to `bottom`, whose own
/// `page_private()` means nothing. Each is a `Block<S>` of this order that the stack owns.
pub(crate) struct BlockStack<S> {
    top: Option<NonNull<bindings::page>>,
    bottom: Option<NonNull<bindings::page>>,
    len: usize,
    order: u32,
    _blocks: PhantomData<Block<S>>,
}

// SAFETY: The stack owns its blocks, which are `Send`.
unsafe impl<S> Send for BlockStack<S> {}

impl<S> BlockStack<S> {
    /// Makes a stack without blocks.
    pub(crate) const fn new(order: u32) -> Self {
        // INVARIANT: There is no block to lead to.
        Self {
            top: None,
            bottom: None,
            len: 0,
            order,
            _blocks: PhantomData,
        }
    }

    /// Returns the order of the blocks.
    pub(crate) fn order(&self) -> u32 {
        self.order
    }

    /// Returns the number of blocks.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of their pages.
    pub(crate) fn nr_pages(&self) -> usize {
        self.len << self.order
    }

    /// Puts `block` on top. Returns it if it is of another order or from a contiguous area.
    pub(crate) fn push(&mut self, block: Block<S>) -> Result<(), Block<S>> {
        let page = block.into_pages(self.order)?;

        match self.top {
            // SAFETY: By `into_pages`, the page is ours.
            Some(top) => unsafe { set_next(page, top) },
            None => self.bottom = Some(page),
        }
        // INVARIANT: The new top leads to the old one, or is the bottom.
        self.top = Some(page);
        self.len += 1;
        Ok(())
    }

    /// Takes the block on top.
    pub(crate) fn pop(&mut self) -> Option<Block<S>> {
        let page = self.top?;

        // INVARIANT: The rest is what the old top led to.
        self.len -= 1;
        self.top = if self.len == 0 {
            self.bottom = None;
            None
        } else {
            // SAFETY: By the type invariants, a page above the bottom leads to a page of ours.
            Some(unsafe { next(page) })
        };

        // SAFETY: By the type invariants, the page came from such a block, and it is not in the
        // stack any more.
        Some(unsafe { Block::from_pages(page, self.order) })
    }

    /// Puts all blocks of `other`, which must be of the same order, on top. Takes constant time.
    pub(crate) fn append(&mut self, other: Self) {
        let Some(bottom) = other.bottom.filter(|_| other.order == self.order) else {
            return;
        };
        let other = mem::ManuallyDrop::new(other);

        match self.top {
            // SAFETY: By the type invariants, the page is ours now.
            Some(top) => unsafe { set_next(bottom, top) },
            None => self.bottom = Some(bottom),
        }
        // INVARIANT: The other's bottom leads to the old top, or is the bottom.
        self.top = other.top;
        self.len += other.len;
    }

    /// Takes up to `len` blocks from the top. Looks at each of them.
    pub(crate) fn take(&mut self, len: usize) -> Self {
        if len >= self.len {
            let order = self.order;

            return mem::replace(self, Self::new(order));
        }

        let mut taken = Self::new(self.order);
        let Some(top) = self.top.filter(|_| len > 0) else {
            return taken;
        };
        let mut bottom = top;

        for _ in 1..len {
            // SAFETY: By the type invariants, as `len` is less than the stack's, this is above the
            // bottom and leads to a page of ours.
            bottom = unsafe { next(bottom) };
        }

        // INVARIANT: The stack is cut below `bottom`, above which there are `len` blocks.
        taken.top = Some(top);
        taken.bottom = Some(bottom);
        taken.len = len;
        // SAFETY: As above.
        self.top = Some(unsafe { next(bottom) });
        self.len -= len;
        taken
    }
}

impl<S> Drop for BlockStack<S> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

#[kunit_tests(rust_dma_heap_block_stack)]
mod tests {
    use super::*;
    use crate::abstractions::mm::block::{
        Effort,
        Payer,
        Zeroed, //
    };

    fn filled(order: u32, len: usize) -> Result<BlockStack<Zeroed>> {
        let mut stack = BlockStack::new(order);

        for _ in 0..len {
            let block = Block::alloc(order, Effort::Reclaim, Payer::None)?;

            assert!(stack.push(block).is_ok());
        }
        Ok(stack)
    }

    fn drained<S>(mut stack: BlockStack<S>) -> Result<KVec<usize>> {
        let mut frames = KVec::new();

        while let Some(block) = stack.pop() {
            frames.push(block.pfn(), GFP_KERNEL)?;
        }
        Ok(frames)
    }

    #[test]
    fn what_comes_last_goes_first() -> Result {
        let mut stack = BlockStack::new(1);
        let first = Block::alloc(1, Effort::Reclaim, Payer::None)?;
        let second = Block::alloc(1, Effort::Reclaim, Payer::None)?;
        let (below, above) = (first.pfn(), second.pfn());

        assert!(stack.push(first).is_ok());
        assert!(stack.push(second).is_ok());
        assert_eq!((stack.len(), stack.nr_pages()), (2, 4));
        assert_eq!(drained(stack)?.as_slice(), [above, below]);
        Ok(())
    }

    #[test]
    fn a_block_of_another_order_comes_back() -> Result {
        let mut stack = BlockStack::new(1);

        assert!(stack
            .push(Block::alloc(0, Effort::Reclaim, Payer::None)?)
            .is_err());
        assert_eq!(stack.len(), 0);
        assert!(stack.pop().is_none());
        Ok(())
    }

    #[test]
    fn a_part_is_taken_from_the_top_and_the_rest_stays() -> Result {
        let mut stack = filled(0, 5)?;
        let top = stack.take(2);

        assert_eq!((top.len(), stack.len()), (2, 3));
        assert_eq!(drained(top)?.len(), 2);
        assert_eq!(drained(stack)?.len(), 3);
        Ok(())
    }

    #[test]
    fn more_than_all_is_all_and_nothing_is_nothing() -> Result {
        let mut stack = filled(0, 3)?;

        assert_eq!(stack.take(0).len(), 0);
        assert_eq!(stack.take(9).len(), 3);
        assert_eq!((stack.len(), stack.take(1).len()), (0, 0));
        Ok(())
    }

    #[test]
    fn appended_blocks_come_out_before() -> Result {
        let mut below = filled(0, 2)?;
        let above = filled(0, 3)?;

        below.append(above);
        assert_eq!(below.len(), 5);
        below.append(BlockStack::new(0));
        assert_eq!(drained(below)?.len(), 5);

        let mut empty = BlockStack::new(0);

        empty.append(filled(0, 2)?);
        assert_eq!(drained(empty)?.len(), 2);
        Ok(())
    }
}
