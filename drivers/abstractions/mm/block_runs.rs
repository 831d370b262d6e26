// SPDX-License-Identifier: GPL-2.0

//! Blocks of a contiguous area as runs, which can be split and joined.

use crate::abstractions::mm::{
    block::{
        Block,
        MAX_PAGES, //
    },
    pages::Pages, //
};
use core::{
    marker::PhantomData,
    mem,
    num::NonZero, //
};
use kernel::sync::Arc;

impl<S> Block<S> {
    /// Splits the block after its first `nr_pages` pages.
    ///
    /// Returns the block itself if one part would be empty, or if it is of the page allocator's,
    /// which takes it back only as a whole.
    pub(crate) fn split(mut self, nr_pages: usize) -> Result<(Self, Self), Self> {
        let Some((length, rest)) = self.lengths_of_parts(nr_pages) else {
            return Err(self);
        };
        let behind = Self {
            pages: Pages {
                first: self.page(length.get()),
                memory: self.pages.memory.clone(),
                nr_pages: rest,
            },
            _state: PhantomData,
        };

        // INVARIANT: The parts share the pages between them, all of them from there.
        self.pages.nr_pages = length;
        Ok((self, behind))
    }

    fn lengths_of_parts(&self, nr_pages: usize) -> Option<(NonZero<u32>, NonZero<u32>)> {
        self.pages.memory.as_ref()?;

        let first = NonZero::new(u32::try_from(nr_pages).ok()?)?;
        let rest = NonZero::new(self.pages.nr_pages.get().checked_sub(first.get())?)?;

        Some((first, rest))
    }

    /// Tells whether both blocks are of the same contiguous area and make up one run, in either
    /// order.
    pub(crate) fn adjoins(&self, other: &Self) -> bool {
        self.is_from_where(other) && (self.leads_to(other) || other.leads_to(self))
    }

    fn is_from_where(&self, other: &Self) -> bool {
        match (&self.pages.memory, &other.pages.memory) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        }
    }

    fn leads_to(&self, other: &Self) -> bool {
        let behind = self.pages.first.as_ptr().wrapping_add(self.nr_pages());

        // The frames follow, and what the kernel notes of them stands in a row.
        self.pfn() + self.nr_pages() == other.pfn() && behind == other.pages.first.as_ptr()
    }

    /// Joins two blocks that adjoin. Returns both if they do not.
    pub(crate) fn join(self, other: Self) -> Result<Self, (Self, Self)> {
        let sum = self
            .pages
            .nr_pages
            .checked_add(other.pages.nr_pages.get())
            .filter(|sum| self.adjoins(&other) && sum.get() as usize <= MAX_PAGES);
        let Some(nr_pages) = sum else {
            return Err((self, other));
        };
        let (mut joined, mut rest) = if self.leads_to(&other) {
            (self, other)
        } else {
            (other, self)
        };

        // INVARIANT: The rest's pages follow, are from the same area, and belong to this value now.
        joined.pages.nr_pages = nr_pages;
        drop(rest.pages.memory.take());
        mem::forget(rest);
        Ok(joined)
    }
}
