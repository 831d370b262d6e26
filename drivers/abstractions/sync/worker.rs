// SPDX-License-Identifier: GPL-2.0

//! Background work at the lowest priority, which stands still during suspend.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use crate::abstractions::{
    bindings,
    mm::numa::Node,
    sync::{
        asked::Asked,
        jiffies, //
    },
    task, //
};
use core::{
    ops::Deref,
    pin::Pin,
    ptr::NonNull, //
};
use kernel::{
    container_of,
    error::from_err_ptr,
    prelude::*,
    time::{
        Delta,
        Jiffies, //
    },
    types::Opaque, //
};

/// Work that comes in portions.
pub(crate) trait Background: Send + Sync + 'static {
    /// Does a portion, of a few milliseconds at most. May sleep.
    ///
    /// Returns after what time to go on, or [`None`] if there is nothing to do before the next call
    /// of a method of [`Worker`].
    fn run(&self) -> Option<Delta>;

    /// Settles what is left when the thread has ended. May sleep.
    fn end(&self);
}

/// Work with a kernel thread of its own that does it. Dropping it waits for the thread to end.
///
/// # Invariants
///
/// - `thread` is a running `struct kthread_worker` that only this value uses.
/// - `work` is an initialized `struct kthread_delayed_work` whose function is [`Self::run`], and it
///   is queued on `thread` only.
#[pin_data(PinnedDrop)]
pub(crate) struct Worker<T: Background> {
    thread: NonNull<bindings::kthread_worker>,
    #[pin]
    work: Opaque<bindings::kthread_delayed_work>,
    asked: Asked,
    #[pin]
    job: T,
}

// SAFETY: The C side locks the worker, and `T` is `Send` and `Sync` by its trait.
unsafe impl<T: Background> Send for Worker<T> {}

// SAFETY: As for `Send`.
unsafe impl<T: Background> Sync for Worker<T> {}

impl<T: Background> Worker<T> {
    /// Starts the thread, called `name`, on the processors of `node` if possible. May sleep.
    ///
    /// Wraps `kthread_create_worker_on_node()` with `KTW_FREEZABLE`, at nice level 19.
    pub(crate) fn start(
        name: &'static CStr,
        node: Node,
        job: impl PinInit<T, Error>,
    ) -> Result<Pin<KBox<Self>>> {
        KBox::try_pin_init(
            try_pin_init!(Self {
                job <- job,
                asked: Asked::new(),
                work <- Opaque::ffi_init(|work| {
                    // SAFETY: `work` is valid for writing and pinned.
                    unsafe { bindings::rust_dma_heap_delayed_work_init(work, Some(Self::run)) }
                }),
                // The last step: the drop, which stops the thread, runs for whole values only.
                thread: {
                    // SAFETY: The name is NUL-terminated, as the format is that it goes with, and
                    // the node is there.
                    let thread = from_err_ptr(unsafe {
                        bindings::kthread_create_worker_on_node(
                            bindings::KTW_FREEZABLE,
                            node.id(),
                            c"%s".as_char_ptr(),
                            name.as_char_ptr(),
                        )
                    })?;
                    // SAFETY: The worker is ours, and has its thread.
                    let task = unsafe { (*thread).task };

                    // SAFETY: The thread is there until the worker ends.
                    unsafe { bindings::set_user_nice(task, bindings::MAX_NICE as isize) };
                    // SAFETY: As above.
                    unsafe { bindings::wake_up_process(task) };
                    NonNull::new(thread).ok_or(ENOMEM)?
                },
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Has the work go on at once. Callable from any context.
    ///
    /// Wraps `kthread_mod_delayed_work()`.
    pub(crate) fn hurry(&self) {
        // If it was called before and no portion has begun since, one is about to.
        if self.asked.hurry() {
            self.go_on_in(0);
        }
    }

    /// Has the work go on with the next tick. Callable from any context.
    ///
    /// Wakes nobody by itself, so that the caller is not interrupted by the thread that it asks
    /// for.
    pub(crate) fn go_on_soon(&self) {
        if !self.asked.is_hurried() && self.asked.soon() {
            self.go_on_in(jiffies::NEXT_TICK);
        }
    }

    /// Has the work go on after `delay`, even if it was to go on later, unless it is due before
    /// that. Callable from any context.
    ///
    /// A portion that ends at this moment may put it off again: for what can wait.
    ///
    /// Wraps `kthread_mod_delayed_work()`.
    pub(crate) fn go_on_within(&self, delay: Delta) {
        if self.asked.is_due() {
            return;
        }
        self.go_on_in(jiffies::from_delta(delay));
        // Whoever hurried it meanwhile was before this, or sees to it after.
        if self.asked.is_hurried() {
            self.go_on_in(0);
        }
    }

    fn go_on_in(&self, jiffies: Jiffies) {
        // SAFETY: By the type invariants, the worker runs and the work is initialized.
        unsafe {
            bindings::kthread_mod_delayed_work(self.thread.as_ptr(), self.work.get(), jiffies)
        };
    }

    /// # Safety
    ///
    /// Called by the thread of a `Worker<T>` with the `work` field's own `work` field.
    unsafe extern "C" fn run(work: *mut bindings::kthread_work) {
        // SAFETY: By the safety requirements of this function, it is the field of a delayed work.
        #[allow(
            clippy::multiple_unsafe_ops_per_block,
            reason = "the macro is one operation to us"
        )]
        let work = unsafe { container_of!(work, bindings::kthread_delayed_work, work) };
        // SAFETY: As above, that is the field of a value.
        #[allow(
            clippy::multiple_unsafe_ops_per_block,
            reason = "the macro is one operation to us"
        )]
        let this = unsafe { container_of!(Opaque::cast_from(work), Self, work) };
        // SAFETY: The value lives until its drop has waited for this function to end.
        let this = unsafe { &*this };

        task::give_way();
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

impl<T: Background> Deref for Worker<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.job
    }
}

#[pinned_drop]
impl<T: Background> PinnedDrop for Worker<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants, both are valid, and the work is not queued elsewhere.
        // Nobody queues it any more: that takes a reference to this value. While its function runs,
        // cancelling keeps it from being queued anew.
        unsafe { bindings::kthread_cancel_delayed_work_sync(self.work.get()) };
        // SAFETY: By the type invariants, the thread is ours, and has nothing to do any more.
        unsafe { bindings::kthread_destroy_worker(self.thread.as_ptr()) };
        self.job.end();
    }
}
