// SPDX-License-Identifier: GPL-2.0

//! Counters for engineers, in debugfs below `rust_dma_heap/<heap>`.

use super::device::HeapDevice;
use kernel::{
    debugfs::{
        Dir,
        Scope, //
    },
    prelude::*,
    sync::Arc, //
};

/// Shows the counters of one heap until the value is dropped. May sleep.
pub(super) fn counters(
    root: &Dir,
    device: Arc<HeapDevice>,
) -> Result<Pin<KBox<Scope<Arc<HeapDevice>>>>> {
    let name = device.clone();

    KBox::pin_init(
        root.scope(device, name.name(), |device, dir| {
            let export = device.export();

            dir.read_only_file(c"allocations", &device.allocations);
            dir.read_only_file(c"failures", &device.failures);
            dir.read_only_file(c"attaches", &export.attaches);
            dir.read_only_file(c"maps", &export.maps);
            dir.read_only_file(c"vmaps", &export.vmaps);
            dir.read_only_file(c"mmaps", &export.mmaps);
            dir.read_only_file(c"cpu_accesses", &export.cpu_accesses);
        }),
        GFP_KERNEL,
    )
}
