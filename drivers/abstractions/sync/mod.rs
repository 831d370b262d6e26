// SPDX-License-Identifier: GPL-2.0

//! Work that is done later, and elsewhere.
//!
//! - [`worker`]: a thread of our own for work that has to be asked for (`struct kthread_worker`);
//! - [`delayed_work`]: work on a shared queue after a time (`struct delayed_work`);
//! - `asked`: what was asked of either while it was at work;
//! - [`jiffies`]: the unit of those times.

mod asked;
pub(crate) mod delayed_work;
pub(crate) mod jiffies;
pub(crate) mod worker;
