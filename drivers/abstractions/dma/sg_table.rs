// SPDX-License-Identifier: GPL-2.0

//! Scatterlists that an exporter owns, maps for a device and lends to importers.
//!
//! C headers: [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h),
//! [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)
//!
//! `kernel::scatterlist` has tables that are mapped from birth to death for one bound device. An
//! exporter needs to map and unmap one table many times, to sync it, and to hand it out by pointer.
//!
//! Whether a table is mapped is part of its type. A [`SgTable<Unmapped>`] has one owner, who may
//! map it; what comes of that is shared, and ends when the last of those who share it lets go. A
//! table holds its blocks until no device reaches them by it any more, whatever the IOMMU puts off.

use crate::abstractions::{
    bindings,
    device::raw_device,
    dma::{
        iommu::Domain,
        limits::dma_mask,
        segments::{
            self,
            SegmentLimits, //
        }, //
    },
    mm::block_list::BlockList, //
};
use core::{
    marker::PhantomData,
    pin::Pin, //
};
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

mod private {
    pub(crate) trait Sealed {}
}

/// Whether a table is mapped.
pub(crate) trait State: private::Sealed + Send + Sync + 'static {
    /// Whether there is a mapping to end when a table is dropped.
    const IS_MAPPED: bool;
}

/// State of a table: no device reaches the memory by it.
pub(crate) enum Unmapped {}

/// State of a table: its device reaches the memory by it.
pub(crate) enum Mapped {}

impl private::Sealed for Unmapped {}
impl private::Sealed for Mapped {}

impl State for Unmapped {
    const IS_MAPPED: bool = false;
}

impl State for Mapped {
    const IS_MAPPED: bool = true;
}

/// The scatterlist of a whole buffer, with the memory that it describes, cut for one device.
///
/// # Invariants
///
/// - `table` is an initialized `struct sg_table` whose entries cover the memory in order.
/// - If `S` is [`Mapped`], the entries are DMA-mapped for `device` in `direction`: by a mapping of
///   this table's own, or by that of `original`.
#[repr(C)]
pub(crate) struct SgTable<S: State> {
    table: Opaque<bindings::sg_table>,
    device: ARef<Device>,
    /// Of the mapping, or of the last one that was tried.
    direction: DataDirection,
    /// Whether a mapping of its own was ever tried.
    was_mapped: bool,
    /// Keeps the pages in place for as long as a device may reach them.
    blocks: Arc<BlockList>,
    /// The table that this one is a duplicate of: keeps the mapping that both show.
    original: Option<Arc<SgTable<Mapped>>>,
    _state: PhantomData<S>,
}

/// A table that has one owner.
pub(crate) type UnmappedTable = Pin<UniqueArc<SgTable<Unmapped>>>;

// SAFETY: Neither the table nor the mapping is bound to a task.
unsafe impl<S: State> Send for SgTable<S> {}

// SAFETY: Methods on `&SgTable` only read the table or sync it, which the DMA API allows
// concurrently; mapping and unmapping need the only reference.
unsafe impl<S: State> Sync for SgTable<S> {}

impl<S: State> SgTable<S> {
    /// Allocates a table of `nents` entries that are still empty.
    fn with_entries(nents: usize, device: &Device, blocks: Arc<BlockList>) -> Result<Self> {
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
            direction: DataDirection::None,
            was_mapped: false,
            blocks,
            original: None,
            _state: PhantomData,
        })
    }

    /// Returns the entries, as many as were allocated.
    fn entries(&self) -> impl Iterator<Item = *mut bindings::scatterlist> + use<'_, S> {
        let table = self.table.get();
        // SAFETY: By the type invariants, the table is initialized.
        let first = unsafe { (*table).sgl };
        // SAFETY: As above.
        let nents = unsafe { (*table).orig_nents };

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

    /// Takes the table for one of another state.
    ///
    /// # Safety
    ///
    /// The type invariants of `SgTable<T>` must hold for it.
    unsafe fn into_state<T: State>(this: Pin<UniqueArc<Self>>) -> Arc<SgTable<T>> {
        let raw = Arc::into_raw(Arc::from(this));

        // SAFETY: The pointer is from `into_raw()`. Both types are laid out alike: they differ in a
        // `PhantomData`, and the C representation keeps the order.
        unsafe { Arc::from_raw(raw.cast()) }
    }

    /// Frees the DMA mapping.
    ///
    /// # Safety
    ///
    /// The table must have a mapping of its own, which is not used any more, nor ended once more.
    unsafe fn end_mapping(&self, attributes: c_ulong) {
        // SAFETY: By the safety requirements of this function and the type invariants, the table
        // was mapped for this device and direction.
        unsafe {
            bindings::dma_unmap_sgtable(
                raw_device(&self.device),
                self.table.get(),
                self.direction.into(),
                attributes,
            )
        };
    }
}

impl SgTable<Unmapped> {
    /// Makes a table of `blocks` for `device`, with as few entries as `limits` allow.
    ///
    /// Wraps `sg_alloc_table()` and `sg_set_page()`. May sleep; fails with `ENOMEM` rather than
    /// have the OOM killer called.
    pub(crate) fn new(
        device: &Device,
        blocks: Arc<BlockList>,
        limits: SegmentLimits,
    ) -> Result<UnmappedTable> {
        let nents = segments::of_blocks(&blocks, limits).count();
        let this = Self::with_entries(nents, device, blocks.clone())?;
        let segments = segments::of_blocks(&blocks, limits);

        for (sg, segment) in this.entries().zip(segments) {
            let len = segment.nr_pages << PAGE_SHIFT;
            // SAFETY: The frame is of a block, so it has a page.
            let page = unsafe { bindings::rust_dma_heap_pfn_to_page(segment.pfn) };

            // SAFETY: `sg` is an entry of the table. The pages are the blocks', and the length of a
            // segment fits 32 bits.
            unsafe { bindings::rust_dma_heap_sg_set_page(sg, page, len as u32) };
        }
        Ok(UniqueArc::new(this, GFP_KERNEL)?.into())
    }

    /// Maps the table for DMA by its device.
    ///
    /// Wraps `dma_map_sgtable()`. May sleep. The table comes back with an error: `EINVAL` if the
    /// device has no DMA mask, which the C side answers with a warning in the log. `ENOMEM` says
    /// that an IOMMU has no addresses left, or no memory for its tables; a bounce buffer that is
    /// full is `EIO`.
    pub(crate) fn map(
        mut this: UnmappedTable,
        direction: DataDirection,
    ) -> Result<Arc<SgTable<Mapped>>, (Error, UnmappedTable)> {
        if dma_mask(&this.device) == 0 || segments::check_direction(direction).is_err() {
            return Err((EINVAL, this));
        }

        // A direction keeps no device from writing.
        this.blocks.mark_all();

        let fields = this.as_mut().get_mut();

        fields.direction = direction;
        fields.was_mapped = true;

        // SAFETY: The device is valid and can do DMA. By the type invariants, the table is
        // initialized and not mapped.
        let mapped = to_result(unsafe {
            bindings::dma_map_sgtable(
                raw_device(&this.device),
                this.table.get(),
                direction.into(),
                0,
            )
        });

        match mapped {
            // INVARIANT: The table was just mapped, for this device and direction.
            // SAFETY: As above.
            Ok(()) => Ok(unsafe { Self::into_state(this) }),
            Err(error) => Err((error, this)),
        }
    }
}

impl SgTable<Mapped> {
    /// Makes one more table with the DMA addresses of `mapped`, for an importer that maps twice.
    ///
    /// The mapping stays that of `mapped`, which lives at least as long.
    pub(crate) fn duplicate(mapped: Arc<Self>) -> Result<Arc<Self>> {
        let nents = mapped.entries().count();
        let table =
            SgTable::<Unmapped>::with_entries(nents, &mapped.device, mapped.blocks.clone())?;

        for (to, from) in table.entries().zip(mapped.entries()) {
            // SAFETY: Both are entries of initialized tables; nobody else has `to` yet.
            unsafe { bindings::rust_dma_heap_sg_copy_dma(to, from) };
        }

        // SAFETY: The table is initialized.
        let nents = unsafe { (*mapped.table.get()).nents };

        // SAFETY: The table is initialized, and nobody else has it yet.
        unsafe { (*table.table.get()).nents = nents };

        let mut table = Pin::from(UniqueArc::new(table, GFP_KERNEL)?);
        let fields = table.as_mut().get_mut();

        fields.direction = mapped.direction;
        fields.original = Some(mapped);
        // INVARIANT: The entries are those of the original, which is mapped and stays so.
        // SAFETY: As above.
        Ok(unsafe { SgTable::into_state(table) })
    }

    /// Returns the direction of the DMA mapping.
    pub(crate) fn direction(&self) -> DataDirection {
        self.direction
    }

    /// Tells whether it is mapped for `device`.
    pub(crate) fn is_for(&self, device: &Device) -> bool {
        core::ptr::eq(raw_device(&self.device), raw_device(device))
    }

    /// Ends the DMA mapping and makes what the device wrote visible to the CPU. Wraps
    /// `dma_unmap_sgtable()`.
    ///
    /// Returns [`None`] if somebody else has the table, too: it ends with them, and nothing is
    /// synced. A duplicate, which has no mapping of its own, just goes.
    pub(crate) fn unmap(this: Arc<Self>) -> Option<UnmappedTable> {
        Self::end(this, 0)
    }

    /// Ends a DMA mapping that was synced for the CPU when the device was done. Otherwise as
    /// [`Self::unmap`].
    ///
    /// The caches stay as they are (`DMA_ATTR_SKIP_CPU_SYNC`): the CPU may have written since, and
    /// to drop its cache lines now would lose that.
    pub(crate) fn unmap_synced(this: Arc<Self>) -> Option<UnmappedTable> {
        Self::end(this, bindings::DMA_ATTR_SKIP_CPU_SYNC as c_ulong)
    }

    fn end(this: Arc<Self>, attributes: c_ulong) -> Option<UnmappedTable> {
        let this = Arc::into_unique_or_drop(this)?;

        // A duplicate has no mapping to end: it goes as a whole.
        if this.original.is_some() {
            return None;
        }
        // SAFETY: It has a mapping of its own, and is of another type from here on.
        unsafe { this.end_mapping(attributes) };

        // INVARIANT: The table was just unmapped.
        // SAFETY: As above.
        let this: Arc<SgTable<Unmapped>> = unsafe { Self::into_state(this) };

        Arc::into_unique_or_drop(this)
    }

    /// Makes what the device wrote visible to the CPU. Wraps `dma_sync_sgtable_for_cpu()`.
    pub(crate) fn sync_for_cpu(&self) {
        // SAFETY: By the type invariants, the table is mapped for this device and direction.
        unsafe {
            bindings::rust_dma_heap_dma_sync_sgtable_for_cpu(
                raw_device(&self.device),
                self.table.get(),
                self.direction.into(),
            )
        };
    }

    /// Makes what the CPU wrote visible to the device. Wraps `dma_sync_sgtable_for_device()`.
    pub(crate) fn sync_for_device(&self) {
        // SAFETY: By the type invariants, the table is mapped for this device and direction.
        unsafe {
            bindings::rust_dma_heap_dma_sync_sgtable_for_device(
                raw_device(&self.device),
                self.table.get(),
                self.direction.into(),
            )
        };
    }

    /// Hands a reference over to C, as the pointer to the `struct sg_table`.
    pub(in crate::abstractions) fn into_raw(this: Arc<Self>) -> *mut bindings::sg_table {
        let this = Arc::into_raw(this);

        // SAFETY: The pointer is valid, as the reference behind it is given away, not dropped.
        unsafe { (*this).table.get() }
    }

    /// Takes back a reference that [`Self::into_raw`] handed over.
    ///
    /// # Safety
    ///
    /// `table` must be from one call of [`Self::into_raw`], and each call may be undone once.
    pub(in crate::abstractions) unsafe fn from_raw(table: *mut bindings::sg_table) -> Arc<Self> {
        // SAFETY: By the safety requirements of this function, `table` is a `table` field.
        #[allow(
            clippy::multiple_unsafe_ops_per_block,
            reason = "the macro is one operation to us"
        )]
        let this = unsafe { container_of!(Opaque::cast_from(table), Self, table) };

        // SAFETY: By the safety requirements of this function, a reference was given away.
        unsafe { Arc::from_raw(this) }
    }
}

// Nothing points into a table, and C gets the address of one that is shared, and so stays.
impl<S: State> Unpin for SgTable<S> {}

impl<S: State> Drop for SgTable<S> {
    fn drop(&mut self) {
        if S::IS_MAPPED && self.original.is_none() {
            // Its owner has kept it, and synced it when it was last unmapped; or the device is
            // detached in the middle of using it.
            // SAFETY: It has a mapping of its own, and goes.
            unsafe { self.end_mapping(bindings::DMA_ATTR_SKIP_CPU_SYNC as c_ulong) };
        }
        if self.was_mapped {
            // An IOMMU in lazy mode ends mappings later than it says: before that, the blocks must
            // not be anybody else's.
            Domain::flush_if_lazy(&self.device);
        }
        // SAFETY: By the type invariants, the table is initialized, and it is not mapped any more.
        unsafe { bindings::sg_free_table(self.table.get()) };
    }
}
