// SPDX-License-Identifier: GPL-2.0

//! Giving memory back when the machine needs it.
//!
//! C headers: [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h),
//! [`include/linux/oom.h`](srctree/include/linux/oom.h)

use crate::abstractions::bindings;
use core::ptr::NonNull;
use kernel::{
    container_of,
    error::to_result,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// Something that keeps pages that it can do without.
///
/// All methods are called from within memory reclaim, so they must not allocate, nor wait for
/// anybody who may.
pub(crate) trait Reclaim: Send + Sync + 'static {
    /// Returns how many pages of NUMA node `node` are kept.
    fn count(&self, node: usize) -> usize;

    /// Frees up to `nr_pages` pages of NUMA node `node`, or somewhat more where a block is larger,
    /// and returns how many were freed.
    fn give_back(&self, node: usize, nr_pages: usize) -> usize;

    /// Frees all that is kept, and returns how many pages have been freed by these methods since this
    /// one was last called.
    fn give_back_all(&self) -> usize;
}

/// `SHRINK_STOP`, a cast that bindgen cannot evaluate: nothing more can be freed now.
const SHRINK_STOP: c_ulong = !0;

/// How many pages reclaim asks for at once, and below which it leaves them for later: 512 KiB, as many
/// as without this with pages of 4 KiB. A shrinker's objects are expected to be of one size.
const BATCH: usize = (512 << 10) / PAGE_SIZE;

/// A registered shrinker, for as long as the value lives.
///
/// # Invariants
///
/// `shrinker` is registered, and its private data is the pointer to `target`.
pub(crate) struct Shrinker<T: Reclaim> {
    shrinker: NonNull<bindings::shrinker>,
    _target: Arc<T>,
}

// SAFETY: A shrinker is not bound to a task.
unsafe impl<T: Reclaim> Send for Shrinker<T> {}

// SAFETY: Nothing can be done with a `&Shrinker`.
unsafe impl<T: Reclaim> Sync for Shrinker<T> {}

impl<T: Reclaim> Shrinker<T> {
    /// Registers `target`, NUMA-aware and with no cost to make anew (`seeks` 0): what it keeps goes
    /// before caches that would have to be read again. May sleep.
    ///
    /// Wraps `shrinker_alloc()` and `shrinker_register()`.
    pub(crate) fn register(name: &'static CStr, target: Arc<T>) -> Result<Self> {
        // SAFETY: The format takes one string.
        let shrinker = unsafe {
            bindings::shrinker_alloc(
                bindings::RUST_DMA_HEAP_SHRINKER_NUMA_AWARE,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        };
        let shrinker = NonNull::new(shrinker).ok_or(ENOMEM)?;

        // SAFETY: The shrinker is ours and not registered yet. `target` lives until it is freed.
        // INVARIANT: It is registered then.
        unsafe {
            let raw = shrinker.as_ptr();

            (*raw).count_objects = Some(Self::count);
            (*raw).scan_objects = Some(Self::scan);
            (*raw).seeks = 0;
            (*raw).batch = BATCH as c_long;
            (*raw).private_data = Arc::as_ptr(&target).cast_mut().cast();
            bindings::shrinker_register(raw);
        }
        Ok(Self {
            shrinker,
            _target: target,
        })
    }

    /// # Safety
    ///
    /// Called by the C side for a registered `Shrinker<T>`.
    unsafe extern "C" fn count(
        shrinker: *mut bindings::shrinker,
        control: *mut bindings::shrink_control,
    ) -> c_ulong {
        // SAFETY: By the type invariants and the safety requirements of this function.
        let (target, node) = unsafe { (&*(*shrinker).private_data.cast::<T>(), (*control).nid) };

        target.count(node as usize)
    }

    /// # Safety
    ///
    /// Called by the C side for a registered `Shrinker<T>`.
    unsafe extern "C" fn scan(
        shrinker: *mut bindings::shrinker,
        control: *mut bindings::shrink_control,
    ) -> c_ulong {
        // SAFETY: By the type invariants and the safety requirements of this function.
        let (target, node, wanted) = unsafe {
            (
                &*(*shrinker).private_data.cast::<T>(),
                (*control).nid,
                (*control).nr_to_scan,
            )
        };
        let freed = target.give_back(node as usize, wanted);

        if freed == 0 {
            return SHRINK_STOP;
        }
        // SAFETY: Called from within reclaim, for the current task. Blocks are larger than what was
        // asked for; the C side goes by `nr_scanned`.
        unsafe {
            bindings::rust_dma_heap_account_reclaimed(freed);
            (*control).nr_scanned = freed;
        }
        freed
    }
}

impl<T: Reclaim> Drop for Shrinker<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; waits for the callbacks to end.
        unsafe { bindings::shrinker_free(self.shrinker.as_ptr()) };
    }
}

/// Has a [`Reclaim`] give everything back when nothing is left but to kill somebody, for as long as
/// the value lives.
///
/// # Invariants
///
/// `block` is registered with the chain.
#[pin_data(PinnedDrop)]
pub(crate) struct OomNotifier<T: Reclaim> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    target: Arc<T>,
}

// SAFETY: A notifier is not bound to a task.
unsafe impl<T: Reclaim> Send for OomNotifier<T> {}

// SAFETY: Nothing can be done with a `&OomNotifier`.
unsafe impl<T: Reclaim> Sync for OomNotifier<T> {}

impl<T: Reclaim> OomNotifier<T> {
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
                // SAFETY: The block is filled in. If it is registered, the value is complete, and its
                // drop undoes that.
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
        // SAFETY: By the safety requirements of this function, the value is registered, so it lives.
        let this = unsafe { &*container_of!(Opaque::cast_from(block), Self, block) };
        let freed = this.target.give_back_all();

        // SAFETY: The data of this chain is the count of pages freed so far.
        unsafe { *data.cast::<c_ulong>() += freed };
        bindings::NOTIFY_OK as c_int
    }
}

#[pinned_drop]
impl<T: Reclaim> PinnedDrop for OomNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, it is registered. The call waits for callbacks to end.
        unsafe { bindings::unregister_oom_notifier(self.block.get()) };
    }
}
