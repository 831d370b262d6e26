// SPDX-License-Identifier: GPL-2.0

//! A device in software, with DMA limits of one's choice, that really goes by DMA addresses.
//!
//! C headers: [`include/linux/device/faux.h`](srctree/include/linux/device/faux.h),
//! [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use crate::abstractions::{
    bindings,
    device::raw_device,
    dma_buf::importer::{
        racy_copy,
        MappedAttachment, //
    },
    mm::page,
    versions::faux_device, //
};
use core::ptr::NonNull;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    error::to_result,
    faux,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    types::Opaque, //
};

/// What a driver would set for its device. 0 leaves a limit unset, as a driver does.
#[derive(Clone, Copy)]
pub(crate) struct DmaSettings {
    /// The highest address that the device can put out; 0 for a device without DMA.
    pub(crate) mask: u64,
    /// The longest scatterlist entry in bytes.
    pub(crate) max_segment_size: u32,
    /// The mask of addresses between two boundaries that no entry may cross.
    pub(crate) segment_boundary_mask: usize,
}

/// A faux device with DMA settings.
///
/// # Invariants
///
/// While the value lives, the device's `dma_mask` and `dma_parms` point into it, or are null.
#[pin_data(PinnedDrop)]
pub(crate) struct SoftwareDevice {
    registration: faux::Registration,
    #[pin]
    mask: Opaque<u64>,
    #[pin]
    parameters: Opaque<bindings::device_dma_parameters>,
}

// SAFETY: The settings are written before anybody else has the value; but for the mask, which
// drivers and the kernel write and read without a lock, as a whole.
unsafe impl Send for SoftwareDevice {}

// SAFETY: As for `Send`.
unsafe impl Sync for SoftwareDevice {}

impl SoftwareDevice {
    /// Registers a device. Wraps `faux_device_create()`. May sleep.
    pub(crate) fn new(name: &CStr, settings: DmaSettings) -> impl PinInit<Self, Error> + use<'_> {
        try_pin_init!(&this in Self {
            registration: faux::Registration::new(name, None)?,
            mask <- Opaque::ffi_init(|slot: *mut u64| {
                // SAFETY: `slot` is ours to write.
                unsafe { slot.write(settings.mask) }
            }),
            parameters <- Opaque::try_ffi_init(
                |slot: *mut bindings::device_dma_parameters| -> Result {
                    // SAFETY: `slot` is ours to write.
                    unsafe {
                        slot.write(bindings::device_dma_parameters {
                            max_segment_size: settings.max_segment_size,
                            segment_boundary_mask: settings.segment_boundary_mask,
                            ..pin_init::zeroed()
                        })
                    };
                    // SAFETY: The fields before this one are initialized, and pinned with it.
                    let registration = unsafe { &(*this.as_ptr()).registration };
                    // SAFETY: As above.
                    let mask = unsafe { (*this.as_ptr()).mask.get() };
                    let dev = raw_device(faux_device(registration));

                    if settings.mask != 0 {
                        // SAFETY: The device is new, so nobody else uses the fields yet. What they
                        // point to lives until drop, which sets them to null first.
                        // INVARIANT: They point into the value.
                        unsafe { (*dev).dma_mask = mask };
                        // SAFETY: As above.
                        unsafe { (*dev).dma_parms = slot };
                        // A mask that the kernel finds too small is what some tests are about.
                        // SAFETY: The device is valid and has a mask.
                        let _ = to_result(unsafe { bindings::dma_set_mask(dev, settings.mask) });
                    }
                    Ok(())
                },
            ),
        })
    }

    /// Sets the highest address that the device can put out, whatever the kernel thinks of it.
    ///
    /// Returns `EINVAL` for a device without DMA, and for none.
    pub(crate) fn set_mask(&self, mask: u64) -> Result {
        let dev = raw_device(self.device());
        // SAFETY: By the type invariants, the field is written before anybody has the value, and
        // when it goes.
        let place = unsafe { (*dev).dma_mask };

        if place.is_null() || mask == 0 {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariants, it points into the value. Others read it at any time.
        unsafe { place.write_volatile(mask) };
        Ok(())
    }

    /// Returns the device.
    pub(crate) fn device(&self) -> &Device<Bound> {
        faux_device(&self.registration)
    }

    /// Reads a mapped dma-buf as the device would: from byte `offset` on, by DMA address.
    ///
    /// Returns `EINVAL` for a mapping of another device, or a range that is not in the buffer.
    pub(crate) fn read(
        &self,
        mapping: &MappedAttachment,
        mut offset: usize,
        mut bytes: &mut [u8],
    ) -> Result {
        self.check(mapping)?;
        while !bytes.is_empty() {
            let place = self.place(mapping, offset, bytes.len())?;
            let (now, later) = bytes.split_at_mut(place.len);

            place.with(|memory| {
                // SAFETY: The device has the bytes mapped, in this page; `now` is writable.
                unsafe { racy_copy(now.as_mut_ptr(), memory, now.len()) };
            });
            offset += place.len;
            bytes = later;
        }
        Ok(())
    }

    /// Writes a mapped dma-buf as the device would: from byte `offset` on, by DMA address.
    ///
    /// Returns `EINVAL` for a mapping of another device, or a range that is not in the buffer.
    pub(crate) fn write(
        &self,
        mapping: &MappedAttachment,
        mut offset: usize,
        mut bytes: &[u8],
    ) -> Result {
        self.check(mapping)?;
        while !bytes.is_empty() {
            let place = self.place(mapping, offset, bytes.len())?;
            let (now, later) = bytes.split_at(place.len);

            place.with(|memory| {
                // SAFETY: The device has the bytes mapped, in this page; `now` is readable.
                unsafe { racy_copy(memory, now.as_ptr(), now.len()) };
            });
            offset += place.len;
            bytes = later;
        }
        Ok(())
    }

    /// Takes a reference to the page at byte `offset` of a mapped dma-buf.
    ///
    /// Returns `EINVAL` for a mapping of another device, or a byte that is not in the buffer.
    pub(crate) fn hold_page(&self, mapping: &MappedAttachment, offset: usize) -> Result<HeldPage> {
        self.check(mapping)?;

        let page = self.place(mapping, offset, 1)?.page;

        // SAFETY: The device has it mapped, so the page is in use.
        unsafe { bindings::rust_dma_heap_get_page(page.as_ptr()) };
        // INVARIANT: The call took a reference for the new value.
        Ok(HeldPage(page))
    }

    /// Returns where in memory the device's address for byte `offset` leads, and how many of `len`
    /// bytes follow there in the same page.
    ///
    /// Wraps `dma_to_phys()`. Returns `EFAULT` for an address that leads to no memory.
    fn place(&self, mapping: &MappedAttachment, offset: usize, len: usize) -> Result<Place> {
        let (address, len) = mapping.range_at(offset, len)?;
        // SAFETY: The device is valid, and it only computes.
        let address =
            unsafe { bindings::rust_dma_heap_dma_to_phys(raw_device(self.device()), address) };
        let pfn = usize::try_from(address >> PAGE_SHIFT)?;
        let offset = address as usize & (PAGE_SIZE - 1);

        // SAFETY: It takes any number.
        if !unsafe { bindings::rust_dma_heap_pfn_valid(pfn) } {
            return Err(EFAULT);
        }
        // INVARIANT: The device has it mapped, so the page is there.
        Ok(Place {
            // SAFETY: That was just asked.
            page: unsafe { page::of_frame(pfn) },
            offset,
            len: len.min(PAGE_SIZE - offset),
        })
    }

    fn check(&self, mapping: &MappedAttachment) -> Result {
        if mapping.is_for(self.device()) {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }
}

/// Bytes in one page.
///
/// # Invariants
///
/// `page` is valid, and `offset + len` not beyond it.
struct Place {
    page: NonNull<bindings::page>,
    offset: usize,
    len: usize,
}

impl Place {
    /// Calls `touch` with the address of the bytes. No cache is looked after: it is a device that
    /// gets at them.
    fn with(&self, touch: impl FnOnce(*mut u8)) {
        // SAFETY: By the type invariants, the page is valid.
        let address = unsafe { bindings::kmap_local_page(self.page.as_ptr()) };

        touch(address.cast::<u8>().wrapping_add(self.offset));
        // SAFETY: It was mapped just now, and nothing since.
        unsafe { bindings::kunmap_local(address) };
    }
}

/// A page with a reference to it, whoever it belongs to.
///
/// # Invariants
///
/// The pointer is to a `struct page`, of which one reference is this value's.
pub(crate) struct HeldPage(NonNull<bindings::page>);

// SAFETY: References to pages are not bound to a task.
unsafe impl Send for HeldPage {}

// SAFETY: Nothing can be done with a `&HeldPage`.
unsafe impl Sync for HeldPage {}

impl Drop for HeldPage {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, there is a reference to give back.
        unsafe { bindings::rust_dma_heap_put_page(self.0.as_ptr()) };
    }
}

#[pinned_drop]
impl PinnedDrop for SoftwareDevice {
    fn drop(self: Pin<&mut Self>) {
        let dev = raw_device(self.device());

        // SAFETY: The device may outlive the value, but nothing is mapped for it any more.
        unsafe { (*dev).dma_mask = core::ptr::null_mut() };
        // SAFETY: As above.
        unsafe { (*dev).dma_parms = core::ptr::null_mut() };
    }
}
