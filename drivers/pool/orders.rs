// SPDX-License-Identifier: GPL-2.0

//! The block sizes that buffers are built from.

use crate::abstractions::mm::meminfo::{
    MAX_PAGE_ORDER,
    PMD_SHIFT, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

/// The most orders that there can be.
pub(super) const MAX_ORDERS: usize = SIZES.len();

/// Sizes worth asking for, as base-2 logarithms of bytes, the largest first.
///
/// - 2 MiB: what one PMD entry maps, and an IOMMU's large page, on most machines;
/// - 1 MiB: where the PMD is larger, and a section of the 32-bit ARM MMU;
/// - 64 KiB: a large page of many IOMMUs, and easy to find in a fragmented machine;
/// - one page, which is always to be had.
const SIZES: [u32; 4] = [21, 20, 16, PAGE_SHIFT as u32];

/// The block orders of this kernel, the largest first. The last one is 0.
pub(super) const BLOCK_ORDERS: Orders =
    Orders::derive(PAGE_SHIFT as u32, PMD_SHIFT, MAX_PAGE_ORDER);

/// Some page orders, from large to small.
#[derive(Clone, Copy)]
pub(super) struct Orders {
    orders: [u32; MAX_ORDERS],
    len: usize,
}

impl Orders {
    /// Chooses from [`SIZES`] what the page allocator serves.
    ///
    /// 2 MiB is left out where no single PMD entry maps it: there it would only be harder to find
    /// than 1 MiB.
    const fn derive(page_shift: u32, pmd_shift: u32, max_page_order: u32) -> Self {
        let mut this = Self {
            orders: [0; MAX_ORDERS],
            len: 0,
        };
        let mut i = 0;

        while i + 1 < SIZES.len() {
            let size = SIZES[i];
            let useful = size < 21 || size == pmd_shift;

            if useful && size > page_shift && size - page_shift <= max_page_order {
                this.orders[this.len] = size - page_shift;
                this.len += 1;
            }
            i += 1;
        }

        // The last one is a single page, which `orders` has as its initial value.
        this.len += 1;
        this
    }

    fn as_slice(&self) -> &[u32] {
        self.orders.get(..self.len).unwrap_or(&self.orders)
    }

    /// Returns the orders, the largest first.
    pub(super) fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = u32> + DoubleEndedIterator + use<'_> {
        self.as_slice().iter().copied()
    }

    /// Returns the `n`th order.
    pub(super) fn get(&self, n: usize) -> Option<u32> {
        self.as_slice().get(n).copied()
    }

    /// Returns which of the orders a block of `nr_pages` pages has.
    pub(super) fn position(&self, nr_pages: usize) -> Option<usize> {
        self.iter().position(|order| 1 << order == nr_pages)
    }

    /// Makes something for each place in which there may be an order. Those behind the last are for
    /// order 0, and never used.
    pub(super) fn map<T>(&self, make: impl FnMut(u32) -> T) -> [T; MAX_ORDERS] {
        self.orders.map(make)
    }
}

#[kunit_tests(rust_dma_heap_orders)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_4_kib() {
        assert_eq!(Orders::derive(12, 21, 10).as_slice(), [9, 8, 4, 0]);
    }

    #[test]
    fn pages_of_16_kib_have_a_larger_pmd() {
        assert_eq!(Orders::derive(14, 25, 11).as_slice(), [6, 2, 0]);
    }

    #[test]
    fn pages_of_64_kib_are_a_block_already() {
        assert_eq!(Orders::derive(16, 29, 13).as_slice(), [4, 0]);
    }

    #[test]
    fn a_small_largest_order_leaves_the_large_blocks_out() {
        assert_eq!(Orders::derive(12, 21, 8).as_slice(), [8, 4, 0]);
        assert_eq!(Orders::derive(12, 21, 0).as_slice(), [0]);
    }

    #[test]
    fn this_kernel_ends_with_single_pages() {
        assert_eq!(BLOCK_ORDERS.as_slice().last(), Some(&0));
        assert!(BLOCK_ORDERS.iter().all(|order| order <= MAX_PAGE_ORDER));
    }
}
