// SPDX-License-Identifier: GPL-2.0

//! Blocks of pages that know whether they are zeroed.
//!
//! C headers: [`include/linux/gfp.h`](srctree/include/linux/gfp.h),
//! [`include/linux/highmem.h`](srctree/include/linux/highmem.h)
//!
//! A [`Block`] owns a run of physically adjacent pages. Its state is part of its type: fresh pages
//! come as [`Block<Zeroed>`], pages that anybody else may have written are [`Block<Dirty>`], and
//! only [`Block::zero`] leads back. Where a function asks for zeroed blocks, the compiler therefore
//! checks that no stale byte can be in them. While a buffer shows a block, a
//! [`BlockList`](crate::abstractions::mm::block_list::BlockList) has it.
//!
//! A page can break, or others can take a reference to it, at any time. So what comes back from a
//! buffer, or was kept for the next, is [`Block<Kept<S>>`], which is good for nothing before
//! [`Block::recheck`]: no block is zeroed or handed out without it.

use crate::abstractions::{
    bindings,
    mm::{
        contiguous::ContiguousMemory,
        numa::Node,
        page,
        pages::Pages, //
    },
    task, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    num::NonZero,
    ptr::NonNull, //
};
use kernel::{
    alloc::AllocError,
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc, //
};

/// As many pages as have a length in bytes.
pub(super) const MAX_PAGES: usize = usize::MAX >> PAGE_SHIFT;

/// State of a block: every byte is zero, and nobody but the owner can reach it.
pub(crate) enum Zeroed {}

/// State of a block: its bytes may be anything.
pub(crate) enum Dirty {}

/// State of a block that was `S` when it was last looked at: since then, pages may have broken, and
/// others may hold references.
pub(crate) struct Kept<S>(PhantomData<S>);

/// How hard the page allocator tries before it says no.
///
/// It never calls the OOM killer and never warns on our behalf.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Effort {
    /// Take what is free at once, reclaim nothing: for large orders, which a smaller one can stand
    /// in for.
    Opportunistic,
    /// Reclaim, swap and compact, then fail: for the smallest order.
    Reclaim,
}

/// Whom a block's pages are charged to.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Payer {
    /// Nobody: whoever gets the block next would have them for nothing.
    None,
    /// The memory cgroup of the calling task, until the block is freed.
    Cgroup,
}

/// A run of physically adjacent pages in state `S`.
///
/// # Invariants
///
/// If `S` is [`Zeroed`] or [`Kept<Zeroed>`], every byte is zero and nobody else can write the
/// pages.
pub(crate) struct Block<S> {
    pub(super) pages: Pages,
    pub(super) _state: PhantomData<S>,
}

// SAFETY: Pages are not bound to a task or CPU, and `Block` owns them.
unsafe impl<S> Send for Block<S> {}

// SAFETY: `&Block` gives no access to the pages' contents.
unsafe impl<S> Sync for Block<S> {}

impl Block<Zeroed> {
    /// Allocates `1 << order` zeroed pages, in high memory where there is some.
    ///
    /// Wraps `alloc_pages()` with `__GFP_ZERO`: a kernel that zeroes every fresh page anyway
    /// (`init_on_alloc`) then does so once. The calling task's cpuset and memory policy apply.
    /// Sleeps with [`Effort::Reclaim`]. A cgroup that may have no more is as good as no memory.
    pub(crate) fn alloc(order: u32, effort: Effort, payer: Payer) -> Result<Self, AllocError> {
        let flags = match effort {
            Effort::Opportunistic => bindings::RUST_DMA_HEAP_GFP_BLOCK_OPPORTUNISTIC,
            Effort::Reclaim => bindings::RUST_DMA_HEAP_GFP_BLOCK_RECLAIM,
        } | match payer {
            Payer::None => 0,
            Payer::Cgroup => bindings::RUST_DMA_HEAP_GFP_ACCOUNT,
        };

        // SAFETY: The flags are a valid combination; `from_order` asks for valid orders only.
        Self::from_order(order, |order| unsafe {
            bindings::alloc_pages(flags, order)
        })
    }

    /// Allocates `1 << order` zeroed pages of NUMA node `node` and no other, from what is free at
    /// once, whatever the calling task's memory policy.
    ///
    /// Wraps `alloc_pages_node()`.
    pub(crate) fn alloc_on_node(node: Node, order: u32) -> Result<Self, AllocError> {
        let flags =
            bindings::RUST_DMA_HEAP_GFP_BLOCK_OPPORTUNISTIC | bindings::RUST_DMA_HEAP_GFP_THISNODE;

        // SAFETY: The flags are a valid combination; by its invariant, the node is there;
        // `from_order` asks for valid orders only.
        Self::from_order(order, |order| unsafe {
            bindings::rust_dma_heap_alloc_pages_node(node.id(), flags, order)
        })
    }

    /// Makes a block of the pages that `alloc` returns for a valid order: zeroed ones, or null.
    fn from_order(
        order: u32,
        alloc: impl FnOnce(u32) -> *mut bindings::page,
    ) -> Result<Self, AllocError> {
        let nr_pages = 1u32
            .checked_shl(order)
            .filter(|_| order <= bindings::RUST_DMA_HEAP_MAX_PAGE_ORDER)
            .and_then(NonZero::new)
            .ok_or(AllocError)?;
        let first = NonNull::new(alloc(order)).ok_or(AllocError)?;

        // INVARIANT: The pages were just allocated with this order, and with `__GFP_ZERO`.
        Ok(Self {
            pages: Pages {
                first,
                memory: None,
                nr_pages,
            },
            _state: PhantomData,
        })
    }
}

impl Block<Dirty> {
    /// How many pages are zeroed between two looks at whether to go on: 64 KiB with 4 KiB pages.
    const ZERO_CHUNK: u32 = 16;

    /// Allocates `nr_pages` adjacent pages from `memory`, with whatever is in them.
    ///
    /// Returns `ENOMEM` if there is no such run. May sleep and migrate other users' pages.
    pub(crate) fn alloc_contiguous(
        memory: &Arc<ContiguousMemory>,
        nr_pages: usize,
    ) -> Result<Self> {
        let nr = u32::try_from(nr_pages).map_err(|_| ENOMEM)?;
        let nr = NonZero::new(nr).ok_or(EINVAL)?;

        if nr_pages > MAX_PAGES {
            return Err(EINVAL);
        }

        // Aligned to the next power of two, as `get_order()` has it.
        let order = u32::BITS - (nr.get() - 1).leading_zeros();
        let first = memory.alloc_pages(nr_pages, order).ok_or(ENOMEM)?;

        // INVARIANT: The pages were just allocated from there; nothing is said of their contents.
        Ok(Self {
            pages: Pages {
                first,
                memory: Some(memory.clone()),
                nr_pages: nr,
            },
            _state: PhantomData,
        })
    }

    /// Zeroes the block. Nobody else may hold a way to write it, which ownership says.
    ///
    /// Wraps `clear_highpage()`. May sleep. Returns the block as it is if the task got a fatal
    /// signal.
    pub(crate) fn zero(self) -> Result<Block<Zeroed>, Self> {
        self.zero_while(|| !task::fatal_signal_pending())
    }

    /// Zeroes the block as [`Self::zero`] does. Returns it as it is when `go_on`, which is asked
    /// every few pages, says no.
    pub(crate) fn zero_while(self, go_on: impl Fn() -> bool) -> Result<Block<Zeroed>, Self> {
        let mut done = 0;

        while done < self.pages.nr_pages.get() {
            if !go_on() {
                return Err(self);
            }

            let chunk = Self::ZERO_CHUNK.min(self.pages.nr_pages.get() - done);

            for n in done..done + chunk {
                // SAFETY: By the type invariant, the page is ours.
                unsafe { bindings::rust_dma_heap_clear_highpage(self.page(n).as_ptr()) };
                task::rest();
            }
            done += chunk;
        }

        // INVARIANT: Each page was just zeroed, and as its owner nobody else writes it.
        Ok(self.into_state())
    }
}

impl<S> Block<Kept<S>> {
    /// Looks whether the pages are fit for another buffer: nobody else holds a reference to them,
    /// and the hardware reported no fault in them.
    ///
    /// Takes as long as a small part of zeroing them where each page has to be looked at: in a run
    /// of a contiguous area, and once any page of the machine has broken.
    ///
    /// Wraps `page_count()` and `PageHWPoison()`.
    pub(crate) fn recheck(self) -> Result<Block<S>, Unfit<S>> {
        let fit = self.pages.fit();

        if fit == self.nr_pages() {
            Ok(self.into_state())
        } else {
            Err(Unfit { block: self, fit })
        }
    }

    /// Returns the first page from which on there are `nr_pages` in a row to which nobody else
    /// holds a reference, in a run of a contiguous area. A reference may be gone soon.
    ///
    /// Wraps `page_count()`.
    pub(crate) fn find_unused(&self, nr_pages: usize) -> Option<usize> {
        let nr_pages = nr_pages.max(1);
        let last = self.nr_pages().checked_sub(nr_pages)?;
        let mut start = 0;

        while start <= last {
            // SAFETY: By the type invariants, the pages are valid; so many are left.
            let (alike, ours_alone) = unsafe { page::alike(self.page(start as u32), nr_pages) };

            if ours_alone && alike == nr_pages {
                return Some(start);
            }
            start += alike;
        }
        None
    }
}

/// A block with a page that is broken, or that somebody else uses. Dropping it gives it back to
/// where it came from, or leaves it out of use where that would hand out the broken page.
pub(crate) struct Unfit<S> {
    block: Block<Kept<S>>,
    /// The page before which all are fit.
    fit: usize,
}

impl<S> Unfit<S> {
    /// Gives back the first page that is not fit, and returns what was before it and behind.
    ///
    /// A block of the page allocator's goes as a whole.
    pub(crate) fn cut_out(self) -> [Option<Block<Kept<S>>>; 2] {
        let (before, rest) = match self.block.split(self.fit) {
            Ok((before, rest)) => (Some(before), rest),
            Err(block) => (None, block),
        };
        // Of the rest, the first page is the one; dropped, it goes back.
        let behind = rest.split(1).ok().map(|(_, behind)| behind);

        [before, behind]
    }
}

impl<S> Block<S> {
    /// Returns the length in pages.
    pub(crate) fn nr_pages(&self) -> usize {
        self.pages.nr_pages.get() as usize
    }

    /// Returns the `struct page` of the `n`th page; past the end, the last one's.
    pub(in crate::abstractions) fn page(&self, n: u32) -> NonNull<bindings::page> {
        let n = n.min(self.pages.nr_pages.get() - 1);

        // SAFETY: `n` is inside the block.
        unsafe { page::nth(self.pages.first, n as usize) }
    }

    /// Returns the NUMA node that the pages are of.
    pub(crate) fn node(&self) -> Node {
        // SAFETY: By the type invariant, the page is valid.
        unsafe { Node::of_page(self.pages.first) }
    }

    /// Returns the page frame number of the first page.
    pub(in crate::abstractions) fn pfn(&self) -> usize {
        // SAFETY: By the type invariant, the page is valid.
        unsafe { bindings::rust_dma_heap_page_to_pfn(self.pages.first.as_ptr()) }
    }

    /// Returns where the kernel's linear mapping has the block, or [`None`] in high memory.
    pub(in crate::abstractions) fn linear_address(&self) -> Option<NonNull<c_void>> {
        let first = self.pages.first.as_ptr();

        // SAFETY: By the type invariant, the page is valid.
        if unsafe { bindings::rust_dma_heap_page_is_highmem(first) } {
            return None;
        }
        // SAFETY: As above, and the linear mapping has it.
        NonNull::new(unsafe { bindings::rust_dma_heap_page_address(first) })
    }

    fn into_state<T>(self) -> Block<T> {
        Block {
            pages: self.pages,
            _state: PhantomData,
        }
    }

    /// Notes that the block is kept from now on.
    pub(crate) fn keep(self) -> Block<Kept<S>> {
        self.into_state()
    }

    /// Takes the block for a stack of its order, as the pointer to its first page.
    ///
    /// Returns the block itself if it is not of the page allocator's, or not of this order.
    pub(in crate::abstractions) fn into_pages(
        self,
        order: u32,
    ) -> Result<NonNull<bindings::page>, Self> {
        if self.pages.memory.is_some() || self.pages.nr_pages.get() != 1 << order {
            return Err(self);
        }
        Ok(ManuallyDrop::new(self).pages.first)
    }

    /// Takes a block back from such a stack.
    ///
    /// # Safety
    ///
    /// `first` must be from one call of [`Self::into_pages`] for the same state and order, which is
    /// undone once.
    pub(in crate::abstractions) unsafe fn from_pages(
        first: NonNull<bindings::page>,
        order: u32,
    ) -> Self {
        // INVARIANT: By the safety requirements of this function, as they were before.
        Self {
            pages: Pages {
                first,
                memory: None,
                nr_pages: NonZero::<u32>::MIN.saturating_add((1 << order) - 1),
            },
            _state: PhantomData,
        }
    }
}

impl Block<Zeroed> {
    /// Forgets what is known of the contents.
    pub(in crate::abstractions) fn into_dirty(self) -> Block<Dirty> {
        self.into_state()
    }
}

impl Block<Kept<Zeroed>> {
    /// Forgets what is known of the contents.
    pub(crate) fn into_dirty(self) -> Block<Kept<Dirty>> {
        self.into_state()
    }
}

impl Block<Kept<Dirty>> {
    /// Takes a block for what it is.
    ///
    /// # Safety
    ///
    /// Since the block was zeroed, nobody may have had a way to write it.
    pub(in crate::abstractions) unsafe fn assume_zeroed(self) -> Block<Kept<Zeroed>> {
        // INVARIANT: By the safety requirements of this function, every byte is still zero.
        self.into_state()
    }
}
