// SPDX-License-Identifier: GPL-2.0

//! All devices that are attached, to buffers of any heap.

use super::Attachment;
use kernel::{
    prelude::*,
    rbtree::RBTree,
    sync::{
        new_mutex,
        Arc,
        Mutex, //
    }, //
};

/// Where kept DMA mappings are found when what they hold is needed: devices of different buffers
/// share an IOMMU's addresses.
#[pin_data]
pub(crate) struct Attachments {
    /// By address.
    #[pin]
    all: Mutex<RBTree<usize, Arc<Attachment>>>,
}

/// What tells one attachment from another for as long as it lives.
fn key(attachment: &Attachment) -> usize {
    core::ptr::from_ref(attachment).addr()
}

impl Attachments {
    /// Nothing is attached yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                all <- new_mutex!(RBTree::new()),
            }),
            GFP_KERNEL,
        )
    }

    /// Adds an attachment. May sleep.
    pub(super) fn add(&self, attachment: Arc<Attachment>) -> Result {
        self.all
            .lock()
            .try_create_and_insert(key(&attachment), attachment, GFP_KERNEL)?;
        Ok(())
    }

    /// Removes an attachment. May sleep.
    pub(super) fn remove(&self, attachment: &Attachment) {
        let removed = self.all.lock().remove(&key(attachment));

        drop(removed);
    }

    /// Ends all DMA mappings that are kept and not in use, of those attachments for which `which`
    /// says yes. Returns how many there were. May sleep.
    pub(super) fn drop_idle_mappings(&self, which: impl Fn(&Attachment) -> bool) -> usize {
        self.all
            .lock()
            .values()
            .filter(|attachment| which(attachment) && attachment.drop_idle_mapping())
            .count()
    }
}
