// SPDX-License-Identifier: GPL-2.0

//! What all buffers of one heap share as dma-bufs.

use crate::counter::Counter;
use kernel::str::CString;

/// The exporter's name, and how often importers and processes reached it.
pub(crate) struct Export {
    /// The heap's name.
    pub(crate) name: CString,
    /// Devices attached.
    pub(crate) attaches: Counter,
    /// Maps for a device, of which each belongs to one unmap.
    pub(crate) maps: Counter,
    /// Mappings into the kernel.
    pub(crate) vmaps: Counter,
    /// Mappings into a process.
    pub(crate) mmaps: Counter,
    /// Brackets of CPU access opened, by the kernel or by `DMA_BUF_IOCTL_SYNC`.
    pub(crate) cpu_accesses: Counter,
}

impl Export {
    /// Gives the exporter a name.
    pub(crate) fn new(name: CString) -> Self {
        Self {
            name,
            attaches: Counter::new(),
            maps: Counter::new(),
            vmaps: Counter::new(),
            mmaps: Counter::new(),
            cpu_accesses: Counter::new(),
        }
    }
}
