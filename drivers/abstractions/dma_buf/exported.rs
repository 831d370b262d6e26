// SPDX-License-Identifier: GPL-2.0

//! What stands behind a dma-buf of ours.

use super::exporter::Exporter;
use crate::abstractions::mm::{
    block_list::BlockList,
    kernel_mapping::KernelMapping, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// What `priv` of a dma-buf of ours points to.
#[pin_data]
pub(super) struct Exported<T: Exporter> {
    /// The memory, of the same size for all of the dma-buf's life. The exporter may hold it for
    /// longer.
    pub(super) blocks: Arc<BlockList>,
    #[pin]
    pub(super) exporter: T,
    /// The mapping whose address C holds between `vmap` and `vunmap`.
    #[pin]
    pub(super) vmap: Mutex<Option<Arc<KernelMapping>>>,
}
