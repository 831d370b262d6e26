// SPDX-License-Identifier: GPL-2.0

//! Safe Rust over the C interfaces that the `kernel` crate does not cover yet.
//!
//! All unsafe code of the module is in the folders below and nowhere else, by the names that they
//! would have in `rust/kernel/`. Each file wraps one C interface and knows nothing of heaps.

#![deny(clippy::multiple_unsafe_ops_per_block)]
#![deny(clippy::undocumented_unsafe_blocks)]
#![deny(unsafe_op_in_unsafe_fn)]

mod bindings;
pub(crate) mod decimal;
pub(crate) mod device;
pub(crate) mod dma;
pub(crate) mod dma_buf;
pub(crate) mod mm;
pub(crate) mod path;
pub(crate) mod rate_limit;
pub(crate) mod sync;
pub(crate) mod task;
pub(crate) mod trace;
pub(crate) mod uapi;
pub(crate) mod versions;
