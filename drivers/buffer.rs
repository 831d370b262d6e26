// SPDX-License-Identifier: GPL-2.0

//! The one exporter that all heaps share.
//!
//! # Locking
//!
//! From the outside in: `mmap_lock` or a VMA lock, `dmabuf->resv`, [`Buffer::state`],
//! [`Attachments`], [`Attachment::tables`], `fs_reclaim`, the spinlock of a [`pool`](crate::pool).
//! The dma-buf core holds `resv` in `map`, `unmap`, `vmap` and `vunmap` only. Page faults take none
//! of these but the VMA lock: what they change is a mark in each block, and page tables.

#![deny(unsafe_code)]

mod attachment;
mod attachments;
mod export;

pub(crate) use attachments::Attachments;
pub(crate) use export::Export;

use crate::{
    abstractions::{
        block_list::BlockList,
        dma_buf::Exporter,
        kernel_mapping::KernelMapping,
        sg_table::SgTable,
        user_mapping, //
    },
    accounting::Charge, //
};
use attachment::Attachment;
use kernel::{
    device::Device,
    dma::DataDirection,
    mm::virt::VmaNew,
    prelude::*,
    sync::{
        new_mutex,
        Arc,
        Mutex,
        UniqueArc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// What changes in a buffer's life.
struct State {
    /// [`None`] until there is one: even to drop an empty vector calls the allocator, and many
    /// buffers never see a device.
    attachments: Option<KVec<Arc<Attachment>>>,
    /// The mapping that importers share, or one that was kept for the next.
    vmap: Option<Arc<KernelMapping>>,
}

impl State {
    fn attachments(&self) -> impl Iterator<Item = &Arc<Attachment>> {
        self.attachments.iter().flatten()
    }
}

/// After how long an IOMMU in lazy mode gives back the addresses of mappings that have ended: with
/// its next flush, which is due within 10 ms, and late on a busy machine.
const FLUSH: Delta = Delta::from_millis(10);

/// How often to wait for that.
const FLUSHES: usize = 10;

/// Tells whether a map failed for want of something that others may have.
fn is_short(table: &Result<Arc<SgTable>>) -> bool {
    table.as_ref().is_err_and(|&e| e != EBUSY && e != EINVAL)
}

/// A buffer of any heap: blocks of memory with those who use them.
#[pin_data]
pub(crate) struct Buffer {
    export: Arc<Export>,
    blocks: Arc<BlockList>,
    #[pin]
    state: Mutex<State>,
    // The last field, so that memory counts as used until it is free.
    _charge: Charge,
}

impl Buffer {
    /// Makes a buffer of `blocks`, which stay charged for as long as it lives. May sleep.
    pub(crate) fn new(
        export: Arc<Export>,
        blocks: UniqueArc<BlockList>,
        charge: Charge,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            export,
            blocks: blocks.into(),
            state <- new_mutex!(State {
                attachments: None,
                vmap: None,
            }),
            _charge: charge,
        })
    }
}

#[vtable]
impl Exporter for Buffer {
    type Attachment = Attachment;

    fn name(&self) -> &CStr {
        &self.export.name
    }

    fn size(&self) -> usize {
        self.blocks.len()
    }

    fn attach(&self, device: &Device) -> Result<Arc<Attachment>> {
        let attachment = Arc::pin_init(
            Attachment::new(device, self.blocks.clone(), self.export.clone()),
            GFP_KERNEL,
        )?;
        let mut state = self.state.lock();
        let attachments = state.attachments.get_or_insert_with(KVec::new);

        attachments.reserve(1, GFP_KERNEL)?;
        self.export.attachments.add(attachment.clone())?;
        attachments.push_within_capacity(attachment.clone())?;
        self.export.attaches.add(1);
        Ok(attachment)
    }

    fn detach(&self, attachment: Arc<Attachment>) {
        self.export.attachments.remove(&attachment);
        if let Some(attachments) = &mut self.state.lock().attachments {
            attachments.retain(|other| !Arc::ptr_eq(other, &attachment));
        }
    }

    fn map(&self, attachment: &Attachment, direction: DataDirection) -> Result<Arc<SgTable>> {
        let mut table = attachment.map(direction);

        // Address space of an IOMMU may be what is missing: kept mappings hold some.
        if is_short(&table) && self.export.attachments.drop_idle_mappings(|_| true) > 0 {
            table = attachment.map(direction);
            for _ in 0..FLUSHES {
                if !is_short(&table) {
                    break;
                }
                fsleep(FLUSH);
                table = attachment.map(direction);
            }
        }
        if table.is_ok() {
            self.export.maps.add(1);
        }
        table
    }

    fn unmap(&self, attachment: &Attachment, table: Arc<SgTable>) {
        attachment.unmap(table)
    }

    fn begin_cpu_access(&self, _direction: DataDirection) -> Result {
        let state = self.state.lock();

        if let Some(vmap) = &state.vmap {
            vmap.sync_for_cpu();
        }
        for attachment in state.attachments() {
            attachment.sync_for_cpu();
        }
        self.export.cpu_accesses.add(1);
        Ok(())
    }

    fn end_cpu_access(&self, _direction: DataDirection) -> Result {
        let state = self.state.lock();

        if let Some(vmap) = &state.vmap {
            vmap.sync_for_device();
        }
        for attachment in state.attachments() {
            attachment.sync_for_device();
        }
        Ok(())
    }

    fn mmap(&self, vma: &VmaNew) -> Result {
        user_mapping::map(vma, &self.blocks)?;
        self.export.mmaps.add(1);
        Ok(())
    }

    fn vmap(&self) -> Result<Arc<KernelMapping>> {
        let kept = self.state.lock().vmap.clone();
        let mapping = match kept {
            Some(mapping) => mapping,
            None => {
                let mapping = Arc::new(KernelMapping::new(self.blocks.clone())?, GFP_KERNEL)?;

                // `resv` keeps others out meanwhile.
                self.state.lock().vmap = Some(mapping.clone());
                mapping
            }
        };

        self.export.vmaps.add(1);
        Ok(mapping)
    }

    fn vunmap(&self, mapping: Arc<KernelMapping>) {
        if mapping.is_cheap_to_keep() {
            return;
        }

        let ours = self.state.lock().vmap.take();

        // `vunmap()` may sleep for long: both references go after the lock does.
        drop((ours, mapping));
    }
}
