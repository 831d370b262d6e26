// SPDX-License-Identifier: GPL-2.0

//! Memory that heaps keep warm between buffers.
//!
//! A buffer's blocks come back here when it ends. Those that nobody could write are still zero and
//! can be handed out as they are; the others are zeroed in the background (blocks at the lowest
//! priority; runs, of which few are kept and not for long, by a workqueue of the kernel's), or by
//! whoever needs them before that. So the common case, a program that allocates a buffer of the
//! size that it freed a moment ago, costs neither the page allocator nor the zeroing.
//!
//! What is kept is bounded (`pool_cap`), goes back when it is idle (`pool_trim_ms`), and goes back
//! at once when the machine needs it.
//!
//! - [`block_pool`]: blocks of a few orders, by NUMA node, for the system heap;
//! - [`run_pool`]: runs of any length, few and for a short time, for contiguous areas;
//! - [`ledger`]: how much is kept, and may be;
//! - [`pressure`]: what makes a pool give everything back.
//!
//! # Locking
//!
//! The spinlock of a pool is the innermost lock of the module. Under it nothing is allocated,
//! zeroed or freed, so that the shrinker can simply take it.

#![deny(unsafe_code)]

mod block_pool;
mod delivery;
mod ledger;
mod node_pool;
mod node_work;
mod orders;
mod pressure;
mod run_pool;
mod runs;
mod shelves;

pub(crate) use block_pool::BlockPool;
pub(crate) use ledger::{
    held_by_all,
    Ledger, //
};
pub(crate) use run_pool::RunPool;

/// What a heap tells, and is told, about the memory that it keeps warm.
pub(crate) trait Pool: Send + Sync {
    /// Returns the sums.
    fn ledger(&self) -> &Ledger;

    /// Gives back what is beyond a cap that has just been lowered. May sleep.
    fn shed(&self);

    /// Has a new trim time hold for what is kept already.
    fn retime(&self);

    /// Returns how many bytes of what is kept are not zeroed yet.
    fn dirty(&self) -> u64;
}
