// SPDX-License-Identifier: GPL-2.0

//! Scatterlists that an exporter owns, maps for a device and lends to importers.
//!
//! C headers: [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h),
//! [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)
//!
//! `kernel::scatterlist` has tables that are mapped from birth to death for one bound device. An
//! exporter needs to map and unmap one table many times, to sync it, and to hand it out by pointer.

use crate::abstractions::{
    bindings,
    device::raw_device,
    dma::{
        limits::dma_mask,
        segments::{
            self,
            SegmentLimits, //
        }, //
    },
    mm::block_list::BlockList, //
};
use core::pin::Pin;
use kernel::{
    container_of,
    device::Device,
    dma::DataDirection,
    error::to_result,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        UniqueArc, //
    },
    types::Opaque, //
};

/// The scatterlist of a whole buffer, with the memory that it describes, cut for one device.
///
/// # Invariants
///
/// - `table` is an initialized `struct sg_table` whose entries cover the memory in order.
/// - If and only if `direction` is [`Some`], it is DMA-mapped for `device` in that direction. A
///   duplicate has no mapping of its own.
pub(crate) struct SgTable {
    table: Opaque<bindings::sg_table>,
    device: ARef<Device>,
    direction: Option<DataDirection>,
    /// Keeps the pages in place for as long as a device may reach them.
    blocks: Arc<BlockList>,
    /// The table that this one is a duplicate of: keeps the mapping that both show.
    _original: Option<Arc<SgTable>>,
}

// SAFETY: Neither the table nor the mapping is bound to a task.
unsafe impl Send for SgTable {}

// SAFETY: Methods on `&SgTable` only read the table or sync it, which the DMA API allows
// concurrently; mapping and unmapping need `&mut`.
unsafe impl Sync for SgTable {}

impl SgTable {
    /// Makes a table of `blocks` for `device`, with as few entries as `limits` allow.
    ///
    /// Wraps `sg_alloc_table()` and `sg_set_page()`. May sleep; fails with `ENOMEM` rather than
    /// have the OOM killer called.
    pub(crate) fn new(
        device: &Device,
        blocks: Arc<BlockList>,
        limits: SegmentLimits,
    ) -> Result<Pin<UniqueArc<Self>>> {
        let nents = segments::of_blocks(&blocks, limits).count();
        let this = Self::with_entries(nents, device, blocks.clone(), None)?;
        let segments = segments::of_blocks(&blocks, limits);

        for (sg, segment) in this.entries().zip(segments) {
            let len = segment.nr_pages << PAGE_SHIFT;

            // SAFETY: `sg` is an entry of the table. The pages are the blocks', and the length of a
            // segment fits 32 bits.
            unsafe {
                let page = bindings::rust_dma_heap_pfn_to_page(segment.pfn);

                bindings::rust_dma_heap_sg_set_page(sg, page, len as u32);
            }
        }
        Ok(UniqueArc::new(this, GFP_KERNEL)?.into())
    }

    /// Makes one more table with the DMA addresses of `mapped`, for an importer that maps twice.
    ///
    /// The mapping stays that of `mapped`, which lives at least as long.
    pub(crate) fn duplicate(mapped: Arc<Self>) -> Result<Arc<Self>> {
        let nents = mapped.entries().count();
        let this = Self::with_entries(
            nents,
            &mapped.device,
            mapped.blocks.clone(),
            Some(mapped.clone()),
        )?;

        for (to, from) in this.entries().zip(mapped.entries()) {
            // SAFETY: Both are entries of initialized tables; nobody else has `to` yet.
            unsafe { bindings::rust_dma_heap_sg_copy_dma(to, from) };
        }
        // SAFETY: Both tables are initialized; nobody else has this one yet.
        unsafe { (*this.table.get()).nents = (*mapped.table.get()).nents };

        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    /// Allocates a table of `nents` entries that are still empty.
    fn with_entries(
        nents: usize,
        device: &Device,
        blocks: Arc<BlockList>,
        original: Option<Arc<SgTable>>,
    ) -> Result<Self> {
        let nents = u32::try_from(nents).map_err(|_| ENOMEM)?;
        let table = Opaque::zeroed();

        // SAFETY: `table` is valid for writing. It may be moved later, as nothing points into it.
        to_result(unsafe {
            bindings::sg_alloc_table(
                table.get(),
                nents,
                bindings::RUST_DMA_HEAP_GFP_RETRY_MAYFAIL,
            )
        })?;

        // INVARIANT: The callers fill the entries in before anyone else gets the value.
        Ok(Self {
            table,
            device: device.into(),
            direction: None,
            blocks,
            _original: original,
        })
    }

    /// Returns the entries, as many as were allocated.
    fn entries(&self) -> impl Iterator<Item = *mut bindings::scatterlist> + use<'_> {
        // SAFETY: By the type invariants, the table is initialized.
        let (first, nents) = unsafe { ((*self.table.get()).sgl, (*self.table.get()).orig_nents) };

        core::iter::successors(Some(first), |sg| {
            // SAFETY: `sg` is an entry of the table.
            Some(unsafe { bindings::sg_next(*sg) })
        })
        .take(nents as usize)
    }

    /// Returns the memory that it describes.
    pub(crate) fn blocks(&self) -> &Arc<BlockList> {
        &self.blocks
    }

    /// Returns the direction of the DMA mapping, if there is one.
    pub(crate) fn direction(&self) -> Option<DataDirection> {
        self.direction
    }

    /// Maps the table for DMA by its device.
    ///
    /// Wraps `dma_map_sgtable()`. May sleep. Returns `EBUSY` if it is mapped already and `EINVAL`
    /// if the device has no DMA mask, which the C side answers with a warning in the log. `ENOMEM`
    /// says that an IOMMU has no addresses left, or no memory for its tables; a bounce buffer that
    /// is full is `EIO`.
    pub(crate) fn map(self: Pin<&mut Self>, direction: DataDirection) -> Result {
        let this = self.get();

        if this.direction.is_some() {
            return Err(EBUSY);
        }

        if dma_mask(&this.device) == 0 {
            return Err(EINVAL);
        }

        let dev = raw_device(&this.device);

        // A direction keeps no device from writing.
        this.blocks.mark_all();

        // SAFETY: The device is valid and can do DMA. By the type invariants, the table is
        // initialized and not mapped.
        to_result(unsafe {
            bindings::dma_map_sgtable(dev, this.table.get(), direction.into(), 0)
        })?;

        // INVARIANT: The table was just mapped.
        this.direction = Some(direction);
        Ok(())
    }

    /// Ends the DMA mapping, if there is one, and makes what the device wrote visible to the CPU.
    /// Wraps `dma_unmap_sgtable()`.
    pub(crate) fn unmap(self: Pin<&mut Self>) {
        self.get().end_mapping(0);
    }

    /// Ends a DMA mapping, if there is one, that was synced for the CPU when the device was done.
    ///
    /// The caches stay as they are (`DMA_ATTR_SKIP_CPU_SYNC`): the CPU may have written since, and
    /// to drop its cache lines now would lose that.
    pub(crate) fn unmap_synced(self: Pin<&mut Self>) {
        self.get()
            .end_mapping(bindings::DMA_ATTR_SKIP_CPU_SYNC as c_ulong);
    }

    /// Makes what the device wrote visible to the CPU. Wraps `dma_sync_sgtable_for_cpu()`.
    ///
    /// Syncs in the direction of the mapping. Does nothing for a table that is not mapped.
    pub(crate) fn sync_for_cpu(&self) {
        if let Some(direction) = self.direction {
            // SAFETY: By the type invariants, the table is mapped for this device and direction.
            unsafe {
                bindings::rust_dma_heap_dma_sync_sgtable_for_cpu(
                    raw_device(&self.device),
                    self.table.get(),
                    direction.into(),
                )
            };
        }
    }

    /// Makes what the CPU wrote visible to the device. Wraps `dma_sync_sgtable_for_device()`.
    ///
    /// Syncs in the direction of the mapping. Does nothing for a table that is not mapped.
    pub(crate) fn sync_for_device(&self) {
        if let Some(direction) = self.direction {
            // SAFETY: By the type invariants, the table is mapped for this device and direction.
            unsafe {
                bindings::rust_dma_heap_dma_sync_sgtable_for_device(
                    raw_device(&self.device),
                    self.table.get(),
                    direction.into(),
                )
            };
        }
    }

    /// Hands a reference over to C, as the pointer to the `struct sg_table`.
    pub(in crate::abstractions) fn into_raw(this: Arc<Self>) -> *mut bindings::sg_table {
        // SAFETY: The pointer is valid, as the reference behind it is given away, not dropped.
        unsafe { (*Arc::into_raw(this)).table.get() }
    }

    /// Takes back a reference that [`Self::into_raw`] handed over.
    ///
    /// # Safety
    ///
    /// `table` must be from one call of [`Self::into_raw`], and each call may be undone once.
    pub(in crate::abstractions) unsafe fn from_raw(table: *mut bindings::sg_table) -> Arc<Self> {
        // SAFETY: By the safety requirements of this function, `table` is a `table` field.
        let this = unsafe { container_of!(Opaque::cast_from(table), Self, table) };

        // SAFETY: By the safety requirements of this function, a reference was given away.
        unsafe { Arc::from_raw(this) }
    }

    fn get(self: Pin<&mut Self>) -> &mut Self {
        // SAFETY: Nothing is moved out: the methods above only change fields in place.
        unsafe { self.get_unchecked_mut() }
    }

    fn end_mapping(&mut self, attributes: c_ulong) {
        if let Some(direction) = self.direction.take() {
            // SAFETY: By the type invariants, the table was mapped for this device and direction,
            // and `take()` made sure that this is the only time that it is unmapped.
            unsafe {
                bindings::dma_unmap_sgtable(
                    raw_device(&self.device),
                    self.table.get(),
                    direction.into(),
                    attributes,
                )
            };
        }
    }
}

impl Drop for SgTable {
    fn drop(&mut self) {
        // A table that still has its mapping here was kept by its owner, who has synced it.
        self.end_mapping(bindings::DMA_ATTR_SKIP_CPU_SYNC as c_ulong);
        // SAFETY: By the type invariants, the table is initialized, and it is not mapped any more.
        unsafe { bindings::sg_free_table(self.table.get()) };
    }
}
