// SPDX-License-Identifier: GPL-2.0

//! Where buffers of the system heap get their blocks from.
//!
//! Each request goes to the page allocator, and each block goes back there when its buffer is
//! released: nothing is kept warm yet, which is what the attributes say.

#![deny(unsafe_code)]

mod orders;

use crate::abstractions::{
    block::{
        Block,
        Effort,
        Zeroed, //
    },
    gfp::GFP_KERNEL_MAYFAIL,
    task, //
};
use kernel::prelude::*;
use orders::BLOCK_ORDERS;

/// What a heap tells about the blocks that it keeps warm.
#[derive(Clone, Copy)]
pub(crate) struct PoolState {
    /// The most that may be kept, in bytes.
    pub(crate) cap: u64,
    /// What is kept at the moment, in bytes.
    pub(crate) held: u64,
    /// How long a block is kept before it goes back, in milliseconds.
    pub(crate) trim_ms: u64,
}

impl PoolState {
    /// Of a heap that keeps nothing.
    pub(crate) const EMPTY: Self = Self {
        cap: 0,
        held: 0,
        trim_ms: 0,
    };
}

/// Takes zeroed blocks of `nr_pages` pages in all from the page allocator, the largest first.
///
/// An order that could not be had once is not tried again: what is left of the buffer is filled
/// with smaller blocks. May sleep.
///
/// Returns `ENOMEM` if memory cannot be had, without a call of the OOM killer, and `EINTR` if the
/// task got a fatal signal. What was taken goes back then.
pub(crate) fn take(nr_pages: usize) -> Result<KVVec<Block<Zeroed>>> {
    let mut blocks = KVVec::new();
    let mut remaining = nr_pages;
    let mut orders = BLOCK_ORDERS.iter();
    let mut order = *orders.next().ok_or(EINVAL)?;

    while remaining > 0 {
        if task::fatal_signal_pending() {
            return Err(EINTR);
        }

        let effort = if order == 0 {
            Effort::Reclaim
        } else {
            Effort::Opportunistic
        };
        let block = if remaining >> order == 0 {
            None
        } else {
            Block::alloc(order, effort).ok()
        };

        match block {
            Some(block) => {
                remaining -= block.nr_pages();
                blocks.push(block, GFP_KERNEL_MAYFAIL)?;
            }
            None => order = *orders.next().ok_or(ENOMEM)?,
        }
    }

    Ok(blocks)
}
