// SPDX-License-Identifier: GPL-2.0

//! What makes a pool give everything back, for as long as the value lives.

use crate::abstractions::reclaim::{
    GivesBackOn,
    MemoryGoingOffline,
    OutOfMemory,
    Reclaim,
    Shrinker, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A pool's ties to memory reclaim, to the OOM killer and to memory hotplug.
#[pin_data]
pub(super) struct Pressure<T: Reclaim> {
    #[pin]
    out_of_memory: GivesBackOn<OutOfMemory, T>,
    #[pin]
    going_offline: GivesBackOn<MemoryGoingOffline, T>,
    shrinker: Shrinker<T>,
}

impl<T: Reclaim> Pressure<T> {
    /// Ties `pool`, whose shrinker is called `name`. May sleep.
    pub(super) fn on(name: &'static CStr, pool: Arc<T>) -> Result<Pin<KBox<Self>>> {
        KBox::try_pin_init(
            try_pin_init!(Self {
                out_of_memory <- GivesBackOn::register(pool.clone()),
                going_offline <- GivesBackOn::register(pool.clone()),
                shrinker: Shrinker::register(name, pool)?,
            }? Error),
            GFP_KERNEL,
        )
    }
}
