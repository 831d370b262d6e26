// SPDX-License-Identifier: GPL-2.0

//! Which cases are measured, and how often.

use super::case::Access;
use super::case::Case;
use super::case::Layout;
use super::case::Mapping;
use super::case::Mode;
use super::case::Operation;
use super::pair::Pair;
use super::pipeline;
use crate::Settings;
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Sizes of buffers that are allocated and closed.
const SIZES: [u64; 4] = [4 * KIB, MIB, 8 * MIB, 32 * MIB];

/// Between one operation and the next in the mode "warm": a frame's time.
const FRAME_MS: u64 = 16;

/// Bytes of a frame of the pipeline.
pub(crate) const FRAME: u64 = 12 * MIB;
/// Frames of one sample of the pipeline.
pub(crate) const SEGMENT: usize = 300;
/// Samples of the pipeline, of each heap.
const SEGMENTS: usize = 10;
// Enough for a 99th percentile with some thirty samples above it.
const _: () = assert!(SEGMENT * SEGMENTS >= 3000);

/// Pairs of samples when instructions are counted: enough for one into which
/// nothing else has fallen.
const COUNTED_PAIRS: usize = 12;

/// Sizes of buffers that are mapped for a device.
pub(crate) const MAPPED: [u64; 4] = [64 * KIB, MIB, 8 * MIB, 32 * MIB];
/// Attachments that are mapped in turn.
const ATTACHMENTS: [u32; 3] = [1, 2, 4];
/// Samples of a frame, of each heap: its DMA takes a tenth of a second.
const FRAMES: usize = 24;
/// What one takes, about.
const FRAME_TIME: Duration = Duration::from_millis(150);
/// What a round takes in which kernel memory is counted, about.
const ROUND_TIME: Duration = Duration::from_millis(300);

/// How long to go on with a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Until this has gone by ...
    pub(crate) time: Duration,
    /// ... but no fewer pairs of samples than these ...
    pub(crate) least: usize,
    /// ... and no more than these.
    pub(crate) most: usize,
    /// No pair begins that would end after the time.
    pub(crate) punctual: bool,
}

impl Effort {
    /// The effort for a case of so many heaps.
    pub(crate) fn new(case: &Case, settings: &Settings, heaps: usize) -> Self {
        // One heap alone needs half the time, and people get more for theirs.
        let time = match heaps {
            1 if !settings.brief => settings.time / 2,
            _ => settings.time,
        };
        let exactly = |pairs| Self {
            time: Duration::MAX,
            least: pairs,
            most: pairs,
            punctual: false,
        };
        match case.operation {
            Operation::Pipeline => exactly(SEGMENTS),
            Operation::Frame => exactly(FRAMES),
            _ if settings.counting() => exactly(COUNTED_PAIRS),
            _ if settings.brief => Self {
                time,
                least: 2,
                most: 400,
                punctual: true,
            },
            // Where 32 MiB bounce, a sample takes seconds.
            Operation::Map => Self {
                time,
                least: 4,
                most: 400,
                punctual: false,
            },
            _ => Self {
                time,
                least: 8,
                most: 400,
                punctual: false,
            },
        }
    }
}

/// How often kernel memory is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// To find the caches that buffers take objects from.
    pub(crate) searches: usize,
    /// To count those.
    pub(crate) counts: usize,
}

/// The rounds for each heap.
pub(crate) fn rounds(settings: &Settings) -> Rounds {
    let (searches, counts) = if settings.brief { (1, 2) } else { (2, 5) };
    Rounds { searches, counts }
}

/// How long these pairs take, about. What is not known before counts as the time that was asked
/// for.
pub fn expected(settings: &Settings, pairs: &[Pair]) -> Duration {
    let each = |pair: &Pair| -> Duration {
        let cases = chosen(pair.contiguous, settings);
        let times = cases
            .iter()
            .map(|case| expected_of(case, settings, pair.heaps()));
        times.sum()
    };
    pairs.iter().map(each).sum()
}

/// The same for one case of so many heaps.
pub(crate) fn expected_of(case: &Case, settings: &Settings, heaps: usize) -> Duration {
    let samples = |count: usize, each: Duration| each * u32::try_from(count * heaps).unwrap_or(1);
    let effort = Effort::new(case, settings, heaps);
    match case.operation {
        Operation::Pipeline => samples(effort.most + 1, pipeline::duration(SEGMENT)),
        Operation::Frame => samples(effort.most + 1, FRAME_TIME),
        Operation::Metadata => {
            let rounds = rounds(settings);
            samples(rounds.searches + rounds.counts, ROUND_TIME)
        }
        // As many as it takes when instructions are counted.
        _ => effort.time.min(settings.time),
    }
}

/// Operations of one sample. A short one needs company, so that its sample is
/// not all clock and chance.
pub(crate) fn batch(case: &Case, counting: bool) -> usize {
    // The pool is emptied before each sample, so there is but one in it.
    if case.mode == Some(Mode::Cold) {
        return 1;
    }
    if counting || case.gap_ms > 0 {
        return 3;
    }
    match (case.operation, case.size) {
        (Operation::AllocWriteClose | Operation::Touch, _) => 3,
        (_, ..MIB) => 64,
        (_, MIB) => 16,
        _ => 6,
    }
}

/// The cases of a heap. Some need small blocks and some one block, so it
/// matters if its buffers are `contiguous`.
pub fn cases(contiguous: bool, counting: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in [Mode::Cold, Mode::Warm, Mode::Untouched] {
        for size in SIZES {
            let case = Case::new(Operation::AllocClose, mode, size);
            let gap_ms = if mode == Mode::Warm { FRAME_MS } else { 0 };
            cases.push(Case { gap_ms, ..case });
        }
    }
    let threads = |case, threads| Case { threads, ..case };
    if !contiguous {
        for size in SIZES {
            let case = Case::new(Operation::AllocClose, Mode::Untouched, size);
            cases.push(threads(case, 2));
        }
    }
    for size in [8 * MIB, 32 * MIB] {
        let case = Case::new(Operation::AllocWriteClose, Mode::Warm, size);
        cases.push(case);
        if !contiguous {
            cases.push(threads(case, 2));
        }
    }
    for (mapping, access) in [
        (Mapping::Library, Access::Write),
        (Mapping::Plain, Access::Write),
        (Mapping::Library, Access::ReadWrite),
        (Mapping::Plain, Access::ReadWrite),
    ] {
        cases.push(Case {
            mapping: Some(mapping),
            access: Some(access),
            ..Case::new(Operation::Touch, Mode::Warm, 32 * MIB)
        });
    }
    if !contiguous {
        cases.push(Case {
            gap_ms: FRAME_MS,
            ..Case::new(Operation::Pipeline, Mode::Warm, FRAME)
        });
    }
    let layout = if contiguous {
        Layout::Contiguous
    } else {
        Layout::Fragmented
    };
    for mode in [Mode::First, Mode::Repeated] {
        cases.push(Case {
            layout: Some(layout),
            ..Case::new(Operation::Vmap, mode, 8 * MIB)
        });
    }
    cases.push(Case {
        mode: None,
        ..Case::new(Operation::Metadata, Mode::Warm, 32 * MIB)
    });
    if counting {
        // The clock stands for one processor's instructions only, and the
        // pipeline lives by the clock of the wall.
        cases.retain(|case| {
            case.threads == 1
                && !matches!(case.operation, Operation::Pipeline | Operation::Metadata)
        });
    }
    cases
}

/// A choice of cases for people who wait for the results, and whose machine may be small and have
/// other work: nothing takes much memory.
fn brief_cases() -> Vec<Case> {
    let size = 8 * MIB;
    let warm = |size| Case {
        gap_ms: FRAME_MS,
        ..Case::new(Operation::AllocClose, Mode::Warm, size)
    };
    vec![
        warm(4 * KIB),
        warm(MIB),
        warm(size),
        Case::new(Operation::AllocClose, Mode::Untouched, size),
        Case::new(Operation::AllocClose, Mode::Cold, size),
        Case::new(Operation::AllocWriteClose, Mode::Warm, size),
        Case {
            mapping: Some(Mapping::Library),
            access: Some(Access::Write),
            ..Case::new(Operation::Touch, Mode::Warm, size)
        },
        // Several of them are there at once.
        Case {
            mode: None,
            ..Case::new(Operation::Metadata, Mode::Warm, MIB)
        },
    ]
}

/// The cases with a device, which are for machines with one IOMMU or another
/// and not for all.
pub fn device_cases(contiguous: bool) -> Vec<Case> {
    let layouts: &[Layout] = if contiguous {
        &[Layout::Contiguous]
    } else {
        &[Layout::LargeBlocks, Layout::Fragmented]
    };
    let mut cases = Vec::new();
    for layout in layouts {
        let with = |case, attachments| Case {
            layout: Some(*layout),
            attachments: Some(attachments),
            ..case
        };
        for size in MAPPED {
            for attachments in ATTACHMENTS {
                for mode in [Mode::First, Mode::Repeated] {
                    cases.push(with(Case::new(Operation::Map, mode, size), attachments));
                }
            }
        }
        cases.push(with(
            Case::new(Operation::Frame, Mode::Repeated, 8 * MIB),
            1,
        ));
    }
    cases
}

/// The cases of a heap of those operations only, or all that nobody needs to
/// ask for.
pub(crate) fn chosen(contiguous: bool, settings: &Settings) -> Vec<Case> {
    if settings.only.is_empty() && settings.brief {
        return brief_cases();
    }
    let mut cases = cases(contiguous, settings.counting());
    if !settings.only.is_empty() {
        cases.extend(device_cases(contiguous));
        cases.retain(|case| settings.only.contains(&case.operation));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Kind;

    fn settings(brief: bool, only: &[Operation]) -> Settings {
        Settings {
            kind: Kind::Time,
            brief,
            only: only.to_vec(),
            time: Duration::from_secs(1),
            config: None,
            json: false,
        }
    }

    #[test]
    fn people_wait_for_a_choice_of_cases() {
        for contiguous in [false, true] {
            let chosen = |brief, only: &[Operation]| chosen(contiguous, &settings(brief, only));
            let cases = chosen(true, &[]);
            assert!(cases.len() < chosen(false, &[]).len());
            assert!(cases.iter().all(|case| case.size <= 8 * MIB));
            let touch = [Operation::Touch];
            assert_eq!(chosen(true, &touch), chosen(false, &touch));
        }
    }

    #[test]
    fn what_is_expected_goes_by_the_effort() {
        let of = |brief, only, against: Option<&str>| {
            let pair = Pair {
                heap: "system-pooled".into(),
                against: against.map(str::to_owned),
                contiguous: false,
            };
            expected(&settings(brief, &[only]), &[pair])
        };
        let (second, system) = (Duration::from_secs(1), Some("system"));
        // Four ways to touch.
        assert_eq!(of(true, Operation::Touch, None), 4 * second);
        assert_eq!(of(false, Operation::Touch, None), 2 * second);
        assert_eq!(of(false, Operation::Touch, system), 4 * second);
        assert!(of(false, Operation::Pipeline, system) > 100 * second);
    }

    #[test]
    fn no_case_comes_twice() {
        for contiguous in [false, true] {
            for counting in [false, true] {
                let cases = cases(contiguous, counting);
                let mut sorted = cases.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), cases.len());
            }
        }
    }

    #[test]
    fn devices_are_for_those_who_ask() {
        for contiguous in [false, true] {
            let by_device = |only: &[Operation]| {
                let cases = chosen(contiguous, &settings(false, only));
                cases
                    .iter()
                    .filter(|case| case.operation.is_by_device())
                    .count()
            };
            assert_eq!(by_device(&[]), 0);
            assert_eq!(by_device(&[Operation::Vmap]), 0);
            let both = [Operation::Map, Operation::Frame];
            assert_eq!(by_device(&both), device_cases(contiguous).len());
            let mut sorted = device_cases(contiguous);
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), by_device(&both));
        }
    }

    #[test]
    fn short_operations_come_in_numbers() {
        let batch_of = |mode, size| batch(&Case::new(Operation::AllocClose, mode, size), false);
        assert_eq!(batch_of(Mode::Cold, 4 * KIB), 1);
        assert_eq!(batch_of(Mode::Untouched, 4 * KIB), 64);
        assert_eq!(batch_of(Mode::Untouched, MIB), 16);
        assert_eq!(batch_of(Mode::Untouched, 32 * MIB), 6);
    }
}
