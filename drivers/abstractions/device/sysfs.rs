// SPDX-License-Identifier: GPL-2.0

//! Device attributes that are one number or one word each.
//!
//! C headers: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h),
//! [`include/linux/device.h`](srctree/include/linux/device.h)
//!
//! An attribute is a type that implements [`NumberAttribute`] or [`TextAttribute`]. A static
//! [`AttributeList`] names those of one kind of device.

use crate::abstractions::bindings;
use core::{
    marker::{
        PhantomData,
        PhantomPinned, //
    },
    pin::Pin,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*, //
};

/// A file in a device's sysfs directory that holds one number, readable by everyone.
#[vtable]
pub(crate) trait NumberAttribute: 'static {
    /// What the device stands for.
    type Owner: Send + Sync + 'static;

    /// The file's name.
    const NAME: &'static CStr;

    /// Returns the number to show. May sleep.
    fn show(owner: &Self::Owner) -> u64;

    /// Takes a number that root wrote. Where this is missing, the file is read-only. May sleep.
    fn store(_owner: &Self::Owner, _value: u64) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// A file in a device's sysfs directory that holds a line of text, readable by everyone.
pub(crate) trait TextAttribute: 'static {
    /// What the device stands for.
    type Owner: Send + Sync + 'static;

    /// The file's name.
    const NAME: &'static CStr;

    /// Returns the text to show, without the newline. May sleep.
    fn show(owner: &Self::Owner) -> &CStr;
}

/// How the C side has an attribute shown, and how it has it set.
type Show = unsafe extern "C" fn(
    *mut bindings::device,
    *mut bindings::device_attribute,
    *mut c_char,
) -> isize;
type Store = unsafe extern "C" fn(
    *mut bindings::device,
    *mut bindings::device_attribute,
    *const c_char,
    usize,
) -> isize;

/// Makes an attribute that everyone reads, and root writes if it can be set.
#[allow(
    clippy::needless_update,
    reason = "lock debugging adds fields to `struct attribute`"
)]
const fn device_attribute(
    name: &'static CStr,
    show: Show,
    store: Option<Store>,
) -> bindings::device_attribute {
    bindings::device_attribute {
        attr: bindings::attribute {
            name: kernel::str::as_char_ptr_in_const_context(name),
            mode: if store.is_some() { 0o644 } else { 0o444 },
            ..pin_init::zeroed()
        },
        __bindgen_anon_1: bindings::device_attribute__bindgen_ty_1 { show: Some(show) },
        __bindgen_anon_2: bindings::device_attribute__bindgen_ty_2 { store },
    }
}

/// The C side's view of a [`TextAttribute`] `A`.
struct RawText<A>(PhantomData<A>);

/// Returns whom a device's attributes are about.
///
/// # Safety
///
/// `device` must be valid for `'a`, and have an [`AttributeList`] of `Owner`s.
unsafe fn owner<'a, Owner>(device: *mut bindings::device) -> &'a Owner {
    // SAFETY: By the safety requirements of this function.
    let owner = unsafe { bindings::dev_get_drvdata(device) };

    // SAFETY: The driver data of such a device is an `Owner` that outlives the device.
    unsafe { &*owner.cast() }
}

impl<A: TextAttribute> RawText<A> {
    const ATTRIBUTE: bindings::device_attribute = device_attribute(A::NAME, Self::show, None);

    /// # Safety
    ///
    /// Called by the C side for a device whose list has this attribute, with a page to fill.
    unsafe extern "C" fn show(
        device: *mut bindings::device,
        _attribute: *mut bindings::device_attribute,
        page: *mut c_char,
    ) -> isize {
        // SAFETY: By the safety requirements of this function.
        let owner = unsafe { owner::<A::Owner>(device) };
        let text = A::show(owner).as_char_ptr();

        // SAFETY: `page` is a page to fill; the format takes one NUL-terminated string.
        unsafe { bindings::sysfs_emit(page, c"%s\n".as_char_ptr(), text) as isize }
    }
}

/// The C side's view of a [`NumberAttribute`] `A`.
struct Raw<A>(PhantomData<A>);

impl<A: NumberAttribute> Raw<A> {
    const ATTRIBUTE: bindings::device_attribute = device_attribute(
        A::NAME,
        Self::show,
        if A::HAS_STORE {
            Some(Self::store)
        } else {
            None
        },
    );

    /// # Safety
    ///
    /// Called by the C side for a device whose list has this attribute, with a page to fill.
    unsafe extern "C" fn show(
        device: *mut bindings::device,
        _attribute: *mut bindings::device_attribute,
        page: *mut c_char,
    ) -> isize {
        // SAFETY: By the safety requirements of this function.
        let owner = unsafe { owner::<A::Owner>(device) };

        // SAFETY: `page` is a page to fill; the format takes one `unsigned long long`.
        unsafe { bindings::sysfs_emit(page, c"%llu\n".as_char_ptr(), A::show(owner)) as isize }
    }

    /// # Safety
    ///
    /// Called by the C side for a device whose list has this attribute, with the NUL-terminated
    /// text that was written.
    unsafe extern "C" fn store(
        device: *mut bindings::device,
        _attribute: *mut bindings::device_attribute,
        text: *const c_char,
        len: usize,
    ) -> isize {
        from_result(|| {
            // SAFETY: By the safety requirements of this function.
            let owner = unsafe { owner::<A::Owner>(device) };
            let mut value = 0;

            // SAFETY: `text` is NUL-terminated and `value` is writable.
            to_result(unsafe { bindings::kstrtoull(text, 0, &mut value) })?;
            A::store(owner, value)?;
            Ok(len as isize)
        })
    }
}

/// An attribute of devices that stand for an `Owner`.
///
/// # Invariants
///
/// The pointer is to the `attr` field of a `struct device_attribute` that nobody ever writes, and
/// whose functions expect an `Owner` as driver data.
#[repr(transparent)]
pub(crate) struct Attribute<Owner>(NonNull<bindings::attribute>, PhantomData<fn(&Owner)>);

impl<Owner> Attribute<Owner> {
    /// Returns attribute `A` for a list.
    pub(crate) const fn of<A: NumberAttribute<Owner = Owner>>() -> Self {
        let raw: &'static bindings::device_attribute = &Raw::<A>::ATTRIBUTE;

        // SAFETY: A field of a static is not at address 0.
        let attribute = unsafe { NonNull::new_unchecked((&raw const raw.attr).cast_mut()) };

        // INVARIANT: `Raw<A>` is static, and `A`'s functions expect `A::Owner`.
        Self(attribute, PhantomData)
    }

    /// The same for one of text.
    pub(crate) const fn of_text<A: TextAttribute<Owner = Owner>>() -> Self {
        let raw: &'static bindings::device_attribute = &RawText::<A>::ATTRIBUTE;

        // SAFETY: A field of a static is not at address 0.
        let attribute = unsafe { NonNull::new_unchecked((&raw const raw.attr).cast_mut()) };

        // INVARIANT: `RawText<A>` is static, and `A`'s function expects `A::Owner`.
        Self(attribute, PhantomData)
    }
}

// SAFETY: The pointer is to memory that nobody writes.
unsafe impl<Owner> Sync for Attribute<Owner> {}

/// The attributes of devices that stand for an `Owner`, with [`None`] at the end.
pub(crate) type AttributeList<Owner> = [Option<Attribute<Owner>>];

/// A device's attributes in the shape in which the C side takes them.
///
/// # Invariants
///
/// `groups` is `[&group, NULL]`, and `group` holds a NULL-terminated list of attributes that
/// expect an `Owner`.
#[pin_data]
pub(in crate::abstractions) struct AttributeGroups<Owner> {
    group: bindings::attribute_group,
    groups: [*const bindings::attribute_group; 2],
    #[pin]
    _pin: PhantomPinned,
    _owner: PhantomData<fn(&Owner)>,
}

// SAFETY: The C side only reads the groups, and their attributes are static.
unsafe impl<Owner> Send for AttributeGroups<Owner> {}

// SAFETY: As for `Send`.
unsafe impl<Owner> Sync for AttributeGroups<Owner> {}

impl<Owner> AttributeGroups<Owner> {
    /// Makes groups of one unnamed group. Returns `EINVAL` for a list without [`None`] at its end.
    pub(in crate::abstractions) fn new(
        list: &'static AttributeList<Owner>,
    ) -> Result<Pin<KBox<Self>>> {
        if !matches!(list.last(), Some(None)) {
            return Err(EINVAL);
        }

        let mut group: bindings::attribute_group = pin_init::zeroed();

        // CAST: `Option<Attribute>` is a pointer that may be null, by the guarantees for `Option`
        // of a transparent wrapper around `NonNull`.
        group.__bindgen_anon_2.attrs = list.as_ptr().cast_mut().cast();

        // INVARIANT: `list` ends with NULL, as checked above.
        KBox::pin_init(
            pin_init!(&this in Self {
                group,
                // SAFETY: `this` is where the value is being made, and it stays there.
                groups: [unsafe { &raw const (*this.as_ptr()).group }, core::ptr::null()],
                _pin: PhantomPinned,
                _owner: PhantomData,
            }),
            GFP_KERNEL,
        )
    }

    /// Returns what `device_create_with_groups()` takes.
    pub(in crate::abstractions) fn as_raw(&self) -> *mut *const bindings::attribute_group {
        self.groups.as_ptr().cast_mut()
    }
}
