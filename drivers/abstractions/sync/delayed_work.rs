// SPDX-License-Identifier: GPL-2.0

//! Short work that is due later, at the priority of everybody else, and stands still during
//! suspend.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)
//!
//! `kernel::workqueue` has no way to cancel an item, without which no module can be unloaded.

use crate::abstractions::{
    bindings,
    sync::{
        asked::Asked,
        jiffies,
        worker::Background, //
    }, //
};
use core::ops::Deref;
use kernel::{
    container_of,
    prelude::*,
    sync::Arc,
    time::{
        Delta,
        Jiffies, //
    },
    types::Opaque, //
};

/// Work that a workqueue of the kernel does. Dropping it waits for the end of what is being done.
///
/// # Invariants
///
/// `work` is an initialized `struct delayed_work` whose function is [`Self::run`].
#[pin_data(PinnedDrop)]
pub(crate) struct DelayedWork<T: Background> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    asked: Asked,
    #[pin]
    job: T,
}

// SAFETY: The C side locks the work, and `T` is `Send` and `Sync` by its trait.
unsafe impl<T: Background> Send for DelayedWork<T> {}

// SAFETY: As for `Send`.
unsafe impl<T: Background> Sync for DelayedWork<T> {}

impl<T: Background> DelayedWork<T> {
    /// Makes work that is not due yet. May sleep. Wraps `INIT_DELAYED_WORK()`.
    pub(crate) fn new(job: impl PinInit<T>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                job <- job,
                asked: Asked::new(),
                work <- Opaque::ffi_init(|work| {
                    // SAFETY: `work` is valid for writing and pinned.
                    unsafe { bindings::rust_dma_heap_init_delayed_work(work, Some(Self::run)) }
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Has the work done after `delay`, unless it is due at some time already. Callable from any
    /// context.
    ///
    /// Wraps `queue_delayed_work()` on `system_freezable_wq`.
    pub(crate) fn schedule(&self, delay: Delta) {
        // SAFETY: By the type invariant, the work is initialized; the queue is there from boot on.
        unsafe {
            bindings::rust_dma_heap_queue_delayed_work(self.work.get(), jiffies::from_delta(delay))
        };
    }

    /// Has the work done at once. Callable from any context.
    ///
    /// Wraps `mod_delayed_work()` on `system_freezable_wq`.
    pub(crate) fn hurry(&self) {
        self.asked.hurry();
        self.go_on_in(0);
    }

    /// Has the work done with the next tick, even if it was due later. Callable from any context.
    pub(crate) fn go_on_soon(&self) {
        if self.asked.soon() {
            self.go_on_in(jiffies::NEXT_TICK);
        }
    }

    fn go_on_in(&self, jiffies: Jiffies) {
        // SAFETY: As in `schedule`.
        unsafe { bindings::rust_dma_heap_mod_delayed_work(self.work.get(), jiffies) };
    }

    /// # Safety
    ///
    /// Called by the C side with the `work` field of a `DelayedWork<T>`'s own `work` field.
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        // SAFETY: By the safety requirements of this function, it is the field of a delayed work.
        #[allow(
            clippy::multiple_unsafe_ops_per_block,
            reason = "the macro is one operation to us"
        )]
        let work = unsafe { container_of!(work, bindings::delayed_work, work) };
        // SAFETY: As above, that is the field of a value.
        #[allow(
            clippy::multiple_unsafe_ops_per_block,
            reason = "the macro is one operation to us"
        )]
        let this = unsafe { container_of!(Opaque::cast_from(work), Self, work) };
        // SAFETY: The value lives until its drop has waited for this function to end.
        let this = unsafe { &*this };

        this.asked.begin();
        if let Some(delay) = this.job.run() {
            this.go_on_in(jiffies::from_delta(delay));
            // Somebody may have asked for it before this put it off.
            if let Some(sooner) = this.asked.sooner_than(delay) {
                this.go_on_in(sooner);
            }
        }
    }
}

impl<T: Background> Deref for DelayedWork<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.job
    }
}

#[pinned_drop]
impl<T: Background> PinnedDrop for DelayedWork<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, the work is initialized. Nobody queues it any more, as
        // that takes a reference to this value; its own function cannot while it is being
        // cancelled.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
        self.job.end();
    }
}
