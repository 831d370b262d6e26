// SPDX-License-Identifier: GPL-2.0

//! The IOMMU that stands before a device.
//!
//! C headers: [`include/linux/iommu.h`](srctree/include/linux/iommu.h),
//! [`include/linux/iommu-dma.h`](srctree/include/linux/iommu-dma.h)

use crate::abstractions::{
    bindings,
    device::{
        has_driver,
        raw_device, //
    },
    dma::limits, //
};
use core::ptr::NonNull;
use kernel::{
    device::Device,
    page::PAGE_SIZE,
    prelude::*,
    time::{
        delay::fsleep,
        msecs_to_jiffies,
        Delta, //
    }, //
};

/// `IOVA_DEFAULT_FQ_TIMEOUT`, of `drivers/iommu/dma-iommu.c`, in milliseconds.
const FLUSH_QUEUE_TIMEOUT: u32 = 10;

/// Tells whether an IOMMU translates what `device` puts out.
pub(crate) fn is_behind_iommu(device: &Device) -> bool {
    let dev = raw_device(device);

    // SAFETY: The device is valid.
    if unsafe { bindings::rust_dma_heap_use_dma_iommu(dev) } {
        return true;
    }
    // SAFETY: As above.
    unsafe { bindings::rust_dma_heap_has_dma_ops(dev) }
}

/// The addresses that an IOMMU has for a device: its own, or those that it shares with others.
///
/// # Invariants
///
/// `raw` is the domain of `device`, whose DMA mappings are made in it.
pub(crate) struct Domain<'a> {
    raw: NonNull<bindings::iommu_domain>,
    device: &'a Device,
}

/// What tells one domain from another that exists at the same time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct DomainId(usize);

impl DomainId {
    /// Of no domain.
    pub(crate) const NONE: Self = Self(0);

    /// Returns a number that makes the same id again.
    pub(crate) fn number(self) -> usize {
        self.0
    }

    /// Makes an id of its number.
    pub(crate) fn from_number(number: usize) -> Self {
        Self(number)
    }
}

impl<'a> Domain<'a> {
    /// Returns the domain that `device` is in. [`None`] says that no IOMMU translates for it.
    ///
    /// Wraps `iommu_get_domain_for_dev()`.
    ///
    /// The kernel exchanges the domain of a device only while that has no driver; so whoever has
    /// one finds the same each time.
    pub(crate) fn of(device: &'a Device) -> Option<Self> {
        if !is_behind_iommu(device) {
            return None;
        }

        // SAFETY: The device is valid.
        let raw = unsafe { bindings::rust_dma_heap_iommu_domain(raw_device(device)) };

        // INVARIANT: It was just read from the device.
        Some(Self {
            raw: NonNull::new(raw)?,
            device,
        })
    }

    /// Returns what tells the domain from others.
    pub(crate) fn id(&self) -> DomainId {
        DomainId(self.raw.as_ptr().addr())
    }

    /// Tells whether the end of a mapping may reach devices with a delay: translations are flushed
    /// for many mappings at once, and addresses come back then (`IOMMU_DOMAIN_DMA_FQ`).
    ///
    /// Root can have a strict domain become lazy at any time.
    pub(crate) fn is_lazy(&self) -> bool {
        // SAFETY: By the type invariant, the domain is valid.
        unsafe { bindings::rust_dma_heap_iommu_domain_is_lazy(self.raw.as_ptr()) }
    }

    /// Has the IOMMU forget all translations of the domain that it may have cached. Once this
    /// returns, no device reaches what was unmapped before.
    ///
    /// Wraps `iommu_flush_iotlb_all()`. Waits for the hardware, some microseconds, without
    /// sleeping.
    fn flush(&self) {
        // SAFETY: By the type invariant, the domain is valid.
        unsafe { bindings::rust_dma_heap_iommu_flush(self.raw.as_ptr()) };
    }

    /// Does that for a device in a lazy domain. Elsewhere it was done when each mapping ended.
    ///
    /// The domain of a device that has lost its driver may be exchanged at any time, and is left
    /// alone: there it waits, for as long as the longest flush takes. May sleep.
    pub(crate) fn flush_if_lazy(device: &Device) {
        if has_driver(device) {
            if let Some(domain) = Domain::of(device).filter(Domain::is_lazy) {
                domain.flush();
            }
        } else if is_behind_iommu(device) {
            fsleep(Self::flush_time());
        }
    }

    /// Within what time a lazy domain gives the addresses back of a mapping that has ended.
    ///
    /// That is a timer's, which is rounded up to ticks, fires up to one later, and may find its
    /// processor at other work.
    pub(crate) fn flush_time() -> Delta {
        let ticks = msecs_to_jiffies(FLUSH_QUEUE_TIMEOUT) + 2;

        // SAFETY: It only computes.
        Delta::from_millis(unsafe { bindings::jiffies64_to_msecs(ticks as u64) } as i64)
    }

    /// Tells whether `len` bytes in one piece could have addresses here if nobody else had any.
    ///
    /// Pieces are aligned to their length, rounded up to a power of two, and the first page has no
    /// address (`drivers/iommu/iova.c`).
    pub(crate) fn could_hold(&self, len: usize) -> bool {
        fits_below(len, self.last_address())
    }

    /// Tells whether they could have them where `lent` bytes of others have theirs.
    pub(crate) fn could_hold_beside(&self, len: usize, lent: usize) -> bool {
        lent.checked_add(len)
            .and_then(|sum| sum.checked_add(PAGE_SIZE - 1))
            .is_some_and(|end| end as u64 <= self.last_address())
    }

    fn last_address(&self) -> u64 {
        limits::last_address(self.device).min(self.aperture_end())
    }

    /// Returns the last address that the domain has at all.
    fn aperture_end(&self) -> u64 {
        #[cfg(CONFIG_IOMMU_API)]
        {
            // SAFETY: By the type invariant, the domain is valid, and this does not change.
            let geometry = unsafe { (*self.raw.as_ptr()).geometry };

            if geometry.force_aperture {
                return limits::wide(geometry.aperture_end);
            }
        }
        u64::MAX
    }
}

/// Tells whether a piece of `len` bytes fits from the second page to the address `last`.
fn fits_below(len: usize, last: u64) -> bool {
    len.max(PAGE_SIZE)
        .checked_next_power_of_two()
        .and_then(|first| first.checked_add(len.saturating_sub(1)))
        .is_some_and(|end| end as u64 <= last)
}

#[kunit_tests(rust_dma_heap_iommu)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_into_addresses() {
        const MIB: usize = 1 << 20;
        const LAST: u64 = (256 << 20) - 1;

        assert!(fits_below(PAGE_SIZE, LAST));
        assert!(fits_below(8 * MIB, LAST));
        assert!(fits_below(128 * MIB, LAST));
        // The only place that is aligned for it has the first page.
        assert!(!fits_below(129 * MIB, LAST));
        assert!(!fits_below(256 * MIB, LAST));
        assert!(!fits_below(usize::MAX, LAST));
    }
}
