// SPDX-License-Identifier: GPL-2.0

//! What all buffers of one heap share as dma-bufs.

use super::Attachments;
use crate::{
    abstractions::uapi::AttachmentDescription,
    counter::Counter, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The exporter's name, and how often importers and processes reached it.
pub(crate) struct Export {
    /// The heap's name.
    pub(crate) name: CString,
    /// The attachments of all heaps, this one's among them.
    pub(super) attachments: Arc<Attachments>,
    keeps_mappings: Atomic<bool>,
    maps_at_mmap: Atomic<bool>,
    /// Devices attached.
    pub(crate) attaches: Counter,
    /// Maps for a device, of which each belongs to one unmap.
    pub(crate) maps: Counter,
    /// DMA mappings made: the other maps found one that was kept, or in use.
    pub(crate) mappings: Counter,
    /// Kept DMA mappings that were ended before their device was detached.
    pub(crate) mappings_dropped: Counter,
    /// Mappings into the kernel.
    pub(crate) vmaps: Counter,
    /// Mappings into a process.
    pub(crate) mmaps: Counter,
    /// Brackets of CPU access opened, by the kernel or by `DMA_BUF_IOCTL_SYNC`.
    pub(crate) cpu_accesses: Counter,
}

impl Export {
    /// Gives the exporter a name.
    pub(crate) fn new(name: CString, attachments: Arc<Attachments>) -> Self {
        Self {
            name,
            attachments,
            keeps_mappings: Atomic::new(true),
            // There, tasks count on not waiting for a fault.
            maps_at_mmap: Atomic::new(cfg!(CONFIG_PREEMPT_RT)),
            attaches: Counter::new(),
            maps: Counter::new(),
            mappings: Counter::new(),
            mappings_dropped: Counter::new(),
            vmaps: Counter::new(),
            mmaps: Counter::new(),
            cpu_accesses: Counter::new(),
        }
    }

    /// Tells of the devices that were attached to buffers of any heap, as many as there is room for
    /// in `told`. Returns how many there are.
    pub(crate) fn describe_devices(&self, told: &mut KVVec<AttachmentDescription>) -> usize {
        self.attachments.tell_seen(told)
    }

    /// Tells whether DMA mappings are kept between an unmap and the next map.
    pub(crate) fn keeps_mappings(&self) -> bool {
        self.keeps_mappings.load(Relaxed)
    }

    /// Tells whether a process's mapping has all its pages from the start.
    pub(crate) fn maps_at_mmap(&self) -> bool {
        self.maps_at_mmap.load(Relaxed)
    }

    /// Has later mappings get all their pages from the start, or when they are touched.
    pub(crate) fn set_maps_at_mmap(&self, at_once: bool) {
        self.maps_at_mmap.store(at_once, Relaxed);
    }

    /// Has DMA mappings kept or not. Those that are kept and not in use end. May sleep.
    pub(crate) fn set_keeps_mappings(&self, keep: bool) {
        self.keeps_mappings.store(keep, Relaxed);
        if !keep {
            self.attachments
                .end_idle_mappings(|attachment| attachment.is_of(self));
        }
    }
}
