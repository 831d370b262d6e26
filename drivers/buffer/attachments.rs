// SPDX-License-Identifier: GPL-2.0

//! All devices that are attached, to buffers of any heap.
//!
//! Kept DMA mappings are found here when they must end: because an IOMMU has no addresses left
//! ([`room`](super::room)), because a device loses its driver, or because root wants none kept.
//!
//! The lock is everybody's. Under it, nothing but the lists is touched: mappings end after it.

use super::{
    idle::{
        Age,
        Moment, //
    },
    seen_devices::SeenDevices,
    Attachment, //
};
use crate::abstractions::{
    device::bus_notifier::{
        Bus,
        BusNotifier,
        Unbinding, //
    },
    dma::iommu::{
        Domain,
        DomainId, //
    },
    uapi::AttachmentDescription, //
};
use core::cell::Cell;
use kernel::{
    device::Device,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    },
    sync::{
        new_mutex,
        new_spinlock,
        Arc,
        Mutex,
        SpinLock, //
    }, //
};

/// How many are taken from the list at once.
const BATCH: usize = 16;

/// Attachments by address, which tells them apart for as long as they live.
pub(super) struct AttachmentSet(RBTree<usize, Arc<Attachment>>);

/// The place of an attachment in an [`AttachmentSet`], with its memory.
pub(super) type AttachmentNode = RBTreeNode<usize, Arc<Attachment>>;

fn key(attachment: &Attachment) -> usize {
    core::ptr::from_ref(attachment).addr()
}

impl AttachmentSet {
    /// An empty one, which costs nothing.
    pub(super) fn new() -> Self {
        Self(RBTree::new())
    }

    /// Makes a place, before the lock of a set is taken. May sleep.
    pub(super) fn node(attachment: Arc<Attachment>) -> Result<AttachmentNode> {
        RBTreeNode::new(key(&attachment), attachment, GFP_KERNEL)
    }

    /// Adds an attachment that is not there yet.
    pub(super) fn insert(&mut self, node: AttachmentNode) {
        let replaced = self.0.insert(node);

        debug_assert!(replaced.is_none());
    }

    /// Removes an attachment. The place is freed by the caller, without the lock.
    #[must_use = "to be dropped after the lock"]
    pub(super) fn remove(&mut self, attachment: &Attachment) -> Option<AttachmentNode> {
        self.0.remove_node(&key(attachment))
    }

    /// All that are there.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Attachment>> {
        self.0.values()
    }

    /// Those next in order after the one at `after` for which `which` says yes.
    fn next_after(
        &self,
        after: usize,
        which: impl Fn(&Attachment) -> bool,
    ) -> [Option<Arc<Attachment>>; BATCH] {
        let mut found = [const { None }; BATCH];
        let rest = self.0.iter().skip_while(|(&key, _)| key <= after);
        let wanted = rest
            .map(|(_, attachment)| attachment)
            .filter(|it| which(it));

        for (place, attachment) in found.iter_mut().zip(wanted) {
            *place = Some(attachment.clone());
        }
        found
    }

    /// Those whose kept mappings are idle for longest, longest first, of the ones for which `which`
    /// says yes.
    fn idlest(&self, which: impl Fn(&Attachment) -> bool) -> [Option<Arc<Attachment>>; BATCH] {
        let now = Moment::now();
        let mut found: [Option<(Age, &Arc<Attachment>)>; BATCH] = [None; BATCH];

        for attachment in self.iter().filter(|it| which(it)) {
            let Some(age) = attachment.idle_age(now) else {
                continue;
            };
            let mut next = Some((age, attachment));

            for place in &mut found {
                if place.is_none_or(|(other, _)| other < age) {
                    core::mem::swap(place, &mut next);
                }
                if next.is_none() {
                    break;
                }
            }
        }
        found.map(|place| place.map(|(_, attachment)| attachment.clone()))
    }
}

/// What a notifier of a bus needs.
#[pin_data]
struct All {
    #[pin]
    set: Mutex<AttachmentSet>,
}

impl All {
    /// Calls `f` for all attachments for which `which` says yes, without the lock. Returns whether
    /// there were any.
    fn for_each(&self, which: impl Fn(&Attachment) -> bool, f: impl Fn(&Attachment)) -> bool {
        let mut after = 0;

        loop {
            let batch = self.set.lock().next_after(after, &which);
            let Some(last) = batch.iter().flatten().last() else {
                return after != 0;
            };

            after = key(last);
            for attachment in batch.iter().flatten() {
                f(attachment);
            }
        }
    }
}

impl Unbinding for All {
    fn unbinding(&self, device: &Device) {
        let is_attached = self.for_each(
            |attachment| attachment.is_for(device),
            Attachment::keep_no_more,
        );

        // Else the device could write for some more time.
        if is_attached {
            Domain::flush_if_lazy(device);
        }
    }
}

/// The [`Attachments`] of a loaded module. When it is dropped, nothing is attached any more.
///
/// A callback of a bus holds attachments for a moment, and by them all the rest, but not the
/// module: so the notifiers are gone, and their callbacks have ended, when this is.
pub(crate) struct AllAttachments(Arc<Attachments>);

impl AllAttachments {
    /// Nothing is attached yet.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Attachments::new()?))
    }

    /// Returns them for a heap.
    pub(crate) fn share(&self) -> Arc<Attachments> {
        self.0.clone()
    }
}

impl Drop for AllAttachments {
    fn drop(&mut self) {
        let buses = core::mem::replace(&mut *self.0.buses.lock(), RBTree::new());

        // Without the lock: it waits for callbacks.
        drop(buses);
    }
}

/// Where the attachments of all heaps are found.
#[pin_data]
pub(crate) struct Attachments {
    all: Arc<All>,
    /// The buses that devices were attached from, by [`Bus::id`]. Each stays until the end.
    #[pin]
    buses: Mutex<RBTree<usize, Pin<KBox<BusNotifier<All>>>>>,
    /// Under a spinlock: whoever may open a node may look into it, at any priority.
    #[pin]
    seen: SpinLock<SeenDevices>,
}

impl Attachments {
    fn new() -> Result<Arc<Self>> {
        let all = Arc::pin_init(
            pin_init!(All {
                set <- new_mutex!(AttachmentSet::new()),
            }),
            GFP_KERNEL,
        )?;

        let seen = SeenDevices::new()?;

        Arc::pin_init(
            pin_init!(Self {
                all,
                buses <- new_mutex!(RBTree::new()),
                seen <- new_spinlock!(seen),
            }),
            GFP_KERNEL,
        )
    }

    /// Sees to it that mappings kept for `device` end when it loses its driver. Fails if nobody
    /// would tell: then none must be kept. May sleep, and waits for the notifiers of its bus.
    pub(super) fn watch(&self, device: &Device) -> Result {
        let bus = Bus::of(device).ok_or(ENODEV)?;
        let id = bus.id();

        if self.buses.lock().get(&id).is_some() {
            return Ok(());
        }

        // Without the lock: others do not wait for this bus. One of two that come at the same time
        // finds the other's there, and has its own undone.
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let notifier = KBox::pin_init(BusNotifier::register(bus, self.all.clone()), GFP_KERNEL)?;
        let node = node.into_node(id, notifier);
        let mut buses = self.buses.lock();
        let other = if buses.get(&id).is_none() {
            buses.insert(node)
        } else {
            Some(node)
        };

        drop(buses);
        drop(other);
        Ok(())
    }

    /// Adds an attachment.
    pub(super) fn add(&self, attachment: &Attachment, node: AttachmentNode) {
        self.note(attachment);
        self.all.set.lock().insert(node);
    }

    /// Removes an attachment. May sleep.
    pub(super) fn remove(&self, attachment: &Attachment) {
        let removed = self.all.set.lock().remove(attachment);

        drop(removed);
    }

    /// Notes what a device demands now.
    pub(super) fn note(&self, attachment: &Attachment) {
        let device = attachment.describe();

        self.seen.lock().note(device);
    }

    /// Tells of devices that were attached, as many as there is room for in `told`. Returns how
    /// many there are.
    pub(super) fn tell_seen(&self, told: &mut KVVec<AttachmentDescription>) -> usize {
        self.seen.lock().tell(told)
    }

    /// Returns how many bytes are mapped in `domain` and in use. May sleep.
    pub(super) fn lent_in(&self, domain: DomainId) -> usize {
        let sum = Cell::new(0_usize);

        self.all.for_each(
            |_| true,
            |attachment| sum.set(sum.get().saturating_add(attachment.lent_in(domain))),
        );
        sum.get()
    }

    /// Ends the DMA mappings that are kept and not in use, of those attachments for which `which`
    /// says yes. May sleep.
    pub(super) fn end_idle_mappings(&self, which: impl Fn(&Attachment) -> bool) {
        self.all.for_each(which, |attachment| {
            attachment.end_idle_mapping();
        });
    }

    /// The same, those first that are idle for longest, and only until `enough` bytes are unmapped.
    /// Returns how many were.
    pub(super) fn end_idlest_mappings(
        &self,
        which: impl Fn(&Attachment) -> bool,
        enough: usize,
    ) -> usize {
        let mut ended: usize = 0;

        while ended < enough {
            let batch = self.all.set.lock().idlest(&which);

            if batch.iter().flatten().next().is_none() {
                break;
            }
            for attachment in batch.iter().flatten() {
                if ended >= enough {
                    break;
                }
                ended = ended.saturating_add(attachment.end_idle_mapping());
            }
        }
        ended
    }
}
