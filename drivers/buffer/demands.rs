// SPDX-License-Identifier: GPL-2.0

//! What a device's driver demands of a buffer, as it was when the driver last vouched for it.

use crate::abstractions::{
    dma::{
        limits,
        segments, //
    },
    uapi::{
        self,
        AttachmentDescription,
        ATTACHMENT_KEPT, //
    }, //
};
use kernel::device::Device;

/// Read while an importer attaches or maps, when its driver keeps them in place: afterwards, they
/// may go with the driver.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Demands {
    dma_mask: u64,
    max_segment: Option<usize>,
    boundary_mask: Option<usize>,
}

impl Demands {
    /// Reads those of a device that is being attached or mapped for.
    pub(super) fn of(device: &Device) -> Self {
        Self {
            dma_mask: limits::dma_mask(device),
            max_segment: segments::max_segment(device),
            boundary_mask: segments::boundary_mask(device),
        }
    }

    /// Tells whether the device's mask is still that one.
    pub(super) fn has_mask_of(&self, device: &Device) -> bool {
        self.dma_mask == limits::dma_mask(device)
    }

    /// Tells of them, and of the device's use of a buffer.
    pub(super) fn describe(
        &self,
        device: &Device,
        maps: usize,
        is_kept: bool,
    ) -> AttachmentDescription {
        AttachmentDescription {
            device: uapi::name(device.name()),
            dma_mask: self.dma_mask,
            max_segment: self.max_segment.unwrap_or(0) as u64,
            boundary_mask: self.boundary_mask.map_or(u64::MAX, |mask| mask as u64),
            maps: maps as u32,
            flags: if is_kept { ATTACHMENT_KEPT } else { 0 },
        }
    }
}
