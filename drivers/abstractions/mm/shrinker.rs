// SPDX-License-Identifier: GPL-2.0

//! Giving memory back when the machine needs it.
//!
//! C header: [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)
//!
//! The shape is that of the series that was posted for `kernel::shrinker`: a builder, a trait whose
//! functions get what the shrinker owns, and counts that cannot be taken for the special values.

use crate::abstractions::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    types::ForeignOwnable, //
};

/// Something that keeps objects that it can do without.
///
/// Both functions are called from within memory reclaim, so they must not allocate, nor wait for
/// anybody who may.
pub(crate) trait Shrinker: 'static {
    /// What a registered shrinker owns.
    type Ptr: ForeignOwnable + Send + Sync + 'static;

    /// Counts the objects, about.
    fn count_objects(
        me: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        control: &ShrinkControl<'_>,
    ) -> CountObjects;

    /// Frees some of them.
    fn scan_objects(
        me: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        control: &mut ShrinkControl<'_>,
    ) -> ScanObjects;
}

/// How many objects there are.
#[derive(Clone, Copy)]
pub(crate) struct CountObjects(c_ulong);

impl CountObjects {
    /// More than this, and it would be one of the special values.
    const MOST: c_ulong = c_long::MAX as c_ulong;

    /// `SHRINK_EMPTY`: there are none, now.
    pub(crate) const EMPTY: Self = Self(!0 - 1);

    /// So many. None of them is [`Self::EMPTY`].
    pub(crate) fn from_count(count: usize) -> Self {
        match count {
            0 => Self::EMPTY,
            count => Self((count as c_ulong).min(Self::MOST)),
        }
    }
}

/// How many objects were freed.
#[derive(Clone, Copy)]
pub(crate) struct ScanObjects(c_ulong);

impl ScanObjects {
    /// `SHRINK_STOP`: nothing more can be freed now.
    pub(crate) const STOP: Self = Self(!0);

    /// So many.
    pub(crate) fn from_count(count: usize) -> Self {
        Self((count as c_ulong).min(CountObjects::MOST))
    }
}

/// What reclaim asks for.
///
/// # Invariants
///
/// The pointer is valid, and nobody else's, for `'a`.
pub(crate) struct ShrinkControl<'a>(NonNull<bindings::shrink_control>, PhantomData<&'a ()>);

impl ShrinkControl<'_> {
    /// Returns the number of the NUMA node whose objects are asked for.
    pub(crate) fn nid(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { (*self.0.as_ptr()).nid as usize }
    }

    /// Returns how many objects are to be freed.
    pub(crate) fn nr_to_scan(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { (*self.0.as_ptr()).nr_to_scan }
    }

    /// Says how many were looked at, if that is not how many were asked for.
    pub(crate) fn set_nr_scanned(&mut self, nr_scanned: usize) {
        // SAFETY: By the type invariant.
        unsafe { (*self.0.as_ptr()).nr_scanned = nr_scanned as c_ulong };
    }
}

/// Tells reclaim of pages that the current task has freed for it, beside what shrinkers are taken
/// to free. Wraps `mm_account_reclaimed_pages()`.
pub(crate) fn account_reclaimed_pages(nr_pages: usize) {
    // SAFETY: It counts for the current task.
    unsafe { bindings::rust_dma_heap_account_reclaimed(nr_pages) };
}

/// A shrinker that is not registered yet.
///
/// # Invariants
///
/// It is allocated, and this value's.
pub(crate) struct ShrinkerBuilder(NonNull<bindings::shrinker>);

impl ShrinkerBuilder {
    /// Allocates one that tells NUMA nodes apart. Wraps `shrinker_alloc()`. May sleep.
    pub(crate) fn numa_aware(name: &CStr) -> Result<Self> {
        // SAFETY: The format takes one string.
        let shrinker = unsafe {
            bindings::shrinker_alloc(
                bindings::RUST_DMA_HEAP_SHRINKER_NUMA_AWARE,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        };

        // INVARIANT: It was just allocated.
        Ok(Self(NonNull::new(shrinker).ok_or(ENOMEM)?))
    }

    /// Says what an object costs to be made anew, in seeks of a disk; 2 is usual.
    pub(crate) fn set_seeks(self, seeks: u32) -> Self {
        // SAFETY: By the type invariant.
        unsafe { (*self.0.as_ptr()).seeks = seeks as c_int };
        self
    }

    /// Says how many objects reclaim asks for at once, and below which it leaves them for later.
    pub(crate) fn set_batch(self, batch: usize) -> Self {
        // SAFETY: By the type invariant.
        unsafe { (*self.0.as_ptr()).batch = batch as c_long };
        self
    }

    /// Registers it, for as long as what is returned lives. Wraps `shrinker_register()`. May sleep.
    pub(crate) fn register<T: Shrinker>(self, private_data: T::Ptr) -> ShrinkerRegistration<T> {
        let shrinker = core::mem::ManuallyDrop::new(self).0;
        let raw = shrinker.as_ptr();

        // SAFETY: By the type invariant.
        unsafe { (*raw).count_objects = Some(count_objects::<T>) };
        // SAFETY: As above.
        unsafe { (*raw).scan_objects = Some(scan_objects::<T>) };
        // SAFETY: As above.
        unsafe { (*raw).private_data = private_data.into_foreign() };
        // SAFETY: It is filled in.
        unsafe { bindings::shrinker_register(raw) };

        // INVARIANT: It was just registered.
        ShrinkerRegistration(shrinker, PhantomData)
    }
}

impl Drop for ShrinkerBuilder {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::shrinker_free(self.0.as_ptr()) };
    }
}

/// A registered shrinker.
///
/// # Invariants
///
/// It is registered, with the functions of `T` and what it owns.
pub(crate) struct ShrinkerRegistration<T: Shrinker>(
    NonNull<bindings::shrinker>,
    PhantomData<T::Ptr>,
);

// SAFETY: A shrinker is not bound to a task, nor is what it owns.
unsafe impl<T: Shrinker> Send for ShrinkerRegistration<T> {}

// SAFETY: Nothing can be done with a `&ShrinkerRegistration`.
unsafe impl<T: Shrinker> Sync for ShrinkerRegistration<T> {}

impl<T: Shrinker> Drop for ShrinkerRegistration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        let private_data = unsafe { (*self.0.as_ptr()).private_data };

        // SAFETY: By the type invariant; waits for the callbacks to end.
        unsafe { bindings::shrinker_free(self.0.as_ptr()) };
        // SAFETY: It is from `into_foreign()`, and nobody uses it any more.
        drop(unsafe { T::Ptr::from_foreign(private_data) });
    }
}

/// # Safety
///
/// Called by the C side for a shrinker that was registered for `T`.
unsafe extern "C" fn count_objects<T: Shrinker>(
    shrinker: *mut bindings::shrinker,
    control: *mut bindings::shrink_control,
) -> c_ulong {
    // SAFETY: By the safety requirements of this function.
    let private_data = unsafe { (*shrinker).private_data };
    // SAFETY: It is from `into_foreign()`, and stays during the call.
    let me = unsafe { T::Ptr::borrow(private_data) };
    // INVARIANT: The C side lends it for the call.
    // SAFETY: It is not null.
    let control = ShrinkControl(unsafe { NonNull::new_unchecked(control) }, PhantomData);

    T::count_objects(me, &control).0
}

/// # Safety
///
/// As for [`count_objects`].
unsafe extern "C" fn scan_objects<T: Shrinker>(
    shrinker: *mut bindings::shrinker,
    control: *mut bindings::shrink_control,
) -> c_ulong {
    // SAFETY: By the safety requirements of this function.
    let private_data = unsafe { (*shrinker).private_data };
    // SAFETY: It is from `into_foreign()`, and stays during the call.
    let me = unsafe { T::Ptr::borrow(private_data) };
    // INVARIANT: The C side lends it for the call.
    // SAFETY: It is not null.
    let mut control = ShrinkControl(unsafe { NonNull::new_unchecked(control) }, PhantomData);

    T::scan_objects(me, &mut control).0
}
