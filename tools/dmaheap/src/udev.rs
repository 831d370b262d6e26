// SPDX-License-Identifier: GPL-2.0

//! What the udev rules run for each heap that comes, changes or goes.

use crate::names;
use crate::settings;

/// Settings when a heap comes, the limit that fits its area then and whenever it
/// changes, and the nodes of compatible names each time. One that fails does not
/// stop the others.
///
/// udev says by environment variables what has happened to which device.
pub(crate) fn run() -> anyhow::Result<()> {
    let action = std::env::var("ACTION").unwrap_or_default();
    let device = std::env::var("DEVPATH").unwrap_or_default();
    let own_name = device.rsplit('/').next().unwrap_or_default();
    // By its name alone another module's heap might be meant.
    let heap = dma_heap::registered()
        .into_iter()
        .find(|heap| heap.name == own_name && heap.attributes.is_some());
    let result = match heap {
        None => Ok(()),
        Some(heap) if action == "add" => settings::apply(&heap),
        // What root wrote meanwhile stays.
        Some(heap) => settings::fit_to_area(&heap),
    };
    result.and(names::update())
}
