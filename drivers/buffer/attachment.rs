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
//! else gets them before the mapping has ended. At detach it ends for good: behind an IOMMU in lazy
//! mode that is flushed then, once for all maps of the attachment, so no memory is given back that
//! a device may still write.
//!
//! A mapping is not kept for longer than the device has its driver. Importers may keep attachments
//! while a device changes its driver; with the C heaps, nothing is mapped then.
//!
//! Addresses of an IOMMU are scarce for devices with a small DMA mask. When a map fails, the kept
//! mappings of all buffers that no importer uses make room ([`room`](super::room)). The knob
//! `keep_mappings` ends the keeping altogether.
//!
//! On a device that may bounce nothing is kept. A bounce slot is scarce, and one that is kept holds
//! bytes that were copied at map time: a later sync would write them over newer ones.

mod recut;

use super::{
    demands::Demands,
    idle::{
        Age,
        Idle,
        Moment, //
    },
    tables::Tables,
    Export, //
};
use crate::abstractions::{
    device,
    dma::{
        iommu::{
            Domain,
            DomainId, //
        },
        reach::Reach,
        segments::SegmentLimits,
        sg_table::{
            Mapped,
            SgTable, //
        }, //
    },
    dma_buf::resv::ResvHeld,
    mm::block_list::BlockList,
    rate_limit,
    uapi::AttachmentDescription, //
};
use kernel::{
    device::Device,
    dma::DataDirection,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        Arc,
        Mutex, //
    }, //
};

/// Why a buffer was not mapped.
pub(super) enum MapError {
    /// An IOMMU has no addresses left for it, or no memory for its tables.
    NoAddresses,
    /// Something else, that is not mended by others' unmapping.
    Other(Error),
}

impl From<Error> for MapError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<MapError> for Error {
    fn from(error: MapError) -> Self {
        match error {
            MapError::NoAddresses => ENOMEM,
            MapError::Other(error) => error,
        }
    }
}

/// A device that is attached to a buffer.
#[pin_data]
pub(crate) struct Attachment {
    export: Arc<Export>,
    device: ARef<Device>,
    len: usize,
    /// Whether somebody tells when the device loses its driver, and has not yet. Goes to false
    /// only, before the lock of `tables` is taken.
    is_watched: Atomic<bool>,
    idle: Idle,
    /// Whether the demands have changed, and nobody was told yet.
    has_news: Atomic<bool>,
    #[pin]
    tables: Mutex<Tables>,
}

impl Attachment {
    /// Makes the scatterlist ready, cut for `device`. May sleep. `is_watched` promises a call of
    /// [`Self::keep_no_more`] before the device loses its driver.
    ///
    /// A device that cannot reach the memory may be attached: perhaps its driver only uses the CPU,
    /// by a vmap.
    pub(super) fn new(
        device: &Device,
        blocks: Arc<BlockList>,
        export: Arc<Export>,
        is_watched: bool,
    ) -> impl PinInit<Self, Error> + use<'_> {
        pin_init::pin_init_scope(move || {
            let reach = Reach::of(device, &blocks);
            let len = blocks.len();
            let demands = Demands::of(device);
            let table = SgTable::new(device, blocks, SegmentLimits::of(device, reach))?;

            Ok(try_pin_init!(Self {
                export,
                device: device.into(),
                len,
                is_watched: Atomic::new(is_watched),
                idle: Idle::new(),
                has_news: Atomic::new(false),
                tables <- new_mutex!(Tables::new(table, reach, demands)),
            }))
        })
    }

    /// Maps the buffer for the device. May sleep.
    ///
    /// `EBUSY` says that it is mapped in another direction, or, with a line in the log, that the
    /// device cannot reach the memory; `EINVAL`, that the device has no DMA mask.
    ///
    /// `resv` keeps other maps and unmaps out where the lock is given up in between.
    pub(super) fn map(
        &self,
        direction: DataDirection,
        resv: ResvHeld<'_>,
    ) -> Result<Arc<SgTable<Mapped>>, MapError> {
        let mut tables = self.tables.lock();

        if self.is_outdated(&tables, direction) {
            drop(tables);
            self.look_again(resv)?;
            tables = self.tables.lock();
        }
        if tables.is_outstanding() {
            // Nothing is synced: what the CPU wrote in a bracket has reached the device by the end
            // of the bracket, and what the device wrote since must stay.
            let primary = tables.mapped_in(direction).ok_or(EBUSY)?.clone();

            if tables.lend_primary() {
                return Ok(primary);
            }
            tables.add_duplicate();
            // Memory is allocated without the lock, for which the CPU's brackets wait. The
            // duplicate counts already.
            drop(tables);
            return SgTable::duplicate(primary).map_err(|error| {
                self.tables.lock().forget_duplicate();
                error.into()
            });
        }

        let table = match tables.mapped_in(direction) {
            Some(table) => {
                table.sync_for_device();
                table.clone()
            }
            None => self.map_anew(&mut tables, direction)?,
        };

        self.idle.end();
        tables.lend_primary();
        Ok(table)
    }

    /// Maps the idle table.
    fn map_anew(
        &self,
        tables: &mut Tables,
        direction: DataDirection,
    ) -> Result<Arc<SgTable<Mapped>>, MapError> {
        if tables.reach == Reach::Beyond {
            // The kernel would try, and warn.
            if rate_limit::may_log() {
                dev_warn!(
                    &self.device,
                    "cannot reach a dma-buf: its memory and any bounce buffer are beyond the DMA mask; use an IOMMU, a bounce buffer below the mask (swiotlb=), or a heap whose memory lies there\n"
                );
            }
            return Err(MapError::Other(EBUSY));
        }

        let table = tables.take_unmapped()?;

        self.idle.end();

        let table = match SgTable::map(table, direction) {
            Ok(table) => table,
            Err((error, table)) => {
                tables.put_unmapped(table);
                return Err(match error {
                    ENOMEM => MapError::NoAddresses,
                    error => MapError::Other(error),
                });
            }
        };

        self.idle.mapped_in(self.domain_id());
        tables.put_mapped(table.clone());
        self.export.mappings.add(1);
        Ok(table)
    }

    /// Takes a table back from the importer. The last one ends the mapping, or syncs a kept one.
    pub(super) fn unmap(&self, table: Arc<SgTable<Mapped>>, _resv: ResvHeld<'_>) {
        let mut tables = self.tables.lock();

        if let Err(table) = tables.take_back(table) {
            // No reference was given away that this could be.
            core::mem::forget(table);
            drop(tables);
            if rate_limit::may_log() {
                dev_warn!(
                    &self.device,
                    "the driver unmapped a dma-buf more often than it mapped it\n"
                );
            }
            return;
        }
        if tables.is_outstanding() {
            return;
        }

        if self.keeps_mapping(tables.reach) {
            if let Some(primary) = tables.mapped() {
                primary.sync_for_cpu();
                self.idle.begin();
            }
        } else {
            tables.end_idle_mapping(SgTable::unmap);
        }
    }

    /// Tells whether the mapping stays that nobody uses any more.
    fn keeps_mapping(&self, reach: Reach) -> bool {
        reach == Reach::Direct
            && self.export.keeps_mappings()
            && self.is_watched.load(Relaxed)
            && device::has_driver(&self.device)
    }

    /// Ends a kept mapping that nobody uses, and returns how many bytes it had.
    pub(super) fn end_idle_mapping(&self) -> usize {
        let mut tables = self.tables.lock();

        if tables.is_outstanding() {
            return 0;
        }
        self.idle.end();
        if !tables.end_idle_mapping(SgTable::unmap_synced) {
            return 0;
        }
        drop(tables);
        self.export.mappings_dropped.add(1);
        self.len
    }

    /// Ends a kept mapping, and from now on every other one with the importer's unmap.
    pub(super) fn keep_no_more(&self) {
        self.is_watched.store(false, Relaxed);
        self.end_idle_mapping();
    }

    /// Ends the mapping, as the device is detached. Once this returns, it reaches nothing of the
    /// buffer by it. May sleep.
    pub(super) fn end(&self) {
        let mut tables = self.tables.lock();
        let ended = tables.end();

        self.idle.end();
        drop(tables);
        // The only reference, unless the importer has forgotten an unmap.
        drop(ended);
    }

    /// Tells of the device, what it demands and what it has of the buffer.
    pub(super) fn describe(&self) -> AttachmentDescription {
        let tables = self.tables.lock();
        let maps = tables.outstanding();
        let is_kept = self.idle.is_kept();

        tables.demands.describe(&self.device, maps, is_kept)
    }

    /// Tells, once for each time, whether what the device demands has changed since it was
    /// attached.
    pub(super) fn take_news(&self) -> bool {
        self.has_news.load(Relaxed) && self.has_news.xchg(false, Relaxed)
    }

    /// Returns the device.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Tells whether `device` is the one.
    pub(super) fn is_for(&self, device: &Device) -> bool {
        core::ptr::eq(&*self.device, device)
    }

    /// Returns how many bytes an importer has mapped in `domain`.
    pub(super) fn lent_in(&self, domain: DomainId) -> usize {
        if self.domain_id() == domain && self.tables.lock().is_outstanding() {
            self.len
        } else {
            0
        }
    }

    fn domain_id(&self) -> DomainId {
        Domain::of(&self.device).map_or(DomainId::NONE, |domain| domain.id())
    }

    /// Tells, without a lock, whether a mapping is kept in a domain of an IOMMU that nobody uses.
    pub(super) fn is_kept_in(&self, domain: DomainId) -> bool {
        self.idle.is_kept_in(domain)
    }

    /// Returns, without a lock, for how long a mapping is kept at `now` that nobody uses.
    pub(super) fn idle_age(&self, now: Moment) -> Option<Age> {
        self.idle.age(now)
    }

    /// Tells whether it is of a buffer of `export`.
    pub(super) fn is_of(&self, export: &Export) -> bool {
        core::ptr::eq(&*self.export, export)
    }

    /// Makes what the device wrote visible to the CPU, if it has the buffer mapped.
    pub(super) fn sync_for_cpu(&self) {
        if let Some(table) = self.tables.lock().in_use() {
            table.sync_for_cpu();
        }
    }

    /// Makes what the CPU wrote visible to the device, if it has the buffer mapped.
    pub(super) fn sync_for_device(&self) {
        if let Some(table) = self.tables.lock().in_use() {
            table.sync_for_device();
        }
    }
}
