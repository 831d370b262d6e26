// SPDX-License-Identifier: GPL-2.0

//! Counters for engineers, in debugfs below `rust_dma_heap/<heap>`.

use super::device::HeapDevice;
use kernel::{
    debugfs::{
        Dir,
        Scope, //
    },
    fmt,
    prelude::*,
    sync::Arc, //
};

fn allocations(device: &Arc<HeapDevice>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}", device.allocations())
}

fn failures(device: &Arc<HeapDevice>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}", device.failures())
}

/// Shows the counters of one heap until the value is dropped. May sleep.
pub(super) fn counters(
    root: &Dir,
    device: Arc<HeapDevice>,
) -> Result<Pin<KBox<Scope<Arc<HeapDevice>>>>> {
    let name = device.clone();

    KBox::pin_init(
        root.scope(device, name.name(), |device, dir| {
            dir.read_callback_file(c"allocations", device, &allocations);
            dir.read_callback_file(c"failures", device, &failures);
        }),
        GFP_KERNEL,
    )
}
