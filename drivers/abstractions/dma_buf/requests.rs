// SPDX-License-Identifier: GPL-2.0

//! What an exporter is asked for the memory behind a dma-buf, and how it answers.
//!
//! An answer can be had of its request alone, and of the memory that the request is about.

use crate::abstractions::{
    dma::sg_table::{
        Mapped,
        SgTable, //
    },
    dma_buf::resv::ResvHeld,
    mm::{
        block_list::BlockList,
        kernel_mapping::KernelMapping,
        pfn_map::VmaPfnMap,
        user_mapping, //
    },
};
use core::marker::PhantomData;
use kernel::{
    device::Device,
    dma::DataDirection,
    mm::virt::VmaNew,
    prelude::*,
    sync::Arc, //
};

/// Ties an answer to its request: no other lifetime can be taken for `'a`.
type Tied<'a> = PhantomData<fn(&'a ()) -> &'a ()>;

/// The question for a DMA mapping of the whole buffer.
pub(crate) struct MapRequest<'a> {
    pub(super) device: &'a Device,
    pub(super) direction: DataDirection,
    pub(super) blocks: &'a Arc<BlockList>,
    pub(super) resv: ResvHeld<'a>,
    pub(super) _tied: Tied<'a>,
}

/// A table that answers a [`MapRequest`]: the importer's until it is unmapped.
#[must_use]
pub(crate) struct Lent<'a>(pub(super) Arc<SgTable<Mapped>>, Tied<'a>);

impl<'a> MapRequest<'a> {
    /// Returns which way the bytes will go.
    pub(crate) fn direction(&self) -> DataDirection {
        self.direction
    }

    /// Says that `resv` of the dma-buf is held.
    pub(crate) fn resv(&self) -> ResvHeld<'a> {
        self.resv
    }

    /// Lends a table. Returns `EINVAL` for one that is mapped for another device or direction, or
    /// is of other memory.
    pub(crate) fn lend(&self, table: Arc<SgTable<Mapped>>) -> Result<Lent<'a>> {
        if !table.is_for(self.device)
            || table.direction() != self.direction
            || !Arc::ptr_eq(table.blocks(), self.blocks)
        {
            return Err(EINVAL);
        }
        Ok(Lent(table, PhantomData))
    }
}

/// The question for a mapping into a process.
pub(crate) struct MmapRequest<'a> {
    pub(super) vma: &'a VmaNew,
    pub(super) blocks: &'a Arc<BlockList>,
    pub(super) _tied: Tied<'a>,
}

/// That the memory can be shown to a process. It is, once the exporter has answered with this.
#[must_use]
pub(crate) struct Shown<'a> {
    vma: VmaPfnMap<'a>,
    blocks: &'a Arc<BlockList>,
    _tied: Tied<'a>,
}

impl Shown<'_> {
    /// Has the VMA hold the memory from now on.
    pub(super) fn finish(self) {
        self.vma.finish(self.blocks.clone());
    }
}

impl<'a> MmapRequest<'a> {
    /// Shows the memory: all of it from the start, or each page when it is touched.
    ///
    /// Returns `EINVAL` for a private mapping, of which a write would silently leave the buffer.
    /// May sleep.
    pub(crate) fn show(self, at_once: bool) -> Result<Shown<'a>> {
        // SAFETY: The reference is the request's own, which ends here; who has the core ask does
        // not look at it again, and somebody who has called `dma_buf_mmap()` must leave the flags
        // alone.
        let vma = unsafe { VmaPfnMap::new(self.vma) }?;

        user_mapping::fill(&vma, self.blocks, at_once)?;
        Ok(Shown {
            vma,
            blocks: self.blocks,
            _tied: PhantomData,
        })
    }
}

/// The question for a mapping into kernel addresses.
pub(crate) struct VmapRequest<'a> {
    pub(super) blocks: &'a Arc<BlockList>,
    pub(super) _resv: ResvHeld<'a>,
    pub(super) _tied: Tied<'a>,
}

/// A mapping that answers a [`VmapRequest`].
#[must_use]
pub(crate) struct Vmapped<'a>(pub(super) Arc<KernelMapping>, Tied<'a>);

impl<'a> VmapRequest<'a> {
    /// Makes a mapping. Fails as [`KernelMapping::new`] does. May sleep.
    pub(crate) fn map(&self) -> Result<Arc<KernelMapping>> {
        Ok(Arc::new(
            KernelMapping::new(self.blocks.clone())?,
            GFP_KERNEL,
        )?)
    }

    /// Gives a mapping. Returns `EINVAL` for one of other memory.
    pub(crate) fn give(&self, mapping: Arc<KernelMapping>) -> Result<Vmapped<'a>> {
        if !Arc::ptr_eq(mapping.blocks(), self.blocks) {
            return Err(EINVAL);
        }
        Ok(Vmapped(mapping, PhantomData))
    }
}
