// SPDX-License-Identifier: GPL-2.0

//! Where in the address space to put a mapping.
//!
//! The kernel maps a large block with a single entry of a page middle directory
//! (PMD, 2 MiB with pages of 4 KiB) where an address and the place in the
//! buffer that it shows lie alike in their PMD. For the mapping of a device
//! file it chooses addresses that are aligned to pages only, so one has to ask.

use rustix::mm::MapFlags;
use rustix::mm::ProtFlags;
use std::ffi::c_void;

/// Bytes that one PMD entry maps: a table is a page full of entries, and those
/// have 8 bytes wherever that many can be mapped at once.
fn pmd_size() -> usize {
    let page = rustix::param::page_size();
    page * (page / 8)
}

/// The first address from `from` on that lies in its PMD as byte `offset` lies
/// in its own. `None` beyond the end of the address space.
fn congruent(from: usize, offset: u64, pmd: usize) -> Option<usize> {
    // Lossless: the rest is less than `pmd`.
    let wanted = (offset % pmd as u64) as usize;
    let missing = (wanted + pmd - from % pmd) % pmd;
    from.checked_add(missing)
}

/// An address to ask for when `len` bytes of a buffer are mapped from `offset`
/// on, or null to leave the choice to the kernel.
///
/// It was free a moment ago. It is for use without `MAP_FIXED`: should another
/// thread have taken it since, the kernel chooses another one, and nothing but
/// the alignment is lost.
pub(super) fn hint(offset: u64, len: usize) -> *mut c_void {
    let none = std::ptr::null_mut();
    let pmd = pmd_size();
    if len < pmd {
        return none;
    }
    // A range with room for the mapping wherever its start falls in a PMD.
    let Some(room) = len.checked_add(pmd) else {
        return none;
    };
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: Without MAP_FIXED and with a null hint, the kernel chooses an
    // unused range, so no memory known to Rust changes.
    let reserved = unsafe { rustix::mm::mmap_anonymous(none, room, ProtFlags::empty(), flags) };
    let Ok(reserved) = reserved else {
        // A crowded or limited address space: the mapping itself may still fit.
        return none;
    };
    // SAFETY: This is the whole of what was mapped above, and nobody else knows
    // of it.
    let unmapped = unsafe { rustix::mm::munmap(reserved, room) };
    debug_assert!(unmapped.is_ok());
    match congruent(reserved.addr(), offset, pmd) {
        Some(address) => reserved.with_addr(address),
        None => none,
    }
}

#[cfg(test)]
mod tests {
    use super::super::region::Region;
    use super::*;
    use rustix::fs::MemfdFlags;
    use std::os::fd::AsFd as _;

    const PMD: usize = 2 << 20;

    #[test]
    fn congruent_addresses() {
        assert_eq!(congruent(0, 0, PMD), Some(0));
        assert_eq!(congruent(4096, 0, PMD), Some(PMD));
        assert_eq!(congruent(PMD, 0, PMD), Some(PMD));
        assert_eq!(congruent(PMD, 4096, PMD), Some(PMD + 4096));
        assert_eq!(congruent(PMD + 8192, 4096, PMD), Some(2 * PMD + 4096));
        assert_eq!(
            congruent(PMD, 5 * PMD as u64 + 12288, PMD),
            Some(PMD + 12288)
        );
        assert_eq!(congruent(usize::MAX - 4095, 0, PMD), None);
    }

    #[test]
    fn small_mappings_are_left_to_the_kernel() {
        assert!(hint(0, pmd_size() - rustix::param::page_size()).is_null());
    }

    #[test]
    fn what_cannot_be_reserved_is_left_to_the_kernel() {
        assert!(hint(0, usize::MAX - rustix::param::page_size()).is_null());
    }

    /// Several mappings at once, so that a lucky address does not pass for an
    /// aligned one.
    #[test]
    fn large_mappings_are_aligned() -> rustix::io::Result<()> {
        let pmd = pmd_size();
        let page = rustix::param::page_size();
        let file = rustix::fs::memfd_create("placement", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, 4 * pmd as u64)?;
        let mut regions = Vec::new();
        for pages in 0..4 {
            let offset = (pages * page) as u64;
            let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
            let region = Region::new(file.as_fd(), offset, 2 * pmd + page, prot, flags)?;
            assert_eq!(region.address() % pmd, pages * page);
            assert_eq!(region.store(0, pages as u64), Some(()));
            regions.push(region);
        }
        for (pages, region) in regions.iter().enumerate() {
            assert_eq!(region.load(0), Some(pages as u64));
        }
        Ok(())
    }
}
