// SPDX-License-Identifier: GPL-2.0

//! The exporter side of dma-bufs.
//!
//! Something that implements [`Exporter`] becomes a dma-buf, together with the memory that it
//! shows, by [`DmaBuf::export`], which takes both over until the last user of the dma-buf is gone.
//! [`DmaBuf::exporter`] finds it again in a dma-buf that came from anywhere.
//!
//! [`DmaBuf::export`]: super::DmaBuf::export
//! [`DmaBuf::exporter`]: super::DmaBuf::exporter
//!
//! An exporter decides, and this module does: it asks by a request ([`MapRequest`],
//! [`MmapRequest`], [`VmapRequest`]), and what answers one ([`Lent`], [`Shown`], [`Vmapped`]) can
//! be had of that request alone. So nothing else than the memory behind the dma-buf is shown, all
//! of it, and to the device that was asked about.

use super::requests::{
    Lent,
    MapRequest,
    MmapRequest,
    Shown,
    VmapRequest,
    Vmapped, //
};
use crate::abstractions::{
    dma::sg_table::{
        Mapped,
        SgTable, //
    },
    dma_buf::resv::ResvHeld,
    mm::kernel_mapping::KernelMapping, //
};
use kernel::{
    device::Device,
    dma::DataDirection,
    error::VTABLE_DEFAULT_ERROR,
    prelude::*,
    sync::Arc, //
};

/// Who decides what is done with the memory behind a dma-buf: `struct dma_buf_ops` as a trait.
///
/// `dmabuf->resv` is held by the caller where a [`ResvHeld`] says so, and in no other method. All
/// methods may sleep.
///
/// The value is dropped, as `release`, once no file descriptor, mapping, attachment or `vmap` of
/// the dma-buf is left.
#[vtable]
pub(crate) trait Exporter: Sized + Send + Sync + 'static {
    /// What the exporter keeps for each device that is attached.
    type Attachment: Send + Sync + 'static;

    /// Returns the name under which the kernel lists the exporter.
    fn name(&self) -> &CStr;

    /// A device is about to use the buffer.
    fn attach(&self, device: &Device) -> Result<Arc<Self::Attachment>>;

    /// A device is done. What [`Exporter::map`] gave for it has come back before.
    fn detach(&self, attachment: Arc<Self::Attachment>);

    /// Maps the whole buffer for an attached device.
    fn map<'a>(&self, attachment: &Self::Attachment, request: MapRequest<'a>) -> Result<Lent<'a>>;

    /// Takes back a table that was lent for this attachment.
    fn unmap(&self, attachment: &Self::Attachment, table: Arc<SgTable<Mapped>>, resv: ResvHeld<'_>);

    /// The CPU is going to access the buffer.
    fn begin_cpu_access(&self, _direction: DataDirection) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The CPU has finished its access.
    fn end_cpu_access(&self, _direction: DataDirection) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Shows the buffer to a process. The C side has checked that the range is inside the buffer.
    fn mmap<'a>(&self, _request: MmapRequest<'a>) -> Result<Shown<'a>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Maps the buffer into kernel addresses.
    ///
    /// The C side counts its users: it asks again only after [`Exporter::vunmap`]. It warns in the
    /// log, once, if this fails.
    fn vmap<'a>(&self, _request: VmapRequest<'a>) -> Result<Vmapped<'a>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Takes back what [`Exporter::vmap`] gave.
    fn vunmap(&self, _mapping: Arc<KernelMapping>, _resv: ResvHeld<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
