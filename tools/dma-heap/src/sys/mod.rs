// SPDX-License-Identifier: GPL-2.0

//! The only module with unsafe code: ioctls, mappings and shared memory.
//!
//! [`abi`] holds the numbers and structures, [`ioctl`] the calls, `region` the
//! mapped memory. [`raw`] is for tests: it can say things to a heap that the
//! rest of the crate never would.

pub mod abi;
pub mod ioctl;
pub mod raw;
pub(crate) mod region;
