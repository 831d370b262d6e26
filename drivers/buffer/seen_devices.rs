// SPDX-License-Identifier: GPL-2.0

//! What devices demanded that are not attached any more, for people who ask which heap suits them.

use crate::abstractions::uapi::AttachmentDescription;
use kernel::prelude::*;

/// How many are remembered.
const MOST: usize = 64;

/// The devices that were attached, in the order in which each was first. Nobody sees by it when one
/// is used.
pub(super) struct SeenDevices(KVec<AttachmentDescription>);

impl SeenDevices {
    /// None yet, with memory for all. May sleep.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(KVec::with_capacity(MOST, GFP_KERNEL)?))
    }

    /// Notes what a device demands now. The one that was noted first makes room for a new one.
    /// Allocates nothing.
    pub(super) fn note(&mut self, device: AttachmentDescription) {
        if let Some(known) = self.0.iter_mut().find(|it| it.device == device.device) {
            *known = device;
            return;
        }
        if self.0.len() == MOST {
            let _ = self.0.remove(0);
        }
        // There is room now.
        let _ = self.0.push_within_capacity(device);
    }

    /// Tells of them, as many as there is room for in `told`. Returns how many there are.
    pub(super) fn tell(&self, told: &mut KVVec<AttachmentDescription>) -> usize {
        for device in &self.0 {
            let device = AttachmentDescription {
                maps: 0,
                flags: 0,
                ..*device
            };

            if told.push_within_capacity(device).is_err() {
                break;
            }
        }
        self.0.len()
    }
}

#[kunit_tests(rust_dma_heap_seen_devices)]
mod tests {
    use super::*;
    use crate::abstractions::uapi;
    use kernel::str::CString;

    fn device(number: usize, dma_mask: u64) -> Result<AttachmentDescription> {
        let name = CString::try_from_fmt(fmt!("device{number}"))?;

        Ok(AttachmentDescription {
            device: uapi::name(&name),
            dma_mask,
            max_segment: 0,
            boundary_mask: u64::MAX,
            maps: 3,
            flags: 1,
        })
    }

    #[test]
    fn the_latest_word_of_each_counts() -> Result {
        let mut seen = SeenDevices::new()?;

        seen.note(device(1, 5)?);
        seen.note(device(2, 6)?);
        seen.note(device(1, 7)?);

        let mut told = KVVec::with_capacity(3, GFP_KERNEL)?;

        assert_eq!(seen.tell(&mut told), 2);
        assert_eq!(told.iter().map(|it| it.dma_mask).sum::<u64>(), 13);
        assert_eq!(told.first().map(|it| (it.dma_mask, it.maps)), Some((7, 0)));
        Ok(())
    }

    #[test]
    fn the_oldest_makes_room() -> Result {
        let mut seen = SeenDevices::new()?;

        for number in 0..MOST + 2 {
            seen.note(device(number, number as u64)?);
        }

        let mut told = KVVec::with_capacity(1, GFP_KERNEL)?;

        assert_eq!(seen.tell(&mut told), MOST);
        assert_eq!(told.first().map(|it| it.dma_mask), Some(2));
        Ok(())
    }
}
