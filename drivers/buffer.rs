// SPDX-License-Identifier: GPL-2.0

//! The one exporter that all heaps share.
//!
//! # Locking
//!
//! From the outside in: `mmap_lock` or a VMA lock, `dmabuf->resv`, [`Buffer::state`],
//! [`Attachment::tables`], `fs_reclaim`, the spinlock of a [`pool`](crate::pool). The dma-buf core
//! holds `resv` in `map`, `unmap`, `vmap` and `vunmap` only. Page faults take none of these: they
//! are handled under the VMA's lock or, since without a `map_pages` the C side tries that way once
//! more, `mmap_lock` for reading; what they change is a mark in each block, and page tables.
//!
//! The locks of [`Attachments`] are everybody's. They come after `resv`, with none of the others
//! held, and none of the others is taken under them. The notifiers of a bus are called with a lock
//! of it held; what they take is a lock of [`Attachments`], and after it [`Attachment::tables`].

#![deny(unsafe_code)]

mod announcer;
mod attachment;
mod attachments;
mod demands;
mod export;
mod idle;
mod room;
mod seen_devices;
mod tables;

pub(crate) use attachments::{
    AllAttachments,
    Attachments, //
};
pub(crate) use export::Export;

use crate::{
    abstractions::{
        dma::{
            segments,
            sg_table::{
                Mapped,
                SgTable, //
            }, //
        },
        dma_buf::{
            export::ExporterOps,
            exporter::Exporter,
            requests::{
                Lent,
                MapRequest,
                MmapRequest,
                Shown,
                VmapRequest,
                Vmapped, //
            },
            resv::ResvHeld,
            DmaBuf, //
        },
        mm::{
            block_list::BlockList,
            kernel_mapping::KernelMapping, //
        },
        uapi::AttachmentDescription, //
    },
    accounting::Charge, //
};
use announcer::Announcer;
use attachment::Attachment;
use attachments::AttachmentSet;
use kernel::{
    device::Device,
    dma::DataDirection,
    prelude::*,
    sync::{
        aref::ARef,
        new_mutex,
        Arc,
        Mutex,
        UniqueArc, //
    }, //
};

/// What changes in a buffer's life.
struct State {
    attachments: AttachmentSet,
    /// The mapping that importers share, or one that was kept for the next.
    vmap: Option<Arc<KernelMapping>>,
}

/// A buffer of any heap: blocks of memory with those who use them.
#[pin_data]
pub(crate) struct Buffer {
    /// First, so that those who watch are told that the buffer goes before it does.
    export: Announcer,
    blocks: Arc<BlockList>,
    #[pin]
    state: Mutex<State>,
    // The last field, so that memory counts as used until it is free.
    _charge: Charge,
}

/// By which a dma-buf is known as ours.
static OPS: ExporterOps<Buffer> = ExporterOps::new();

impl Buffer {
    /// Makes a dma-buf of `blocks`, which stay charged for as long as it lives. May sleep.
    ///
    /// `file_flags` are those of the file: an access mode and `O_CLOEXEC`.
    pub(crate) fn export(
        export: Arc<Export>,
        blocks: UniqueArc<BlockList>,
        charge: Charge,
        file_flags: u32,
    ) -> Result<ARef<DmaBuf>> {
        let blocks: Arc<BlockList> = blocks.into();
        let this = Self::new(export, blocks.clone(), charge);
        let dma_buf = DmaBuf::export(&OPS, blocks, this, file_flags)?;

        if let Some(this) = Self::of(&dma_buf) {
            this.export.announce(this, dma_buf.inode());
        }
        Ok(dma_buf)
    }

    /// Returns the buffer behind a dma-buf, or [`None`] for another exporter's.
    pub(crate) fn of(dma_buf: &DmaBuf) -> Option<&Self> {
        dma_buf.exporter(&OPS)
    }

    fn new(
        export: Arc<Export>,
        blocks: Arc<BlockList>,
        charge: Charge,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            export: Announcer::new(export),
            blocks,
            state <- new_mutex!(State {
                attachments: AttachmentSet::new(),
                vmap: None,
            }),
            _charge: charge,
        })
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the number of blocks that the buffer is made of.
    pub(crate) fn nr_blocks(&self) -> usize {
        self.blocks.nr_blocks()
    }

    /// Returns the number of physically contiguous ranges that they make.
    pub(crate) fn nr_segments(&self) -> usize {
        segments::count(&self.blocks)
    }

    /// Tells of the attached devices, as many as there is room for in `told`. Returns how many
    /// there are.
    pub(crate) fn describe_attachments(&self, told: &mut KVVec<AttachmentDescription>) -> usize {
        let state = self.state.lock();

        for attachment in state.attachments.iter() {
            if told.push_within_capacity(attachment.describe()).is_err() {
                break;
            }
        }
        state.attachments.iter().count()
    }
}

#[vtable]
impl Exporter for Buffer {
    type Attachment = Attachment;

    fn name(&self) -> &CStr {
        &self.export.name
    }

    fn attach(&self, device: &Device) -> Result<Arc<Attachment>> {
        let registry = &self.export.attachments;
        // Nothing is kept for a device of which nobody would tell when it loses its driver.
        let is_watched = registry.watch(device).is_ok();
        let attachment = Arc::pin_init(
            Attachment::new(device, self.blocks.clone(), self.export.clone(), is_watched),
            GFP_KERNEL,
        )?;
        // Before any lock: whoever allocates may have to wait for the disk.
        let (ours, everybodys) = (
            AttachmentSet::node(attachment.clone())?,
            AttachmentSet::node(attachment.clone())?,
        );

        registry.add(&attachment, everybodys);
        self.state.lock().attachments.insert(ours);
        self.export.attaches.add(1);
        Ok(attachment)
    }

    fn detach(&self, attachment: Arc<Attachment>) {
        self.export.attachments.remove(&attachment);

        let removed = self.state.lock().attachments.remove(&attachment);

        drop(removed);
        // Now, and not with the last reference: the device may go after this.
        attachment.end();
    }

    fn map<'a>(&self, attachment: &Attachment, request: MapRequest<'a>) -> Result<Lent<'a>> {
        let registry = &self.export.attachments;
        let (direction, resv) = (request.direction(), request.resv());
        let table = registry.map(attachment, direction, resv, self.len())?;

        // A driver may have set its demands only after it attached.
        if attachment.take_news() {
            registry.note(attachment);
        }
        self.export.maps.add(1);
        request.lend(table)
    }

    fn unmap(&self, attachment: &Attachment, table: Arc<SgTable<Mapped>>, resv: ResvHeld<'_>) {
        attachment.unmap(table, resv)
    }

    fn begin_cpu_access(&self, _direction: DataDirection) -> Result {
        let state = self.state.lock();

        if let Some(vmap) = &state.vmap {
            vmap.sync_for_cpu();
        }
        for attachment in state.attachments.iter() {
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
        for attachment in state.attachments.iter() {
            attachment.sync_for_device();
        }
        Ok(())
    }

    fn mmap<'a>(&self, request: MmapRequest<'a>) -> Result<Shown<'a>> {
        let shown = request.show(self.export.maps_at_mmap())?;

        self.export.mmaps.add(1);
        Ok(shown)
    }

    fn vmap<'a>(&self, request: VmapRequest<'a>) -> Result<Vmapped<'a>> {
        let kept = self.state.lock().vmap.clone();
        let mapping = match kept {
            Some(mapping) => mapping,
            None => {
                let mapping = request.map()?;

                // `resv` keeps others out meanwhile.
                self.state.lock().vmap = Some(mapping.clone());
                mapping
            }
        };

        self.export.vmaps.add(1);
        request.give(mapping)
    }

    fn vunmap(&self, mapping: Arc<KernelMapping>, _resv: ResvHeld<'_>) {
        if mapping.is_cheap_to_keep() {
            return;
        }

        let ours = self.state.lock().vmap.take();

        // `vunmap()` may sleep for long: both references go after the lock does.
        drop((ours, mapping));
    }
}
