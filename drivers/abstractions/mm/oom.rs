// SPDX-License-Identifier: GPL-2.0

//! To be asked for memory before anybody is killed for it.
//!
//! C headers: [`include/linux/oom.h`](srctree/include/linux/oom.h),
//! [`include/linux/notifier.h`](srctree/include/linux/notifier.h)

use crate::abstractions::bindings;
use kernel::{
    container_of,
    error::to_result,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// Something that keeps pages that it can do without.
pub(crate) trait OutOfMemory: Send + Sync + 'static {
    /// Frees all that is kept, and returns how many pages have been freed, by this and otherwise,
    /// since this was last called.
    ///
    /// Called from within memory reclaim, so it must not allocate, nor wait for anybody who may.
    fn give_back_all(&self) -> usize;
}

/// Has an [`OutOfMemory`] give everything back when nothing is left but to kill somebody, for as
/// long as the value lives.
///
/// # Invariants
///
/// `block` is registered with the chain.
#[pin_data(PinnedDrop)]
pub(crate) struct OomNotifier<T: OutOfMemory> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    target: Arc<T>,
}

// SAFETY: A notifier is not bound to a task.
unsafe impl<T: OutOfMemory> Send for OomNotifier<T> {}

// SAFETY: Nothing can be done with a `&OomNotifier`.
unsafe impl<T: OutOfMemory> Sync for OomNotifier<T> {}

impl<T: OutOfMemory> OomNotifier<T> {
    /// Registers `target`. Wraps `register_oom_notifier()`. May sleep.
    pub(crate) fn register(target: Arc<T>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            target,
            // The last step: a call may come at once.
            block <- Opaque::try_ffi_init(|block: *mut bindings::notifier_block| {
                // SAFETY: `block` is valid for writing and pinned.
                unsafe {
                    block.write(bindings::notifier_block {
                        notifier_call: Some(Self::call),
                        ..pin_init::zeroed()
                    })
                };
                // SAFETY: The block is filled in. If it is registered, the value is complete, and
                // its drop undoes that.
                to_result(unsafe { bindings::register_oom_notifier(block) })
            }),
        })
    }

    /// # Safety
    ///
    /// Called by the chain for the `block` of a registered value.
    unsafe extern "C" fn call(
        block: *mut bindings::notifier_block,
        _action: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: By the safety requirements of this function, it is the field of a value.
        #[allow(
            clippy::multiple_unsafe_ops_per_block,
            reason = "the macro is one operation to us"
        )]
        let this = unsafe { container_of!(Opaque::cast_from(block), Self, block) };
        // SAFETY: The value is registered, so it lives.
        let this = unsafe { &*this };
        let freed = this.target.give_back_all();

        // SAFETY: The data of this chain is the count of pages freed so far.
        unsafe { *data.cast::<c_ulong>() += freed };
        bindings::NOTIFY_OK as c_int
    }
}

#[pinned_drop]
impl<T: OutOfMemory> PinnedDrop for OomNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, it is registered. The call waits for callbacks to end.
        unsafe { bindings::unregister_oom_notifier(self.block.get()) };
    }
}
