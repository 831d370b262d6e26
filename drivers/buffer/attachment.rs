// SPDX-License-Identifier: GPL-2.0

//! A device's use of a buffer.

use crate::abstractions::{
    block::BlockList,
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
    /// Not mapped, for the next map: nearly every device has one mapping at a time.
    idle: Option<Pin<UniqueArc<SgTable>>>,
    /// Mapped, and in the hands of the importer.
    mapped: KVec<Arc<SgTable>>,
}

/// A device that is attached to a buffer.
#[pin_data]
pub(crate) struct Attachment {
    blocks: Arc<BlockList>,
    #[pin]
    tables: Mutex<Tables>,
}

impl Attachment {
    /// Makes the first scatterlist ready, so that mapping need not. May sleep.
    pub(super) fn new(blocks: Arc<BlockList>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            tables <- new_mutex!(Tables {
                idle: Some(SgTable::new(blocks.clone())?),
                mapped: KVec::new(),
            }),
            blocks,
        })
    }

    /// Maps the buffer for `device`: with the scatterlist at hand, or with one more if the importer
    /// holds that already. May sleep.
    pub(super) fn map(&self, device: &Device, direction: DataDirection) -> Result<Arc<SgTable>> {
        let mut tables = self.tables.lock();
        let mut table = match tables.idle.take() {
            Some(table) => table,
            None => SgTable::new(self.blocks.clone())?,
        };

        let mapped = tables
            .mapped
            .reserve(1, GFP_KERNEL)
            .map_err(Error::from)
            .and_then(|()| table.as_mut().map(device, direction));

        if let Err(e) = mapped {
            tables.idle = Some(table);
            return Err(e);
        }

        let table = Arc::from(table);

        tables.mapped.push(table.clone(), GFP_KERNEL)?;
        Ok(table)
    }

    /// Takes a scatterlist back from the importer and ends its mapping.
    pub(super) fn unmap(&self, table: Arc<SgTable>) {
        let mut tables = self.tables.lock();

        tables.mapped.retain(|other| !Arc::ptr_eq(other, &table));

        if let Some(mut table) = Arc::into_unique_or_drop(table) {
            table.as_mut().unmap();
            tables.idle = Some(table);
        }
    }

    /// Makes what the device wrote visible to the CPU, for each mapping.
    pub(super) fn sync_for_cpu(&self) {
        for table in &self.tables.lock().mapped {
            table.sync_for_cpu();
        }
    }

    /// Makes what the CPU wrote visible to the device, for each mapping.
    pub(super) fn sync_for_device(&self) {
        for table in &self.tables.lock().mapped {
            table.sync_for_device();
        }
    }
}
