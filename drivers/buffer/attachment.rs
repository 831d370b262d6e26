// SPDX-License-Identifier: GPL-2.0

//! A device's use of a buffer.
//!
//! # The DMA mapping is kept
//!
//! An attachment has one DMA mapping at most. It is made for the first map and, on a device that
//! never bounces, kept until detach: importers map and unmap for every frame, and behind an IOMMU
//! each time would cost page tables and a flush. A map then costs a sync for the device, an unmap a
//! sync for the CPU, and on a coherent device neither costs anything.
//!
//! The documentation of `map_dma_buf` says that exporters should not return one table twice, so
//! that each importer owns what it got. It does here: a table belongs to one outstanding map at a
//! time. A second outstanding map gets a table of its own with the same DMA addresses.
//!
//! What is kept, the device can reach until it is detached. That takes nothing from anybody: who
//! drives the device may map the buffer at any time, and the table holds the blocks, so that nobody
//! else gets them before the mapping has ended.
//!
//! Addresses of an IOMMU are scarce for devices with a small DMA mask. When a map fails, the kept
//! mappings of all buffers that no importer uses make room ([`Attachments`](super::Attachments)). The
//! knob `keep_mappings` ends the keeping altogether.
//!
//! On a device that may bounce nothing is kept. A bounce slot is scarce, and one that is kept holds
//! bytes that were copied at map time: a later sync would write them over newer ones.

use super::Export;
use crate::abstractions::{
    block_list::BlockList,
    dma_limits::Reach,
    segments::SegmentLimits,
    sg_table::SgTable, //
};
use core::pin::Pin;
use kernel::{
    device::Device,
    dma::DataDirection,
    prelude::*,
    sync::{
        new_mutex,
        Arc,
        Mutex,
        UniqueArc, //
    }, //
};

/// The scatterlists of one attachment.
struct Tables {
    /// The one that is mapped, or was, or will be. It is away only while the lock is held.
    primary: Option<Arc<SgTable>>,
    /// Whether an importer holds it.
    primary_is_lent: bool,
    /// How many duplicates importers hold.
    duplicates: usize,
}

impl Tables {
    fn is_outstanding(&self) -> bool {
        self.primary_is_lent || self.duplicates > 0
    }

    /// Takes the table that nobody else holds.
    fn take_idle(&mut self) -> Result<Pin<UniqueArc<SgTable>>> {
        self.primary
            .take()
            .and_then(Arc::into_unique_or_drop)
            .ok_or(EBUSY)
    }

    /// Ends the mapping, if there is one that no importer uses, in the way that `end` does. Returns
    /// whether there was.
    fn end_idle_mapping(&mut self, end: impl FnOnce(Pin<&mut SgTable>)) -> bool {
        if self.is_outstanding() {
            return false;
        }

        let Ok(mut table) = self.take_idle() else {
            return false;
        };
        let was_mapped = table.direction().is_some();

        end(table.as_mut());
        self.primary = Some(table.into());
        was_mapped
    }
}

/// A device that is attached to a buffer.
#[pin_data]
pub(crate) struct Attachment {
    export: Arc<Export>,
    /// Whether the device never bounces.
    is_direct: bool,
    #[pin]
    tables: Mutex<Tables>,
}

impl Attachment {
    /// Makes the scatterlist ready, cut for `device`. May sleep.
    ///
    /// Returns `EBUSY`, with a line in the log, if the device cannot reach the memory.
    pub(super) fn new(
        device: &Device,
        blocks: Arc<BlockList>,
        export: Arc<Export>,
    ) -> impl PinInit<Self, Error> + use<'_> {
        pin_init::pin_init_scope(move || {
            let reach = Reach::of(device, &blocks);

            if reach == Reach::Beyond {
                dev_warn!(
                    device,
                    "cannot reach a dma-buf: its memory and any bounce buffer are beyond the DMA mask; use an IOMMU, boot with swiotlb=force, or allocate below the mask\n"
                );
                return Err(EBUSY);
            }

            let table = SgTable::new(device, blocks, SegmentLimits::of(device))?;

            Ok(try_pin_init!(Self {
                export,
                is_direct: reach == Reach::Direct,
                tables <- new_mutex!(Tables {
                    primary: Some(table.into()),
                    primary_is_lent: false,
                    duplicates: 0,
                }),
            }))
        })
    }

    /// Maps the buffer for the device. May sleep.
    ///
    /// Returns `EBUSY` while it is mapped in another direction, and `EINVAL` if the device has no
    /// DMA mask.
    pub(super) fn map(&self, direction: DataDirection) -> Result<Arc<SgTable>> {
        let mut tables = self.tables.lock();

        if tables.is_outstanding() {
            return Self::map_again(&mut tables, direction);
        }

        let kept = tables.primary.as_ref();
        let table = match kept.filter(|table| table.direction() == Some(direction)) {
            Some(table) => {
                table.sync_for_device();
                table.clone()
            }
            None => self.map_anew(&mut tables, direction)?,
        };

        tables.primary_is_lent = true;
        Ok(table)
    }

    /// Maps the idle table.
    fn map_anew(&self, tables: &mut Tables, direction: DataDirection) -> Result<Arc<SgTable>> {
        let mut table = tables.take_idle()?;

        // Only a kept mapping is still there, and it was synced by the last unmap.
        table.as_mut().unmap_synced();

        let mapped = table.as_mut().map(direction);
        let table = Arc::from(table);

        tables.primary = Some(table.clone());
        mapped?;
        self.export.mappings.add(1);
        Ok(table)
    }

    /// Lends the existing mapping once more.
    ///
    /// Nothing is synced: what the CPU wrote in a bracket has reached the device by the end of the
    /// bracket, and what the device wrote since must stay.
    fn map_again(tables: &mut Tables, direction: DataDirection) -> Result<Arc<SgTable>> {
        let primary = tables.primary.clone().ok_or(EBUSY)?;

        if primary.direction() != Some(direction) {
            return Err(EBUSY);
        }
        if !tables.primary_is_lent {
            tables.primary_is_lent = true;
            return Ok(primary);
        }

        let duplicate = SgTable::duplicate(primary)?;

        tables.duplicates += 1;
        Ok(duplicate)
    }

    /// Takes a table back from the importer. The last one ends the mapping, or syncs a kept one.
    pub(super) fn unmap(&self, table: Arc<SgTable>) {
        let mut tables = self.tables.lock();
        let is_primary = tables
            .primary
            .as_ref()
            .is_some_and(|primary| Arc::ptr_eq(primary, &table));

        drop(table);
        if is_primary {
            tables.primary_is_lent = false;
        } else {
            tables.duplicates -= 1;
        }
        if tables.is_outstanding() {
            return;
        }

        if self.is_direct && self.export.keeps_mappings() {
            if let Some(primary) = &tables.primary {
                primary.sync_for_cpu();
            }
        } else {
            tables.end_idle_mapping(SgTable::unmap);
        }
    }

    /// Ends a kept mapping that nobody uses, to make room for others. Returns whether there was one.
    pub(super) fn drop_idle_mapping(&self) -> bool {
        let was_mapped = self.tables.lock().end_idle_mapping(SgTable::unmap_synced);

        if was_mapped {
            self.export.mappings_dropped.add(1);
        }
        was_mapped
    }

    /// Tells whether it is of a buffer of `export`.
    pub(super) fn is_of(&self, export: &Export) -> bool {
        core::ptr::eq(&*self.export, export)
    }

    /// Makes what the device wrote visible to the CPU, if it has the buffer mapped.
    pub(super) fn sync_for_cpu(&self) {
        let tables = self.tables.lock();

        if let Some(primary) = tables.primary.as_ref().filter(|_| tables.is_outstanding()) {
            primary.sync_for_cpu();
        }
    }

    /// Makes what the CPU wrote visible to the device, if it has the buffer mapped.
    pub(super) fn sync_for_device(&self) {
        let tables = self.tables.lock();

        if let Some(primary) = tables.primary.as_ref().filter(|_| tables.is_outstanding()) {
            primary.sync_for_device();
        }
    }
}
