// SPDX-License-Identifier: GPL-2.0

//! Cutting a buffer's memory into scatterlist entries that a device can take.
//!
//! C headers: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h),
//! [`include/linux/device.h`](srctree/include/linux/device.h)

use crate::abstractions::{
    bindings,
    device::raw_device,
    dma::{
        limits,
        reach::Reach, //
    },
    mm::block_list::BlockList, //
};
use core::ptr::NonNull;
use kernel::{
    device::Device,
    dma::DataDirection,
    page::PAGE_SHIFT,
    prelude::*, //
};

/// The most pages that one entry can hold: its length is 32 bits wide.
const MAX_ENTRY_PAGES: usize = u32::MAX as usize >> PAGE_SHIFT;

/// What `pci_device_add()`, of `drivers/pci/probe.c`, sets as the longest segment of each device.
const PCI_MAX_SEGMENT: u32 = 65536;

/// Refuses [`DataDirection::None`], with `EINVAL`: the C side takes it for a bug, and stops there.
pub(crate) fn check_direction(direction: DataDirection) -> Result {
    match direction {
        DataDirection::None => Err(EINVAL),
        _ => Ok(()),
    }
}

/// Returns the most bytes of one entry that `device`'s driver asked for, or [`None`].
///
/// A driver that set nothing gets no limit, although `dma_get_max_seg_size()` says 64 KiB then:
/// importers that want one contiguous range never set it, and refuse more than one entry. 64 KiB
/// are no driver's word on a PCI device either: the PCI core sets them on each.
pub(crate) fn max_segment(device: &Device) -> Option<usize> {
    let dev = raw_device(device);
    let parameters = parameters(device)?.as_ptr();

    // SAFETY: They are there while an importer attaches or maps.
    let max_segment = unsafe { &raw const (*parameters).max_segment_size };
    // SAFETY: As above. Drivers write it at any time.
    let max_segment = unsafe { max_segment.read_volatile() };
    // SAFETY: The device is valid.
    let is_pci = unsafe { bindings::rust_dma_heap_device_is_pci(dev) };

    match max_segment {
        0 => None,
        PCI_MAX_SEGMENT if is_pci => None,
        bytes => Some(bytes as usize),
    }
}

/// Returns the power of two, less one, of which no multiple is inside an entry for `device`, or
/// [`None`] if any may be.
pub(crate) fn boundary_mask(device: &Device) -> Option<usize> {
    let parameters = parameters(device)?.as_ptr();
    // SAFETY: They are there while an importer attaches or maps.
    let mask = unsafe { &raw const (*parameters).segment_boundary_mask };
    // SAFETY: As above. Drivers write it at any time.
    let mask = unsafe { mask.read_volatile() };

    Some(mask).filter(|&mask| mask != 0 && mask != usize::MAX)
}

/// Returns what the driver, or the bus, has set of that. To be called while an importer attaches or
/// maps: then what it leads to is there, be it the driver's own or a parent's.
fn parameters(device: &Device) -> Option<NonNull<bindings::device_dma_parameters>> {
    // SAFETY: The device is valid.
    let parameters = unsafe { &raw const (*raw_device(device)).dma_parms };

    // SAFETY: As above. Its bus or its driver may set it at any time.
    NonNull::new(unsafe { parameters.read_volatile() })
}

/// What a device demands of each scatterlist entry, in pages.
///
/// # Invariants
///
/// `max_pages` is from 1 to [`MAX_ENTRY_PAGES`]; `boundary_pages` is a power of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SegmentLimits {
    /// No entry is longer.
    max_pages: usize,
    /// No entry crosses a multiple of this, if there is one.
    boundary_pages: Option<usize>,
}

impl SegmentLimits {
    /// Returns what `device`'s driver really set, and what a bounce buffer can hold if `reach` is
    /// by one.
    pub(crate) fn of(device: &Device, reach: Reach) -> Self {
        let max_mapping = match reach {
            Reach::MayBounce => limits::max_mapping(device),
            _ => None,
        };

        Self::new(
            max_segment(device)
                .unwrap_or(usize::MAX)
                .min(max_mapping.unwrap_or(usize::MAX)),
            boundary_mask(device),
        )
    }

    /// Turns bytes into pages. Limits below a page become one: a dma-buf has no smaller entries.
    fn new(max_len: usize, boundary_mask: Option<usize>) -> Self {
        // INVARIANT: `clamp()` keeps the range. A boundary mask is a power of two less one.
        Self {
            max_pages: (max_len >> PAGE_SHIFT).clamp(1, MAX_ENTRY_PAGES),
            boundary_pages: boundary_mask
                .map(|mask| (mask >> PAGE_SHIFT) + 1)
                .filter(|pages| pages.is_power_of_two()),
        }
    }

    /// Returns how long an entry that starts at frame `pfn` may be, in pages; at least 1.
    fn room_at(&self, pfn: usize) -> usize {
        match self.boundary_pages {
            Some(pages) => self.max_pages.min(pages - (pfn & (pages - 1))),
            None => self.max_pages,
        }
    }
}

/// One scatterlist entry: physically contiguous pages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::abstractions) struct Segment {
    /// Page frame number of the first page.
    pub(in crate::abstractions) pfn: usize,
    /// Length in pages, at least 1.
    pub(in crate::abstractions) nr_pages: usize,
}

/// The entries of a buffer, in order: as few as the limits allow, over adjacent blocks as well.
pub(in crate::abstractions) struct Segments<I: Iterator<Item = Segment>> {
    runs: I,
    rest: Option<Segment>,
    limits: SegmentLimits,
}

/// Returns the entries of `blocks`.
pub(in crate::abstractions) fn of_blocks(
    blocks: &BlockList,
    limits: SegmentLimits,
) -> Segments<impl Iterator<Item = Segment> + use<'_>> {
    Segments::new(
        blocks.iter().map(|block| Segment {
            pfn: block.pfn(),
            nr_pages: block.nr_pages(),
        }),
        limits,
    )
}

/// Returns how many entries a device without limits gets of `blocks`.
pub(crate) fn count(blocks: &BlockList) -> usize {
    of_blocks(blocks, SegmentLimits::new(usize::MAX, None)).count()
}

impl<I: Iterator<Item = Segment>> Segments<I> {
    fn new(mut runs: I, limits: SegmentLimits) -> Self {
        Self {
            rest: runs.next(),
            runs,
            limits,
        }
    }
}

impl<I: Iterator<Item = Segment>> Iterator for Segments<I> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        let pfn = self.rest?.pfn;
        let room = self.limits.room_at(pfn);
        let mut nr_pages = 0;

        while let Some(rest) = self.rest {
            if nr_pages == room || rest.pfn != pfn + nr_pages {
                break;
            }

            let taken = rest.nr_pages.min(room - nr_pages);

            nr_pages += taken;
            self.rest = if taken == rest.nr_pages {
                self.runs.next()
            } else {
                Some(Segment {
                    pfn: rest.pfn + taken,
                    nr_pages: rest.nr_pages - taken,
                })
            };
        }
        Some(Segment { pfn, nr_pages })
    }
}

#[kunit_tests(rust_dma_heap_segments)]
mod tests {
    use super::*;
    use kernel::page::PAGE_SIZE;

    const NO_LIMIT: SegmentLimits = SegmentLimits {
        max_pages: MAX_ENTRY_PAGES,
        boundary_pages: None,
    };

    fn cut(runs: &[(usize, usize)], limits: SegmentLimits) -> Result<KVec<(usize, usize)>> {
        let mut cut = KVec::new();
        let runs = runs
            .iter()
            .map(|&(pfn, nr_pages)| Segment { pfn, nr_pages });

        for segment in Segments::new(runs, limits) {
            cut.push((segment.pfn, segment.nr_pages), GFP_KERNEL)?;
        }
        Ok(cut)
    }

    #[test]
    fn each_block_is_an_entry() -> Result {
        assert_eq!(
            *cut(&[(512, 256), (16, 16)], NO_LIMIT)?,
            [(512, 256), (16, 16)]
        );
        Ok(())
    }

    #[test]
    fn adjacent_blocks_become_one_entry() -> Result {
        assert_eq!(
            *cut(&[(16, 16), (32, 1), (33, 1), (7, 1)], NO_LIMIT)?,
            [(16, 18), (7, 1)]
        );
        Ok(())
    }

    #[test]
    fn the_longest_entry_is_what_the_driver_set() -> Result {
        let limits = SegmentLimits::new(4 * PAGE_SIZE + 1, None);

        assert_eq!(*cut(&[(8, 10)], limits)?, [(8, 4), (12, 4), (16, 2)]);
        Ok(())
    }

    #[test]
    fn no_entry_crosses_the_boundary() -> Result {
        let limits = SegmentLimits::new(usize::MAX, Some(8 * PAGE_SIZE - 1));

        assert_eq!(*cut(&[(6, 12)], limits)?, [(6, 2), (8, 8), (16, 2)]);
        assert_eq!(*cut(&[(6, 2), (8, 2)], limits)?, [(6, 2), (8, 2)]);
        Ok(())
    }

    #[test]
    fn limits_below_a_page_are_a_page() {
        assert_eq!(SegmentLimits::new(1, Some(1)).room_at(5), 1);
    }

    #[test]
    fn no_limit_is_what_32_bits_can_say() {
        assert_eq!(SegmentLimits::new(usize::MAX, None), NO_LIMIT);
    }
}
