// SPDX-License-Identifier: GPL-2.0

//! Buffers mapped for DMA.

use super::{
    Attached,
    Attachment,
    Importing, //
};
use crate::abstractions::{
    bindings,
    dma::segments, //
};
use core::ptr::NonNull;
use kernel::{
    device::Device,
    dma::{
        DataDirection,
        DmaAddress, //
    },
    error::from_err_ptr,
    prelude::*,
    scatterlist::SGTable,
    sync::Arc, //
};

/// A dma-buf that is mapped for DMA by an attached device.
///
/// # Invariants
///
/// `table` is what mapping the attachment in `direction` returned, not unmapped yet.
pub(crate) struct MappedAttachment<A: Attached = Arc<Attachment>> {
    table: NonNull<bindings::sg_table>,
    direction: DataDirection,
    attached: A,
}

// SAFETY: Mappings are not bound to a task, unless a lock is.
unsafe impl Send for MappedAttachment {}

// SAFETY: Methods on `&MappedAttachment` only read the table.
unsafe impl Sync for MappedAttachment {}

impl MappedAttachment {
    /// Maps the whole buffer. Wraps `dma_buf_map_attachment_unlocked()`. May sleep.
    ///
    /// Returns `EINVAL` if another device is attached, and for no direction; else fails as the
    /// exporter does.
    pub(crate) fn new(
        attachment: Arc<Attachment>,
        device: &dyn Importing,
        direction: DataDirection,
    ) -> Result<Self> {
        Self::of(attachment, device, direction)
    }
}

impl<A: Attached> MappedAttachment<A> {
    pub(super) fn of(
        attached: A,
        device: &dyn Importing,
        direction: DataDirection,
    ) -> Result<Self> {
        segments::check_direction(direction)?;
        if !attached.attachment().is_of(device.device()) {
            return Err(EINVAL);
        }

        let raw = attached.attachment().raw.as_ptr();
        let table = if A::IS_LOCKED {
            // SAFETY: By the type invariant of `Attachment`, it is attached; `attached` says that
            // the lock is held.
            unsafe { bindings::dma_buf_map_attachment(raw, direction.into()) }
        } else {
            // SAFETY: By the type invariant of `Attachment`, it is attached.
            unsafe { bindings::dma_buf_map_attachment_unlocked(raw, direction.into()) }
        };
        let table = from_err_ptr(table)?;

        // INVARIANT: It was just mapped.
        Ok(Self {
            // SAFETY: The C side returns a table or an error, not null.
            table: unsafe { NonNull::new_unchecked(table) },
            direction,
            attached,
        })
    }

    /// Tells whether it is `device` that may use the mapping.
    pub(crate) fn is_for(&self, device: &Device) -> bool {
        self.attached.attachment().is_of(device)
    }

    /// Returns the table that was lent.
    pub(crate) fn table(&self) -> &SGTable {
        // SAFETY: By the type invariant, it is valid, and nobody changes a table that is lent.
        unsafe { SGTable::from_raw(self.table.as_ptr()) }
    }

    /// Returns address and length in bytes of each range that the device may use, in order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (DmaAddress, usize)> + use<'_, A> {
        self.table()
            .iter()
            .map(|entry| (entry.dma_address(), entry.dma_len() as usize))
    }

    /// Returns the DMA address of byte `offset` of the buffer, and how many of `len` bytes follow
    /// it there.
    ///
    /// Returns `EINVAL` for an offset that is not in the buffer.
    pub(crate) fn range_at(&self, offset: usize, len: usize) -> Result<(DmaAddress, usize)> {
        let mut start = 0;

        for (address, range_len) in self.ranges() {
            let end = start + range_len;

            if offset < end {
                let skip = offset - start;

                return Ok((address + skip as DmaAddress, len.min(range_len - skip)));
            }
            start = end;
        }
        Err(EINVAL)
    }
}

impl<A: Attached> Drop for MappedAttachment<A> {
    fn drop(&mut self) {
        let attachment = self.attached.attachment().raw.as_ptr();
        let (table, direction) = (self.table.as_ptr(), self.direction.into());

        if A::IS_LOCKED {
            // SAFETY: By the type invariant, the table is mapped for the attachment and direction;
            // `attached` says that the lock is held.
            unsafe { bindings::dma_buf_unmap_attachment(attachment, table, direction) };
        } else {
            // SAFETY: By the type invariant, the table is mapped for the attachment and direction.
            unsafe { bindings::dma_buf_unmap_attachment_unlocked(attachment, table, direction) };
        }
    }
}
