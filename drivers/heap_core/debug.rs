// SPDX-License-Identifier: GPL-2.0

//! Counters for engineers, in debugfs below `rust_dma_heap/<heap>`.

use super::device::HeapDevice;
use crate::abstractions::decimal;
use kernel::{
    debugfs::{
        Dir,
        Scope, //
    },
    fmt,
    prelude::*,
    sync::Arc, //
};

fn held(device: &Arc<HeapDevice>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let held = device.heap().pool().map_or(0, |pool| pool.ledger().held());

    decimal::write(f, held)?;
    f.write_str("\n")
}

fn dirty(device: &Arc<HeapDevice>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let dirty = device.heap().pool().map_or(0, |pool| pool.dirty());

    decimal::write(f, dirty)?;
    f.write_str("\n")
}

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
            dir.read_only_file(c"mappings", &export.mappings);
            dir.read_only_file(c"mappings_dropped", &export.mappings_dropped);
            dir.read_only_file(c"vmaps", &export.vmaps);
            dir.read_only_file(c"mmaps", &export.mmaps);
            dir.read_only_file(c"cpu_accesses", &export.cpu_accesses);

            if let Some(pool) = device.heap().pool() {
                let ledger = pool.ledger();

                dir.read_callback_file(c"pool_held", device, &held);
                dir.read_callback_file(c"pool_dirty", device, &dirty);
                dir.read_only_file(c"hits", &ledger.hits);
                dir.read_only_file(c"misses", &ledger.misses);
                dir.read_only_file(c"zeroed_inline", &ledger.zeroed_inline);
                dir.read_only_file(c"zeroed_background", &ledger.zeroed_background);
                dir.read_only_file(c"refilled", &ledger.refilled);
                dir.read_only_file(c"returned_zeroed", &ledger.returned_zeroed);
                dir.read_only_file(c"returned_dirty", &ledger.returned_dirty);
                dir.read_only_file(c"trimmed", &ledger.trimmed);
                dir.read_only_file(c"reclaimed", &ledger.reclaimed);
            }
        }),
        GFP_KERNEL,
    )
}
