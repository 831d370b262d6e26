// SPDX-License-Identifier: GPL-2.0

//! Whether a heap's buffers suit a device.

use super::device::Device;
use super::device::Reach;
use serde::Serialize;

/// The answer for a heap and a device, worst last. That one does not serve is never known: which
/// of its buffers lie beyond a device's reach is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "answer", content = "why", rename_all = "snake_case")]
pub(super) enum Verdict {
    Yes,
    /// It depends on what is not known.
    Perhaps(String),
}

impl Verdict {
    /// For a heap whose buffers are `contiguous`, in a machine whose memory ends at `memory_end`.
    ///
    /// An IOMMU puts any memory within reach, and together. Without one, a device must reach the
    /// memory, and some take only one range: no device says which, so the module learns it when
    /// one is attached.
    pub(super) fn of(device: &Device, contiguous: Option<bool>, memory_end: Option<u64>) -> Self {
        if device.reach == Reach::None || device.is_translated() {
            return Self::Yes;
        }
        let reach = match (device.reach, memory_end) {
            (Reach::UpTo(last), Some(end)) if end > 0 && last >= end - 1 => Self::Yes,
            (Reach::UpTo(last), _) => Self::Perhaps(format!(
                "it reaches addresses up to {last:#x}, and memory may lie beyond"
            )),
            _ => Self::Perhaps(
                "its DMA mask is unknown: attach a buffer to it once, by any program that uses it"
                    .to_owned(),
            ),
        };
        let range = match (contiguous, device.max_segment) {
            (Some(true), _) => Self::Yes,
            // A limit is a scatterlist's: who takes one range sets none, or the longest.
            (_, Some(bytes)) if bytes < u64::from(u32::MAX) - 4096 => Self::Yes,
            _ => Self::Perhaps(
                "it has no IOMMU, and may want one physically contiguous range".to_owned(),
            ),
        };
        reach.max(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn device(reach: Reach, iommu: Option<&str>, max_segment: Option<u64>) -> Device {
        Device {
            asked: "/dev/video0".into(),
            name: "vivid.0".into(),
            driver: None,
            reach,
            iommu: iommu.map(str::to_owned),
            max_segment,
            was_seen: true,
        }
    }

    #[test]
    fn an_iommu_serves_any_heap() {
        let device = device(Reach::UpTo(0xffff_ffff), Some("DMA-FQ"), None);
        assert_eq!(
            Verdict::of(&device, Some(false), Some(64 * GIB)),
            Verdict::Yes
        );
    }

    #[test]
    fn one_that_is_not_used_is_as_none() {
        let device = device(Reach::UpTo(0xffff_ffff), Some("identity"), None);
        let verdict = Verdict::of(&device, Some(true), Some(64 * GIB));
        assert!(matches!(verdict, Verdict::Perhaps(why) if why.contains("0xffffffff")));
    }

    #[test]
    fn a_driver_that_does_no_dma_takes_any_heap() {
        let device = device(Reach::None, None, None);
        assert_eq!(Verdict::of(&device, None, None), Verdict::Yes);
    }

    #[test]
    fn who_reaches_all_may_still_want_one_range() {
        let all = Some(4 * GIB);
        let plain = device(Reach::UpTo(0xffff_ffff), None, None);
        assert_eq!(Verdict::of(&plain, Some(true), all), Verdict::Yes);
        assert!(matches!(
            Verdict::of(&plain, Some(false), all),
            Verdict::Perhaps(_)
        ));
        let scatters = device(Reach::UpTo(0xffff_ffff), None, Some(65536));
        assert_eq!(Verdict::of(&scatters, Some(false), all), Verdict::Yes);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let verdict = Verdict::of(&device(Reach::Unknown, None, None), Some(true), Some(GIB));
        assert!(matches!(verdict, Verdict::Perhaps(why) if why.contains("attach a buffer")));
    }
}
