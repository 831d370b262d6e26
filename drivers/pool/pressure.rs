// SPDX-License-Identifier: GPL-2.0

//! What makes a pool give everything back, for as long as the value lives.

use crate::abstractions::mm::reclaim::{
    OomNotifier,
    Reclaim,
    Shrinker, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A pool's ties to memory reclaim and to the OOM killer.
///
/// There is none to memory hotplug: the kernel isolates a range before it tells anybody, and takes our
/// pages for unmovable.
#[pin_data]
pub(super) struct Pressure<T: Reclaim> {
    #[pin]
    out_of_memory: OomNotifier<T>,
    shrinker: Shrinker<T>,
}

impl<T: Reclaim> Pressure<T> {
    /// Ties `pool`, whose shrinker is called `name`. May sleep.
    pub(super) fn on(name: &'static CStr, pool: Arc<T>) -> Result<Pin<KBox<Self>>> {
        KBox::try_pin_init(
            try_pin_init!(Self {
                out_of_memory <- OomNotifier::register(pool.clone()),
                shrinker: Shrinker::register(name, pool)?,
            }? Error),
            GFP_KERNEL,
        )
    }
}
