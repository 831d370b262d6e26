// SPDX-License-Identifier: GPL-2.0

//! DMA by devices: what they reach, and scatterlists for them.
//!
//! - [`limits`], [`reach`]: which addresses a device can put out, whether a buffer's memory is
//!   within them, and whether it would bounce (`dma_capable()`, `swiotlb`);
//! - [`segments`]: a buffer's blocks as ranges that a device takes;
//! - [`sg_table`]: scatterlists that an exporter maps, syncs and lends (`struct sg_table`). The
//!   shape is that of `kernel::scatterlist`, whose tables are mapped from birth to death;
//! - [`iommu`]: domains of IOMMUs and their flushes (`struct iommu_domain`).

pub(crate) mod iommu;
pub(crate) mod limits;
pub(crate) mod reach;
pub(crate) mod segments;
pub(crate) mod sg_table;
