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
//! [`BlockList`](super::block_list::BlockList) has it.

use super::{
    bindings,
    cma::CmaArea,
    numa::Node,
    task, //
};
use core::{
    marker::PhantomData,
    mem::{
        self,
        ManuallyDrop, //
    },
    num::NonZero,
    ptr::NonNull, //
};
use kernel::{
    alloc::AllocError,
    page::PAGE_SHIFT,
    prelude::*, //
};

/// As many pages as have a length in bytes.
const MAX_PAGES: usize = usize::MAX >> PAGE_SHIFT;

/// State of a block: every byte is zero, and nobody but the owner can reach it.
pub(crate) enum Zeroed {}

/// State of a block: its bytes may be anything.
pub(crate) enum Dirty {}

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

/// A run of physically adjacent pages, owned.
///
/// # Invariants
///
/// - `pages` points to the `struct page` of the first of `nr_pages` adjacent pages, which this value
///   owns and gives back on drop.
/// - If `area` is [`None`], they come from the page allocator as one block of order
///   `ilog2(nr_pages)`; else they were allocated from that area, which takes any part of an
///   allocation back.
/// - `nr_pages * PAGE_SIZE` fits `usize`.
/// - If `S` is [`Zeroed`], every byte is zero and nobody else can write the pages.
// `repr(C)` because `into_dirty()` relies on all states having one layout.
#[repr(C)]
pub(crate) struct Block<S> {
    pages: NonNull<bindings::page>,
    area: Option<CmaArea>,
    nr_pages: NonZero<u32>,
    _state: PhantomData<S>,
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
        // SAFETY: By its invariant, the node is there; `from_order` asks for valid orders only.
        Self::from_order(order, |order| unsafe {
            bindings::rust_dma_heap_alloc_pages_on_node(node.id(), order)
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
        let pages = NonNull::new(alloc(order)).ok_or(AllocError)?;

        // INVARIANT: The pages were just allocated with this order, and with `__GFP_ZERO`.
        Ok(Self {
            pages,
            area: None,
            nr_pages,
            _state: PhantomData,
        })
    }
}

impl Block<Dirty> {
    /// How many pages are zeroed between two looks at pending signals: 1 MiB with 4 KiB pages.
    const ZERO_CHUNK: u32 = 256;

    /// Allocates `nr_pages` adjacent pages from `area`, with whatever is in them.
    ///
    /// Returns `ENOMEM` if the area has no such run. May sleep and migrate other users' pages.
    pub(crate) fn alloc_contiguous(area: CmaArea, nr_pages: usize) -> Result<Self> {
        let nr = u32::try_from(nr_pages).map_err(|_| ENOMEM)?;
        let nr = NonZero::new(nr).ok_or(EINVAL)?;

        if nr_pages > MAX_PAGES {
            return Err(EINVAL);
        }

        // Aligned to the next power of two, as `get_order()` has it.
        let order = u32::BITS - (nr.get() - 1).leading_zeros();
        let pages = area.alloc_pages(nr_pages, order).ok_or(ENOMEM)?;

        // INVARIANT: The pages were just allocated from `area`; nothing is said of their contents.
        Ok(Self {
            pages,
            area: Some(area),
            nr_pages: nr,
            _state: PhantomData,
        })
    }

    /// Zeroes the block. Nobody else may hold a way to write it, which ownership says.
    ///
    /// Wraps `clear_highpage()`. May sleep. Returns the block as it is if the task got a fatal signal.
    pub(crate) fn zero(self) -> Result<Block<Zeroed>, Self> {
        self.zero_with(|| ())
    }

    /// Zeroes the block as [`Self::zero`] does, but lets others run in between.
    pub(crate) fn zero_in_background(self) -> Result<Block<Zeroed>, Self> {
        self.zero_with(task::give_way)
    }

    fn zero_with(self, before_chunk: impl Fn()) -> Result<Block<Zeroed>, Self> {
        let mut done = 0;

        while done < self.nr_pages.get() {
            before_chunk();
            if task::fatal_signal_pending() {
                return Err(self);
            }

            let chunk = Self::ZERO_CHUNK.min(self.nr_pages.get() - done);

            // SAFETY: By the type invariant, the pages from `done` on for `chunk` are ours.
            unsafe {
                bindings::rust_dma_heap_clear_pages(self.page(done).as_ptr(), chunk as usize)
            };
            done += chunk;
        }

        // INVARIANT: Each page was just zeroed, and as its owner nobody else writes it.
        Ok(self.into_state())
    }
}

impl<S> Block<S> {
    /// Returns the length in pages.
    pub(crate) fn nr_pages(&self) -> usize {
        self.nr_pages.get() as usize
    }

    /// Returns the `struct page` of the `n`th page; past the end, the last one's.
    pub(super) fn page(&self, n: u32) -> NonNull<bindings::page> {
        let n = n.min(self.nr_pages.get() - 1);

        // SAFETY: `n` is inside the block, so the page exists.
        let page = unsafe { bindings::rust_dma_heap_nth_page(self.pages.as_ptr(), n as usize) };

        // SAFETY: The kernel keeps a `struct page`, so no null pointer, for each page.
        unsafe { NonNull::new_unchecked(page) }
    }

    /// Returns the NUMA node that the pages are of.
    pub(crate) fn node(&self) -> Node {
        // SAFETY: By the type invariant, the page is valid.
        Node::of_page(unsafe { self.pages.as_ref() })
    }

    /// Tells whether the pages are fit for another buffer: nobody else holds a reference to them,
    /// and the hardware reported no fault in them, as far as that shows at a glance. Of a block of
    /// the page allocator that is the first page; [`Self::is_intact`] looks at the others.
    ///
    /// Wraps `page_count()` and `PageHWPoison()`.
    pub(crate) fn is_sound(&self) -> bool {
        // SAFETY: By the type invariant, the pages are valid.
        unsafe { bindings::rust_dma_heap_pages_are_sound(self.pages.as_ptr(), self.nr_pages()) }
    }

    /// Tells whether the hardware reported a fault in none of the pages. It takes as long as a small
    /// part of zeroing them.
    ///
    /// Wraps `PageHWPoison()`.
    pub(crate) fn is_intact(&self) -> bool {
        // SAFETY: By the type invariant, the pages are valid.
        unsafe { bindings::rust_dma_heap_pages_are_intact(self.pages.as_ptr(), self.nr_pages()) }
    }

    /// Returns the page frame number of the first page.
    pub(super) fn pfn(&self) -> usize {
        // SAFETY: By the type invariant, the page is valid.
        unsafe { bindings::rust_dma_heap_page_to_pfn(self.pages.as_ptr()) }
    }

    /// Returns where the kernel's linear mapping has the block, or [`None`] in high memory.
    pub(super) fn linear_address(&self) -> Option<NonNull<c_void>> {
        // SAFETY: By the type invariant, the page is valid.
        NonNull::new(unsafe { bindings::rust_dma_heap_lowmem_page_address(self.pages.as_ptr()) })
    }

    /// Forgets what is known of the contents.
    pub(crate) fn into_dirty(self) -> Block<Dirty> {
        self.into_state()
    }

    fn into_state<T>(self) -> Block<T> {
        let this = ManuallyDrop::new(self);

        Block {
            pages: this.pages,
            area: this.area,
            nr_pages: this.nr_pages,
            _state: PhantomData,
        }
    }

    /// Splits the block after its first `nr_pages` pages.
    ///
    /// Returns the block itself if one part would be empty, or if it is of the page allocator's, which
    /// takes it back only as a whole.
    pub(crate) fn split(self, nr_pages: usize) -> Result<(Self, Self), Self> {
        let Some((first, rest)) = self.lengths_of_parts(nr_pages) else {
            return Err(self);
        };
        let pages = self.page(first.get());
        let this = ManuallyDrop::new(self);
        let part = |pages, nr_pages| Self {
            pages,
            area: this.area,
            nr_pages,
            _state: PhantomData,
        };

        // INVARIANT: The parts share the pages between them, all of them from `area`.
        Ok((part(this.pages, first), part(pages, rest)))
    }

    fn lengths_of_parts(&self, nr_pages: usize) -> Option<(NonZero<u32>, NonZero<u32>)> {
        self.area?;

        let first = NonZero::new(u32::try_from(nr_pages).ok()?)?;
        let rest = NonZero::new(self.nr_pages.get().checked_sub(first.get())?)?;

        Some((first, rest))
    }

    /// Tells whether both blocks are of the same contiguous area and make up one run, in either order.
    pub(crate) fn adjoins(&self, other: &Self) -> bool {
        self.area.is_some()
            && self.area == other.area
            && (self.leads_to(other) || other.leads_to(self))
    }

    fn leads_to(&self, other: &Self) -> bool {
        self.pfn() + self.nr_pages() == other.pfn()
    }

    /// Joins two blocks that adjoin. Returns both if they do not.
    pub(crate) fn join(self, other: Self) -> Result<Self, (Self, Self)> {
        let sum = self
            .nr_pages
            .checked_add(other.nr_pages.get())
            .filter(|sum| self.adjoins(&other) && sum.get() as usize <= MAX_PAGES);
        let Some(nr_pages) = sum else {
            return Err((self, other));
        };
        let (mut joined, rest) = if self.leads_to(&other) {
            (self, other)
        } else {
            (other, self)
        };

        // INVARIANT: The rest's pages follow, are from the same area, and belong to this value now.
        joined.nr_pages = nr_pages;
        mem::forget(rest);
        Ok(joined)
    }

    /// Takes the block for a stack of its order, as the pointer to its first page.
    ///
    /// Returns the block itself if it is not of the page allocator's, or not of this order.
    pub(super) fn into_pages(self, order: u32) -> Result<NonNull<bindings::page>, Self> {
        if self.area.is_some() || self.nr_pages.get() != 1 << order {
            return Err(self);
        }
        Ok(ManuallyDrop::new(self).pages)
    }

    /// Takes a block back from such a stack.
    ///
    /// # Safety
    ///
    /// `pages` must be from one call of [`Self::into_pages`] for the same state and order, which is
    /// undone once.
    pub(super) unsafe fn from_pages(pages: NonNull<bindings::page>, order: u32) -> Self {
        // INVARIANT: By the safety requirements of this function, as they were before.
        Self {
            pages,
            area: None,
            nr_pages: NonZero::<u32>::MIN.saturating_add((1 << order) - 1),
            _state: PhantomData,
        }
    }
}

impl Block<Dirty> {
    /// Takes a block for what it is.
    ///
    /// # Safety
    ///
    /// Since the block was zeroed, nobody may have had a way to write it.
    pub(super) unsafe fn assume_zeroed(self) -> Block<Zeroed> {
        // INVARIANT: By the safety requirements of this function, every byte is still zero.
        self.into_state()
    }
}

impl<S> Drop for Block<S> {
    fn drop(&mut self) {
        match self.area {
            // SAFETY: By the type invariants, the pages were allocated from `area`, and are ours.
            Some(area) => unsafe { area.release_pages(self.pages, self.nr_pages()) },
            // SAFETY: By the type invariants, the pages are one block of this order, and ours.
            None => unsafe { bindings::__free_pages(self.pages.as_ptr(), self.nr_pages.ilog2()) },
        }
    }
}
