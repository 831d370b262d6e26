// SPDX-License-Identifier: GPL-2.0

//! What our heaps say of their buffers, where the caller may take a descriptor of one.

use super::Device;
use super::Survey;
use super::printable;
use dma_heap::Buffer;
use dma_heap::Heap;

/// Asks for each buffer of ours that a process has open.
pub(super) fn add_to(survey: &mut Survey) {
    let Some(node) = node() else { return };
    for (inode, buffer) in &mut survey.buffers {
        let first = buffer
            .holders
            .values()
            .find_map(|holder| Some((holder.pid, *holder.descriptors.first()?)));
        let Some((pid, fd)) = first else { continue };
        let (Ok(pid), Ok(fd)) = (u32::try_from(pid), u32::try_from(fd)) else {
            continue;
        };
        // The number may lead elsewhere by now.
        let Ok(taken) = Buffer::of_process(pid, fd) else {
            continue;
        };
        if taken.inode().ok() != Some(*inode) {
            continue;
        }
        let Ok(told) = node.describe(&taken) else {
            continue;
        };
        let devices = told.attachments.iter().map(|device| Device {
            name: printable(&device.name),
            maps: Some(device.maps),
        });
        buffer.devices = Some(devices.collect());
    }
}

/// A node of ours that the caller may open: any of them knows all buffers.
fn node() -> Option<Heap> {
    dma_heap::heaps()
        .ok()?
        .iter()
        .filter(|heap| heap.is_ours())
        .find_map(|heap| Heap::open(&heap.name).ok())
}
