// SPDX-License-Identifier: GPL-2.0

//! Word of pages that the hardware reported a fault in.
//!
//! C headers: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h),
//! [`include/trace/events/memory-failure.h`](srctree/include/trace/events/memory-failure.h)
//!
//! The kernel marks such a page and tells nobody who keeps it. To look at the mark of every page at
//! every hand-out takes longer than all the rest of a hand-out, so this listens to the kernel's
//! tracepoint: as long as no page has ever broken, nobody needs to look.

use super::bindings;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Whether a page of the machine broke since the value was made.
///
/// # Invariants
///
/// If `listens`, [`Self::probe`] is registered with the tracepoint for this value.
#[pin_data(PinnedDrop)]
pub(crate) struct MemoryFailures {
    any: Atomic<bool>,
    listens: bool,
    #[pin]
    _pin: core::marker::PhantomPinned,
}

impl MemoryFailures {
    /// Listens from now on. May sleep.
    ///
    /// Wraps `tracepoint_probe_register()` for `memory_failure_event`. On a kernel without that
    /// tracepoint it is as if a page had broken.
    pub(crate) fn listen() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(&this in Self {
                any: Atomic::new(false),
                _pin: core::marker::PhantomPinned,
                // The last step: a call may come at once.
                listens: {
                    // SAFETY: The value stays where it is being made; its drop undoes this.
                    // INVARIANT: The probe is registered if that succeeds.
                    unsafe {
                        bindings::rust_dma_heap_register_memory_failure_probe(
                            Some(Self::probe),
                            this.as_ptr().cast(),
                        ) == 0
                    }
                },
            }),
            GFP_KERNEL,
        )
    }

    /// Tells whether a page may have broken. Callable from any context.
    pub(crate) fn any(&self) -> bool {
        !self.listens || self.any.load(Relaxed)
    }

    /// # Safety
    ///
    /// Called by the tracepoint for a registered value.
    unsafe extern "C" fn probe(this: *mut c_void, _pfn: c_ulong, _kind: c_int, _result: c_int) {
        // SAFETY: By the safety requirements of this function. `any` was initialized before.
        let any = unsafe { &(*this.cast::<Self>()).any };

        any.store(true, Relaxed);
    }
}

#[pinned_drop]
impl PinnedDrop for MemoryFailures {
    fn drop(self: Pin<&mut Self>) {
        if self.listens {
            let this = core::ptr::from_ref(&*self).cast_mut().cast();

            // SAFETY: By the type invariant, the probe is registered for this value. The call waits
            // for those that run.
            unsafe {
                bindings::rust_dma_heap_unregister_memory_failure_probe(Some(Self::probe), this)
            };
        }
    }
}
