// SPDX-License-Identifier: GPL-2.0

//! The way of a frame: heap, camera, screen, and back to the camera.
//!
//! ```text
//!            alloc                VIDIOC_QBUF            VIDIOC_DQBUF
//!  dma-buf heap --> descriptor --> camera's queue, filled --> this program
//!                        |                 ^                      |
//!                        | PRIME import    | flip event: free     | page flip
//!                        v                 | again                v
//!                   framebuffer ----- screen <--------------------+
//! ```
//!
//! Each buffer is allocated once, queued to the camera again and again in the same
//! place, and imported by the screen once. What moves is the right to use it.

use crate::camera::Camera;
use crate::camera::Frame;
use crate::camera::FrameFormat;
use crate::client;
use crate::format;
use crate::options::Options;
use crate::report::Counts;
use crate::report::Report;
use crate::screen::Framebuffer;
use crate::screen::Screen;
use crate::times;
use crate::times::Samples;
use anyhow::Context as _;
use anyhow::bail;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::sys::abi;
use dma_heap::sys::ioctl;
use drm::buffer::DrmFourcc;
use drm::control::Mode;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use std::collections::VecDeque;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use v4l2r::PixelFormat;

/// Allocations that a frame which is shown now may have had to wait for.
const RECENT: usize = 64;

/// A buffer, and what it is to the screen.
struct Place {
    buffer: Buffer,
    framebuffer: Option<Framebuffer>,
}

/// Frames of one size, and the buffers they are in. The index of a place is that of
/// the camera's queue.
struct Stream {
    /// None without a screen.
    mode: Option<Mode>,
    places: Vec<Place>,
    /// The frame on the screen.
    shown: Option<Frame>,
    /// The frame that will be there from the next vertical blanking on.
    flipping: Option<Frame>,
    /// The newest frame, if the screen was busy when it came.
    waiting: Option<Frame>,
    last_sequence: Option<u32>,
    captured: u64,
}

/// What stays the same whatever the size.
struct Pipeline<'a> {
    options: &'a Options,
    heap: Heap,
    camera: Camera,
    screen: Option<Screen>,
    /// What the frames are called by either side.
    pixels: (PixelFormat, DrmFourcc),
    sizes: Vec<(u32, u32)>,
    rate: f64,
    late_after: Duration,
    counts: Counts,
    latency: Samples,
    allocations: Samples,
    frees: Samples,
    changes: Samples,
    /// When allocations began and ended.
    recent: VecDeque<(Duration, Duration)>,
    /// When the last frame before a change was captured.
    changed_after: Option<Duration>,
}

/// Runs the pipeline, and prints what came of it.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::new(options)?;
    let first = pipeline.configure(0)?;
    let bytes = (0..pipeline.sizes.len())
        .map(|index| Ok(pipeline.try_size(index)?.size.into()))
        .collect::<anyhow::Result<Vec<u64>>>()?;
    let interval = Duration::from_secs_f64(1.0 / pipeline.rate);
    // One interval until the screen takes another frame, one until that is shown,
    // and one for good measure. Without a screen there is nothing to wait for.
    pipeline.late_after = interval * if pipeline.screen.is_some() { 3 } else { 1 };

    let stop = AtomicBool::new(false);
    let (stream, clients, seconds) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..options.clients)
            .map(|_| {
                scope.spawn(|| client::run(&options.heap, &bytes, options.buffers, interval, &stop))
            })
            .collect();
        let start = times::now();
        let stream = pipeline.stream(first);
        let seconds = times::now().saturating_sub(start).as_secs_f64();
        // Whatever happened: the threads are waited for.
        stop.store(true, Ordering::Relaxed);
        let mut samples = Samples::default();
        for client in clients {
            match client.join() {
                Ok(result) => samples.extend(result?),
                Err(_) => bail!("another client of the heap has panicked"),
            }
        }
        Ok((stream?, samples, seconds))
    })?;

    pipeline.report(&first, &clients, seconds, interval)?;
    if options.wait {
        writeln!(
            std::io::stdout(),
            "The last frame stays until there is a line on standard input."
        )?;
        std::io::stdin().read_line(&mut String::new())?;
    }
    if let Some(screen) = &pipeline.screen {
        screen.switch_off()?;
    }
    pipeline.free(stream)
}

impl<'a> Pipeline<'a> {
    fn new(options: &'a Options) -> anyhow::Result<Self> {
        let heap = Heap::open(&options.heap)?;
        let camera = Camera::open(&options.camera)?;
        let screen = match options.screen.as_deref() {
            Some(path) if path == Path::new("none") => None,
            path => Some(Screen::open(path)?),
        };
        for (name, value) in &options.control {
            camera.set_control(name, *value)?;
        }

        // The camera says what it can write, the screen what it can show.
        let formats = camera.formats();
        let pixels = match &screen {
            Some(screen) => format::common(&formats, screen.formats()).with_context(|| {
                format!(
                    "camera and screen have no pixel format in common: {formats:?} and {:?}",
                    screen.formats()
                )
            })?,
            None => (
                *formats.first().context("the camera has no pixel format")?,
                DrmFourcc::Xrgb8888,
            ),
        };
        let sizes = match options.size.as_slice() {
            [] => vec![largest(&camera, screen.as_ref(), pixels.0, options.rate)?],
            sizes => sizes.to_vec(),
        };
        Ok(Self {
            options,
            heap,
            camera,
            screen,
            pixels,
            sizes,
            rate: f64::from(options.rate),
            late_after: Duration::MAX,
            counts: Counts::default(),
            latency: Samples::default(),
            allocations: Samples::default(),
            frees: Samples::default(),
            changes: Samples::default(),
            recent: VecDeque::new(),
            changed_after: None,
        })
    }

    /// What the camera would make of a size; nothing changes.
    fn try_size(&self, index: usize) -> anyhow::Result<FrameFormat> {
        let size = self.sizes.get(index % self.sizes.len());
        let size = *size.context("no size")?;
        let frame = self.camera.try_format(self.pixels.0, size)?;
        if (frame.width, frame.height, frame.format) != (size.0, size.1, self.pixels.0) {
            bail!(
                "the camera makes {}x{} {} of {}x{} {}: `v4l2-ctl --list-formats-ext` shows what it has",
                frame.width,
                frame.height,
                frame.format,
                size.0,
                size.1,
                self.pixels.0
            );
        }
        Ok(frame)
    }

    /// Sets the camera to a size. It must be stopped, and without a queue.
    fn configure(&mut self, index: usize) -> anyhow::Result<FrameFormat> {
        let wanted = self.try_size(index)?;
        let frame = self
            .camera
            .set_format(self.pixels.0, (wanted.width, wanted.height))?;
        if frame.size > wanted.size {
            bail!(
                "the camera now wants {} bytes, and not {}",
                frame.size,
                wanted.size
            );
        }
        // A new size may have put the rate back.
        let rate = self.camera.set_rate(self.options.rate)?;
        self.rate = rate.unwrap_or_else(|| self.options.rate.into());
        Ok(frame)
    }

    /// A buffer for a frame, and how long that took.
    fn alloc(&mut self, bytes: u32) -> anyhow::Result<Buffer> {
        let start = times::now();
        let buffer = self.heap.alloc(bytes.into())?;
        let end = times::now();
        self.allocations.add(end.saturating_sub(start));
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((start, end));
        // For `/sys/kernel/debug/dma_buf/bufinfo`.
        buffer.set_name("camera-to-screen")?;
        Ok(buffer)
    }

    /// Runs streams, one after the other, until there were enough frames. Returns
    /// the last one, whose last frame is still on the screen.
    fn stream(&mut self, first: FrameFormat) -> anyhow::Result<Stream> {
        let mut buffers = Vec::new();
        for _ in 0..self.options.buffers {
            buffers.push(self.alloc(first.size)?);
        }
        let mut stream = self.start(first, buffers)?;
        let mut old: Option<Stream> = None;
        let mut next: Vec<Buffer> = Vec::new();
        let mut number = 0;
        loop {
            self.step(&mut stream)?;
            // The old frame was on the screen until the first of the new size came.
            if stream.shown.is_some() {
                if let Some(old) = old.take() {
                    self.free(old)?;
                }
            }
            if self.counts.captured >= self.options.frames {
                break;
            }
            // Before the size changes, its buffers are allocated, one a frame: what
            // comes all at once might take longer than a frame.
            let due = self.options.change_every;
            let missing = u64::from(self.options.buffers) - next.len() as u64;
            if self.sizes.len() > 1 && missing > 0 && stream.captured + missing >= due {
                next.push(self.alloc(self.try_size(number + 1)?.size)?);
            } else if self.sizes.len() > 1 && stream.captured >= due && old.is_none() {
                number += 1;
                self.stop(&mut stream)?;
                let frame = self.configure(number)?;
                let buffers = std::mem::take(&mut next);
                let last = std::mem::replace(&mut stream, self.start(frame, buffers)?);
                old = Some(last);
            }
        }
        self.stop(&mut stream)?;
        if let Some(old) = old {
            self.free(old)?;
        }
        Ok(stream)
    }

    /// Starts the camera on new buffers.
    fn start(&self, frame: FrameFormat, buffers: Vec<Buffer>) -> anyhow::Result<Stream> {
        let size = (frame.width, frame.height);
        let mode = match &self.screen {
            None => None,
            Some(screen) => Some(screen.mode(size).with_context(|| {
                format!(
                    "the screen has no mode of {}x{}, but {}",
                    size.0,
                    size.1,
                    screen.sizes()
                )
            })?),
        };
        let places = buffers
            .into_iter()
            .map(|buffer| {
                let framebuffer = match &self.screen {
                    None => None,
                    Some(screen) => Some(screen.import(&buffer, &frame, self.pixels.1)?),
                };
                Ok(Place {
                    buffer,
                    framebuffer,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let wanted = u32::try_from(places.len())?;
        let made = self.camera.make_queue(wanted)?;
        if made != wanted {
            // Each place wants a buffer of its own: see Camera::queue.
            bail!(
                "the camera wants a queue of {made} places, and not {wanted}: use --buffers {made}"
            );
        }
        for (index, place) in places.iter().enumerate() {
            self.camera.queue(index, &place.buffer)?;
        }
        self.camera.start()?;
        Ok(Stream {
            mode,
            places,
            shown: None,
            flipping: None,
            waiting: None,
            last_sequence: None,
            captured: 0,
        })
    }

    /// Waits for the camera or the screen, and does what is to be done then.
    fn step(&mut self, stream: &mut Stream) -> anyhow::Result<()> {
        let patience = Timespec {
            tv_sec: self.options.patience,
            tv_nsec: 0,
        };
        let mut files = vec![PollFd::new(&self.camera, PollFlags::IN)];
        if let Some(screen) = &self.screen {
            files.push(PollFd::new(screen, PollFlags::IN));
        }
        match rustix::event::poll(&mut files, Some(&patience)) {
            Err(Errno::INTR) => return Ok(()),
            ready => {
                if ready? == 0 {
                    bail!("no frame came within {} seconds", self.options.patience);
                }
            }
        }
        let ready: Vec<bool> = files
            .iter()
            .map(|file| !file.revents().is_empty())
            .collect();
        // The screen first: it may take the frame that comes next at once.
        if ready.get(1) == Some(&true) {
            self.flipped(stream)?;
        }
        if ready.first() == Some(&true) {
            if let Some(frame) = self.camera.dequeue()? {
                self.captured(stream, frame)?;
            }
        }
        Ok(())
    }

    /// A frame has come.
    fn captured(&mut self, stream: &mut Stream, frame: Frame) -> anyhow::Result<()> {
        if let Some(last) = stream.last_sequence.replace(frame.sequence) {
            let step = frame.sequence.wrapping_sub(last);
            self.counts.dropped += u64::from(step.saturating_sub(1));
        }
        if frame.broken {
            self.counts.broken += 1;
            return self.give_back(stream, frame);
        }
        stream.captured += 1;
        self.counts.captured += 1;
        if self.screen.is_none() {
            // Somebody else would now be given the frame.
            if stream.captured == 1 {
                self.first(times::now());
            } else {
                self.arrived(frame, times::now());
            }
            stream.shown = Some(frame);
            return self.give_back(stream, frame);
        }
        if stream.shown.is_none() {
            self.show_first(stream, frame)
        } else if stream.flipping.is_none() {
            self.flip(stream, frame)
        } else {
            // Of those that wait, only the newest is worth showing.
            if let Some(overtaken) = stream.waiting.replace(frame) {
                self.counts.overtaken += 1;
                self.give_back(stream, overtaken)?;
            }
            Ok(())
        }
    }

    /// Shows the first frame of its size: the screen changes its mode for it.
    fn show_first(&mut self, stream: &mut Stream, frame: Frame) -> anyhow::Result<()> {
        let place = place(stream, frame)?;
        self.sync(place, abi::DMA_BUF_SYNC_START)?;
        if let (Some(screen), Some(framebuffer), Some(mode)) =
            (&self.screen, place.framebuffer, stream.mode)
        {
            screen.show(framebuffer, mode)?;
        }
        self.counts.shown += 1;
        self.first(times::now());
        stream.shown = Some(frame);
        Ok(())
    }

    /// Has the screen show a frame next.
    fn flip(&mut self, stream: &mut Stream, frame: Frame) -> anyhow::Result<()> {
        let place = place(stream, frame)?;
        self.sync(place, abi::DMA_BUF_SYNC_START)?;
        if let (Some(screen), Some(framebuffer)) = (&self.screen, place.framebuffer) {
            screen.flip(framebuffer)?;
        }
        stream.flipping = Some(frame);
        Ok(())
    }

    /// The screen has something to say: a flip is done.
    fn flipped(&mut self, stream: &mut Stream) -> anyhow::Result<()> {
        let time = match &self.screen {
            None => None,
            Some(screen) => screen.flipped()?,
        };
        let (Some(time), Some(frame)) = (time, stream.flipping.take()) else {
            return Ok(());
        };
        self.counts.shown += 1;
        self.arrived(frame, time);
        if let Some(before) = stream.shown.replace(frame) {
            self.sync(place(stream, before)?, abi::DMA_BUF_SYNC_END)?;
            self.give_back(stream, before)?;
        }
        match stream.waiting.take() {
            Some(frame) => self.flip(stream, frame),
            None => Ok(()),
        }
    }

    /// The buffer of a frame goes back into the camera's queue.
    fn give_back(&self, stream: &Stream, frame: Frame) -> anyhow::Result<()> {
        self.camera
            .queue(frame.index, &place(stream, frame)?.buffer)
    }

    /// Brackets what the CPU does to a frame. This program does nothing to it, and a
    /// screen that fetches its pictures by DMA needs no bracket. But the drivers of
    /// many simple screens copy the picture with the CPU, and not all of them say so
    /// to the buffer. Where devices do not see the CPU's caches, what the camera has
    /// written could then be missed.
    fn sync(&self, place: &Place, edge: u64) -> anyhow::Result<()> {
        if self.options.no_sync {
            return Ok(());
        }
        loop {
            match ioctl::sync(place.buffer.as_fd(), abi::DMA_BUF_SYNC_READ | edge) {
                // The kernel says: try again.
                Err(Errno::INTR | Errno::AGAIN) => {}
                result => return result.context("DMA_BUF_IOCTL_SYNC"),
            }
        }
    }

    /// A frame has reached its end at that time.
    fn arrived(&mut self, frame: Frame, time: Duration) {
        let latency = time.saturating_sub(frame.time);
        self.latency.add(latency);
        if latency <= self.late_after {
            return;
        }
        self.counts.late += 1;
        // How much of that time went into allocations?
        let allocating = times::covered(self.recent.iter().copied(), frame.time, time);
        if latency.saturating_sub(allocating) <= self.late_after {
            self.counts.late_by_allocation += 1;
        }
    }

    /// The first frame of a size has reached its end at that time.
    fn first(&mut self, time: Duration) {
        if let Some(last) = self.changed_after.take() {
            self.changes.add(time.saturating_sub(last));
        }
    }

    /// Stops the camera, which lets go of the buffers. What the screen has stays.
    fn stop(&mut self, stream: &mut Stream) -> anyhow::Result<()> {
        self.camera.stop()?;
        // What is on its way to the screen still goes there.
        while stream.flipping.is_some() {
            self.flipped(stream)?;
        }
        self.camera.remove_queue()?;
        self.changed_after = stream.shown.map(|frame| frame.time);
        Ok(())
    }

    /// Gives the buffers of a stream back, which neither camera nor screen need now.
    fn free(&mut self, stream: Stream) -> anyhow::Result<()> {
        if let Some(screen) = &self.screen {
            if let Some(shown) = stream.shown {
                self.sync(place(&stream, shown)?, abi::DMA_BUF_SYNC_END)?;
            }
            for framebuffer in stream.places.iter().filter_map(|place| place.framebuffer) {
                screen.forget(framebuffer)?;
            }
        }
        let start = times::now();
        // The last descriptors: the memory goes back to the heap.
        drop(stream);
        self.frees.add(times::now().saturating_sub(start));
        Ok(())
    }

    fn report(
        &self,
        frame: &FrameFormat,
        clients: &Samples,
        seconds: f64,
        interval: Duration,
    ) -> anyhow::Result<()> {
        let page = dma_heap::page_align(frame.size.into());
        let report = Report {
            camera: self.camera.name.clone(),
            screen: self.screen.as_ref().map(|screen| screen.name.clone()),
            heap: self.options.heap.clone(),
            buffers: self.options.buffers,
            format: format!("{}x{} {}", frame.width, frame.height, frame.format),
            pitch: frame.pitch,
            buffer_bytes: page.unwrap_or_else(|| frame.size.into()),
            rate: self.rate,
            seconds,
            counts: self.counts,
            budget_us: interval.as_micros(),
            late_after_us: self.late_after.as_micros(),
            latency: self.latency.summary(),
            allocations: self.allocations.summary(),
            frees: self.frees.summary(),
            client_allocations: clients.summary(),
            changes: self.changes.summary(),
        };
        let mut out = std::io::stdout();
        if self.options.json {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        } else {
            writeln!(out, "{report}")?;
        }
        Ok(())
    }
}

/// The place of a frame.
fn place(stream: &Stream, frame: Frame) -> anyhow::Result<&Place> {
    stream
        .places
        .get(frame.index)
        .with_context(|| format!("the camera has made up place {}", frame.index))
}

/// The largest size that the camera has at a rate, and the screen has at all.
fn largest(
    camera: &Camera,
    screen: Option<&Screen>,
    format: PixelFormat,
    rate: u32,
) -> anyhow::Result<(u32, u32)> {
    let fits = |size: &(u32, u32)| {
        screen.is_none_or(|screen| screen.mode(*size).is_some())
            && camera
                .highest_rate(format, *size)
                .is_none_or(|highest| highest >= f64::from(rate))
    };
    let sizes = camera.sizes(format);
    sizes
        .iter()
        .filter(|size| fits(size))
        .max_by_key(|size| u64::from(size.0) * u64::from(size.1))
        .copied()
        .with_context(|| {
            format!(
                "camera and screen have no size in common with {rate} frames a second; name one with \
                 --size. The camera lists {sizes:?}, the screen {}",
                screen.map(Screen::sizes).unwrap_or_default()
            )
        })
}
