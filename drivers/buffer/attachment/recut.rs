// SPDX-License-Identifier: GPL-2.0

//! A scatterlist is cut for a device as it was; this cuts it anew for what that takes now.

use super::Attachment;
use crate::{
    abstractions::{
        dma::{
            reach::Reach,
            segments::SegmentLimits,
            sg_table::SgTable, //
        },
        dma_buf::resv::ResvHeld, //
    },
    buffer::{
        demands::Demands,
        tables::Tables, //
    }, //
};
use kernel::{
    dma::DataDirection,
    prelude::*,
    sync::atomic::Relaxed, //
};

impl Attachment {
    /// Tells whether the table may not be what the device takes now: drivers may set a mask after
    /// they have attached, and another driver may set another one.
    pub(super) fn is_outdated(&self, tables: &Tables, direction: DataDirection) -> bool {
        if tables.is_outstanding() {
            return false;
        }
        match tables.mapped_in(direction) {
            // It was mapped with all that the driver had said.
            Some(_) => !tables.demands.has_mask_of(&self.device),
            None => {
                matches!(tables.reach, Reach::Beyond | Reach::NoDma)
                    || tables.demands != Demands::of(&self.device)
            }
        }
    }

    /// Has the table cut for what the device takes now, and ends the mapping that was kept.
    pub(super) fn look_again(&self, _resv: ResvHeld<'_>) -> Result {
        let mut tables = self.tables.lock();

        self.idle.end();
        tables.end_idle_mapping(SgTable::unmap_synced);

        let before = (tables.reach, tables.demands);
        // The attachment itself must not keep them: it may outlive the device's use of them.
        let blocks = tables.unmapped().ok_or(EBUSY)?.blocks().clone();

        drop(tables);

        let now = (Reach::of(&self.device, &blocks), Demands::of(&self.device));

        if now == before {
            return Ok(());
        }
        // Without the lock, for which the CPU's brackets wait.
        let limits = SegmentLimits::of(&self.device, now.0);
        let table = SgTable::new(&self.device, blocks, limits)?;
        let mut tables = self.tables.lock();
        let old = tables.take_unmapped()?;

        (tables.reach, tables.demands) = now;
        tables.put_unmapped(table);
        drop(tables);
        // It may have to wait for an IOMMU.
        drop(old);
        if now.1 != before.1 {
            self.has_news.store(true, Relaxed);
        }
        Ok(())
    }
}
