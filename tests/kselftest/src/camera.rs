// SPDX-License-Identifier: GPL-2.0

//! A camera that writes frames into buffers: vivid, the kernel's video driver
//! in software, with either of its allocators. In its pixels even black is not
//! zero, so every word of a frame shows whether it was written.

use crate::Test;
use crate::device;
use crate::op_counters::Count;
use crate::op_counters::Ops;
use crate::op_counters::by_importer;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::errno;
use crate::outcome::fail;
use crate::outcome::refused;
use crate::outcome::skip;
use crate::patience::ample;
use crate::pool_fixture::held_by_all;
use crate::system;
use crate::target::Target;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::capture::Capture;
use dma_heap::capture::FrameFormat;
use dma_heap::kcore::CheckError;
use dma_heap::kcore::Contiguity;
use dma_heap::kcore::Kcore;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    ("a camera writes frames by vmap", by_vmap),
    ("a camera without scatter-gather writes frames", by_dma),
    (
        "a camera without scatter-gather refuses a scattered buffer",
        scattered,
    ),
    (
        "a driver gets in one try what a closed buffer had",
        single_attempt,
    ),
];

/// What vivid calls its ways to reach a buffer, by the numbers of its parameter
/// `allocators`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allocator {
    /// It takes any buffer, and vmaps it.
    Vmalloc = 0,
    /// It takes what is one range to the device, maps it, and vmaps it.
    DmaContig = 1,
}

/// Frames to wait for: each buffer comes twice.
const FRAMES: u32 = 2 * BUFFERS;
const BUFFERS: u32 = 3;

/// How long a frame may take; a machine in software is slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// The smallest picture that vivid makes.
const SIZE: (u32, u32) = (320, 180);

/// One of which its driver needs several, each of 4 MiB.
const LARGE: (u32, u32) = (1920, 1080);

/// The first vivid that has this allocator, if there is one.
fn open(allocator: Allocator) -> Result<Option<Capture>, dma_heap::Error> {
    let text = std::fs::read_to_string("/sys/module/vivid/parameters/allocators");
    let (Ok(text), Ok(entries)) = (text, std::fs::read_dir("/dev")) else {
        return Ok(None);
    };
    let allocators: Vec<&str> = text.trim().split(',').collect();
    let wanted = (allocator as u32).to_string();
    for path in entries.flatten().map(|entry| entry.path()) {
        if !path.to_string_lossy().starts_with("/dev/video") {
            continue;
        }
        let capture = match Capture::open(&path) {
            // An output, or something else that captures nothing.
            Err(error) if error.errno() == Some(Errno::NODEV) => continue,
            capture => capture?,
        };
        // vivid numbers its devices there.
        let number = capture
            .bus()
            .rsplit('-')
            .next()
            .and_then(|n| n.parse().ok());
        let has = number.and_then(|number: usize| allocators.get(number));
        if capture.driver() == "vivid" && has == Some(&wanted.as_str()) {
            return Ok(Some(capture));
        }
    }
    Ok(None)
}

/// Runs a test with a vivid, or skips it where there is none.
fn with(
    target: &Target,
    allocator: Allocator,
    test: impl FnOnce(&Capture, FrameFormat) -> TestResult,
) -> TestResult {
    by_importer(target, || {
        let capture = match open(allocator) {
            Ok(Some(capture)) => capture,
            Ok(None) => {
                return skip(format!(
                    "no vivid with allocator {}: load it with `modprobe vivid n_devs=2 \
                     allocators=0,1`",
                    allocator as u32
                ));
            }
            Err(error) if system::is_denied(error.errno()) => return skip(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        let (width, height) = SIZE;
        let format = capture.set_size(width, height)?;
        test(&capture, format)
    })
}

/// Runs a test with a camera that takes memory of its program's own.
pub(crate) fn with_pointers(
    target: &Target,
    test: impl FnOnce(&Capture, FrameFormat) -> TestResult,
) -> TestResult {
    with(target, Allocator::Vmalloc, test)
}

/// Fails unless the device has written a whole frame, and nothing after it.
fn expect_frame(buffer: &Buffer, format: FrameFormat) -> Result<(), Failure> {
    let mut seen = vec![0; usize::try_from(buffer.len())?];
    let mapping = buffer.map()?;
    let access = mapping.read()?;
    access.copy_to_slice(0, &mut seen)?;
    access.finish()?;
    let Some((frame, rest)) = seen.split_at_checked(usize::try_from(format.size)?) else {
        return fail("the buffer is shorter than a frame");
    };
    if let Some(at) = frame.chunks(4).position(|pixels| pixels == [0; 4]) {
        return fail(format!("the frame is empty at byte {}", 4 * at));
    }
    match rest.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(at) => fail(format!("byte {at} after the frame was written")),
    }
}

/// Has frames written into buffers, and returns when the device has let go of
/// them. For each buffer, the ops of `each` are to be reached.
fn film(target: &Target, capture: &Capture, format: FrameFormat, each: Ops) -> TestResult {
    let used = target.used();
    let places = capture.make_queue(BUFFERS)?;
    let buffers = (0..places)
        .map(|_| target.heap.alloc(format.size.into()))
        .collect::<Result<Vec<_>, _>>()?;
    let held = target.used();
    let count = Count::start(target)?;
    for (index, buffer) in (0..).zip(&buffers) {
        capture.queue(index, buffer)?;
    }
    capture.start()?;
    let mut last = None;
    for _ in 0..FRAMES.max(2 * places) {
        let frame = capture.dequeue(ample(PATIENCE))?;
        if frame.len != format.size {
            return fail(format!(
                "a frame has {} of {} bytes",
                frame.len, format.size
            ));
        }
        if last >= Some(frame.sequence) {
            return fail(format!("frame {} came after {last:?}", frame.sequence));
        }
        last = Some(frame.sequence);
        let Some(buffer) = buffers.get(usize::try_from(frame.index)?) else {
            return fail(format!("the device has made up place {}", frame.index));
        };
        expect_frame(buffer, format)?;
        capture.queue(frame.index, buffer)?;
    }
    capture.stop()?;
    let wanted = Ops {
        attaches: each.attaches * u64::from(places),
        maps: each.maps * u64::from(places),
        vmaps: each.vmaps * u64::from(places),
        // The looks at the frames.
        mmaps: u64::from(FRAMES.max(2 * places)),
    };
    count.expect("after all frames", wanted)?;

    // The device has the last references.
    drop(buffers);
    target.expect_used(held)?;
    capture.remove_queue()?;
    target.expect_used(used)?;
    Ok(Pass)
}

fn by_vmap(target: &Target) -> TestResult {
    with(target, Allocator::Vmalloc, |capture, format| {
        let vmap = Ops {
            vmaps: 1,
            ..Ops::default()
        };
        film(target, capture, format, vmap)
    })
}

/// Whether vivid's devices may bounce: they have 32 address bits.
fn bounces(target: &Target) -> Result<bool, Failure> {
    Ok(device::all_bounce()? || target.may_lie_high()?)
}

fn by_dma(target: &Target) -> TestResult {
    if !target.is_contiguous() {
        return skip("the heap does not promise contiguous buffers");
    }
    if bounces(target)? {
        // It writes with the processor what it has mapped for a device.
        return skip("vivid does not bounce, as this machine makes its devices do");
    }
    with(target, Allocator::DmaContig, |capture, format| {
        let all = Ops {
            attaches: 1,
            maps: 1,
            vmaps: 1,
            mmaps: 0,
        };
        film(target, capture, format, all)
    })
}

/// A buffer that is not one range of memory, as /proc/kcore shows, or why there
/// is none.
fn scattered_buffer(target: &Target, len: u64) -> Result<Result<Buffer, String>, Failure> {
    let mut kcore = match Kcore::open() {
        Ok(kcore) => kcore,
        Err(reason) => return Ok(Err(reason.to_string())),
    };
    let mut others = Vec::new();
    for _ in 0..16 {
        let buffer = target.heap.alloc(len)?;
        match kcore.check(&mut buffer.map()?) {
            Ok(Contiguity::Scattered { .. }) => return Ok(Ok(buffer)),
            // Kept, so that the next one is made of other memory.
            Ok(Contiguity::Contiguous { .. }) => {}
            Ok(Contiguity::NotFound) => {
                return Ok(Err(
                    "the buffer is not in the RAM that /proc/kcore shows".into()
                ));
            }
            Err(CheckError::Unavailable(reason)) => return Ok(Err(reason.to_string())),
            Err(error) => return fail(error.to_string()),
        }
        others.push(buffer);
    }
    Ok(Err("by chance, all buffers are contiguous".into()))
}

fn scattered(target: &Target) -> TestResult {
    if target.is_contiguous() {
        return skip("all buffers of the heap are contiguous");
    }
    if bounces(target)? {
        return skip("this machine makes vivid's devices bounce, and to one range if it likes");
    }
    with(target, Allocator::DmaContig, |capture, format| {
        let buffer = match scattered_buffer(target, format.size.into())? {
            Ok(buffer) => buffer,
            Err(reason) => return skip(reason),
        };
        let used = target.used();
        capture.make_queue(BUFFERS)?;
        let count = Count::start(target)?;
        let queued = errno(capture.queue(0, &buffer));
        refused("queueing a scattered buffer", queued, Errno::FAULT)?;
        let tried = Ops {
            attaches: 1,
            maps: 1,
            ..Ops::default()
        };
        count.expect("after the refusal", tried)?;
        target.expect_used(used)?;
        capture.remove_queue()?;
        Ok(Pass)
    })
}

/// What a buffer has that is closed before, and how often a driver tries after that,
/// each time once: a large one, and one that a heap might keep.
const CLOSED: [(u64, usize); 2] = [(16 << 20, 20), (3 << 20, 5)];

/// How long a buffer lives: not the life of one in a loop.
const LIFE: Duration = Duration::from_millis(150);

/// The part of the area in which a driver looks for memory; others hold the rest.
const AREA: u64 = 64 << 20;

/// A program that changes a camera's mode closes its buffers, and the driver then
/// allocates its own from the same area: it tries once, and other users of the area
/// are no excuse.
fn single_attempt(target: &Target) -> TestResult {
    if !target.is_contiguous() {
        return skip("the heap does not promise contiguous buffers");
    }
    if dma_heap::heaps()?
        .iter()
        .any(|heap| heap.name == "carveout")
    {
        return skip("what is set aside for the heap does not go back to the area");
    }
    let area = system::meminfo("CmaTotal")?;
    if area < AREA {
        return skip("the contiguous area has less than 64 MiB");
    }
    with(target, Allocator::DmaContig, |capture, _| {
        let (width, height) = LARGE;
        let format = capture.set_size(width, height)?;
        // In whole MiB, to which the area aligns.
        let frame = u64::from(format.size).next_multiple_of(1 << 20);
        for others in [0, AREA / 4, AREA / 2] {
            let room = AREA - others;
            let held = hold(target, area - room)?;
            let frames = u32::try_from(fitting(target, frame, room / frame)?)?;
            wait_until_nothing_is_kept()?;
            let free_then = system::meminfo("CmaFree")?;
            for (closed, attempts) in CLOSED {
                let mut tries = 0;
                let mut counted = 0;
                while counted < attempts {
                    let buffer = in_the_middle(target, room, closed)?;
                    std::thread::sleep(LIFE);
                    // What the buffers before this one have left is not what is tried.
                    wait_until_nothing_is_kept()?;
                    drop(buffer);
                    let free = system::meminfo("CmaFree")?;
                    let got = capture.allocate_own(frames);
                    capture.allocate_own(0)?;
                    tries += 1;
                    if matches!(got, Ok(got) if got == frames) {
                        counted += 1;
                        continue;
                    }
                    let kept = held_by_all()?;
                    let state = format!(
                        "try {tries} of {frames} frames of {} bytes: {got:?}, with {others} of \
                         {AREA} bytes held by others, after {closed} were closed; {free} were free \
                         before, of {free_then} once; {kept} are kept",
                        format.size
                    );
                    // A program's page may have come into the area, and be one that does not
                    // move now.
                    if kept > 0 || free >= free_then || tries > 2 * attempts {
                        return fail(state);
                    }
                    println!("# {state}: tried again");
                }
            }
            drop(held);
        }
        Ok(Pass)
    })
}

fn wait_until_nothing_is_kept() -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        match held_by_all()? {
            0 => return Ok(()),
            kept if start.elapsed() > ample(PATIENCE) => {
                return fail(format!("{kept} bytes are still kept"));
            }
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A buffer of `bytes` in the middle of `room`, or as near to that as pages of others
/// allow that do not move; a smaller one if there is none.
fn in_the_middle(target: &Target, room: u64, bytes: u64) -> Result<Buffer, Failure> {
    let mut tried = bytes;
    loop {
        let mut before = (room - tried) / 2;
        while before >= 1 << 20 {
            let others = target.heap.alloc(before);
            if let Ok(buffer) = others.and_then(|_held| target.heap.alloc(tried)) {
                return Ok(buffer);
            }
            before /= 2;
        }
        match target.heap.alloc(tried) {
            Err(_) if tried > bytes / 4 => tried /= 2,
            buffer => return Ok(buffer?),
        }
    }
}

/// How many of `most` buffers of `bytes` can be had at once: pages in their way may
/// be such that do not move.
fn fitting(target: &Target, bytes: u64, most: u64) -> Result<u64, Failure> {
    let buffers: Vec<_> = (0..most)
        .map_while(|_| target.heap.alloc(bytes).ok())
        .collect();
    match buffers.len() {
        0 => fail(format!("not one buffer of {bytes} bytes can be had")),
        n => Ok(u64::try_from(n)?),
    }
}

/// Buffers of `bytes` in all, a MiB each.
fn hold(target: &Target, bytes: u64) -> Result<Vec<Buffer>, Failure> {
    let each = 1 << 20;
    let buffers = (0..bytes / each).map(|_| target.heap.alloc(each));
    Ok(buffers.collect::<Result<_, _>>()?)
}
