// SPDX-License-Identifier: GPL-2.0

//! The only module with unsafe code: ioctls, mappings and shared memory.
//!
//! [`abi`] holds the numbers and structures, [`ioctl`] the calls, `region` the
//! mapped memory and `placement` where to put it. The rest is for tests: [`raw`]
//! can say things to a heap that the rest of the crate never would, [`pages`]
//! takes a mapping to pieces, [`fork`] looks at it from a child, [`namespace`]
//! makes the process root of its own, [`policy`] says from which NUMA nodes memory
//! comes, [`pinning`] has the kernel hold pages, `importer` talks to the test
//! importer, `v4l2` to capture devices, and [`vgem`] makes fences.

pub mod abi;
pub mod fork;
pub(crate) mod importer;
pub mod ioctl;
pub mod namespace;
pub mod pages;
pub mod pinning;
pub(crate) mod placement;
pub mod policy;
pub mod raw;
pub(crate) mod region;
pub(crate) mod v4l2;
pub mod vgem;
